"""Which labels are taken for which. `sklearn.metrics.confusion_matrix` counts it."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from meznet_helpers.labels import LabelSpace

CONFUSIONS = 10


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
