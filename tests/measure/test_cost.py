"""Tests of meznet_helpers.measure.timing, on a clock that the tests set."""

from types import SimpleNamespace

import numpy as np
import pytest

from meznet_helpers.measure import timing
from meznet_helpers.measure import timing as cost


class FakeNet:
    """Needs `seconds` per image on the fake clock, and ten times as much for the first batch."""

    def __init__(self, clock, name="net", seconds=0.002, parameters=2_500_000):
        self.clock, self.name, self.seconds = clock, name, seconds
        self.backbone = SimpleNamespace(size=96)
        self.parameters = lambda: parameters
        self.batches, self.released = [], 0

    def release(self):
        self.released += 1

    def probabilities(self, images):
        self.clock.now += self.seconds * len(images) * (1 if self.batches else 10)
        self.batches.append(len(images))
        return np.zeros((len(images), 3), np.float32)


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(cost, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    return clock


IMAGE = np.zeros((8, 8, 3), np.uint8)


def test_latency_is_milliseconds_per_image_without_the_first_run(clock):
    net = FakeNet(clock)
    assert timing.latency(net, IMAGE, batch=4, repeats=5) == pytest.approx(2.0)
    assert net.batches == [4] * 6


def test_latency_is_the_median(clock):
    net = FakeNet(clock)
    plain = net.probabilities

    def hiccup(images):
        clock.now += 5.0 if len(net.batches) == 2 else 0.0
        return plain(images)

    net.probabilities = hiccup
    assert timing.latency(net, IMAGE, repeats=5) == pytest.approx(2.0)


def test_milliseconds_take_turns(clock):
    """One run of each is not counted; of the others, each has its median."""
    runs = []

    def work(name, seconds):
        runs.append(name)
        clock.now += seconds if len(runs) > 2 else 100.0

    works = (lambda: work("a", 0.002), lambda: work("b", 0.001 * len(runs)))
    assert timing.milliseconds(*works, repeats=3) == pytest.approx([2, 5])
    assert runs == ["a", "b"] * 4


def test_measure(clock):
    nets = [FakeNet(clock, "a"), FakeNet(clock, "b", 0.007, 1_000_000)]
    table = timing.measure(nets, IMAGE)
    assert list(table.columns) == ["model", "size", "parameters", "size_mb", "ms", "ratio"]
    np.testing.assert_allclose(table["ms"], [2, 7])
    assert [net.released for net in nets] == [1, 1]
    np.testing.assert_allclose(table["ratio"], [1, 3.5])
    np.testing.assert_allclose(table["parameters"], [2.5, 1])
    np.testing.assert_allclose(table["size_mb"], [10, 4])
    assert table["model"].tolist() == ["a", "b"] and table["size"].tolist() == [96, 96]
