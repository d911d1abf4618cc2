"""Is one model better than another on the same images, and do the two err on the same ones?"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from meznet_helpers.errors import MeznetError
from meznet_helpers.measure import accuracies, calibration
from meznet_helpers.measure.accuracies import hits, named_ranks
from meznet_helpers.measure.intervals import SAMPLES
from meznet_helpers.predictions import Predictions, positions

if TYPE_CHECKING:
    import pandas as pd


def against(
    predictions: Predictions, truth: Sequence[int] | np.ndarray, model: str, *, seed: int = 0
) -> "pd.DataFrame":
    """Compare all models with one of them, image by image.

    Parameters
    ----------
    predictions : Predictions
    truth : array of int, shape (images,)
        Positions on the label axis.
    model : str
        Which of the models the others must beat.
    seed : int
        Seed of the bootstrap.

    Returns
    -------
    DataFrame
        One row per model: `model`, `n`, `hits`, `accuracy`, `low`, `high` (top-1, Wilson's 95 %
        interval); `gain`, `gain_low`, `gain_high` (accuracy minus that of `model`, with the 95 %
        interval of a paired bootstrap); `p` (exact McNemar test); `log_loss` (mean, nats) and
        `ece` (expected calibration error).

    Raises
    ------
    MeznetError
        If there is no such model, or `truth` does not fit.

    Examples
    --------
    >>> from meznet_helpers.labels import from_names
    >>> probs = [[[0.9, 0.1], [0.9, 0.1]], [[0.8, 0.2], [0.3, 0.7]]]
    >>> two = Predictions(probs, ["a", "b"], ["x", "y"], from_names(["cat", "dog"]))
    >>> against(two, [0, 1], "a")[["model", "accuracy", "gain"]].values.tolist()
    [['a', 0.5, 0.0], ['b', 1.0, 0.5]]
    """
    ranks = accuracies.rank_of_truth(predictions.probs, truth)
    (place,), _ = positions("model", [model], predictions.models)
    base = ranks[place]
    table = accuracies.accuracy(ranks, 1, models=predictions.models).drop(columns="k")
    gains = [paired_difference(row, base, seed=seed) for row in ranks]
    table[["gain", "gain_low", "gain_high"]] = gains
    table["p"] = [mcnemar(row, base) for row in ranks]
    table["log_loss"] = calibration.log_loss(predictions.probs, truth).mean(axis=1)
    table["ece"] = [
        calibration.expected_calibration_error(probs, truth) for probs in predictions.probs
    ]
    return table


def mcnemar(ranks_a: np.ndarray, ranks_b: np.ndarray) -> float:
    """Test whether two models are equally accurate on the same images.

    Parameters
    ----------
    ranks_a, ranks_b : ndarray of int, shape (images,)
        From `rank_of_truth`, for the same images in the same order.

    Returns
    -------
    float
        The exact two-sided p value; 1 where both are right on the same images.

    Raises
    ------
    MeznetError
        If the two are not of one shape (images,) or are empty.

    Notes
    -----
    Q. McNemar, Note on the sampling error of the difference between correlated proportions or
    percentages, Psychometrika 12 (1947) 153-157, in its exact form: of the images on which only
    one is right, either model has each with probability 1/2, so their number is binomial; the
    same as ``scipy.stats.binomtest``.

    Examples
    --------
    >>> a, b = np.array([1, 1, 1, 1, 1, 1, 2]), np.array([2, 2, 2, 2, 2, 2, 2])
    >>> mcnemar(a, b)
    0.03125
    """
    from scipy.special import bdtr

    better, worse, _ = _outcomes(ranks_a, ranks_b, 1)
    return min(1.0, 2 * float(bdtr(min(better, worse), better + worse, 0.5)))


def paired_difference(
    ranks_a: np.ndarray, ranks_b: np.ndarray, k: int = 1, *, seed: int = 0
) -> tuple[float, float, float]:
    """Return how much more accurate `a` is than `b` on the same images, with a 95 % interval.

    Two nets err on the same hard images, so their difference is surer than two separate
    intervals suggest; resampling whole images keeps that.

    Parameters
    ----------
    ranks_a, ranks_b : ndarray of int, shape (images,)
        From `rank_of_truth`, for the same images in the same order.
    k : int
        How many labels each image may have to be right.
    seed : int
        Seed of the bootstrap.

    Returns
    -------
    difference, low, high : float
        Accuracy of `a` minus accuracy of `b`, between -1 and 1, and the percentile interval.

    Raises
    ------
    MeznetError
        If the two are not of one shape (images,) or are empty.

    Notes
    -----
    The percentile bootstrap of B. Efron and R. Tibshirani, An Introduction to the Bootstrap
    (1993), chapter 13. An image counts +1, 0 or -1, so a resample of images is a draw of three
    counts from a multinomial distribution; that is exact, and quick for 10,000 images.

    Examples
    --------
    >>> a, b = np.array([1, 1, 1, 2]), np.array([1, 2, 3, 1])
    >>> paired_difference(a, b)[0]
    0.25
    """
    counts = np.array(_outcomes(ranks_a, ranks_b, k))
    n = counts.sum()
    draws = np.random.default_rng(seed).multinomial(n, counts / n, size=SAMPLES)
    low, high = np.quantile((draws[:, 0] - draws[:, 1]) / n, [0.025, 0.975])
    return float((counts[0] - counts[1]) / n), float(low), float(high)


def _outcomes(ranks_a: np.ndarray, ranks_b: np.ndarray, k: int) -> tuple[int, int, int]:
    """Count the images on which `a` alone is right, `b` alone, and both or neither."""
    ranks_a, ranks_b = np.asarray(ranks_a), np.asarray(ranks_b)
    if ranks_a.ndim != 1 or ranks_a.shape != ranks_b.shape or not ranks_a.size:
        raise MeznetError(
            "ranks_a and ranks_b must have the same shape (images,), "
            f"not {ranks_a.shape} and {ranks_b.shape}."
        )
    right_a, right_b = hits(ranks_a, k), hits(ranks_b, k)
    better, worse = int(np.sum(right_a & ~right_b)), int(np.sum(right_b & ~right_a))
    return better, worse, len(ranks_a) - better - worse


def disagreement(ranks: np.ndarray, *, models: Sequence[str] | None = None) -> "pd.DataFrame":
    """Return the share of images on which exactly one of two models is right.

    Parameters
    ----------
    ranks : ndarray of int, shape (models, images)
        From `rank_of_truth`.
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
        If `ranks` has not two axes or no images, or the names do not fit.

    Notes
    -----
    D. B. Skalak, The sources of increased accuracy for two proposed boosting algorithms, AAAI
    Workshop on Integrating Multiple Learned Models (1996) 120-125.

    Examples
    --------
    >>> disagreement(np.array([[1, 1, 2, 2], [1, 2, 1, 2]]), models=["a", "b"]).loc["a", "b"]
    np.float64(0.5)
    """
    import pandas as pd

    ranks, names = named_ranks(ranks, models)
    right = hits(ranks)
    return pd.DataFrame([(right != row).mean(axis=1) for row in right], names, names)


def error_correlation(ranks: np.ndarray, *, models: Sequence[str] | None = None) -> "pd.DataFrame":
    """Return the correlation of two models' errors, an error counting 1 and a hit 0.

    Parameters
    ----------
    ranks, models
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
    ensemble accuracy, Machine Learning 51 (2003) 181-207.

    Examples
    --------
    >>> ranks = np.array([[1, 1, 1, 2, 2], [1, 1, 2, 1, 2]])
    >>> error_correlation(ranks).loc["0", "1"].round(3)
    np.float64(0.167)
    """
    import pandas as pd

    ranks, names = named_ranks(ranks, models)
    return pd.DataFrame(~hits(ranks).T, columns=names, dtype=float).corr()
