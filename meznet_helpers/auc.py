"""The area under the ROC curve, for many labels at once."""

import numpy as np

from meznet_helpers.errors import MeznetError
from meznet_helpers.truth import check_truth


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
    operating characteristic (ROC) curve, Radiology 143 (1982) 29-36. It is the same as
    ``sklearn.metrics.roc_auc_score(truth, scores, multi_class="ovr")``.

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
