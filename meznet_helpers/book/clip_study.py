"""Chapter 4's questions: what prompts change, what each way of tuning gains, and what it costs."""

import dataclasses
import json
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from meznet_helpers.assets import profile
from meznet_helpers.errors import MeznetError
from meznet_helpers.finetune import clip, predict
from meznet_helpers.finetune import summary as summary_of
from meznet_helpers.images import Dataset, read_many
from meznet_helpers.labels import from_names
from meznet_helpers.measure import proportion, student_t
from meznet_helpers.words.prompts import prompts

#: Name -> how CLIP is tuned: method and recipe.
WAYS = {
    "document's recipe": ("full", clip.DOCUMENT),
    "linear probe": ("probe", clip.RECIPES["probe"]),
    "full": ("full", clip.RECIPES["full"]),
    "LoRA": ("lora", clip.RECIPES["lora"]),
}
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)  # on the way back to zero-shot
TEMPLATE = ("a drawing of {a}",)


def final_ten() -> Dataset:
    """Read ten photographs that come with the dependencies: three of animals, seven of others.

    The one of a person counts as none of an animal.

    Returns
    -------
    Dataset
        Labels ``animal`` and ``not-animal``.

    Raises
    ------
    MeznetError
        If an installed package does not bring its photographs along.

    Examples
    --------
    >>> ten = final_ten()
    >>> len(ten), ten.counts().to_dict()
    (10, {'animal': 3, 'not-animal': 7})
    """
    files = profile.package_photographs(more=True)
    animals = ("cat", "cheetah", "lion")
    others = ("coffee", "rocket", "motorcycle", "china", "flower", "tower", "grace_hopper")
    missing = [name for name in (*animals, *others) if name not in files]
    if missing:
        raise MeznetError(f'the photograph "{missing[0]}" is not in the package it comes with.')
    images = read_many([files[name] for name in (*animals, *others)])
    images = dataclasses.replace(images, names=(*animals, *others))
    return Dataset(images, [0] * 3 + [1] * 7, from_names(["animal", "not animal"]))


def split(dataset: Dataset, kind: str, seed: int) -> tuple[Dataset, Dataset, Dataset]:
    """Split a data set in three.

    Parameters
    ----------
    dataset : Dataset
    kind : {"picture", "style"}
        What is new in the test part: its pictures, a random fifth; or its style, one of Emoji
        Zoo's that the other parts do not have.
    seed : int
        It chooses the pictures, or the style.

    Returns
    -------
    train, valid, test : Dataset

    Raises
    ------
    MeznetError
        If the kind is unknown.

    Examples
    --------
    >>> from meznet_helpers import emojizoo
    >>> parts = split(emojizoo.animal_or_not(size=16), "picture", 0)
    >>> [len(part) for part in parts]
    [440, 147, 147]
    """
    if kind not in ("picture", "style"):
        raise MeznetError(f'the kind of split is "{kind}"; choose picture or style.')
    if kind == "picture":
        rest, test = dataset.by_picture(valid=0.2, seed=seed)
    else:
        styles = sorted(set(dataset.groups))
        rest, test = dataset.by_group(styles[seed % len(styles)])
    train, valid = rest.by_picture(valid=0.25, seed=seed)
    return train, valid, test


def by_prompt(
    dataset: Dataset,
    pairs: Sequence[tuple[str, ...]],
    templates: Sequence[str],
    *,
    source: str | None = None,
) -> pd.DataFrame:
    """Measure zero-shot CLIP under several wordings of the same two labels.

    Parameters
    ----------
    dataset : Dataset
    pairs : sequence of tuples of str
        Words for each of the data set's labels; longer tuples have more words for the last label,
        whose probabilities are added up.
    templates : sequence of str
    source : str, optional
        As in `meznet_helpers.words.ZeroShotLabeler`.

    Returns
    -------
    DataFrame
        One row for each pair and template: `words` for the last label, `template`, `n`, `right`,
        `accuracy` with its 95 % Wilson interval `low` and `high`, `balanced`, and `first`, the
        share of images that get the first label.
    """
    from meznet_helpers.words import ZeroShotLabeler, clip

    rows, labels = [], len(dataset.labels)
    net = ZeroShotLabeler(source, dataset.labels)
    embedded = net.features(list(dataset.images.arrays))
    for words in pairs:
        for template in templates:
            texts = prompts(words, [template])
            weight = clip.text_classifier(net.checkpoint, texts).cpu().numpy()
            logits = embedded @ weight.T
            probs = np.exp(logits - logits.max(1, keepdims=True))
            probs = np.column_stack([*probs.T[: labels - 1], probs[:, labels - 1 :].sum(1)])
            judged = summary_of(dataset.truth, probs)
            row = {"words": ", ".join(words[labels - 1 :]), "template": template}
            row |= {key: judged[key] for key in ("n", "accuracy", "low", "high", "balanced")}
            rows.append(row | {"first": float((probs.argmax(1) == 0).mean())})
    return pd.DataFrame(rows)


