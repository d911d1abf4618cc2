"""Turn a finished training run of a Keras application into an asset: weights, net.json and a card.

    python data/models/export_keras.py MobileNetV2 --images tiny-imagenet-200 --out runs

`exporting.py` says how.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import exporting
import numpy as np
from training import committed

from meznet_helpers.labelers import Backbone, backbone
from meznet_helpers.labelers.keras import KerasLabeler, untrained
from meznet_helpers.measure import rank_of_truth


def ranks(net: Backbone, weights: dict[str, np.ndarray], images: Any, truth: Any) -> np.ndarray:
    """Ranks of the right labels under given weights."""
    labeler = KerasLabeler(net)
    labeler.model = untrained(net)
    for variable in labeler.model.weights:
        variable.assign(weights[variable.path])
    return rank_of_truth(labeler.predict(images, batch_size=250).probs, truth)[0]


def export(name: str, images: Path, out: Path) -> None:
    """Write data/models/<name>/."""
    run = exporting.finished(name, out, "weights/")
    recipe, earlier, after, note = run.recipe, 0, "", ""
    if recipe.start:
        earlier = json.loads(committed(recipe.start, f"{name}/net.json"))["epochs"]
        after = f", after {earlier} epochs of the net in commit {recipe.start}"
    published = backbone(f"keras/{recipe.application}@imagenet").mode
    if published != recipe.mode:
        note = (
            f"Keras' own weights for {recipe.application} want mode `{published}`; these want "
            f"`{recipe.mode}`, because the mode belongs to the weights.\n\n"
        )
    run = dataclasses.replace(
        run,
        builder=exporting.call(f"keras.applications.{recipe.application}", "", recipe.options),
        earlier=earlier,
        after=after,
        note=note,
        seen="Drawings are foreign to it.",
    )
    exporting.export(run, ranks, images, out)


if __name__ == "__main__":
    args = exporting.arguments("keras", __doc__).parse_args()
    for name in args.names:
        export(name, args.images, args.out)
