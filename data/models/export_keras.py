"""Turn a finished training run into an asset: weights, net.json and a card.

    python data/models/export_keras.py MobileNetV2 --images tiny-imagenet-200 --out runs

The input size is chosen on training images that trained nothing; the accuracies on the card are of
the 10,000 validation images, which chose nothing.
"""

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file
from training import HERE, SIDE, committed, load_images, recipes, split

from meznet_helpers import evaluate, labels
from meznet_helpers.backbones import Backbone
from meznet_helpers.labelers.keras import KerasLabeler, untrained
from meznet_helpers.validation import read

ENLARGED = (0, 32, 64)  # input sizes to choose from, in pixels above the size of the training

CARD = """# keras/{name}@tiny

`keras.applications.{application}({options})`, trained by this project on the 100,000 training
photographs of Tiny-ImageNet (200 classes, 64 pixels), from random weights.

| | |
|---|---|
| input | the whole picture at 64 x 64 pixels, enlarged to {size} x {size}, bilinear |
| preprocessing | mode `{mode}`: {mode_words} |
| top-1, top-5 | **{top1}**, **{top5}** |
| parameters | {parameters:,}, stored as 16-bit floats |
| cost of 16 bits | top-1 {drop:+.2f} points against 32 bits, on the same images |
| training | {epochs} epochs, {hours:.1f} hours on one core{after}; `../recipes.json`, `log.csv` |
| licence | MIT, as this repository. The photographs are ImageNet's, for research |

Accuracies are on the 10,000 validation images, with 95 % Wilson intervals. The input size was
chosen on 2,000 training images held out of the training: {choice}.

{mode_note}Limits: it knows 200 classes and always answers with one of them. It was trained on
small, upright photographs; of the first 2,000 validation images turned upside down it names
{upside_down}, upright {upright}.
Drawings are foreign to it. Do not use it for anything that matters.
"""

MODE_WORDS = {
    "tf": "numbers from -1 to 1",
    "torch": "0 to 1, then ImageNet's mean and deviation per channel",
    "caffe": "blue, green, red, ImageNet's mean taken off",
    "raw": "0 to 255; the network scales inside",
}


def own_mode(application: str) -> str:
    """The mode of Keras' published weights for the same architecture."""
    from meznet_helpers.backbones import backbone

    return backbone(f"keras/{application}@imagenet").mode


def share(hits: np.ndarray) -> str:
    """Write an accuracy with its interval and n."""
    low, high = evaluate.wilson(int(hits.sum()), len(hits))
    return f"{hits.mean():.1%} ({low:.1%} to {high:.1%}, n = {len(hits):,})"


def ranks(net: Backbone, weights: dict[str, np.ndarray], images: Any, truth: Any) -> np.ndarray:
    """Ranks of the right labels under given weights."""
    labeler = KerasLabeler(net)
    labeler.model = untrained(net)
    for variable in labeler.model.weights:
        variable.assign(weights[variable.path].astype(np.float32))
    return evaluate.rank_of_truth(labeler.predict(images, batch_size=250).probs, truth)[0]


