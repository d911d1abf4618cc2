"""Measure what prompts and free text do to the small captioner's answers about photographs.

    python data/results/make_captioner.py --images tiny-imagenet-200

Writes `captioner/`, about the 5,000 validation images that judge. Half an hour on two cores.
"""

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from meznet_helpers import labels, measure
from meznet_helpers.assets import profile
from meznet_helpers.book import validation_set
from meznet_helpers.images import Dataset, Images
from meznet_helpers.llm import CaptionLabeler
from meznet_helpers.llm.answers import Reader
from meznet_helpers.measure import rank_of_truth

FOLDER = profile.data() / "results" / "captioner"
#: Prompts of constrained choice: three that it was trained with, and others.
CONSTRAINED = (
    "a photo of {a}",
    "{}",
    "question: what is this? answer: {}",
    "a drawing of {a}",
    "this is {a}",
    "question: what animal is this? answer: {}",
)
#: Beginnings of free text.
FREE = ("", "a photo of", "question: what is this? answer:", "this is", "a drawing of")
LIES = 40  # of the most frequent


def constrained(images: Images, truth: np.ndarray) -> pd.DataFrame:
    """Measure top-1 and top-5 by prompt."""
    rows = []
    for prompt in CONSTRAINED:
        probs = CaptionLabeler("tiny", prompt=prompt).predict(images, progress=True).probs
        ranks = rank_of_truth(probs, truth)[0]
        hits = {f"hits{k}": int(measure.hits(ranks, k).sum()) for k in (1, 5)}
        rows.append({"prompt": prompt, "n": len(truth)} | hits)
        print(rows[-1], flush=True)
    return pd.DataFrame(rows)


def free(images: Images, truth: np.ndarray) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measure free text by its beginning; also list what the first says of what, wrongly."""
    reader, names, rows, lies = Reader(labels.tiny_imagenet()), labels.tiny_imagenet().names, [], []
    for prompt in FREE:
        texts = CaptionLabeler("tiny").describe(images, prompt, progress=True)["text"]
        answers = [reader.read(text) for text in texts]
        right = [answer.position == label for answer, label in zip(answers, truth, strict=True)]
        off = Counter(answer.how for answer in answers if answer.position is None)
        row = {"beginning": prompt, "n": len(truth), "hits": sum(right), "off": sum(off.values())}
        row |= {how: off[how] for how in ("empty", "several", "other")}
        rows.append(row | {"texts": texts.nunique()})
        print(rows[-1], flush=True)
        if not lies:
            wrong = zip(texts, truth, right, strict=True)
            lies = Counter((text, names[label]) for text, label, fine in wrong if not fine)
    table = [(*lie, times) for lie, times in lies.most_common(LIES)]
    return pd.DataFrame(rows), pd.DataFrame(table, columns=["said", "of", "times"])


def main() -> None:
    """Write data/results/captioner/."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, required=True, help="the folder tiny-imagenet-200")
    images, truth = validation_set.read(parser.parse_args().images)
    judging = np.flatnonzero(validation_set.split().loc[list(images.names), "part"] == "judge")
    judged = Dataset(images, truth, labels.tiny_imagenet()).take(judging)
    FOLDER.mkdir(exist_ok=True)
    texts, lies = free(judged.images, judged.truth)
    prompts = constrained(judged.images, judged.truth)
    tables = {"prompts": prompts, "free": texts, "lies": lies}
    for name, table in tables.items():
        table.to_csv(FOLDER / f"{name}.csv", index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
