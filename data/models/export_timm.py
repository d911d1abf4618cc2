"""Turn a finished training run of a net of timm into an asset: weights, net.json and a card.

    python data/models/export_timm.py regnetx_002 --images tiny-imagenet-200 --out runs

What follows a hyphen in the recipe's name is the tag: `regnetx_002-photos` becomes
`timm/regnetx_002@photos`, and `regnetx_002` is `@tiny`. `exporting.py` says how.
"""

import dataclasses
from pathlib import Path
from typing import Any

import exporting
import numpy as np
from training import recipes

from meznet_helpers.labelers import Backbone
from meznet_helpers.labelers.timm import TrainedLabeler, load_weights, untrained
from meznet_helpers.measure import rank_of_truth

PHOTOGRAPHS = "It has seen photographs alone: drawings are foreign to it."
DRAWINGS = """It has seen photographs, and drawings of Emoji Zoo's classes that are not animals,
composed in the mild and the hard variant at 64 pixels; a second head, which is not kept, learned
their names. It has never seen a drawing of an animal."""


def ranks(net: Backbone, weights: dict[str, np.ndarray], images: Any, truth: Any) -> np.ndarray:
    """Ranks of the right labels under given weights."""
    labeler = TrainedLabeler(net)
    labeler.model = untrained(net)
    load_weights(labeler.model, weights, Path("the run"))
    return rank_of_truth(labeler.predict(images, batch_size=250).probs, truth)[0]


def export(name: str, images: Path, out: Path, bits: int) -> None:
    """Write data/models/<name>/."""
    run = exporting.finished(name, out, "weights/net.")
    recipe, earlier, after = run.recipe, 0, ""
    if recipe.start:
        earlier = recipes()[recipe.start].epochs
        after = f", after {earlier} epochs on photographs alone (`{recipe.start}`)"
    options = {"num_classes": 200, **recipe.options}
    run = dataclasses.replace(
        run,
        tag=name.partition("-")[2] or "tiny",
        builder=exporting.call("timm.create_model", f'"{recipe.application}"', options),
        earlier=earlier,
        after=after,
        seen=DRAWINGS if recipe.emoji else PHOTOGRAPHS,
    )
    exporting.export(run, ranks, images, out, bits)


if __name__ == "__main__":
    parser = exporting.arguments("timm", __doc__)
    parser.add_argument("--bits", type=int, choices=(8, 16), default=16, help="of stored weights")
    args = parser.parse_args()
    for name in args.names:
        export(name, args.images, args.out, args.bits)
