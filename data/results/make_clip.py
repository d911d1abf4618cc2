"""Tune the small CLIP in several ways, five times each, and write what it gains and loses.

    python data/results/make_clip.py --images tiny-imagenet-200

Writes clip/tuned.csv: one row for each split, way, share and seed; see the card. What is left of
zero-shot is asked of every fourth validation image, after each training on new pictures. What is
there already is not measured again, so that a run that was broken off goes on.
"""

import argparse
from pathlib import Path

import pandas as pd

from meznet_helpers import emojizoo, labels
from meznet_helpers.book import clip_study
from meznet_helpers.book.validation_set import read
from meznet_helpers.finetune.clip import cropped
from meznet_helpers.images import Dataset

SEEDS = range(5)
FOLDER = Path(__file__).parent / "clip"


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description="Write data/results/clip/tuned.csv.")
    parser.add_argument("--images", type=Path, required=True, help="the folder tiny-imagenet-200")
    args = parser.parse_args()
    images, truth = read(args.images)
    photographs = Dataset(images, truth, labels.tiny_imagenet())
    others = cropped(photographs.take(range(0, len(images), 4)), "tiny")
    zoo = cropped(emojizoo.animal_or_not(), "tiny")
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / "tuned.csv"
    done = [pd.read_csv(path)] if path.exists() else []
    for kind in ("picture", "style"):
        for seed in SEEDS:
            if any(((table["split"] == kind) & (table["seed"] == seed)).any() for table in done):
                continue
            parts = clip_study.split(zoo, kind, seed)
            left = others if kind == "picture" else None
            table = clip_study.compare(parts, seed, others=left, progress=True)
            done.append(table.assign(split=kind))
            pd.concat(done).to_csv(path, index=False, float_format="%.6g")


if __name__ == "__main__":
    main()
