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


@pytest.mark.parametrize("method", ["soft", "hard"])
def test_ensembles_are_twenty_times_faster_than_group_by(method, capsys):
    import pandas as pd

    from meznet_helpers.ensemble import METHODS

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
