"""Which labels are taken for which."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from meznet_helpers.labels import LabelSpace
    from meznet_helpers.predictions import Predictions

CONFUSIONS = 10


def confusion(predictions: "Predictions", truth: np.ndarray) -> np.ndarray:
    """Count how often each label is given for each right one.

    Parameters
    ----------
    predictions : Predictions
        Of one model.
    truth : ndarray of int, shape (images,)

    Returns
    -------
    ndarray of int64, shape (labels, labels)
        Rows: the right labels; columns: the most probable ones.

    Examples
    --------
    >>> from meznet_helpers.labels import from_names
    >>> from meznet_helpers.predictions import Predictions
    >>> two = Predictions([[[0.2, 0.8], [0.9, 0.1]]], ["net"], ["a", "b"], from_names(["x", "y"]))
    >>> confusion(two, [0, 0]).tolist()
    [[1, 1], [0, 0]]
    """
    from sklearn.metrics import confusion_matrix

    guesses = predictions.probs[0].argmax(axis=1)
    return confusion_matrix(truth, guesses, labels=range(len(predictions.labels)))


def mixed_up(counts: np.ndarray, labels: "LabelSpace") -> "pd.DataFrame":
    """Return the most frequent confusions: truth, predicted (names) and count.

    Examples
    --------
    >>> from meznet_helpers.labels import from_names
    >>> mixed_up(np.array([[5, 1], [3, 0]]), from_names(["cat", "dog"])).values.tolist()
    [['dog', 'cat', 3], ['cat', 'dog', 1]]
    """
    import pandas as pd

    wrong = counts - np.diag(np.diag(counts))
    order = np.argsort(-wrong, axis=None, kind="stable")[:CONFUSIONS]
    truth, predicted = np.unravel_index(order[wrong.ravel()[order] > 0], wrong.shape)
    names = np.array(labels.names, dtype=object)
    return pd.DataFrame(
        {
            "truth": names[truth],
            "predicted": names[predicted],
            "count": wrong[truth, predicted],
        }
    )
