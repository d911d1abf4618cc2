"""Estimators do what scikit-learn asks of each."""

from sklearn.utils.estimator_checks import parametrize_with_checks

from meznet_helpers.prototypes.estimator import PrototypeClassifier


@parametrize_with_checks(
    [
        PrototypeClassifier(),
        PrototypeClassifier(metric="l2"),
        PrototypeClassifier(kind="medoid"),
        PrototypeClassifier(kind="k-means", count=2),
    ]
)
def test_estimator(estimator, check):
    check(estimator)
