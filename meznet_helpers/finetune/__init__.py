"""Fine-tuning: one torch training loop for any classification net, with checkpoints."""

from meznet_helpers.finetune.checkpoint import restore_split
from meznet_helpers.finetune.forward import predict
from meznet_helpers.finetune.loop import fit
from meznet_helpers.finetune.recipe import Recipe

__all__ = ["Recipe", "fit", "predict", "restore_split"]
