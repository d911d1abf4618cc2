"""Ratios measured in one run, so that the speed of the machine cancels out: reported, not judged.

Where the two ways of a pair must find the same, that is asserted.
"""

import time

import numpy as np
import pytest

pytestmark = pytest.mark.budget


def seconds(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def ratio(slow, fast, rounds):
    """Median seconds of `slow` over those of `fast`, taken in turns."""
    times = np.array([[seconds(slow), seconds(fast)] for _ in range(rounds)])
    return float(np.divide(*np.median(times, axis=0)))


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


@pytest.mark.parametrize(("count", "rounds", "wanted"), [(1, 15, 3), (32, 3, 0.9)])
def test_compiled_and_predict(count, rounds, wanted, runs, report):
    found = ratio(*runs(count), rounds)
    report(f"MobileNetV2, batch of {count}: model.predict / compiled", found, at_least=wanted)


def test_encoding_once_and_for_each_partition(report):
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
    found = ratio(each_time, once, rounds=1)
    report("20 partitions: encoding for each / once", found, at_least=15)


@pytest.mark.parametrize(("classes", "width", "wanted"), [(1_000, 1_280, 8), (50_000, 512, 3)])
def test_exact_search_and_the_product(classes, width, wanted, report):
    """One query against all prototypes, against the bare product of its matrix in 32 bits."""
    from meznet_helpers.prototypes import nearest, search

    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(classes, width)).astype(np.float32)
    query, owners = rng.normal(size=(1, width)).astype(np.float32), np.arange(classes)
    norms = search.lengths(vectors)
    found = ratio(
        lambda: nearest(query, vectors, owners, k=5, norms=norms),
        lambda: query @ vectors.T,
        rounds=15,
    )
    report(f"{classes:,} x {width:,}: exact search / bare product", found, at_most=wanted)


@pytest.mark.parametrize("method", ["soft", "hard"])
def test_ensembles_and_group_by(method, report):
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
    found = ratio(grouped, combined, rounds=5)
    report(f"{method} votes of 5 nets on 1,000 images: pandas / ours", found, at_least=20)
