"""Learn on images with known labels how to combine nets; judge the result on other images.

The first three functions return weights for `meznet_helpers.ensembles.soft`.
"""

from dataclasses import dataclass

import numpy as np

from meznet_helpers.ensembles.combining import soft, three_axes, truth_probs
from meznet_helpers.errors import MeznetError
from meznet_helpers.measure import FLOOR, check_truth

TOLERANCE = 1e-6  #: No weights have a log loss smaller by more nats an image than likelihood's.
STEPS = 10_000  #: How many steps of the EM algorithm are taken at most.
STARTS = 20  #: How many random weights are tried for the AUC, besides equal ones and nets alone.
TRIES = 200  #: How many weights are tried in the search that sets out from the best of these.
PICKS = 50  #: How many nets the greedy selection adds.
WRONG = 20  #: How many wrong labels of an image the lasso sees on average.


def likelihood_weights(probs: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Find the weights under which the weighted mean makes the true labels most likely.

    Parameters
    ----------
    probs : ndarray of float, shape (models, images, labels)
    truth : array of int, shape (images,)

    Returns
    -------
    ndarray of float64, shape (models,)
        They sum to 1.

    Raises
    ------
    MeznetError
        If the shapes do not fit, an index is not a label, or there are no images.

    Notes
    -----
    The stacking of Y. Yao, A. Vehtari, D. Simpson and A. Gelman, Using stacking to average
    Bayesian predictive distributions, Bayesian Analysis 13 (2018) 917-1007. The nets are the
    parts of a mixture whose shares the EM algorithm finds: A. P. Dempster, N. M. Laird and
    D. B. Rubin, Maximum likelihood from incomplete data via the EM algorithm, Journal of the Royal
    Statistical Society B 39 (1977) 1-38. The problem is concave, and its largest derivative bounds
    what is left to gain: B. G. Lindsay, The geometry of mixture likelihoods, Annals of Statistics
    11 (1983) 86-94.

    Examples
    --------
    >>> probs = np.array([[[0.8, 0.2], [0.4, 0.6]], [[0.2, 0.8], [0.8, 0.2]]])
    >>> likelihood_weights(probs, [0, 0]).round(2).tolist()
    [0.83, 0.17]
    """
    given = truth_probs(probs, truth)
    weights = np.full(len(given), 1 / len(given))
    for _ in range(STEPS):
        gains = (given / (weights @ given)).mean(axis=1)
        if gains.max() < 1 + TOLERANCE:
            break
        weights = weights * gains
    return weights / weights.sum()


def auc_weights(probs: np.ndarray, truth: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Find the weights under which the weighted mean has the largest macro AUC.

    Parameters
    ----------
    probs : ndarray of float, shape (models, images, labels)
    truth : array of int, shape (images,)
    seed : int
        Seed of the random weights.

    Returns
    -------
    ndarray of float64, shape (models,)
        They sum to 1. They are at least as good as equal weights and as each net alone.

    Raises
    ------
    MeznetError
        As `likelihood_weights` and `macro_auc`.

    Notes
    -----
    E. LeDell, M. J. van der Laan and M. Petersen, AUC-maximizing ensembles through metalearning,
    International Journal of Biostatistics 12 (2016) 203-218. The AUC moves in steps, so the search
    goes without derivatives: J. A. Nelder and R. Mead, A simplex method for function minimization,
    Computer Journal 7 (1965) 308-313; it moves the logarithms of the weights.

    Examples
    --------
    >>> probs = np.array([[[0.8, 0.2], [0.3, 0.7]], [[0.2, 0.8], [0.8, 0.2]]])
    >>> auc_weights(probs, [0, 1])[0] > 0.5
    np.True_
    """
    from scipy.optimize import minimize
    from scipy.special import softmax

    truth_probs(probs, truth)  # refuses what does not fit
    probs, truth, models = three_axes(probs), np.asarray(truth), len(probs)

    def loss(weights: np.ndarray) -> float:
        return -macro_auc(soft(probs, weights), truth)

    random = np.random.default_rng(seed).dirichlet(np.ones(models), STARTS)
    tried = [np.full(models, 1 / models), *np.eye(models), *random]
    start = np.log(min(tried, key=loss) + 0.01)
    simplex = np.vstack([start, start + np.eye(models)])
    options = {"initial_simplex": simplex, "maxfev": TRIES, "xatol": 1e-3, "fatol": 1e-7}
    best = minimize(lambda logs: loss(softmax(logs)), start, method="Nelder-Mead", options=options)
    return min(*tried, softmax(best.x), key=loss)


def greedy_weights(probs: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Add one net after another to the mean, each time the one that makes it most accurate.

    The same net may be added again and again.

    Parameters
    ----------
    probs : ndarray of float, shape (models, images, labels)
    truth : array of int, shape (images,)

    Returns
    -------
    ndarray of float64, shape (models,)
        How often each net was added, divided by `PICKS`.

    Raises
    ------
    MeznetError
        As `likelihood_weights`.

    Notes
    -----
    R. Caruana, A. Niculescu-Mizil, G. Crew and A. Ksikes, Ensemble selection from libraries of
    models, International Conference on Machine Learning (2004). Of nets that lead to the same
    top-1 accuracy, the one with the smaller log loss is added.

    Examples
    --------
    >>> probs = np.array([[[0.8, 0.2], [0.4, 0.6]], [[0.2, 0.8], [0.8, 0.2]]])
    >>> greedy_weights(probs, [0, 0]).tolist()
    [0.74, 0.26]
    """
    given, probs, truth = truth_probs(probs, truth), three_axes(probs), np.asarray(truth)
    counts, total, given_total = np.zeros(len(probs)), np.zeros_like(probs[0]), 0.0

    def merit(model: int) -> tuple[int, float]:
        right = (total + probs[model]).argmax(axis=1) == truth
        return np.count_nonzero(right), np.log(given_total + given[model]).sum()

    for _ in range(PICKS):
        chosen = max(range(len(probs)), key=merit)
        counts[chosen] += 1
        total += probs[chosen]
        given_total = given_total + given[chosen]
    return counts / PICKS


@dataclass(frozen=True, eq=False)
class LogisticStack:
    """A fitted logistic regression that tells from the nets' scores whether a label is right.

    Parameters
    ----------
    coefficients : ndarray of float64, shape (models,)
        What each net's logit counts; 0 where the net is not needed.
    intercept : float

    Examples
    --------
    >>> LogisticStack(np.array([1.0, 0.0]), 0.0)(np.array([[[0.2, 0.8]], [[0.5, 0.5]]])).round(3)
    array([[0.2, 0.8]], dtype=float32)
    """

    coefficients: np.ndarray
    intercept: float

    def __call__(self, probs: np.ndarray) -> np.ndarray:
        """Return each label's chance to be right, scaled to sum to 1 over the labels.

        Parameters
        ----------
        probs : ndarray of float, shape (models, images, labels)
            By the nets that the regression was fitted to, in the same order.

        Returns
        -------
        ndarray of float32, shape (images, labels)

        Raises
        ------
        MeznetError
            If `probs` has not three axes or not as many models as there are coefficients.
        """
        from scipy.special import log_expit, softmax

        probs = three_axes(probs)
        if len(probs) != len(self.coefficients):
            raise MeznetError(f"probs must be of {len(self.coefficients)} nets, not {len(probs)}.")
        logits = self.intercept + np.tensordot(self.coefficients, _logits(probs), 1)
        return softmax(log_expit(logits), axis=1).astype(np.float32)


def logistic_lasso(
    probs: np.ndarray, truth: np.ndarray, strength: float = 0.01, *, seed: int = 0
) -> LogisticStack:
    """Fit a logistic regression with an L1 penalty, the logistic lasso, to the nets' scores.

    A row is an image with a label, the target is whether the label is right, and the features are
    the nets' logits, log(p / (1 - p)). One net with true probabilities has the coefficient 1 and
    the intercept 0. Of an image's wrong labels, `WRONG` on average are drawn at random and weighted
    to stand for all of them, so that the intercept needs no correction.

    Parameters
    ----------
    probs : ndarray of float, shape (models, images, labels)
        What is closer than `meznet_helpers.measure.FLOOR` to 0 or 1 counts as that close.
    truth : array of int, shape (images,)
    strength : float
        Above 0. The fit minimizes the log loss of an image's labels, averaged over the images,
        plus `strength` times the sum of the coefficients' absolute values. The larger, the more
        nets have the coefficient 0.
    seed : int
        Seed of the draw and of the solver.

    Returns
    -------
    LogisticStack

    Raises
    ------
    MeznetError
        As `likelihood_weights`; if there are fewer than two labels; if `strength` is not above 0.

    Notes
    -----
    R. Tibshirani, Regression shrinkage and selection via the lasso, Journal of the Royal
    Statistical Society B 58 (1996) 267-288; D. H. Wolpert, Stacked generalization, Neural Networks
    5 (1992) 241-259; for the weights of sampled rows, G. King and L. Zeng, Logistic regression in
    rare events data, Political Analysis 9 (2001) 137-163.

    Examples
    --------
    >>> probs = np.array([[[0.8, 0.2], [0.3, 0.7]], [[0.5, 0.5], [0.5, 0.5]]])
    >>> logistic_lasso(probs, [0, 1]).coefficients.round(1)[1]
    np.float64(0.0)
    """
    from sklearn.linear_model import LogisticRegression

    truth_probs(probs, truth)  # refuses what does not fit
    probs, truth = three_axes(probs), np.asarray(truth)
    _, images, labels = probs.shape
    if labels < 2:
        raise MeznetError("probs must have two labels at least.")
    if not 0 < strength < np.inf:
        raise MeznetError(f"strength must be above 0, not {strength}.")
    share = min(1.0, WRONG / (labels - 1))
    right = np.arange(labels) == truth[:, None]
    used = right | (np.random.default_rng(seed).random(right.shape) < share)
    fitted = LogisticRegression(
        C=1 / (strength * images),
        l1_ratio=1,
        solver="liblinear",
        intercept_scaling=1000,  # liblinear penalizes the intercept too: this makes that negligible
        tol=1e-6,
        max_iter=1000,
        random_state=seed,
    )
    features = _logits(probs)[:, used].T
    fitted.fit(features, right[used], sample_weight=np.where(right, 1, 1 / share)[used])
    return LogisticStack(fitted.coef_[0], float(fitted.intercept_[0]))


def _logits(probs: np.ndarray) -> np.ndarray:
    from scipy.special import logit

    return logit(np.clip(probs.astype(float), FLOOR, 1 - FLOOR))


def macro_auc(scores: np.ndarray, truth: np.ndarray) -> float:
    """Return the area under the ROC curve of each label against all others, averaged over labels.

    Parameters
    ----------
    scores : ndarray of float, shape (images, labels)
    truth : array of int, shape (images,)

    Returns
    -------
    float
        Between 0 and 1. Equal scores count half. Labels without an image are left out.

    Raises
    ------
    MeznetError
        If the shapes do not fit, an index is not a label, or all images have the same label.

    Notes
    -----
    The area is the share of pairs, an image with the label and one without it, that the scores
    put in order: J. A. Hanley and B. J. McNeil, The meaning and use of the area under a receiver
    operating characteristic (ROC) curve, Radiology 143 (1982) 29-36.

    ``sklearn.metrics.roc_auc_score(truth, scores, multi_class="ovr")`` gives the same number and
    does not stand here, since `auc_weights` asks for it more than two hundred times: for 5,000
    images and 200 labels it took 1.04 seconds, where this takes 0.067, one sixteenth.

    Examples
    --------
    >>> macro_auc(np.array([[0.9, 0.1], [0.4, 0.6], [0.6, 0.4]]), [0, 0, 1])
    0.5
    """
    if np.ndim(scores) != 2:
        raise MeznetError(f"scores must have shape (images, labels), not {np.shape(scores)}.")
    scores, truth = check_truth(scores, truth)
    there = np.unique(truth)
    if len(there) < 2:
        raise MeznetError("truth must hold at least two different labels.")
    columns = np.sort(np.ascontiguousarray(scores.T), axis=1)
    areas = []
    for label in there:
        own = scores[truth == label, label]
        below, upto = (columns[label].searchsorted(own, side).sum() for side in ("left", "right"))
        pairs = (below + upto - len(own) ** 2) / 2  # less the pairs of two images with the label
        areas.append(pairs / (len(own) * (len(truth) - len(own))))
    return float(np.mean(areas))
