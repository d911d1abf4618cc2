"""Do two models err on the same images? An ensemble gains from those that do not."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from meznet_helpers.truth import hits, named_ranks

if TYPE_CHECKING:
    import pandas as pd


def disagreement(
    ranks: np.ndarray, k: int = 1, *, models: Sequence[str] | None = None
) -> "pd.DataFrame":
    """Return the share of images on which exactly one of two models is right.

    Parameters
    ----------
    ranks : ndarray of int, shape (models, images)
        From `rank_of_truth`.
    k : int
        How many labels each image may have to be right.
    models : sequence of str, optional
        Names, for instance ``predictions.models``; else "0", "1" and so on.

    Returns
    -------
    DataFrame of float64, shape (models, models)
        Symmetric, with the models as index and as columns; between 0 and 1, and 0 for a model
        with itself or with one that is right on the same images.

    Raises
    ------
    MeznetError
        If `ranks` has not two axes or no images, the names do not fit, or `k` is below 1.

    Notes
    -----
    D. B. Skalak, The sources of increased accuracy for two proposed boosting algorithms, AAAI
    Workshop on Integrating Multiple Learned Models (1996) 120-125.

    Examples
    --------
    >>> disagreement(np.array([[1, 1, 2, 2], [1, 2, 1, 2]]), models=["a", "b"]).loc["a", "b"]
    np.float64(0.5)
    """
    _, one, other, _, names = _counts(ranks, k, models)
    return _table((one + other) / np.shape(ranks)[1], names)


def q_statistic(
    ranks: np.ndarray, k: int = 1, *, models: Sequence[str] | None = None
) -> "pd.DataFrame":
    """Return Yule's Q of two models being right.

    Parameters
    ----------
    ranks, k, models
        As for `disagreement`.

    Returns
    -------
    DataFrame of float64, shape (models, models)
        Symmetric, with the models as index and as columns; between -1 (the two are never right
        together, or never wrong together) and 1 (one is right wherever the other is), 0 if they
        err independently. NaN where one of the two is right on all images or on none, itself
        included: then Q is 0/0. Any other model has 1 with itself.

    Raises
    ------
    MeznetError
        As for `disagreement`.

    Notes
    -----
    G. U. Yule, On the association of attributes in statistics, Philosophical Transactions of the
    Royal Society A 194 (1900) 257-319; for classifiers: L. I. Kuncheva and C. J. Whitaker,
    Measures of diversity in classifier ensembles and their relationship with the ensemble
    accuracy, Machine Learning 51 (2003) 181-207.

    Examples
    --------
    >>> ranks = np.array([[1, 1, 1, 2, 2], [1, 1, 2, 1, 2]])
    >>> q_statistic(ranks).loc["0", "1"].round(3)
    np.float64(0.333)
    """
    both, one, other, neither, names = _counts(ranks, k, models)
    same, apart = both * neither, one * other
    return _table(_ratio(same - apart, same + apart), names)


def error_correlation(
    ranks: np.ndarray, k: int = 1, *, models: Sequence[str] | None = None
) -> "pd.DataFrame":
    """Return the correlation of two models' errors, an error counting 1 and a hit 0.

    Parameters
    ----------
    ranks, k, models
        As for `disagreement`.

    Returns
    -------
    DataFrame of float64, shape (models, models)
        Symmetric, with the models as index and as columns; between -1 and 1, 1 for a model with
        itself or with one that is right on the same images. NaN where one of the two is right on
        all images or on none, itself included: its errors do not vary.

    Raises
    ------
    MeznetError
        As for `disagreement`.

    Notes
    -----
    Pearson's correlation of two 0/1 variables, also called phi; rho in L. I. Kuncheva and C. J.
    Whitaker, Measures of diversity in classifier ensembles and their relationship with the
    ensemble accuracy, Machine Learning 51 (2003) 181-207. It has the sign of `q_statistic` and
    is never farther from 0.

    Examples
    --------
    >>> ranks = np.array([[1, 1, 1, 2, 2], [1, 1, 2, 1, 2]])
    >>> error_correlation(ranks).loc["0", "1"].round(3)
    np.float64(0.167)
    """
    both, one, other, neither, names = _counts(ranks, k, models)
    spread = (both + one) * (other + neither)  # of the row's model: right times wrong
    return _table(_ratio(both * neither - one * other, np.sqrt(spread * spread.T)), names)


def _counts(ranks: np.ndarray, k: int, models: Sequence[str] | None) -> tuple:
    """Count for each pair the images with both right, row only, column only, neither; and names."""
    ranks, names = named_ranks(ranks, models)
    right = hits(ranks, k).astype(float)
    both = right @ right.T
    total = right.sum(axis=1, keepdims=True)
    one, other = total - both, total.T - both
    return both, one, other, ranks.shape[1] - both - one - other, names


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below != 0)


def _table(values: np.ndarray, names: list[str]) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(values, index=names, columns=names)
