"""Write the predictions of the book's labelers on Tiny-ImageNet's validation images.

    python data/validation/make_tables.py --images tiny-imagenet-200

`--images` is the unpacked data set (val/images, val/val_annotations.txt). `images.csv.gz` splits
the images; `own/`, `spelled/`, `later/` and `published/` hold the predictions, one folder for each
condition; `sources.csv` says what they were made from. `meznet fetch` gets the published nets.
"""

import argparse
import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from meznet_helpers.book import spell, validation_set
from meznet_helpers.book.published import tiny_nets
from meznet_helpers.images import Dataset, Images
from meznet_helpers.labels import tiny_imagenet
from meznet_helpers.measure import hits, rank_of_truth

SPELLED = 2000  # images labeled under the spell: of those that judge, the exhibit's 20 among them
SEED = 1


def write_split(images: Images, truth: np.ndarray) -> None:
    """Put half of each class into each part, by chance; the exhibit's images judge."""
    rng = np.random.default_rng(SEED)
    part = np.full(len(truth), "judge", dtype=object)
    exhibited = np.isin(images.names, spell.exhibit_images()["image"])
    for label in np.unique(truth):
        members = rng.permutation(np.flatnonzero(truth == label))
        members = members[np.argsort(exhibited[members], kind="stable")]  # the exhibit's come last
        part[members[: len(members) // 2]] = "fit"
    ids = np.array(tiny_imagenet().ids)[truth]
    table = pd.DataFrame({"image": images.names, "label_id": ids, "part": part})
    text = table.to_csv(index=False, lineterminator="\n").encode("utf-8")
    (validation_set.folder() / "images.csv.gz").write_bytes(gzip.compress(text, mtime=0))


def coarse(probs: np.ndarray) -> np.ndarray:
    """Round to half precision, and small numbers further, so that they compress well.

    A number of 1/4 or more keeps half precision's eleven binary digits, and each time it is four
    times smaller, it keeps one digit fewer, three at least. Errors stay below 0.0001, and so do
    those of a sum.
    """
    significand, exponent = np.frexp(probs.astype(np.float16).astype(np.float32))
    digits = np.clip(12 + exponent // 2, 3, 11)
    return np.ldexp(np.rint(np.ldexp(significand, digits)), exponent - digits)


def places_of(condition: str, images: Images) -> np.ndarray:
    """Return which images are labeled under a condition."""
    if condition != "caffe, nearest":
        return np.arange(len(images))
    judging = np.flatnonzero(validation_set.split()["part"] == "judge")
    exhibited = np.isin(np.array(images.names)[judging], spell.exhibit_images()["image"])
    return np.sort(judging[np.argsort(~exhibited, kind="stable")][:SPELLED])


def models_of(condition: str) -> list[str]:
    """Return which models label them."""
    if condition == "later chapters":
        return list(validation_set.LATER)
    if condition == "published":
        return list(validation_set.PUBLISHED)
    nets = tiny_nets()["model"].tolist()
    spelled = condition == "caffe, nearest"  # the exhibit cast its spell on Keras' nets
    return [net for net in nets if net.startswith("keras/") or not spelled]


def make(model: str, condition: str, images: Images, truth: np.ndarray) -> dict[str, object]:
    """Label the images, write the table, and return its row of `sources.csv`."""
    predictions = validation_set.recompute(images, model, condition)
    rounded = replace(predictions, probs=coarse(predictions.probs))
    rounded.save(validation_set.file(model, condition), half=True)
    ranks = rank_of_truth(predictions.probs, truth)
    return {
        "model": model,
        "condition": condition,
        "n": len(images),
        "hits": int(hits(ranks, 1).sum()),
        "weights": validation_set.weights_digest(model),
        "images": validation_set.digest(images),
    }


def main() -> None:
    """Split the images, label them under the conditions, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, required=True, help="the folder tiny-imagenet-200")
    parser.add_argument(
        "--condition", choices=validation_set.FOLDERS, action="append", help="all by default"
    )
    args = parser.parse_args()
    images, truth = validation_set.read(args.images)
    write_split(images, truth)
    everything = Dataset(images, truth, tiny_imagenet())
    conditions = args.condition or list(validation_set.FOLDERS)
    rows = []
    for condition in conditions:
        (validation_set.folder() / validation_set.FOLDERS[condition]).mkdir(exist_ok=True)
        places = places_of(condition, images)
        some = everything.take(places)
        rows += [make(model, condition, some.images, some.truth) for model in models_of(condition)]
    table = pd.DataFrame(rows)
    if args.condition:
        table = pd.concat([validation_set.sources().query("condition not in @conditions"), table])
    table.to_csv(validation_set.folder() / "sources.csv", index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
