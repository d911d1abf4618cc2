"""What a judge is told who doesn't see the picture: the nets' first labels and their scores."""

from collections.abc import Sequence

import numpy as np

from meznet_helpers import ensemble
from meznet_helpers.errors import MeznetError
from meznet_helpers.predictions import Predictions
from meznet_helpers.ranking import top_indices
from meznet_helpers.weights import to_one

K = 5  # labels that are put before the judge
INTRODUCTION = (
    "Image nets looked at a picture that you cannot see. Each line is a label, with the percent "
    "that each net gives it."
)
QUESTION = "Which label is right? Answer with its number and nothing else."
ANSWER = "Answer:"


def candidates(predictions: Predictions, k: int = K) -> np.ndarray:
    """Choose the labels that a judge decides among: the first of the nets' mean.

    Parameters
    ----------
    predictions : Predictions
    k : int
        How many for each image; at most 9, so that a number is one digit.

    Returns
    -------
    ndarray of int, shape (images, k)
        Positions of labels, in the order of their names: their order must not tell.

    Raises
    ------
    MeznetError
        If `k` is not from 2 to 9, or there are fewer labels.

    Examples
    --------
    >>> from meznet_helpers.labels import from_names
    >>> three = from_names(["owl", "cat", "dog"])
    >>> candidates(Predictions([[[0.5, 0.3, 0.2]]], ["net"], ["a.jpg"], three), 2).tolist()
    [[1, 0]]
    """
    names = predictions.labels.names
    if not 2 <= k <= min(9, len(names)):
        raise MeznetError(f"k is {k}; it must be from 2 to {min(9, len(names))}.")
    first = top_indices(ensemble.soft(predictions.probs), k)
    place = np.argsort(np.argsort(names))
    return np.take_along_axis(first, place[first].argsort(1), 1)


def questions(predictions: Predictions, chosen: np.ndarray) -> list[str]:
    """Write the question about each image.

    Parameters
    ----------
    predictions : Predictions
    chosen : ndarray of int, shape (images, k)
        From `candidates`.

    Returns
    -------
    list of str

    Examples
    --------
    >>> from meznet_helpers.labels import from_names
    >>> pets = from_names(["cat", "dog"])
    >>> two = Predictions([[[0.9, 0.1]], [[0.25, 0.75]]], ["net", "other"], ["a.jpg"], pets)
    >>> print(questions(two, candidates(two, 2))[0])
    Image nets looked at a picture that you cannot see. Each line is a label, with the percent \
that each net gives it.
    1. cat: 90 25
    2. dog: 10 75
    Which label is right? Answer with its number and nothing else.
    Answer:
    """
    names = predictions.labels.names
    percents = np.rint(100 * np.take_along_axis(predictions.probs, chosen[None], 2)).astype(int)
    return [
        written([names[at] for at in row], percents[:, image].T) for image, row in enumerate(chosen)
    ]


def written(names: Sequence[str], percents: np.ndarray) -> str:
    """Write one question.

    Parameters
    ----------
    names : sequence of str
    percents : ndarray of int, shape (labels, nets)
    """
    lines = [
        f"{number}. {name}: {' '.join(map(str, row))}"
        for number, (name, row) in enumerate(zip(names, percents.tolist(), strict=True), 1)
    ]
    return "\n".join([INTRODUCTION, *lines, QUESTION, ANSWER])


def dealt(predictions: Predictions, chosen: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Turn a judge's answers into probabilities of all labels.

    What the nets' mean gives the labels before the judge is dealt among them anew, by the judge;
    the other labels keep theirs.

    Parameters
    ----------
    predictions : Predictions
    chosen : ndarray of int, shape (images, k)
    given : ndarray of float, shape (images, k)
        The judge's shares, which sum to 1; NaN where the answer was none: there the mean stands.

    Returns
    -------
    ndarray of float32, shape (images, labels)

    Examples
    --------
    >>> from meznet_helpers.labels import from_names
    >>> three = from_names(["owl", "cat", "dog"])
    >>> one = Predictions([[[0.5, 0.25, 0.25]]], ["net"], ["a.jpg"], three)
    >>> dealt(one, np.array([[1, 0]]), np.array([[1.0, 0.0]])).tolist()
    [[0.0, 0.75, 0.25]]
    """
    probs = ensemble.soft(predictions.probs)
    mass = np.take_along_axis(probs, chosen, 1).sum(1, keepdims=True)
    there = ~np.isnan(given).any(1)
    rows = np.flatnonzero(there)[:, None]
    probs[rows, chosen[there]] = mass[there] * given[there]
    return to_one(probs, axis=1)
