"""Tests of the index of prototypes: against brute force, against refitting, against a kill."""

import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.metrics.pairwise import cosine_similarity, euclidean_distances

from meznet_helpers import prototypes
from meznet_helpers.errors import MeznetError
from meznet_helpers.labels import LabelSpace, from_names
from meznet_helpers.prototypes import PrototypeIndex, nearest, search, storage
from meznet_helpers.prototypes.index import held_out

ANIMALS = from_names(["cat", "dog", "owl"])


def one_by_one(query: np.ndarray, vector: np.ndarray, metric: str) -> float:
    """Compare two vectors in 64 bits, by the textbook."""
    query, vector = query.astype(float), vector.astype(float)
    if metric == "l2":
        return -float(np.sqrt(((query - vector) ** 2).sum()))
    product = float((query * vector).sum())
    if metric == "inner":
        return product
    return product / float(np.sqrt((query**2).sum()) * np.sqrt((vector**2).sum()))


def brute_force(queries, vectors, owners, k, metric):
    """Each query against each prototype; classes sorted by their best, then by position."""
    classes, scores = [], []
    for query in queries:
        best: dict[int, float] = {}
        for vector, owner in zip(vectors, owners.tolist(), strict=True):
            score = one_by_one(query, vector, metric)
            best[owner] = max(score, best.get(owner, -np.inf))
        order = sorted(best, key=lambda owner: (-best[owner], owner))[:k]
        classes.append(order)
        scores.append([best[owner] for owner in order])
    return np.array(classes), np.array(scores)


@pytest.mark.contract
@settings(deadline=None, max_examples=150)
@given(data=st.data(), metric=st.sampled_from(search.METRICS))
def test_search_is_brute_force(data, metric):
    """Ties, near ties, several prototypes, any chunks: the same classes and the same bits."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    classes, width = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 40))
    owners = np.sort(np.concatenate([np.arange(classes), rng.integers(classes, size=12)]))
    if data.draw(st.booleans()):  # small whole numbers: many exact ties
        vectors = rng.integers(-2, 3, (len(owners), width)).astype(np.float32)
        queries = rng.integers(-2, 3, (7, width)).astype(np.float32)
    else:  # near ties: copies that differ by rounding, of any size
        base = rng.normal(size=(3, width)) * 10.0 ** data.draw(st.integers(-3, 6))
        vectors = base[rng.integers(3, size=len(owners))].astype(np.float32)
        vectors = np.nextafter(vectors, rng.choice([-np.inf, np.inf], vectors.shape))
        vectors = vectors.astype(np.float32)
        queries = (base[rng.integers(3, size=7)] * rng.choice([1, 1, 0.7])).astype(np.float32)
    vectors[~vectors.any(axis=1), 0] = queries[~queries.any(axis=1), 0] = 1
    k = data.draw(st.integers(1, classes))
    chunks = {name: data.draw(st.integers(1, 30)) for name in ("rows", "columns")}
    found = nearest(queries, vectors, owners, k=k, metric=metric, **chunks)
    wanted = brute_force(queries, vectors, owners, k, metric)
    assert found[0].tolist() == wanted[0].tolist()
    assert found[1].tolist() == wanted[1].tolist()


@pytest.mark.contract
@pytest.mark.parametrize("metric", search.METRICS)
def test_search_far_from_the_origin(metric):
    """Where products in 32 bits can't tell the prototypes apart, 64 bits do."""
    rng = np.random.default_rng(1)
    vectors = (1000 + rng.normal(size=(60, 16))).astype(np.float32)
    queries = (1000 + rng.normal(size=(20, 16))).astype(np.float32)
    found = nearest(queries, vectors, np.arange(60), k=5, metric=metric)
    wanted = brute_force(queries, vectors, np.arange(60), 5, metric)
    assert found[0].tolist() == wanted[0].tolist()


