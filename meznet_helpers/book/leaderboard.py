"""Every labeler of the book in one table, on the validation images that judge."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from meznet_helpers.assets import profile, store
from meznet_helpers.book.validation_set import (
    LATER,
    PUBLISHED,
    absent,
    assets_of,
    models,
    split,
    tables,
)
from meznet_helpers.ensembles import logistic_lasso, soft
from meznet_helpers.llm import LocalJudge
from meznet_helpers.measure import (
    accuracy,
    expected_calibration_error,
    log_loss,
    rank_of_truth,
    timing,
)
from meznet_helpers.names import labeler
from meznet_helpers.predictions import Predictions
from meznet_helpers.progress import bar

STRENGTH = 1e-4  # of the logistic lasso's penalty, as in chapter 2
BATCH = 32  # images that a labeler is timed with at once
CHAPTERS = {"keras/": 1, "timm/": 3, "clip/": 4, "prototypes/": 5, "llm/": 6}

#: From predictions to fit to, their truth, and predictions to judge, to probabilities of the last.
Combine = Callable[[Predictions, np.ndarray, Predictions], np.ndarray]


@dataclass(frozen=True)
class Entry:
    """One row.

    Attributes
    ----------
    name : str
        Of the labeler, or what it is.
    chapter : int
    members : tuple of str
        The labelers that it combines; the labeler alone.
    combine : callable, optional
        How it makes one of several.
    assets : tuple of str
        What it needs besides its members.
    seen : str
        Whether it has seen the images that judge in its training: ``"possibly"``, or nothing.
    """

    name: str
    chapter: int
    members: tuple[str, ...]
    combine: Combine | None = None
    assets: tuple[str, ...] = ()
    seen: str = ""


def entries() -> list[Entry]:
    """Return the rows: single labelers by chapter, published nets, then what combines labelers.

    No ensemble has a published net in it: their training may have had the images that judge.

    Examples
    --------
    >>> entries()[0].name, len(entries()[-1].members)
    ('keras/EfficientNetV2B0@tiny', 11)
    """
    nets, later = tuple(models()), tuple(LATER)
    single = [
        Entry(name, next(n for start, n in CHAPTERS.items() if name.startswith(start)), (name,))
        for name in nets + later
    ]
    everything = nets + later
    return [
        *single,
        *(Entry(name, 1, (name,), seen="possibly") for name in PUBLISHED),
        Entry(f"soft ensemble of the {len(nets)} nets", 2, nets, _soft),
        Entry(f"stacked ensemble of the {len(nets)} nets", 2, nets, _stacked),
        Entry("llm/judge@tiny", 6, nets, _judged, ("models/judge/model.safetensors",)),
        Entry(f"soft ensemble of all {len(everything)}", 6, everything, _soft),
        Entry(f"stacked ensemble of all {len(everything)}", 6, everything, _stacked),
    ]


def _soft(_: Predictions, __: np.ndarray, judge: Predictions) -> np.ndarray:
    return soft(judge.probs)


def _stacked(fit: Predictions, truth: np.ndarray, judge: Predictions) -> np.ndarray:
    return logistic_lasso(fit.probs, truth, STRENGTH)(judge.probs)


def _judged(_: Predictions, __: np.ndarray, judge: Predictions) -> np.ndarray:
    return LocalJudge("tiny")(judge, progress=True)


def halves() -> dict[str, tuple[Predictions, np.ndarray]]:
    """Load what all single labelers say.

    Returns
    -------
    dict of str to (Predictions, ndarray of int)
        ``"fit"`` and ``"judge"``: 5,000 images each, all labelers, and the truth.
    """
    halves = {}
    for part in ("fit", "judge"):
        (nets, truth), (others, _) = tables(part), tables(part, "later chapters")
        halves[part] = Predictions.join(nets, others, tables(part, "published")[0]), truth
    return halves


def predictions() -> Predictions:
    """Return what each row says of the images that judge.

    Returns
    -------
    Predictions
        Of shape (rows, 5,000, 200); its models are the names of `entries`.
    """
    both, probs = halves(), []
    for entry in entries():
        fit, judge = (both[part][0].select(models=list(entry.members)) for part in both)
        alone = entry.combine is None
        probs.append(judge.probs[0] if alone else entry.combine(fit, both["fit"][1], judge))
    names = [entry.name for entry in entries()]
    return Predictions(np.stack(probs), names, judge.images, judge.labels)


def quality() -> pd.DataFrame:
    """Judge all rows by the bundled tables.

    Returns
    -------
    DataFrame
        One row for each of `entries`: `labeler`, `chapter`, `n`; `top1` and `top5` with 95 % Wilson
        intervals, `top1_low` and so on; `log_loss`, mean, in nats; `ece`, the expected calibration
        error of 15 bins; `mb`, million bytes of all files of weights and vectors that it needs;
        `seen`, ``"possibly"`` where the training may have had these images, else empty.
    """
    judged, rows = predictions(), []
    truth = judged.labels.indices(split().loc[list(judged.images), "label_id"])
    ranks = rank_of_truth(judged.probs, truth)
    for entry, probs, places in zip(entries(), judged.probs, ranks, strict=True):
        row = {"labeler": entry.name, "chapter": entry.chapter, "n": len(truth)}
        for top in accuracy(places[None], (1, 5)).itertuples():
            row[f"top{top.k}"] = top.accuracy
            row |= {f"top{top.k}_low": top.low, f"top{top.k}_high": top.high}
        row["log_loss"] = float(log_loss(probs, truth).mean())
        row["ece"] = expected_calibration_error(probs, truth)
        rows.append(row | {"mb": _megabytes(entry), "seen": entry.seen})
    return pd.DataFrame(rows)


def _megabytes(entry: Entry) -> float:
    """Sum the bytes of the files that a row needs, each once."""
    assets = {asset for name in entry.members for asset in assets_of(name)}
    return sum(store.manifest()[asset].bytes for asset in assets | set(entry.assets)) / 1e6


def times() -> dict[str, float]:
    """Time each row on this machine, all in one run.

    Returns
    -------
    dict of str to float
        Milliseconds per image, noise of 64 x 64 pixels, in batches of 32, preprocessing included;
        those of an ensemble are its members' together, and the judge's own. Published nets that are
        not on this machine are missing.
    """
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    alone = {}
    here = [name for name in PUBLISHED if name not in absent()]
    for name in bar([*models(), *LATER, *here], label="Timing", unit="labeler"):
        net = labeler(name)
        alone[name] = timing.latency(net, noise, batch=BATCH, repeats=5)
        net.release()
    nets, judge = tables("judge")[0], LocalJudge("tiny")
    some = nets.select(images=nets.images[:BATCH])
    (judging,) = timing.milliseconds(lambda: judge(some), repeats=5)
    return {
        entry.name: sum(alone[name] for name in entry.members)
        + (judging / BATCH if entry.combine is _judged else 0)
        for entry in entries()
        if set(entry.members) <= alone.keys()
    }


def build() -> pd.DataFrame:
    """Make the whole table, the most accurate first.

    Returns
    -------
    DataFrame
        As `quality` returns it, and `ms` of `times`.
    """
    table = quality()
    table["ms"] = table["labeler"].map(times())
    return table.sort_values("top1", ascending=False, kind="stable", ignore_index=True)


def file() -> Path:
    """Return where the table lies in this repository.

    Examples
    --------
    >>> file().name
    'leaderboard.csv'
    """
    return profile.data() / "results" / "leaderboard.csv"


def read() -> pd.DataFrame:
    """Read the table of this repository; see `build`.

    Examples
    --------
    >>> set(read()["n"])
    {5000}
    """
    return pd.read_csv(file(), encoding="utf-8").fillna({"seen": ""})