def export(name: str, images: Path, out: Path) -> None:
    """Write data/models/<name>/."""
    recipe = recipes()[name]
    with safe_open(out / f"{name}.safetensors", "np") as stored:
        log = json.loads(stored.metadata()["log"])
        full = {
            key.removeprefix("weights/"): stored.get_tensor(key)
            for key in stored.keys()  # noqa: SIM118, it is no dict
            if key.startswith("weights/")
        }
    if len(log) != recipe.epochs:
        raise SystemExit(f"{name} is at epoch {len(log)} of {recipe.epochs}: train it to the end.")
    earlier = 0
    if recipe.start:
        earlier = json.loads(committed(recipe.start, f"{name}/net.json"))["epochs"]
    half = {path: values.astype(np.float16) for path, values in full.items()}

    space = labels.tiny_imagenet()
    options = recipe.options
    backbone = Backbone(
        recipe.application,
        "tiny",
        recipe.size,
        recipe.mode,
        space.name,
        options=options,
        detail=SIDE,
    )
    x, y = load_images(images, out / "cache")
    _, held_out = split(y)
    tried = {}
    for size in (recipe.size + more for more in ENLARGED):
        net = dataclasses.replace(backbone, size=size)
        found = ranks(net, full, list(x[held_out]), y[held_out])
        tried[size] = float(evaluate.hits(found, 1).mean())
    size = max(tried, key=tried.get)
    backbone = dataclasses.replace(backbone, size=size)

    photographs, truth = read(images)
    at_full = ranks(backbone, full, photographs, truth)
    at_half = ranks(backbone, half, photographs, truth)
    turned = [np.ascontiguousarray(photograph[::-1]) for photograph in photographs.arrays[:2000]]
    upside_down = ranks(backbone, half, turned, truth[:2000])

    folder = HERE / name
    folder.mkdir(exist_ok=True)
    save_file(half, folder / "weights.safetensors", {"application": recipe.application})
    rows = [",".join(str(line[key]) for key in log[0]) for line in log]
    (folder / "log.csv").write_text("\n".join([",".join(log[0]), *rows, ""]), encoding="utf-8")
    facts = {
        "application": recipe.application,
        "options": options,
        "mode": recipe.mode,
        "size": size,
        "detail": SIDE,
        "interpolation": "bilinear",
        "labels": space.name,
        "licence": "MIT",
        "n": len(truth),
        "hits1": int(evaluate.hits(at_half, 1).sum()),
        "hits5": int(evaluate.hits(at_half, 5).sum()),
        "hits1_32_bits": int(evaluate.hits(at_full, 1).sum()),
        "n_turned": len(turned),
        "hits1_upright": int(evaluate.hits(at_half[: len(turned)], 1).sum()),
        "hits1_upside_down": int(evaluate.hits(upside_down, 1).sum()),
        "parameters": int(sum(values.size for values in full.values())),
        "epochs": earlier + len(log),
    }
    (folder / "net.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    published = own_mode(recipe.application)
    note = (
        ""
        if published == recipe.mode
        else f"Keras' own weights for {recipe.application} want mode `{published}`; these want "
        f"`{recipe.mode}`, because the mode belongs to the weights.\n\n"
    )
    card = CARD.format(
        name=name,
        application=recipe.application,
        options=", ".join(f"{key}={value}" for key, value in options.items()),
        size=size,
        mode=recipe.mode,
        mode_words=MODE_WORDS[recipe.mode],
        top1=share(evaluate.hits(at_half, 1)),
        top5=share(evaluate.hits(at_half, 5)),
        parameters=facts["parameters"],
        drop=100 * (facts["hits1"] - facts["hits1_32_bits"]) / facts["n"],
        epochs=len(log),
        after=f", after {earlier} epochs of the net in commit {recipe.start}" if earlier else "",
        hours=sum(line["seconds"] for line in log) / 3600,
        choice=", ".join(f"{value:.1%} at {key}" for key, value in tried.items()),
        mode_note=note,
        upside_down=share(evaluate.hits(upside_down, 1)),
        upright=share(evaluate.hits(at_half[:2000], 1)),
    )
    (folder / "README.md").write_text(card, encoding="utf-8")
    print(name, size, facts["hits1"] / facts["n"], facts["hits5"] / facts["n"])


def main() -> None:
    """Parse the command line and export."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="+", choices=sorted(recipes()))
    parser.add_argument("--images", type=Path, required=True, help="the folder tiny-imagenet-200")
    parser.add_argument("--out", type=Path, default=Path("runs"), help="checkpoints and logs")
    args = parser.parse_args()
    for name in args.names:
        export(name, args.images, args.out)


if __name__ == "__main__":
    main()
