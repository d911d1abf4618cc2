"""Chapter 5's questions to an index of prototypes, each answered on many images."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from PIL import Image, ImageEnhance, ImageOps

from meznet_helpers import emojizoo
from meznet_helpers.errors import MeznetError
from meznet_helpers.images import Dataset, Images, read_tree
from meznet_helpers.labels import LabelSpace
from meznet_helpers.measure import proportion, repeats
from meznet_helpers.prototypes import PrototypeIndex, study

JITTER = (0.6, 1.4)  # of brightness, contrast and color: the document's


def backbones() -> dict[str, str]:
    """Return the networks that chapter 5 compares.

    Returns
    -------
    dict of str to str
        Labelers by the names that the chapter gives them; the last two know drawings.

    Examples
    --------
    >>> list(backbones())
    ['RegNetX, photographs', 'RegNetX', 'TinyViT']
    """
    return {
        "RegNetX, photographs": "timm/regnetx_002@photos",
        "RegNetX": "timm/regnetx_002@tiny",
        "TinyViT": "timm/tiny_vit_5m_224@tiny",
    }


def animals(folder: str = "", seed: int = 0) -> Dataset:
    """Return the pictures of chapter 5.

    Parameters
    ----------
    folder : str
        A tree of photographs, one folder for each animal; Emoji Zoo's 90 animals by default.
    seed : int
        Of Emoji Zoo.

    Returns
    -------
    Dataset

    Examples
    --------
    >>> len(animals())
    5400
    """
    return read_tree(folder, progress=True) if folder else emojizoo.animals(seed=seed)


def several(
    features: np.ndarray,
    truth: np.ndarray,
    weights: np.ndarray,
    ways: Iterable[tuple[str, int]],
) -> pd.DataFrame:
    """Judge with one prototype for each class, or with more.

    Parameters
    ----------
    features : ndarray of float, shape (images, d)
    truth : ndarray of int, shape (images,)
    weights : ndarray of int, shape (runs, images)
        From `meznet_helpers.measure.partitions`.
    ways : iterable of (kind, count)
        As `meznet_helpers.prototypes.PrototypeIndex` takes them.

    Returns
    -------
    DataFrame
        `kind`, `count`, and what `meznet_helpers.measure.repeats.accuracy` returns for k = 1.

    Examples
    --------
    >>> from meznet_helpers.measure import partitions
    >>> features, truth = np.eye(2).repeat(5, 0) + 0.1, np.repeat([0, 1], 5)
    >>> table = several(features, truth, partitions.folds(truth), [("mean", 1), ("medoid", 1)])
    >>> table[["kind", "count", "runs", "accuracy"]].values.tolist()
    [['mean', 1, 5, 1.0], ['medoid', 1, 5, 1.0]]
    """
    judged = {
        (kind, count): study.judge(features, truth, weights, kind=kind, count=count)
        for kind, count in ways
    }
    return _top1(judged, ["kind", "count"])


def _top1(judged: dict[tuple, pd.DataFrame], names: list[str]) -> pd.DataFrame:
    """Put the top-1 accuracies of several tables of judgments below each other."""
    parts = {key: repeats.accuracy(table, 1) for key, table in judged.items()}
    return pd.concat(parts, names=names).droplevel(-1).reset_index().drop(columns="k")


def augmented(dataset: Dataset, seed: int) -> Dataset:
    """Change each image at random as the document does: mirrored or not, and in its colors.

    Parameters
    ----------
    dataset : Dataset
    seed : int

    Returns
    -------
    Dataset
        Half of the images are mirrored; brightness, contrast and color are multiplied by 0.6 to
        1.4 each.

    Examples
    --------
    >>> from meznet_helpers import emojizoo
    >>> zoo = emojizoo.render(["cat-face"], 2, size=16)
    >>> augmented(zoo, 0).images[0].shape, len(augmented(zoo, 0))
    ((16, 16, 3), 2)
    """
    rng, arrays = np.random.default_rng(seed), []
    for array in dataset.images:
        image = Image.fromarray(array)
        if rng.random() < 0.5:
            image = ImageOps.mirror(image)
        for change in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
            image = change(image).enhance(rng.uniform(*JITTER))
        arrays.append(np.asarray(image))
    return Dataset(
        Images(arrays, dataset.images.names), dataset.truth, dataset.labels, dataset.groups
    )


def augmentation(
    clean: np.ndarray, changed: np.ndarray, truth: np.ndarray, weights: np.ndarray
) -> pd.DataFrame:
    """Ask whether images that were changed at random make better prototypes.

    Parameters
    ----------
    clean, changed : ndarray of float, shape (images, d)
        Embeddings of the images as they are, and as `augmented` returns them.
    truth : ndarray of int, shape (images,)
    weights : ndarray of int, shape (runs, images)
        From `meznet_helpers.measure.partitions`.

    Returns
    -------
    DataFrame
        `prototypes` (made of what), `judged` (what), and what
        `meznet_helpers.measure.repeats.accuracy` returns for k = 1.

    Examples
    --------
    >>> from meznet_helpers.measure import partitions
    >>> features, truth = np.eye(2).repeat(5, 0) + 0.1, np.repeat([0, 1], 5)
    >>> table = augmentation(features, features[:, ::-1], truth, partitions.random(truth, 2))
    >>> table[["prototypes", "judged", "accuracy"]].values.tolist()[:2]
    [['clean', 'clean', 1.0], ['changed', 'clean', 0.0]]
    """
    both, twice = np.concatenate([clean, changed]), np.concatenate([truth, truth])
    learn, ignore = np.where(weights > 0, weights, -1), np.full_like(weights, -1)
    ask = np.where(weights == 0, 0, -1)
    ways = {
        ("clean", "clean"): (weights, ignore),
        ("changed", "clean"): (ask, learn),
        ("both", "clean"): (weights, learn),
        ("changed", "changed"): (ignore, weights),
    }
    judged = {
        names: study.judge(both, twice, np.concatenate(way, axis=1)) for names, way in ways.items()
    }
    return _top1(judged, ["prototypes", "judged"])


def open_set(
    features: np.ndarray,
    truth: np.ndarray,
    strangers: dict[str, np.ndarray],
    *,
    known: int,
    kind: str = "mean",
    count: int = 1,
    seed: int = 0,
) -> tuple[pd.DataFrame, dict[str, np.ndarray], float]:
    """Teach an index some of the classes, and ask it about the others.

    Of each known class three fifths make the prototypes, a fifth sets the threshold and a fifth is
    judged. (scikit-learn's ``StratifiedKFold`` would draw other fifths for the same seed.)

    Parameters
    ----------
    features : ndarray of float, shape (images, d)
    truth : ndarray of int, shape (images,)
    strangers : dict of str to ndarray of float, shape (others, d)
        Embeddings of what belongs to no class at all.
    known : int
        How many classes are known, drawn at random.
    kind, count
        Those of `meznet_helpers.prototypes.PrototypeIndex`.
    seed : int

    Returns
    -------
    table : DataFrame
        One row for each sort of pictures, the known ones first: `pictures`, `n`, `rejected`,
        `low`, `high` (share with 95 % Wilson interval), `auroc` (how often a known picture scores
        more than one of these).
    scores : dict of str to ndarray
        The first score of each picture, by sort.
    threshold : float

    Raises
    ------
    MeznetError
        If `known` leaves no class on one of the sides.

    Examples
    --------
    >>> features, truth = np.eye(4).repeat(5, 0) + 0.01, np.repeat(range(4), 5)
    >>> table, _, _ = open_set(features, truth, {}, known=3)
    >>> table[["pictures", "n", "rejected"]].values.tolist()
    [['known classes', 3, 0.0], ['other classes', 5, 1.0]]
    """
    from sklearn.metrics import roc_auc_score

    classes = int(truth.max()) + 1
    if not 0 < known < classes:
        raise MeznetError(f"known is {known}; of {classes} classes it must leave some on each side")
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.permutation(classes)[:known])
    fifths = np.full(len(truth), -1)
    for label in chosen:
        place = rng.permutation(np.flatnonzero(truth == label))
        fifths[place] = np.arange(len(place)) % 5
    labels = LabelSpace("known", [f"class-{label}" for label in chosen], list(map(str, chosen)))
    own = fifths >= 2
    index = PrototypeIndex.fit(
        features[own], np.searchsorted(chosen, truth[own]), labels, kind=kind, count=count,
        seed=seed,
    )  # fmt: skip
    index.fit_threshold(features[fifths == 0])
    sorts = {"known classes": features[fifths == 1], "other classes": features[fifths < 0]}
    scores = {name: index.search(x).scores[:, 0] for name, x in (sorts | strangers).items()}
    first, rows = scores["known classes"], []
    for name, others in scores.items():
        share = proportion(int((others < index.threshold).sum()), len(others))
        sides = np.repeat([1, 0], [len(first), len(others)])
        auroc = roc_auc_score(sides, np.concatenate([first, others]))
        rows.append({"pictures": name} | share | {"auroc": auroc})
    table = pd.DataFrame(rows).drop(columns="hits").rename(columns={"accuracy": "rejected"})
    return table, scores, index.threshold
