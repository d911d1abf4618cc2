"""Is one model better than another on the same images, by how much, and how sure is that?"""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from meznet_helpers import calibration, ensemble, evaluate
from meznet_helpers.axes import positions
from meznet_helpers.predictions import Predictions

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
    ranks = evaluate.rank_of_truth(predictions.probs, truth)
    (place,), _ = positions("model", [model], predictions.models)
    base = ranks[place]
    table = evaluate.accuracy(ranks, 1, models=predictions.models).drop(columns="k")
    gains = [evaluate.paired_difference(one, base, seed=seed) for one in ranks]
    table[["gain", "gain_low", "gain_high"]] = gains
    table["p"] = [evaluate.mcnemar(one, base) for one in ranks]
    table["log_loss"] = calibration.log_loss(predictions.probs, truth).mean(axis=1)
    table["ece"] = [
        calibration.expected_calibration_error(probs, truth) for probs in predictions.probs
    ]
    return table


def by_size(
    predictions: Predictions, truth: Sequence[int] | np.ndarray, method: str = "soft"
) -> "pd.DataFrame":
    """Measure every ensemble that can be made of some nets.

    Parameters
    ----------
    predictions : Predictions
        Of a few nets: with m of them there are 2^m - 1 ensembles.
    truth : array of int, shape (images,)
    method : str
        One of `meznet_helpers.ensemble.METHODS`.

    Returns
    -------
    DataFrame
        One row per ensemble, small ones first: `nets` (how many), `members` (tuple of str),
        `accuracy`, and `best`, the accuracy of the best single member.

    Examples
    --------
    >>> from meznet_helpers.labels import from_names
    >>> probs = [[[0.9, 0.1], [0.9, 0.1]], [[0.8, 0.2], [0.0, 1.0]]]
    >>> two = Predictions(probs, ["a", "b"], ["x", "y"], from_names(["cat", "dog"]))
    >>> by_size(two, [0, 1])[["nets", "accuracy"]].values.tolist()
    [[1.0, 0.5], [1.0, 1.0], [2.0, 1.0]]
    """
    import pandas as pd

    def accuracy(probs: np.ndarray) -> float:
        return float(evaluate.hits(evaluate.rank_of_truth(probs, truth)).mean())

    single = [accuracy(probs) for probs in predictions.probs]
    rows = []
    for count in range(1, len(predictions.models) + 1):
        for members in itertools.combinations(range(len(predictions.models)), count):
            probs = predictions.probs[list(members)]
            rows.append(
                {
                    "nets": count,
                    "members": tuple(predictions.models[at] for at in members),
                    "accuracy": accuracy(ensemble.METHODS[method](probs)),
                    "best": max(single[at] for at in members),
                }
            )
    return pd.DataFrame(rows)