@pytest.mark.contract
def test_search_at_full_size():
    """As wide as MobileNet's features, with copies: chunks change nothing, scikit-learn agrees."""
    rng = np.random.default_rng(0)
    vectors = np.abs(rng.normal(size=(500, 1280))).astype(np.float32)
    vectors[250:] = vectors[:250]  # exact ties: the first of the two comes first
    queries = np.abs(rng.normal(size=(40, 1280))).astype(np.float32)
    owners = np.arange(500)
    for metric, reference in (
        ("cosine", cosine_similarity(queries, vectors)),
        ("l2", -euclidean_distances(queries.astype(float), vectors.astype(float))),
        ("inner", queries.astype(float) @ vectors.T.astype(float)),
    ):
        whole = nearest(queries, vectors, owners, k=6, metric=metric)
        for rows, columns in ((1, 500), (7, 33), (40, 1)):
            part = nearest(queries, vectors, owners, k=6, metric=metric, rows=rows, columns=columns)
            assert np.array_equal(part[0], whole[0]) and np.array_equal(part[1], whole[1])
        first = np.take_along_axis(reference, whole[0], axis=1)
        np.testing.assert_allclose(whole[1], first, rtol=1e-5)
        assert (whole[0][:, 1::2] == whole[0][:, ::2] + 250).all()


