"""What the export scripts share: from a finished run to weights, net.json, a log and a card.

The input size is chosen on training images that trained nothing; the accuracies on the card are of
the 10,000 validation images, which chose nothing.
"""

import argparse
import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import training
from safetensors.numpy import save_file
from training import HERE, SIDE, Recipe, load_images, recipes, split

from meznet_helpers import labels, measure
from meznet_helpers.book.validation_set import read
from meznet_helpers.finetune import run as runs
from meznet_helpers.labelers import Backbone
from meznet_helpers.labelers.packing import pack, unpack
from meznet_helpers.measure import wilson

ENLARGED = (0, 32, 64)  # input sizes to choose from, in pixels above the size of the training
COST = 0.003  # of top-1: more must not be lost by storing fewer bits

CARD = """# {name}

`{builder}`, trained by this project on the 100,000 training
photographs of Tiny-ImageNet (200 classes, 64 pixels), from random weights.

| | |
|---|---|
| input | the whole picture at 64 x 64 pixels{enlarged} |
| preprocessing | mode `{mode}`: {mode_words} |
| top-1, top-5 | **{top1}**, **{top5}** |
| parameters | {parameters:,}, stored as {stored} |
| cost of {bits} bits | top-1 {drop:+.2f} points against 32 bits, on the same images |
| training | {epochs} epochs, {hours:.1f} hours on one core{after}; `../recipes.json`, `log.csv` |
| licence | MIT, as this repository. The photographs are ImageNet's, for research |

Accuracies are on the 10,000 validation images, with 95 % Wilson intervals. The input size was
chosen on 2,000 training images held out of the training: {choice}.

{note}Limits: it knows 200 classes and always answers with one of them. It was trained on
small, upright photographs; of the first 2,000 validation images turned upside down it names
{upside_down}, upright {upright}.
{seen} Do not use it for anything that matters.
"""

MODE_WORDS = {
    "tf": "numbers from -1 to 1",
    "torch": "0 to 1, then ImageNet's mean and deviation per channel",
    "caffe": "blue, green, red, ImageNet's mean taken off",
    "raw": "0 to 255; the network scales inside",
}

STORED = {
    16: "16-bit floats",
    8: "8-bit integers with one 16-bit scale for each output, what is no kernel as 16-bit floats",
}

