"""Measure chapter 5's speeds: encoding once, and searching. All of it runs on this machine's CPU.

    python data/results/make_prototypes.py

`prototypes/encode-once.csv`: 20 partitions of Emoji Zoo's 5,400 animals, their images encoded once,
and encoded anew for each partition, class by class, as the document does. `prototypes/search.csv`:
milliseconds of a query.
"""

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics.pairwise import cosine_similarity

from meznet_helpers import emojizoo, features, prototypes
from meznet_helpers.images import Dataset
from meznet_helpers.labelers import NetworkLabeler
from meznet_helpers.labels import from_names
from meznet_helpers.measure import partitions, repeats
from meznet_helpers.names import labeler
from meznet_helpers.progress import bar
from meznet_helpers.prototypes import PrototypeIndex, study

HERE = Path(__file__).parent / "prototypes"
NETS = ("timm/regnetx_002@tiny", "timm/tiny_vit_5m_224@tiny")
RUNS = 20
BATCH = 32  # the document's
SIZES = ((1_000, 1_280), (50_000, 512))


def each_time(zoo: Dataset, net: NetworkLabeler, weights: np.ndarray) -> list[float]:
    """Encode for each partition, as the document does; return the accuracies."""
    accuracies = []
    for weight in bar(weights, label=net.name):
        means = []
        for label in range(len(zoo.labels)):
            own = zoo.take(np.flatnonzero((zoo.truth == label) & (weight > 0)))
            means.append(net.features(list(own.images), batch_size=BATCH).mean(axis=0))
        judged = zoo.take(np.flatnonzero(weight == 0))
        queries = net.features(list(judged.images), batch_size=BATCH)
        guesses = cosine_similarity(queries, np.stack(means)).argmax(axis=1)
        accuracies.append(float((guesses == judged.truth).mean()))
    return accuracies


def encode_once() -> pd.DataFrame:
    """Compare both ways, one right after the other."""
    zoo, rows = emojizoo.animals(), []
    weights = partitions.random(zoo.truth, RUNS)
    for name in NETS:
        net = labeler(name)
        net.features([zoo.images[0]] * BATCH)  # load it
        start = time.perf_counter()
        vectors = features.embed(zoo, net, cache=False)
        judged = study.judge(vectors, zoo.truth, weights)
        once = time.perf_counter() - start
        own = repeats.by_run(judged, 1)["accuracy"].tolist()
        start = time.perf_counter()
        theirs = each_time(zoo, net, weights)
        anew = time.perf_counter() - start
        rows.append([name, len(zoo), RUNS, anew / once, sum(np.equal(own, theirs)), np.mean(own)])
    columns = ["model", "images", "partitions", "ratio", "same", "accuracy"]
    return pd.DataFrame(rows, columns=columns)


def best(call: Callable[[], object], rounds: int = 9) -> float:
    """Return the shortest of a few times, seconds."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def search() -> pd.DataFrame:
    """Time the search of one query, and of 256 at once, in memory and mapped from a file."""
    rng, rows = np.random.default_rng(0), []
    for classes, width in SIZES:
        vectors = rng.normal(size=(classes, width)).astype(np.float32)
        labels = from_names([f"class {label}" for label in range(classes)])
        index = PrototypeIndex.fit(vectors, np.arange(classes), labels)
        queries = rng.normal(size=(256, width)).astype(np.float32)
        with tempfile.TemporaryDirectory() as folder:
            file = prototypes.save(index, Path(folder, "index.safetensors"))
            mapped = prototypes.load(file, mapped=True)
            for at_once in (1, 256):
                calls = [partial(own.search, queries[:at_once], 5) for own in (index, mapped)]
                here, there = (1000 * best(call) / at_once for call in calls)
                rows.append([classes, width, at_once, here, there])
    columns = ["classes", "numbers", "at_once", "ms", "ms_mapped"]
    return pd.DataFrame(rows, columns=columns)


def main() -> None:
    """Write data/results/prototypes/."""
    HERE.mkdir(exist_ok=True)
    for name, table in (("search", search()), ("encode-once", encode_once())):
        table.to_csv(HERE / f"{name}.csv", index=False, float_format="%.4f", encoding="utf-8")
        print(table.to_string())


if __name__ == "__main__":
    main()
