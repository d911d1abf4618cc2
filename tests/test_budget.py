"""Ratios measured in one run, so that the speed of the machine cancels out."""

import time

import numpy as np
import pytest

pytestmark = pytest.mark.budget

TRIES = 3  # another program may take the processor in the middle of one


def ratio(slow, fast, rounds):
    """Median seconds of `slow` over those of `fast`, taken in turns, after one of each."""
    seconds = ([], [])
    slow(), fast()
    for _ in range(rounds):
        for run, times in zip((slow, fast), seconds, strict=True):
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
    return float(np.median(seconds[0]) / np.median(seconds[1]))


@pytest.fixture(scope="module")
def runs():
    """MobileNetV2 at its published size, by `model.predict` and compiled."""
    import keras

    from meznet_helpers.labelers.keras import compiled

    model = keras.applications.MobileNetV2(weights=None)
    run = compiled(model)

    def pair(count):
        batch = np.random.default_rng(0).uniform(-1, 1, (count, 224, 224, 3)).astype(np.float32)
        given = model.predict(batch, batch_size=count, verbose=0)
        np.testing.assert_allclose(run(batch), given, atol=1e-5)
        return lambda: model.predict(batch, batch_size=count, verbose=0), lambda: run(batch)

    return pair


def best(pair, rounds, wanted):
    found = []
    while len(found) < TRIES and max(found, default=0) < wanted:
        found.append(ratio(*pair, rounds))
    return max(found)


def test_one_image_is_three_times_faster_than_predict(runs, capsys):
    found = best(runs(1), rounds=15, wanted=3)
    with capsys.disabled():
        print(f"\nMobileNetV2, 1 image: model.predict takes {found:.1f} times as long")
    assert found >= 3


def test_a_batch_is_no_slower_than_predict(runs, capsys):
    found = best(runs(32), rounds=3, wanted=1)
    with capsys.disabled():
        print(f"\nMobileNetV2, 32 images: model.predict takes {found:.2f} times as long")
    assert found >= 0.9  # equal, give or take what two runs of one program differ by


def test_encoding_once_is_fifteen_times_faster_than_for_each_partition(capsys):
    """Encoding included, twenty partitions of the same images: and the very same accuracies."""
    from sklearn.metrics.pairwise import cosine_similarity

    from meznet_helpers import emojizoo, features
    from meznet_helpers.measure import partitions, repeats
    from meznet_helpers.names import labeler
    from meznet_helpers.prototypes import study

    zoo = emojizoo.render(emojizoo.table().query("animal == 'yes'").slug.head(20), 20, size=64)
    weights, net = partitions.random(zoo.truth, 20), labeler("keras/MobileNet@tiny")

    def once():
        judged = study.judge(features.embed(zoo, net, cache=False), zoo.truth, weights)
        return repeats.by_run(judged, 1)["accuracy"].tolist()

    def each_time():
        found = []
        for weight in weights:
            means = []
            for label in range(20):
                own = np.flatnonzero((weight > 0) & (zoo.truth == label))
                means.append(net.features([zoo.images[at] for at in own]).mean(axis=0))
            judged = np.flatnonzero(weight == 0)
            queries = net.features([zoo.images[at] for at in judged])
            said = cosine_similarity(queries, means).argmax(axis=1)
            found.append(float((said == zoo.truth[judged]).mean()))
        return found

    assert once() == each_time()
    found = best((each_time, once), rounds=1, wanted=15)
    with capsys.disabled():
        print(f"\n20 partitions: encoding for each takes {found:.1f} times as long as once")
    assert found >= 15


@pytest.mark.parametrize(("classes", "width", "wanted"), [(1_000, 1_280, 8), (50_000, 512, 3)])
def test_exact_search_costs_little_more_than_the_product(classes, width, wanted, capsys):
    """One query against all prototypes, against the bare product of its matrix in 32 bits."""
    from meznet_helpers.prototypes import nearest, search

    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(classes, width)).astype(np.float32)
    query, owners = rng.normal(size=(1, width)).astype(np.float32), np.arange(classes)
    norms = search.lengths(vectors)
    pair = (
        lambda: nearest(query, vectors, owners, k=5, norms=norms),
        lambda: query @ vectors.T,
    )
    found = min(ratio(*pair, rounds=15) for _ in range(TRIES))
    with capsys.disabled():
        print(f"\n{classes:,} x {width:,}: exact search takes {found:.1f} times the bare product")
    assert found <= wanted


@pytest.mark.parametrize("method", ["soft", "hard"])
def test_ensembles_are_twenty_times_faster_than_group_by(method, capsys):
    import pandas as pd

    from meznet_helpers.ensembles import METHODS

    shape = (5, 1000, 200)
    raw = np.random.default_rng(0).random(shape, dtype=np.float32)
    probs = raw / raw.sum(axis=2, keepdims=True)
    axes = dict(zip(("model", "image", "label"), np.indices(shape).reshape(3, -1), strict=True))
    names = np.array([f"{place:03}" for place in range(1000)], dtype=object)
    table = pd.DataFrame({axis: names[at] for axis, at in axes.items()})  # tidy, as `top` has it
    table["score"] = probs.ravel()

    def grouped():
        if method == "soft":
            return table.groupby(["image", "label"])["score"].mean()
        votes = table.loc[table.groupby(["image", "model"])["score"].idxmax()]
        return votes.groupby(["image", "label"]).size() / 5

    def combined():
        return METHODS[method](probs)

    at = grouped().reset_index(name="share")
    image, label = at["image"].astype(int), at["label"].astype(int)
    np.testing.assert_allclose(combined()[image, label], at["share"], atol=1e-3)
    found = best((grouped, combined), rounds=5, wanted=20)
    with capsys.disabled():
        print(f"\n{method} votes of 5 nets, 1,000 images: pandas takes {found:.0f} times as long")
    assert found >= 20
