"""How sure can one be of a share or of a mean?"""

from typing import Any

import numpy as np

from meznet_helpers.errors import MeznetError

SAMPLES = 2000  #: How many samples a bootstrap draws.
_Z95 = 1.959963984540054  # the normal distribution's 97.5 % quantile
_CHUNK = 2_000_000  # values drawn at a time: 16 MB


def wilson(successes: np.ndarray | int, n: np.ndarray | int) -> tuple[np.ndarray, np.ndarray]:
    """Return Wilson's 95 % interval of a proportion.

    Parameters
    ----------
    successes, n : int or ndarray of int
        Hits and trials; `n` is 1 or more.

    Returns
    -------
    low, high : float64 or ndarray of float64

    Notes
    -----
    E. B. Wilson, Probable inference, the law of succession, and statistical inference, Journal of
    the American Statistical Association 22 (1927) 209-212; without continuity correction, the
    same as ``scipy.stats.binomtest(...).proportion_ci(method="wilson")``.

    Examples
    --------
    >>> low, high = wilson(45, 100)
    >>> f"{low:.3f} to {high:.3f}"
    '0.356 to 0.548'
    """
    successes, n = np.asarray(successes, dtype=float), np.asarray(n, dtype=float)
    share, z2 = successes / n, _Z95**2
    center = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z95 * np.sqrt(share * (1 - share) / n + z2 / (4 * n**2)) / (1 + z2 / n)
    low = np.where(successes == 0, 0.0, center - half)
    return low[()], np.where(successes == n, 1.0, center + half)[()]


def proportion(hits: np.ndarray | int, n: np.ndarray | int) -> dict[str, Any]:
    """Say how many hits there are, of how many, which share that is, and how sure it is.

    Parameters
    ----------
    hits, n : int or ndarray of int
        `n` is 1 or more.

    Returns
    -------
    dict
        `n`, `hits`, `accuracy`, `low`, `high` (Wilson's 95 % interval): the columns of a table, or
        a part of one of its rows.

    Examples
    --------
    >>> {name: round(float(value), 3) for name, value in proportion(7, 10).items()}
    {'n': 10.0, 'hits': 7.0, 'accuracy': 0.7, 'low': 0.397, 'high': 0.892}
    """
    shares = (hits / n, *wilson(hits, n))
    accuracy, low, high = map(float, shares) if np.ndim(shares[0]) == 0 else shares
    return {"n": n, "hits": hits, "accuracy": accuracy, "low": low, "high": high}


def bootstrap(values: np.ndarray, *, seed: int = 0) -> tuple[float, float, float]:
    """Return the mean of one value per image, with a 95 % interval.

    Parameters
    ----------
    values : ndarray of float, shape (images,)
        For instance the log loss of each image, or the difference of two models' log losses on
        the same images: its interval is that of a paired comparison.
    seed : int
        Seed of the bootstrap.

    Returns
    -------
    mean, low, high : float
        The mean and the percentile interval of `SAMPLES` samples.

    Raises
    ------
    MeznetError
        If `values` is not of shape (images,), is empty or not finite.

    Notes
    -----
    The percentile bootstrap of B. Efron and R. Tibshirani, An Introduction to the Bootstrap
    (1993), chapter 13: images are drawn with replacement, as many as there are.

    Examples
    --------
    >>> mean, low, high = bootstrap(np.arange(101.0), seed=1)
    >>> f"{mean:.1f} ({low:.1f} to {high:.1f})"
    '50.0 (44.3 to 56.0)'
    """
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise MeznetError(
            f"values must be finite numbers of shape (images,), not of shape {values.shape}."
        )
    rng, n = np.random.default_rng(seed), len(values)
    means = np.empty(SAMPLES)
    rows = max(1, _CHUNK // n)
    for start in range(0, SAMPLES, rows):
        part = means[start : start + rows]
        values[rng.integers(n, size=(len(part), n))].mean(axis=1, out=part)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(values.mean()), float(low), float(high)


def student_t(values: np.ndarray) -> tuple[float, float, float]:
    """Return the mean of a few independent runs, with Student's 95 % interval.

    Parameters
    ----------
    values : ndarray of float, shape (runs,)
        For instance the accuracy under each of several seeds.

    Returns
    -------
    mean, low, high : float

    Raises
    ------
    MeznetError
        If there are fewer than two values, or they are not finite.

    Notes
    -----
    Student, The probable error of a mean, Biometrika 6 (1908) 1-25: the mean, more or less the
    standard error times the t distribution's quantile. A bootstrap of so few values would be too
    narrow.

    Examples
    --------
    >>> mean, low, high = student_t(np.array([0.7, 0.8, 0.9]))
    >>> f"{mean:.2f} ({low:.2f} to {high:.2f})"
    '0.80 (0.55 to 1.05)'
    """
    from scipy.stats import t

    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise MeznetError(
            f"values must be two or more finite numbers of shape (runs,), not of shape "
            f"{values.shape}."
        )
    mean, error = values.mean(), values.std(ddof=1) / np.sqrt(len(values))
    half = float(t.ppf(0.975, len(values) - 1)) * error
    return float(mean), float(mean - half), float(mean + half)