def features(count: int = 30, width: int = 8, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = np.arange(count) % 3
    return (rng.normal(size=(count, width)) + 3 * np.eye(width)[truth]).astype(np.float32), truth


@pytest.mark.parametrize("kind", ["mean", "k-means", "medoid"])
def test_classes_come_and_go(kind):
    """Added one by one, with another removed between: as if it had been fitted to them at once."""
    x, truth = features()
    how = {"kind": kind, "count": 1 if kind == "mean" else 2}
    index = PrototypeIndex(name="labels", **how)
    for at, label in ((1, "dog"), (0, "cat"), (2, "owl")):
        index.add(label, x[truth == at], label)
    kept = index.vectors[index.owners == index.labels.index("owl")].copy()
    index.remove("dog")
    assert index.labels.ids == ("cat", "owl")
    assert np.array_equal(index.vectors[index.owners == 1], kept)
    index.add("dog", x[truth == 1])
    fresh = PrototypeIndex.fit(
        x, np.array([0, 2, 1])[truth], from_names(["cat", "owl", "dog"]), **how
    )
    assert index.labels == fresh.labels
    for name in ("vectors", "owners", "counts"):
        assert np.array_equal(getattr(index, name), getattr(fresh, name)), name
    queries = features(9, seed=5)[0]
    assert index.search(queries, 3).classes.tolist() == fresh.search(queries, 3).classes.tolist()


def test_the_last_class_can_go():
    index = PrototypeIndex()
    index.add("cat", np.ones((2, 4)))
    index.remove("cat")
    assert len(index) == 0
    index.add("dog", np.ones((1, 6)))  # another width is welcome now
    assert index.search(np.ones((1, 6))).names() == [["dog"]]


def test_update_is_a_running_mean():
    x, truth = features(300)
    index = PrototypeIndex.fit(x[:30], truth[:30], ANIMALS)
    others = index.vectors[1:].copy()
    own = np.flatnonzero(truth == 0)
    for at in own[own >= 30]:
        index.update("cat", x[[at]])
    np.testing.assert_allclose(index.vectors[0], x[own].mean(axis=0), rtol=1e-5, atol=1e-6)
    assert index.counts.tolist() == [100, 10, 10]
    assert np.array_equal(index.vectors[1:], others), "another class moved"


def test_update_moves_the_nearest_of_several():
    near, far = np.array([[1.0, 0], [1, 0.1]]), np.array([[0, 5.0], [0.2, 5]])
    index = PrototypeIndex(kind="k-means", count=2)
    index.add("cat", np.concatenate([near, far]))
    index.update("cat", np.array([[1, 0.2]]))
    assert index.counts.tolist() == [3, 2]
    np.testing.assert_allclose(index.vectors, [[1, 0.1], [0.1, 5]], atol=1e-6)


def test_k_means_is_scikit_learns():
    x = features(60)[0]
    index = PrototypeIndex(kind="k-means", count=3)
    index.add("all", x)
    centers = KMeans(3, n_init=1, random_state=0).fit(x).cluster_centers_
    found = index.vectors[np.lexsort(index.vectors.T)]
    np.testing.assert_allclose(found, centers[np.lexsort(centers.T)], atol=1e-5)
    assert index.counts.sum() == 60


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_medoid_is_the_most_central_example(metric):
    x = features(21)[0]
    index = PrototypeIndex(kind="medoid", metric=metric)
    index.add("all", x)
    total = [sum(one_by_one(a, b, metric) for b in x) for a in x]
    assert np.array_equal(index.vectors[0], x[int(np.argmax(total))])


def test_bad_input():
    """One sentence each, which says what would be right; the index stays as it was."""
    x, truth = features()
    index = PrototypeIndex.fit(x, truth, ANIMALS)
    before = index.vectors.copy()
    nan, zero = np.full((1, 8), np.nan), np.zeros((2, 8))
    for words, call in {
        'has a class "cat" already; update it': lambda: index.add("cat", x[:1]),
        '"fox" has no image; give one or more': lambda: index.add("fox", x[:0]),
        'has no label id "owll"; did you mean "owl"': lambda: index.remove("owll"),
        '"fox": embedding 0 holds NaN or infinity': lambda: index.add("fox", nan),
        '"cat": embedding 0 is zero': lambda: index.update("cat", zero),
        "queries: embedding 0 is zero": lambda: index.search(zero),
        "queries: embeddings have 5 numbers each; this index has 8": lambda: index.search(x[:, :5]),
        "queries: embeddings must have shape (images, d), not (8,)": lambda: index.search(x[0]),
        "k is 4; labels has 3 classes, so it must lie between 1 and 3": lambda: index.search(x, 4),
        "k is 0": lambda: index.search(x, 0),
        "has no class yet; add one": lambda: PrototypeIndex().search(x),
        "together: embedding 0 is zero": lambda: index.add("fox", np.array([x[0], -x[0]])),
        "too large": lambda: index.add("fox", x[:1] * np.float32(1e20)),
        'metric is "l1"; choose from cosine, inner, l2': lambda: PrototypeIndex(metric="l1"),
        'kind is "mode"': lambda: PrototypeIndex(kind="mode").add("a", x),
        'count is 2; it must be 1 or more, and 1 for kind "mean"': lambda: PrototypeIndex(
            count=2
        ).add("a", x),
        '"owl" has no image': lambda: PrototypeIndex.fit(x[:2], truth[:2], ANIMALS),
        "30 embeddings need as many labels": lambda: PrototypeIndex.fit(x, truth[:3], ANIMALS),
        "a medoid is one of its class's examples": lambda: PrototypeIndex.fit(
            x, truth, ANIMALS, kind="medoid"
        ).update("cat", x[:1]),
        "keep is 0": lambda: index.fit_threshold(x, 0),
    }.items():
        with pytest.raises(MeznetError) as error:
            call()
        assert words in str(error.value), str(error.value)
        assert "\n" not in str(error.value)
    assert index.labels == ANIMALS and np.array_equal(index.vectors, before)


def test_a_class_with_one_image_is_fine():
    index = PrototypeIndex(kind="k-means", count=4)
    index.add("cat", np.ones((1, 3)))
    assert index.counts.tolist() == [1]


def test_threshold_keeps_its_share():
    x, truth = features(400)
    index = PrototypeIndex.fit(x[:200], truth[:200], ANIMALS)
    index.fit_threshold(x[200:], keep=0.9)
    assert index.search(x[200:]).known.mean() == 0.9
    assert not index.search(-index.vectors).known.any()
    index.fit_threshold(x[200:], keep=1)
    assert index.search(x[200:]).known.all()


def test_probabilities_are_softmax_and_the_scale_is_the_best():
    x, truth = features(400)
    index = PrototypeIndex.fit(x[:200], truth[:200], ANIMALS)
    scores = cosine_similarity(x[200:], index.vectors)

    def loss(scale: float) -> float:
        shares = np.exp(scale * (scores - 1))
        shares /= shares.sum(axis=1, keepdims=True)
        return -np.log(shares[np.arange(200), truth[200:]]).mean()

    found = index.fit_scale(x[200:], truth[200:])
    assert loss(found) <= min(loss(0.98 * found), loss(1.02 * found), loss(1), loss(100))
    shares = np.exp(found * scores)
    wanted = shares / shares.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(index.probabilities(x[200:]), wanted, atol=1e-6)


def test_calibration_judges_what_was_held_out():
    """The fifth, the tenth ... of each class set scale and threshold; all make the means."""
    x, truth = features(60)
    index = PrototypeIndex.fit_calibrated(x, truth, ANIMALS)
    chosen = held_out(truth)
    assert chosen.sum() == 12 and np.bincount(truth[chosen]).tolist() == [4, 4, 4]
    part = PrototypeIndex.fit(x[~chosen], truth[~chosen], ANIMALS)
    assert index.threshold == part.fit_threshold(x[chosen])
    assert index.scale == part.fit_scale(x[chosen], truth[chosen])
    assert np.array_equal(index.vectors, PrototypeIndex.fit(x, truth, ANIMALS).vectors)
    assert np.isneginf(PrototypeIndex.fit_calibrated(x[:9], truth[:9], ANIMALS).threshold)


@pytest.fixture
def file(tmp_path) -> Path:
    x, truth = features()
    space = LabelSpace("zoo", ["cat", "dog", "owl"], ["Katze", "Hund", "Eule ✓"])
    own = {"kind": "k-means", "count": 2, "metric": "l2", "backbone": "net", "digest": "0123"}
    index = PrototypeIndex.fit(x, truth, space, **own)
    index.threshold, index.scale = -2.5, 3.0
    return prototypes.save(index, tmp_path / "zoo.safetensors")


@pytest.mark.parametrize("mapped", [False, True])
def test_a_file_holds_all_of_it(file, mapped):
    index, x = prototypes.load(file, mapped=mapped), features(9, seed=3)[0]
    assert index.labels.ids == ("cat", "dog", "owl") and index.labels.names[2] == "Eule ✓"
    own = {name: getattr(index, name) for name in storage.FIELDS}
    assert own == {
        "metric": "l2", "kind": "k-means", "count": 2, "backbone": "net", "digest": "0123",
        "threshold": -2.5, "scale": 3.0,
    }  # fmt: skip
    assert index.counts.sum() == 30
    fresh = PrototypeIndex.fit(*features(), index.labels, kind="k-means", count=2, metric="l2")
    found, wanted = index.search(x, 3), fresh.search(x, 3)
    assert np.array_equal(found.scores, wanted.scores)
    assert found.classes.tolist() == wanted.classes.tolist()
    assert isinstance(index.vectors, np.memmap) == mapped
    index.add("fox", x[:1])  # in memory; the file stays
    assert len(prototypes.load(file)) == 3


def test_a_mapped_reader_keeps_its_version(file):
    reader, x = prototypes.load(file, mapped=True), features(9, seed=3)[0]
    before = reader.search(x, 3).scores
    with prototypes.editing(file) as index:
        for label in ("cat", "dog", "owl"):
            index.update(label, 10 * x)
    assert np.array_equal(reader.search(x, 3).scores, before)
    assert not np.array_equal(prototypes.load(file).search(x, 3).scores, before)


def test_files_that_are_no_index(file, tmp_path):
    from safetensors.numpy import load_file, save_file

    whole = file.read_bytes()
    for size in (0, 4, 100, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut").write_bytes(whole[:size])
        with pytest.raises(MeznetError, match="cut is cut off, or no index of prototypes"):
            prototypes.load(tmp_path / "cut")
    save_file({"a": np.ones(1)}, tmp_path / "foreign")
    with pytest.raises(MeznetError, match="no index of prototypes: it lacks"):
        prototypes.load(tmp_path / "foreign")
    tensors = load_file(file)
    tensors["owners"] = tensors["owners"] + 1
    from safetensors import safe_open

    with safe_open(file, "np") as whole:
        unsealed = whole.metadata()["meznet"].replace('"sha256"', '"older"')
    save_file(tensors, tmp_path / "odd", {"meznet": unsealed})
    with pytest.raises(MeznetError, match="its tensors do not fit its labels"):
        prototypes.load(tmp_path / "odd")
    (tmp_path / "folder").mkdir()
    with pytest.raises(MeznetError, match="folder is not there"):
        prototypes.load(tmp_path / "folder")
    with pytest.raises(MeznetError, match="can't be written"):
        prototypes.save(prototypes.load(file), file / "index")


def test_an_error_while_editing_changes_nothing(file):
    before = file.read_bytes()
    with pytest.raises(MeznetError, match="already"), prototypes.editing(file) as index:
        index.remove("owl")
        index.add("cat", np.ones((1, 8)))
    assert file.read_bytes() == before
    assert [each.name for each in file.parent.iterdir() if ".part" in each.name] == []


ADDING = """
import sys
import numpy as np
from meznet_helpers import prototypes
file, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for number in range(first, last):
    with prototypes.editing(file) as index:
        index.add(f"class-{number}", np.random.default_rng(number).normal(size=(2, 32)))
    print(number, flush=True)
"""


@pytest.mark.nets
def test_a_kill_loses_nothing_that_was_acknowledged(tmp_path):
    """A thousand adds, killed again and again: each version that a reader sees is whole."""
    file = prototypes.save(PrototypeIndex(name="many"), tmp_path / "many.safetensors")
    stop, seen = threading.Event(), [0]

    def watch() -> None:
        while not stop.is_set():
            seen.append(len(prototypes.load(file)))

    reader = threading.Thread(target=watch)
    reader.start()
    done, kills, rng = 0, 0, np.random.default_rng(0)
    while done < 1000:
        command = [sys.executable, "-c", ADDING, str(file), str(done), "1000"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            said, enough = [], int(rng.integers(50, 300))
            for line in writer.stdout:
                said.append(int(line))
                if len(said) == enough:
                    time.sleep(float(rng.uniform(0, 0.01)))
                    os.kill(writer.pid, signal.SIGKILL)
                    kills += 1
        there = len(prototypes.load(file))
        assert there >= (said[-1] + 1 if said else done), "an acknowledged class is lost"
        assert there <= (said[-1] + 2 if said else done + 1), "a class came from nowhere"
        done = there
    stop.set()
    reader.join()
    assert kills >= 3 and seen == sorted(seen), "a reader saw an older version after a newer one"
    index = prototypes.load(file)
    for number in range(0, 1000, 50):
        mean = np.random.default_rng(number).normal(size=(2, 32)).astype(np.float32).mean(axis=0)
        place = index.labels.index(f"class-{number}")
        np.testing.assert_allclose(index.vectors[place], mean, rtol=1e-6, atol=1e-7)


@pytest.mark.nets
def test_two_writers_take_turns(file):
    """Both processes' classes are there in the end."""
    commands = [
        [sys.executable, "-c", ADDING.replace("32", "8"), str(file), str(first), str(first + 40)]
        for first in (0, 40)
    ]
    writers = [subprocess.Popen(command, stdout=subprocess.PIPE) for command in commands]
    for writer in writers:
        assert len(writer.communicate()[0].split()) == 40 and writer.returncode == 0
    assert len(prototypes.load(file)) == 83


def test_the_documents_table(tmp_path):
    """Written by the document's own few lines with pandas, and read by them."""
    x, names = features(4, seed=2)[0], ["cat", "big dog", "NA", "owl"]
    table = pd.DataFrame(data=x)
    table.insert(loc=0, column="target", value=names)
    packing = {"method": "zip", "archive_name": "embeddings.csv"}
    table.to_csv(tmp_path / "theirs.zip", index=False, compression=packing)
    index = prototypes.read_csv(tmp_path / "theirs.zip", backbone="net")
    assert index.labels.names == tuple(names) and index.labels.ids[1] == "big-dog"
    assert np.array_equal(index.vectors, x) and index.counts.tolist() == [1, 1, 1, 1]
    assert (index.kind, index.backbone) == ("mean", "net")
    prototypes.write_csv(index, tmp_path / "ours.zip")
    again = pd.read_csv(tmp_path / "ours.zip", keep_default_na=False)
    assert again.iloc[:, 0].tolist() == names
    assert np.array_equal(again.iloc[:, 1:].to_numpy(np.float32), x)


def test_tables_with_several_rows_of_a_class(file, tmp_path):
    index = prototypes.load(file)
    back = prototypes.read_csv(prototypes.write_csv(index, tmp_path / "a.zip"), metric="l2")
    assert np.array_equal(back.vectors, index.vectors)
    assert back.owners.tolist() == index.owners.tolist() and back.kind == "k-means"


def test_tables_that_are_none(tmp_path):
    for name, text, words in (
        ("columns", "label,0\ncat,1", "its columns are not"),
        ("word", "target,0\ncat,one", "could not convert string to float"),
        ("nan", "target,0\ncat,nan", "its rows: embedding 0 holds NaN"),
        ("empty", "", "its columns are not"),
    ):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as packed:
            packed.writestr("table.csv", text)
        with pytest.raises(MeznetError, match=words):
            prototypes.read_csv(tmp_path / f"{name}.zip")
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as packed:
        packed.writestr("a.csv", "target,0\n")
        packed.writestr("b.csv", "target,0\n")
    (tmp_path / "text.zip").write_text("no zip", encoding="utf-8")
    for name in ("two", "text"):
        with pytest.raises(MeznetError, match="is no zipped table of prototypes"):
            prototypes.read_csv(tmp_path / f"{name}.zip")
