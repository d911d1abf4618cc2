"""What a tuned CLIP is worth, and the folder that says so."""

import copy
import dataclasses
import importlib.metadata
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from meznet_helpers.finetune.clip import Tuned
from meznet_helpers.images import Dataset
from meznet_helpers.labelers import pretrained
from meznet_helpers.measure import proportion
from meznet_helpers.words import clip
from meznet_helpers.words import tuned as folders

CARD = """# A tuned CLIP

Tells {labels} apart. `meznet clip label IMAGES... --model FOLDER` uses it.

| | |
|---|---|
| starts from | `{base}` |
| method | {method} |
| learned from | {train} pictures: {counts} |
| recipe | {recipe} |
| best epoch | {best} of {epochs}, by the validation pictures |
| training | {seconds:.0f} seconds |
{rows}

Accuracies with 95 % Wilson intervals. The validation pictures chose the epoch, so their figures
are a little too high; test pictures, if there are any, chose nothing.
{confusion}
Limits: it always answers with one of its {n} labels, whatever it is shown. Do not use it for
anything that matters.
"""

CONFUSION = """
## Confusion on the {last} pictures

| right label | {heads} |
|---|{dashes}
{rows}
"""

FEW = 20  # labels of which a table of confusions, and all their names, can be read

METHODS = {
    "probe": "probe: the classifier alone",
    "full": "full: classifier and image tower",
    "lora": "lora: classifier, and matrices of low rank in the image tower, merged into it",
}


def summary(truth: np.ndarray, probs: np.ndarray) -> dict[str, Any]:
    """Count how often the most probable label is right.

    Parameters
    ----------
    truth : ndarray of int, shape (images,)
    probs : ndarray, shape (images, labels)

    Returns
    -------
    dict
        `n`; `accuracy` and its 95 % Wilson interval, `low` and `high`; `balanced`, the mean of the
        labels' own accuracies, of those that there are images of; and for up to 20 labels
        `confusion`, a list for each right label of how often each label was given.

    Examples
    --------
    >>> summary(np.array([0, 0, 0, 1]), np.eye(2)[[0, 0, 1, 1]])["confusion"]
    [[2, 1], [0, 1]]
    """
    from sklearn.metrics import confusion_matrix

    guesses = np.asarray(probs).argmax(1)
    counts = confusion_matrix(truth, guesses, labels=range(probs.shape[1]))
    there = counts.sum(1) > 0
    share = proportion(int(np.trace(counts)), int(counts.sum()))
    table = {"confusion": counts.tolist()} if probs.shape[1] <= FEW else {}
    return {
        **{name: share[name] for name in ("n", "accuracy", "low", "high")},
        "balanced": float((np.diag(counts)[there] / counts[there].sum(1)).mean()),
        **table,
    }


def save(tuned: Tuned, folder: Path, train: Dataset, judged: dict[str, Dataset]) -> Path:
    """Measure a tuned CLIP and write its folder.

    Parameters
    ----------
    tuned : Tuned
    folder : Path
        Must not be there yet. ``labeler("clip/tuned@FOLDER")`` reads it.
    train : Dataset
        What it learned from.
    judged : dict of str to Dataset
        What it is measured on, by name, as `meznet_helpers.finetune.clip.cropped` leaves them.

    Returns
    -------
    Path
        `folder`.

    Raises
    ------
    MeznetError
        If the folder is there already or can't be written.
    """
    metrics = {name: summary(data.truth, tuned.probs(data.images)) for name, data in judged.items()}
    facts = {
        "base": tuned.source,
        "digest": clip.digest(clip.load(tuned.source).model),
        "labels": dataclasses.asdict(tuned.labels),
        "method": tuned.method,
        "recipe": dataclasses.asdict(tuned.recipe),
        "history": tuned.history.to_dict("records"),
        "metrics": metrics,
        "versions": {name: importlib.metadata.version(name) for name in ("torch", "transformers")},
    }
    net, card = tuned.net.net, _card(tuned, train, metrics)
    whole = None if tuned.method == "probe" else partial(_save_clip, tuned)
    return folders.write(folder, net.scale * net.weight, net.scale * net.bias, facts, card, whole)


def _save_clip(tuned: Tuned, folder: Path) -> None:
    """Write CLIP with the tuned tower, and all that prepares its input."""
    from transformers import CLIPProcessor

    loaded, net = clip.load(tuned.source), tuned.net.net
    model = copy.deepcopy(loaded.model)
    model.vision_model.load_state_dict(net.vision_model.state_dict())
    model.visual_projection.load_state_dict(net.visual_projection.state_dict())
    with pretrained.quiet():
        model.save_pretrained(folder)
        CLIPProcessor(loaded.processor, loaded.tokenizer).save_pretrained(folder)


def _card(tuned: Tuned, train: Dataset, metrics: dict[str, dict]) -> str:
    """Write the card; names of labels are the user's, so bars in them are escaped."""
    names = [name.replace("|", "\\|") for name in tuned.labels.names]
    history = tuned.history
    rows = [
        f"| {name} pictures | {part['accuracy']:.1%} ({part['low']:.1%} to {part['high']:.1%}, "
        f"n = {part['n']:,}); balanced {part['balanced']:.1%} |"
        for name, part in metrics.items()
    ]
    recipe = dataclasses.asdict(tuned.recipe)
    few, counts = len(names) <= FEW, train.counts()
    listed = ", ".join(f"{count} {name}" for name, count in zip(names, counts, strict=True))
    return CARD.format(
        labels=", ".join(names) if few else f"{len(names)} labels of {tuned.labels.name}",
        base=tuned.source,
        method=METHODS.get(tuned.method.partition(",")[0], tuned.method),
        train=len(train),
        counts=listed if few else f"{counts.min()} to {counts.max()} of each label",
        recipe=", ".join(f"{key} {value}" for key, value in recipe.items()),
        best=int(history.loc[history["best"], "epoch"].iloc[0]),
        epochs=len(history),
        seconds=history["seconds"].sum(),
        rows="\n".join(rows),
        confusion=_confusion(names, metrics) if few else "",
        n=len(names),
    )


def _confusion(names: list[str], metrics: dict[str, dict]) -> str:
    """Write the confusions on the last pictures that it was measured on."""
    last, judged = list(metrics.items())[-1]
    rows = zip(names, judged["confusion"], strict=True)
    return CONFUSION.format(
        last=last,
        heads=" | ".join(names),
        dashes="---|" * len(names),
        rows="\n".join(f"| {name} | {' | '.join(map(str, row))} |" for name, row in rows),
    )