# From a backbone, its weights, images and the right labels to the ranks of those.
Ranks = Callable[[Backbone, dict[str, np.ndarray], Any, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Finished:
    """A run at its end, and what its card says of it."""

    name: str  # of the recipe, and of the folder
    recipe: Recipe
    log: list[dict[str, float]]
    weights: dict[str, np.ndarray]
    tag: str = "tiny"
    builder: str = ""  # the call that builds the net
    earlier: int = 0  # epochs before this recipe's
    after: str = ""  # where those came from
    note: str = ""
    seen: str = ""  # what it has seen of drawings


def finished(name: str, out: Path, prefix: str) -> Finished:
    """Read the weights and the log of a run; those weights whose names begin so."""
    recipe = recipes()[name]
    tensors, header = runs.read(out / f"{name}.safetensors", "np")
    log, weights = header["log"], runs.below(tensors, prefix)
    if len(log) != recipe.epochs:
        raise SystemExit(f"{name} is at epoch {len(log)} of {recipe.epochs}: train it to the end.")
    floats = {key: values for key, values in weights.items() if values.dtype.kind == "f"}
    return Finished(name, recipe, log, floats)


def call(function: str, first: str, options: dict[str, Any]) -> str:
    """Write a call in Python.

    >>> call("f", '"net", ', {"a": 1})
    'f("net", a=1)'
    """
    given = [f"{key}={value!r}" for key, value in options.items()]
    return f"{function}({', '.join([first] * bool(first) + given)})"


def share(hits: np.ndarray) -> str:
    """Write an accuracy with its interval and n."""
    low, high = wilson(int(hits.sum()), len(hits))
    return f"{hits.mean():.1%} ({low:.1%} to {high:.1%}, n = {len(hits):,})"


def write_log(log: list[dict[str, float]], file: Path) -> None:
    """Write a training's log as CSV."""
    rows = [",".join(str(line[key]) for key in log[0]) for line in log]
    file.write_text("\n".join([",".join(log[0]), *rows, ""]), encoding="utf-8")


def export(run: Finished, ranks: Ranks, images: Path, out: Path, bits: int = 16) -> None:
    """Write data/models/<name>/."""
    recipe, log, space = run.recipe, run.log, labels.tiny_imagenet()
    packed = pack(run.weights, bits)
    stored = unpack(packed)
    backbone = Backbone(
        recipe.application,
        run.tag,
        recipe.size,
        recipe.mode,
        space.name,
        options=recipe.options,
        framework=recipe.framework,
        licence="MIT",
        detail=SIDE,
    )
    x, y = load_images(images, out / "cache")
    _, held_out = split(y)
    tried = {}
    for size in (recipe.size + more for more in ENLARGED):
        net = dataclasses.replace(backbone, size=size)
        ranked = ranks(net, run.weights, list(x[held_out]), y[held_out])
        tried[size] = float(measure.hits(ranked, 1).mean())
    backbone = dataclasses.replace(backbone, size=max(tried, key=tried.get))

    photographs, truth = read(images)
    at_full = ranks(backbone, run.weights, photographs, truth)
    at_less = ranks(backbone, stored, photographs, truth)
    turned = [np.ascontiguousarray(photograph[::-1]) for photograph in photographs.arrays[:2000]]
    upside_down = ranks(backbone, stored, turned, truth[:2000])
    lost = int(measure.hits(at_full, 1).sum()) - int(measure.hits(at_less, 1).sum())
    if lost > COST * len(truth):
        raise SystemExit(f"{bits} bits cost {run.name} {lost} of {len(truth)} images: store more.")

    folder = HERE / run.name
    folder.mkdir(exist_ok=True)
    save_file(packed, folder / "weights.safetensors", {"application": recipe.application})
    write_log(log, folder / "log.csv")
    facts = {
        **dataclasses.asdict(backbone),
        "bits": bits,
        "n": len(truth),
        "hits1": int(measure.hits(at_less, 1).sum()),
        "hits5": int(measure.hits(at_less, 5).sum()),
        "hits1_32_bits": int(measure.hits(at_full, 1).sum()),
        "n_turned": len(turned),
        "hits1_upright": int(measure.hits(at_less[: len(turned)], 1).sum()),
        "hits1_upside_down": int(measure.hits(upside_down, 1).sum()),
        "parameters": int(sum(values.size for values in run.weights.values())),
        "epochs": run.earlier + len(log),
    }
    (folder / "net.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    side = backbone.size
    card = CARD.format(
        name=backbone.name,
        builder=run.builder,
        enlarged=f", enlarged to {side} x {side}, bilinear" if side > SIDE else "",
        mode=recipe.mode,
        mode_words=MODE_WORDS[recipe.mode],
        top1=share(measure.hits(at_less, 1)),
        top5=share(measure.hits(at_less, 5)),
        parameters=facts["parameters"],
        stored=STORED[bits],
        bits=bits,
        drop=-100 * lost / facts["n"],
        epochs=len(log),
        after=run.after,
        hours=minutes(log) / 60,
        choice=", ".join(f"{value:.1%} at {key}" for key, value in tried.items()),
        note=run.note,
        upside_down=share(measure.hits(upside_down, 1)),
        upright=share(measure.hits(at_less[: len(turned)], 1)),
        seen=run.seen,
    )
    (folder / "README.md").write_text(card, encoding="utf-8")
    print(run.name, backbone.size, facts["hits1"] / facts["n"], facts["hits5"] / facts["n"])


def processor(mean: tuple[float, ...]) -> Any:
    """Return what prepares pixels for CLIP and its like, if it scales them as the training did."""
    from transformers import CLIPImageProcessorPil

    side = {"height": SIDE, "width": SIDE}
    made = CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=side)
    if not np.allclose(np.array(made.image_mean) * 255, mean, atol=1e-3):
        raise SystemExit("The processor scales pixels otherwise than the training did.")
    return made


def described(model: Any, run: Finished, folder: Path) -> dict[str, Any]:
    """Return what the cards of CLIP and the captioner say of a net of two transformers."""
    vision, text = model.config.vision_config, model.config.text_config
    return {
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "layers": vision.num_hidden_layers,
        "width": vision.hidden_size,
        "patch": vision.patch_size,
        "side": vision.image_size,
        "text_layers": text.num_hidden_layers,
        "text_width": text.hidden_size,
        "words": text.vocab_size,
        "size": (folder / "model.safetensors").stat().st_size / 1e6,
        "machine": run.recipe.machine,
        "epochs": len(run.log),
        "minutes": minutes(run.log),
    }


def minutes(log: list[dict[str, float]]) -> float:
    """Return how long a training took."""
    return sum(line["seconds"] for line in log) / 60


def arguments(framework: str, description: str) -> argparse.ArgumentParser:
    """Return the options that the scripts take."""
    parser = training.arguments(description)
    parser.add_argument("names", nargs="+", choices=training.named(framework))
    return parser