def compare(
    parts: tuple[Dataset, Dataset, Dataset],
    seed: int,
    *,
    others: Dataset | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Tune the book's own CLIP in all ways, and measure each on the test part.

    Parameters
    ----------
    parts : train, valid, test
        As `meznet_helpers.finetune.clip.cropped` leaves them.
    seed : int
    others : Dataset, optional
        Images with other labels, to measure what is left of zero-shot; cropped, too.
    progress : bool
        Show bars where there is a terminal or a notebook.

    Returns
    -------
    DataFrame
        One row for each way and share: `way`, `share` of the tuned weights, `seed`, `n`,
        `accuracy`, `balanced`, `confusion` (as text), `seconds` of training, `left`, the zero-shot
        accuracy on `others`, and its `left_n`.
    """
    rows = []
    for way, tuned in _tuned(parts[:2], seed, progress):
        judged = summary_of(parts[2].truth, tuned.probs(parts[2].images))
        row = {"way": way[0], "share": way[1], "seed": seed}
        row |= {key: judged[key] for key in ("n", "accuracy", "balanced")}
        row |= {"confusion": str(judged["confusion"]), "seconds": tuned.history["seconds"].sum()}
        if others is not None:
            row |= {"left": left(tuned, others), "left_n": len(others)}
        rows.append(row)
    return pd.DataFrame(rows)


def _tuned(
    parts: Sequence[Dataset], seed: int, progress: bool
) -> Iterator[tuple[tuple[str, float], clip.Tuned]]:
    """Yield way and share, and the net; the shares of one training are all measured."""
    how = {"source": "tiny", "seed": seed, "templates": TEMPLATE, "progress": progress}
    for name, (method, recipe) in WAYS.items():
        tuned = clip.tune(*parts, method, recipe, **how)
        if name == "full":
            for share in SHARES:
                yield (name, share), clip.interpolated(tuned, share)
        else:
            yield (name, 1.0), tuned


def left(tuned: clip.Tuned, others: Dataset) -> float:
    """Measure what a tuned CLIP still knows by words alone.

    Parameters
    ----------
    tuned : Tuned
    others : Dataset
        With the labels to tell apart, none of which it was tuned for.

    Returns
    -------
    float
        Zero-shot accuracy.
    """
    net = clip.zero_shot_left(tuned, others.labels)
    recipe = dataclasses.replace(tuned.recipe, batch=250)
    return float((predict(net, others.images, recipe).argmax(1) == others.truth).mean())


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Average over seeds.

    Parameters
    ----------
    table : DataFrame
        As `compare` returns it, of several seeds and of one `split` or several.

    Returns
    -------
    DataFrame
        One row for each split, way and share: `runs`, `n` in all, and of `accuracy`, `balanced`,
        `left` the mean over the seeds with Student's 95 % interval (`accuracy_low`, ...);
        `confusion`, the sum of all, as lists; mean `seconds`.
    """
    rows = []
    for (kind, way, share), runs in table.groupby(["split", "way", "share"], sort=False):
        row = {"split": kind, "way": way, "share": share, "runs": len(runs), "n": runs["n"].sum()}
        for column in ("accuracy", "balanced", "left"):
            values = runs[column].to_numpy()
            mean = student_t(values) if np.isfinite(values).all() else (np.nan,) * 3
            row |= dict(zip((column, f"{column}_low", f"{column}_high"), mean, strict=True))
        counts = np.sum([json.loads(text) for text in runs["confusion"]], axis=0)
        rows.append(row | {"confusion": counts.tolist(), "seconds": runs["seconds"].mean()})
    return pd.DataFrame(rows)


def interval_widths(share: float, counts: Sequence[int]) -> pd.DataFrame:
    """Return how wide Wilson's 95 % interval of the same share is for several n.

    Parameters
    ----------
    share : float
        Of right answers, 0 to 1; rounded to whole answers.
    counts : sequence of int

    Returns
    -------
    DataFrame
        `n`, `right`, `accuracy`, `low`, `high`.

    Examples
    --------
    >>> interval_widths(0.7, [10]).round(3).values.tolist()
    [[10.0, 7.0, 0.7, 0.397, 0.892]]
    """
    n = np.asarray(counts)
    shares = proportion(np.rint(share * n).astype(int), n)
    return pd.DataFrame(shares).rename(columns={"hits": "right"})
