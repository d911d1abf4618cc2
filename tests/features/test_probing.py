"""Tests of meznet_helpers.features: probing and learning curves, against scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import stats
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import LeaveOneGroupOut, StratifiedKFold, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier

from meznet_helpers import labels
from meznet_helpers.errors import MeznetError
from meznet_helpers.features import learning_curve, probing
from meznet_helpers.images import Dataset, Images
from meznet_helpers.labelers import squeeze

TRUTH = np.repeat([0, 1, 2], 20)
GROUPS = [f"style {place % 4}" for place in range(60)]


@pytest.fixture
def rows():
    """Rows that tell three classes apart, more or less."""
    rng = np.random.default_rng(0)
    return TRUTH[:, None] * [1.0, -0.5, 0.3] + rng.normal(size=(60, 3))


class Recorder(ClassifierMixin, BaseEstimator):
    """Knows nothing, and notes what it is shown; its only feature is an image's number."""

    seen: list = []  # noqa: RUF012 - clones share it

    def fit(self, x, y):
        self.classes_ = np.unique(y)
        self.seen.append((x[:, 0].astype(int).tolist(), y.tolist()))
        return self

    def predict(self, x):
        self.seen[-1] = (*self.seen[-1], x[:, 0].astype(int).tolist())
        return np.full(len(x), self.classes_[0])


@pytest.mark.parametrize("gray", [False, True])
def test_flatten(gray):
    rng = np.random.default_rng(1)
    arrays = [rng.integers(0, 256, (h, w, 3), np.uint8) for h, w in ((8, 8), (30, 20), (5, 9))]
    images = Images(arrays, ["a", "b", "c"])
    found = probing.flatten(images, 8, gray=gray)
    assert found.dtype == np.float32 and found.shape == (3, 64 if gray else 192)
    for row, array in zip(found, arrays, strict=True):
        square = squeeze(array, 8)
        if gray:
            square = np.asarray(Image.fromarray(square).convert("L"))
        assert row.tolist() == pytest.approx((square.ravel() / 255).tolist(), abs=1e-6)
    whole = Dataset(images, [0, 0, 1], labels.from_names(["x", "y"]))
    np.testing.assert_array_equal(probing.flatten(whole, 8, gray=gray), found)


def test_classifiers():
    models = probing.classifiers(7)
    assert models["random forest"].random_state == 7
    rng = np.random.default_rng(2)
    rows = np.stack([TRUTH + rng.normal(0, 0.1, 60), rng.normal(0, 1e6, 60)], axis=1)
    for name in ("logistic regression", "nearest neighbors"):  # without scaling, column 2 wins
        assert models[name].fit(rows, TRUTH).score(rows, TRUTH) > 0.9
    assert models["guessing"].fit(rows[:4], [0, 1, 1, 1]).predict(rows[:2]).tolist() == [1, 1]


@pytest.mark.parametrize("repeats", [1, 3])
def test_by_picture_is_cross_validation(rows, repeats, monkeypatch):
    monkeypatch.setattr(probing, "HALVINGS", repeats)
    models = {"lr": LogisticRegression(), "knn": KNeighborsClassifier(3)}
    features = {"all": rows, "first": rows[:, :1]}
    found = probing.by_picture(features, models, TRUTH, seed=5)
    assert list(found) == [(name, kind) for name in features for kind in models]
    rng = np.random.RandomState(5)  # as scikit-learn's repeated splits draw
    folds = [StratifiedKFold(2, shuffle=True, random_state=rng) for _ in range(repeats)]
    folds = [list(each.split(TRUTH, TRUTH)) for each in folds]
    for name, kind in found:
        right = np.zeros(60)
        for cut in folds:
            said = cross_val_predict(models[kind], features[name], TRUTH, cv=cut)
            right += said == TRUTH
        np.testing.assert_allclose(found[name, kind], right / repeats)
    assert not hasattr(models["lr"], "coef_")
    assert 0.5 < found["all", "lr"].mean() < 1


def test_by_group_is_cross_validation(rows):
    model = LogisticRegression()
    found = probing.by_group({"x": rows}, {"lr": model}, TRUTH, GROUPS)["x", "lr"]
    said = cross_val_predict(model, rows, TRUTH, groups=GROUPS, cv=LeaveOneGroupOut())
    np.testing.assert_array_equal(found, said == TRUTH)


def test_accuracy(rows):
    right = probing.by_picture({"x": rows}, {"lr": LogisticRegression()}, TRUTH, seed=1)
    (row,) = probing.accuracy(right, seed=3).to_dict("records")
    values = right["x", "lr"].to_numpy()
    theirs = stats.bootstrap(
        [values], np.mean, method="percentile", n_resamples=5000, rng=np.random.default_rng(0)
    ).confidence_interval
    assert (row["features"], row["classifier"], row["n"]) == ("x", "lr", 60)
    assert row["accuracy"] == pytest.approx(values.mean())
    assert (row["low"], row["high"]) == pytest.approx((theirs.low, theirs.high), abs=0.01)


def test_lecture():
    for row in probing.lecture().to_dict("records"):
        hits = round(row["accuracy"] * row["n"])
        interval = stats.binomtest(hits, row["n"]).proportion_ci(method="wilson")
        assert (row["low"], row["high"]) == pytest.approx((interval.low, interval.high))
    assert probing.lecture()["accuracy"].round(2).tolist() == [0.67, 0.9]


