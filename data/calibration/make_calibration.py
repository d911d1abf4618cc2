"""Write how far the labelers' scores are to be trusted, learned from photographs with known labels.

    python data/calibration/make_calibration.py --animals animals47

`--animals` is a folder of photographs of 47 animals, one folder for each, on which the published
nets are judged; the project's own labelers are judged by the tables of ``data/validation``.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from meznet_helpers.assets.profile import data
from meznet_helpers.book import animals, validation_set
from meznet_helpers.labelers import registry
from meznet_helpers.labelers.nets import of_backbone
from meznet_helpers.measure import (
    expected_calibration_error,
    none_threshold,
    proportion,
    set_threshold,
    temper,
    temperature,
)

RISK, COVERAGE = 0.05, 0.9  # at which the card says what comes of the thresholds
KEPT = 1000  # scores of each of the project's own labelers
ANIMALS = "photographs of 39 animals, up to 320 pixels wide"
TINY = "photographs of Tiny-ImageNet, 64 pixels wide"


def shares(name: str, hits: np.ndarray) -> dict[str, float]:
    """Return a share with its interval and n, rounded."""
    row = proportion(int(hits.sum()), len(hits))
    return {name: round(float(hits.mean()), 4), f"{name}_low": round(float(row["low"]), 4),
            f"{name}_high": round(float(row["high"]), 4)}  # fmt: skip


def fitted(
    probs: np.ndarray, truth: np.ndarray, fit: np.ndarray, unknown: np.ndarray | None = None
) -> tuple[dict[str, object], np.ndarray, np.ndarray]:
    """Fit on one half, judge on the other; return the facts, and the scores of the first half.

    Parameters
    ----------
    probs : ndarray, shape (images, labels)
    truth : ndarray of int, shape (images,)
    fit : ndarray of bool, shape (images,)
    unknown : ndarray, shape (others, labels), optional
        Of images that show none of the labels.
    """
    t = round(temperature(probs[fit], truth[fit]), 4)
    warm = temper(probs, t)
    first, right = warm.max(axis=1), warm[np.arange(len(truth)), truth]
    none, inside = none_threshold(first[fit], RISK), set_threshold(right[fit], COVERAGE)
    judged = ~fit
    facts = {
        "temperature": t,
        "n": int(fit.sum()),
        "n_judged": int(judged.sum()),
        **shares("accuracy", probs[judged].argmax(1) == truth[judged]),
        "ece_before": round(expected_calibration_error(probs[judged], truth[judged]), 4),
        "ece_after": round(expected_calibration_error(warm[judged], truth[judged]), 4),
        **shares("none_of_known", first[judged] < none),
        **shares("covered", right[judged] >= inside),
        "set_size": round(float((warm[judged] >= inside).sum(1).mean()), 2),
    }
    if unknown is not None:
        facts |= {"n_unknown": len(unknown)}
        facts |= shares("none_of_unknown", temper(unknown, t).max(axis=1) < none)
    return facts, first[fit], right[fit]


def published(folder: Path) -> dict[str, tuple]:
    """Judge each published net on the animals; any kind of an animal is right."""
    files, kinds = animals.photographs(folder)
    some = animals.labels_of()
    known = np.isin(kinds, list(some))
    fit = animals.halves(kinds[known])
    # other animals, too: half of them, whole
    names, place = np.unique(kinds[known], return_inverse=True)
    others = np.isin(place, np.random.default_rng(0).permutation(len(names))[: len(names) // 2])
    found, first_labels = {}, {}
    for net in registry().values():  # the one in 8 bits comes after the one in 32
        if not net.asset or net.framework != "timm":
            continue
        name = net.asset + ("-int8" if net.tag == "int8" else "")
        probs = of_backbone(net).predict(files, progress=True).probs[0]
        # of several right labels, the one that the net finds likeliest
        fitting = [np.array(some[kind]) for kind in kinds[known]]
        truth = np.array([
            places[row[places].argmax()] for row, places in zip(probs[known], fitting, strict=True)
        ])  # fmt: skip
        facts, first, right = fitted(probs[known], truth, fit, probs[~known])
        facts["ece_after_other_animals"] = fitted(probs[known], truth, others)[0]["ece_after"]
        ranks = (probs[known] > probs[known][np.arange(len(truth)), truth][:, None]).sum(axis=1)
        facts |= {"n_all": int(known.sum())} | shares("top1", ranks < 1) | shares("top5", ranks < 5)
        found[name] = facts | {"photographs": ANIMALS}, first, right
        same_first = probs.argmax(1) == first_labels.setdefault(net.asset, probs.argmax(1))
        if net.tag == "int8":
            found[name][0].update(shares("same_first_as_float32", same_first))
    return found


def own() -> dict[str, tuple]:
    """Judge the project's own labelers by the tables of validation images."""
    found = {}
    for condition in ("own, bilinear", "later chapters"):
        predictions, truth = validation_set.tables(condition=condition)
        part = validation_set.split().loc[list(predictions.images), "part"]
        fit = (part == "fit").to_numpy()
        kept = np.linspace(0, fit.sum() - 1, KEPT).astype(int)
        for name, probs in zip(predictions.models, predictions.probs, strict=True):
            facts, first, right = fitted(probs, truth, fit)
            found[name] = facts | {"photographs": TINY}, first[kept], right[kept]
    return found


def main() -> None:
    """Judge all labelers, and write facts and scores."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--animals", type=Path, required=True, help="the folder of photographs")
    found = published(parser.parse_args().animals) | own()
    folder = data() / "calibration"
    facts = json.dumps({name: facts for name, (facts, _, _) in found.items()}, indent=1)
    (folder / "calibration.json").write_text(facts + "\n", encoding="utf-8")
    scores = {}
    for name, (_, first, right) in found.items():
        scores |= {f"{name} first": first, f"{name} right": right}
    halved = {name: values.astype(np.float16) for name, values in scores.items()}
    save_file(halved, folder / "scores.safetensors")


if __name__ == "__main__":
    main()
