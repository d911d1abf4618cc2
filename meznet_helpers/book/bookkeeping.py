"""The source exhibit's bookkeeping of hits, by words within three edits, beside one by id."""

import functools
from collections.abc import Sequence

import numpy as np
import pandas as pd

from meznet_helpers.labels import LabelSpace
from meznet_helpers.measure import check_truth
from meznet_helpers.predictions import Predictions, top_indices

TOP = 10  #: How many labels of each image and net are looked at.


@functools.cache
def word_matches(space: LabelSpace) -> np.ndarray:
    """Count the word matches of each true label with each predicted one, as the exhibit did.

    Parameters
    ----------
    space : LabelSpace

    Returns
    -------
    ndarray of int64, shape (labels, labels)
        Row: true label, all whose words count; column: predicted label, whose name alone counts.

    Examples
    --------
    >>> from meznet_helpers.labels import tiny_imagenet
    >>> space = tiny_imagenet()
    >>> matches = word_matches(space)[space.index("n02793495")]  # barn
    >>> [space.names[label] for label in np.flatnonzero(matches)][:8]
    ['lion', 'bee', 'bison', 'baboon', 'apron', 'barn', 'barrel', 'beacon']
    """
    matches = np.zeros((len(space), len(space)), dtype=np.int64)
    for row, label_id in zip(matches, space.ids, strict=True):
        matched = exhibit_fuzzy_match(space.names, space.words(label_id))
        np.add.at(row, matched["position"].to_numpy(int), 1)
    return matches


def count(predictions: Predictions, truth: np.ndarray) -> pd.DataFrame:
    """Count hits among the top ten by id, and by words within three edits.

    Parameters
    ----------
    predictions : Predictions
    truth : ndarray of int, shape (images,)
        Positions on the label axis.

    Returns
    -------
    DataFrame
        One row per model: `n`; `hits` by id, at most one per image; `rows` of the word match, of
        which an image can have several; `false_rows`, those whose id is another than the image's;
        `weight` and `weight_by_words`, each net's share of all hits and of all rows.

    Raises
    ------
    MeznetError
        If `truth` does not fit the predictions.

    Examples
    --------
    >>> from meznet_helpers.labels import from_names
    >>> space = from_names(["barn", "beacon", "jellyfish"])
    >>> two = Predictions([[[0.3, 0.6, 0.1]], [[0.2, 0.1, 0.7]]], ["a", "b"], ["x"], space)
    >>> count(two, np.array([0]))[["model", "hits", "rows", "false_rows"]].values.tolist()
    [['a', 1, 2, 1], ['b', 1, 2, 1]]
    """
    probs, truth = check_truth(predictions.probs, truth)
    top, true = top_indices(probs, TOP), truth[None, :, None]
    matched, right = word_matches(predictions.labels)[true, top], top == true
    table = pd.DataFrame(
        {
            "model": predictions.models,
            "n": len(predictions.images),
            "hits": right.sum(axis=(1, 2)),
            "rows": matched.sum(axis=(1, 2)),
            "false_rows": np.where(right, 0, matched).sum(axis=(1, 2)),
        }
    )
    shares = {"weight": "hits", "weight_by_words": "rows"}
    return table.assign(**{new: table[old] / table[old].sum() for new, old in shares.items()})


def exhibit_fuzzy_match(
    predicted_words: Sequence[str], true_words: Sequence[str] | str
) -> pd.DataFrame:
    """Match words as the source exhibit did. For showing its mistake only: join by id instead.

    The exhibit counted a prediction as right when its name was within three edits of a true word,
    so that it took ``harp`` and ``beacon`` for ``barn``. Nothing else in this package calls this.

    Parameters
    ----------
    predicted_words : sequence of str
        Names of predicted labels; underscores are read as spaces, as the exhibit did.
    true_words : sequence of str, or str
        The words for the true label; a text is taken apart at its commas.

    Returns
    -------
    DataFrame
        One row for each match, in the order of the predictions, then of the true words: columns
        ``position`` (in `predicted_words`), ``predicted``, ``truth``, ``edits``.

    Notes
    -----
    The distance is the optimal string alignment (insertions, deletions, substitutions, swaps of
    neighbors; capital letters differ from small ones), which is the default of R's
    ``fuzzyjoin::stringdist_join``.

    Examples
    --------
    >>> exhibit_fuzzy_match(["ping-pong_ball", "harp", "barn", "beacon"], ["barn"])
       position predicted truth  edits
    0         1      harp  barn      2
    1         2      barn  barn      0
    2         3    beacon  barn      3
    """
    from rapidfuzz.distance import OSA

    true_words = true_words.split(", ") if isinstance(true_words, str) else list(true_words)
    rows = []
    for position, name in enumerate(predicted_words):
        word = name.replace("_", " ")
        distances = [(truth, OSA.distance(word, truth)) for truth in true_words]
        rows += [(position, word, truth, edits) for truth, edits in distances if edits <= 3]
    return pd.DataFrame(rows, columns=["position", "predicted", "truth", "edits"])