def test_neighbors_are_those_of_brute_force(rows):
    found = probing.neighbors(rows, [0, 7, 59], 4, groups=GROUPS)
    for place, others in zip([0, 7, 59], found, strict=True):
        cosines = {
            other: rows[place] @ row / np.linalg.norm(row) / np.linalg.norm(rows[place])
            for other, row in enumerate(rows)
            if GROUPS[other] != GROUPS[place]
        }
        assert others.tolist() == sorted(cosines, key=lambda at: -cosines[at])[:4]


@pytest.mark.parametrize(
    ("truth", "groups", "sentence"),
    [
        ([0, 0, 1], None, "Each class needs two images or more, one for each half"),
        ([0, 0, 0], None, "There is one class to learn from; give images of two or more"),
        ([0, 1, 0], "ab", "3 images need as many groups, of 2 kinds or more, not 2 of 2 kinds"),
        ([0, 1, 0], "aaa", "3 images need as many groups, of 2 kinds or more, not 3 of 1 kinds"),
        ([0, 1, 1], "abb", "There is one class to learn from; give images of two or more"),
        ([0, 1, 0, 1], "aabb", '"x" has features of 3 images, not of 4'),
        ([0, 1, 0, 1], None, '"x" has features of 3 images, not of 4'),
    ],
)
def test_bad_input(truth, groups, sentence):
    features, models = {"x": np.eye(3)}, {"lr": LogisticRegression()}
    with pytest.raises(MeznetError, match=sentence):
        if groups is None:
            probing.by_picture(features, models, truth)
        else:
            probing.by_group(features, models, truth, list(groups))


# ---- learning curves


def test_by_examples_draws_examples_and_judges_others():
    Recorder.seen.clear()
    numbers = {"a": np.arange(60.0)[:, None], "b": np.arange(60.0)[:, None]}
    learning_curve.by_examples(numbers, Recorder(), TRUTH, [1, 4, 12], held_out=8, seeds=[0, 1])
    assert len(Recorder.seen) == 2 * 2 * 3
    judged = []
    for number, (train, learned, on_train, valid) in enumerate(Recorder.seen):
        assert np.bincount(learned).tolist() == 3 * [[1, 4, 12][number % 3]]
        assert TRUTH[train].tolist() == learned and on_train == train
        assert np.bincount(TRUTH[valid]).tolist() == [8, 8, 8]
        assert not {*train} & {*valid} and len({*valid}) == 24 and len({*train}) == len(train)
        judged.append(sorted(valid))
    assert judged[:6] == 6 * judged[:1] and judged[6:] == 6 * judged[6:7] != judged[:6]
    first, second = Recorder.seen[:3], Recorder.seen[3:6]
    assert first == second, "features of one seed are compared on the same images"


def test_by_examples_scores(rows):
    """A nearest neighbor knows what it was shown; what it was not shown, as well as anybody."""
    nearest = KNeighborsClassifier(1)
    table = learning_curve.by_examples(
        {"x": rows, "noise": np.random.default_rng(3).normal(size=(60, 3))},
        nearest, TRUTH, [2, 10], held_out=10, seeds=range(4),
    )  # fmt: skip
    assert (table["learned"] == 1).all() and len(table) == 16
    mean = table.groupby(["features", "examples"])["held_out"].mean()
    assert mean["x", 10] > mean["noise", 10] + 0.1
    # once more by hand, for the last seed
    rng = np.random.default_rng(3)
    order = [rng.permutation(np.flatnonzero(label == TRUTH)) for label in range(3)]
    train, valid = (
        np.concatenate([o[part] for o in order]) for part in (slice(10), slice(-10, None))
    )
    score = clone(nearest).fit(rows[train], TRUTH[train]).score(rows[valid], TRUTH[valid])
    row = table[(table["seed"] == 3) & (table["features"] == "x") & (table["examples"] == 10)]
    assert row["held_out"].item() == pytest.approx(score)


def test_over_seeds_is_students_interval():
    rng = np.random.default_rng(4)
    curve = pd.DataFrame({"features": 10 * ["x"] + 10 * ["y"], "examples": 4 * [1, 2, 1, 2, 1]})
    curve["learned"], curve["held_out"] = rng.random(20), rng.random(20)
    for row in learning_curve.over_seeds(curve).to_dict("records"):
        chosen = (curve["features"] == row["features"]) & (curve["examples"] == row["examples"])
        values = curve.loc[chosen, row["part"]]
        low, high = stats.t.interval(0.95, len(values) - 1, values.mean(), stats.sem(values))
        assert row["n"] == len(values)
        found = (row["accuracy"], row["low"], row["high"])
        assert found == pytest.approx((values.mean(), low, high))


@pytest.mark.parametrize(("counts", "held_out"), [([15], 6), ([0], 5), ([3], 0), ([21], 1)])
def test_too_few_examples(rows, counts, held_out):
    with pytest.raises(MeznetError, match="The smallest class has 20 images; "):
        learning_curve.by_examples(
            {"x": rows}, LogisticRegression(), TRUTH, counts, held_out=held_out, seeds=[0]
        )


@pytest.mark.parametrize("values", [[0.5], [], [0.5, np.nan], [[0.5, 0.6]]])
def test_student_needs_runs(values):
    from meznet_helpers.measure import student_t

    with pytest.raises(MeznetError, match=r"two or more finite numbers of shape \(runs,\)"):
        student_t(np.array(values))
