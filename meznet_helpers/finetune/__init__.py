"""Fine-tuning: one torch training loop for any classification net, with checkpoints."""

from meznet_helpers.finetune.forward import predict
from meznet_helpers.finetune.loop import fit
from meznet_helpers.finetune.parts import read_parts
from meznet_helpers.finetune.recipe import Recipe
from meznet_helpers.finetune.report import summary
