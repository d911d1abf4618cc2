"""Tests of meznet_helpers.predictions.table and of the modules it rests on."""

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from meznet_helpers.errors import MeznetError
from meznet_helpers.labels import from_names
from meznet_helpers.predictions import Predictions, top_indices

SPACE = from_names(["cat", "dog", "owl", "cow"])


def made(models=("a", "b"), images=("x", "y", "z"), space=SPACE, seed=0, **more):
    raw = np.random.default_rng(seed).random((len(models), len(images), len(space.ids)))
    probs = (raw / raw.sum(axis=2, keepdims=True)).astype(np.float32)
    return Predictions(probs, models, images, space, **more)


def brute_top(p, k):
    """The slow way: every score as a row, sorted stably, the first k of each group."""
    rows = [
        (image, model, i, label_id, label, p.probs[m, n, i])
        for n, image in enumerate(p.images)
        for m, model in enumerate(p.models)
        for i, (label_id, label) in enumerate(zip(p.labels.ids, p.labels.names, strict=True))
    ]
    table = pd.DataFrame(rows, columns=["image", "model", "rank", "label_id", "label", "score"])
    groups = [
        group.sort_values("score", ascending=False, kind="stable").head(k)
        for _, group in table.groupby(["image", "model"], sort=False)
    ]
    table = pd.concat(groups, ignore_index=True)
    table["rank"] = table.groupby(["image", "model"], sort=False).cumcount() + 1
    return table


@st.composite
def some_predictions(draw):
    models, images, labels = (draw(st.integers(1, n)) for n in (3, 4, 9))
    steps = draw(st.sampled_from([1, 2, 1000]))  # few steps: many ties
    raw = draw(arrays(np.float64, (models, images, labels), elements=st.integers(0, steps)))
    raw = raw + (raw.sum(axis=2, keepdims=True) == 0)
    space = from_names([f"label {i}" for i in range(labels)])
    names = [f"m{9 - i}" for i in range(models)], [f"i{9 - i}" for i in range(images)]
    return Predictions(raw / raw.sum(axis=2, keepdims=True), *names, space)


@settings(max_examples=60, deadline=None)
@given(some_predictions(), st.integers(1, 11))
def test_top_equals_brute_force(p, k):
    expected = brute_top(p, k)
    pd.testing.assert_frame_equal(p.top(k), expected, check_exact=True)
    assert p.top(k)["score"].dtype == np.float32


@settings(max_examples=60, deadline=None)
@given(arrays(np.float32, (5, 12), elements=st.sampled_from([0.0, 0.25, 0.5])), st.integers(1, 12))
def test_top_indices_is_a_stable_sort(scores, k):
    expected = np.argsort(-scores, axis=-1, kind="stable")[:, :k]
    np.testing.assert_array_equal(top_indices(scores, k), expected)


def test_top_refuses_a_senseless_k():
    for k in (0, -1, 2.0, "5"):
        with pytest.raises(MeznetError, match="k must"):
            made().top(k)


def test_top_of_no_images():
    table = made(images=()).top(2)
    assert len(table) == 0
    assert list(table.columns) == ["image", "model", "rank", "label_id", "label", "score"]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"models": ["a"]}, "probs has 2 models, but 1 models are named"),
        ({"images": ["x"]}, "probs has 3 images"),
        ({"labels": from_names(["cat", "dog"])}, "probs has 4 labels, but 2"),
        ({"labels": ["cat", "dog", "owl", "cow"]}, "LabelSpace, not list"),
        ({"models": ["a", "a"]}, 'models must be unique, but "a"'),
        ({"images": ["x", "y", "x"]}, 'images must be unique, but "x"'),
        ({"images": [1, 2, 3]}, "images must be names"),
        ({"probs": np.ones((2, 3))}, "three axes"),
        ({"probs": [["a"]]}, "array of numbers"),
        ({"probs": [[[1.0], [1.0, 2.0]]]}, "array of numbers"),
    ],
)
def test_shapes_and_names_are_checked(change, match):
    good = made()
    fields = {name: getattr(good, name) for name in ("probs", "models", "images", "labels")}
    with pytest.raises(MeznetError, match=match):
        Predictions(**fields | change)


@pytest.mark.parametrize(
    ("value", "match"),
    [
        (np.nan, 'NaN or infinite for image "z" by model "b"'),
        (np.inf, "NaN or infinite"),
        (1e300, "NaN or infinite"),
        (-0.5, 'negative for image "z" by model "b"'),
        (0.9, "sums to .* instead of 1"),
    ],
)
def test_values_are_checked(value, match):
    probs = np.full((2, 3, 4), 0.25)
    probs[1, 2, 3] = value
    with pytest.raises(MeznetError, match=match):
        Predictions(probs, ["a", "b"], ["x", "y", "z"], SPACE)


def test_sums_may_be_anything_where_asked():
    probs = np.full((1, 1, 4), 0.9)
    assert Predictions(probs, ["a"], ["x"], SPACE, tolerance=None).probs.sum() > 3
    with pytest.raises(MeznetError, match="negative"):
        Predictions(-probs, ["a"], ["x"], SPACE, tolerance=None)


def test_sums_within_the_tolerance():
    for sum_, fine in [(1.0009, True), (0.9991, True), (1.0012, False), (0.9988, False)]:
        probs = np.full((1, 1, 4), sum_ / 4)
        if fine:
            Predictions(probs, ["a"], ["x"], SPACE)
        else:
            with pytest.raises(MeznetError, match="instead of 1"):
                Predictions(probs, ["a"], ["x"], SPACE)


def test_probs_are_float32_and_read_only():
    mine = np.full((1, 1, 4), 0.25, dtype=np.float32)
    p = Predictions(mine, "a", "x", SPACE)
    assert p.probs.dtype == np.float32
    assert np.shares_memory(p.probs, mine)
    with pytest.raises(ValueError, match="read-only"):
        p.probs[0, 0, 0] = 1
    mine[0, 0, 0] = 0.25  # the caller's own array stays writable
    assert p.models == ("a",)


def test_repr_is_short():
    assert repr(made()) == "Predictions(2 models x 3 images x 4 labels: a, b)"
    assert repr(made(models=[*"abcdef"])).endswith("labels: a, b, c, d, ...)")


def test_select_keeps_the_order_asked_for():
    p = made()
    part = p.select(models=["b", "a"], images=["z", "x"])
    assert (part.models, part.images) == (("b", "a"), ("z", "x"))
    np.testing.assert_array_equal(part.probs, p.probs[[1, 0]][:, [2, 0]])
    assert p.select(images="y").images == ("y",)
    assert p.select().images == p.images


def test_select_refuses():
    p = made(images=("cat.png", "dog.png"))
    with pytest.raises(MeznetError, match=r'no image "cat.jpg"; did you mean "cat.png"'):
        p.select(images=["cat.jpg"])
    with pytest.raises(MeznetError, match='no model "zzz"; there are 2'):
        p.select(models=["zzz"])
    with pytest.raises(MeznetError, match="unique"):
        p.select(models=["a", "a"])


def test_join_and_concat_undo_select():
    p = made()
    parts = [p.select(models=name) for name in p.models]
    np.testing.assert_array_equal(Predictions.join(*parts).probs, p.probs)
    assert Predictions.join(*parts).models == p.models
    parts = [p.select(images=name) for name in p.images]
    together = parts[0].concat(*parts[1:])
    np.testing.assert_array_equal(together.probs, p.probs)
    assert (together.images, together.models) == (p.images, p.models)


@settings(max_examples=40, deadline=None)
@given(some_predictions(), st.data())
def test_restricted_to_fewer_labels(p, data):
    """By a loop; the kept probabilities keep their ratios, and sum to 1."""
    kept = data.draw(st.lists(st.sampled_from(p.labels.names), min_size=1, unique=True))
    space = from_names(kept, name="some")
    places = [p.labels.names.index(name) for name in kept]
    if (p.probs[..., places].sum(axis=2) == 0).any():
        with pytest.raises(MeznetError, match=r'image "i\d" has no probability for any .* of some'):
            p.restrict(space)
        return
    found = p.restrict(space)
    assert (found.models, found.images, found.labels) == (p.models, p.images, space)
    for model, image in np.ndindex(*found.probs.shape[:2]):
        wanted = [float(p.probs[model, image, place]) for place in places]
        np.testing.assert_allclose(
            found.probs[model, image], np.array(wanted) / sum(wanted), rtol=1e-6
        )


def test_restricted_to_labels_that_are_not_there():
    with pytest.raises(MeznetError, match="bat"):
        made().restrict(from_names(["cat", "bat"]))


def test_join_takes_the_widest_tolerance():
    a, b = made(("a",), tolerance=1e-2), made(("b",))
    assert a.join(b).tolerance == b.join(a).tolerance == 1e-2
    assert a.join(made(("b",), tolerance=None)).tolerance is None


def test_join_refuses():
    a = made(("a",))
    for other, match in [
        (made(("b",), images=("x", "y", "w")), "part 2 has other images than part 1: 'w' is in"),
        (made(("b",), images=("z", "y", "x")), "in another order"),
        (made(("b",), space=from_names(["cat", "dog", "owl", "hen"])), "part 2 has other labels"),
        (made(("a",)), 'models must be unique, but "a"'),
        ("b", "part 2 is no Predictions but str"),
    ]:
        with pytest.raises(MeznetError, match=match):
            a.join(other)
    with pytest.raises(MeznetError, match="other models"):
        a.concat(made(("b",), images=("w",)))


def test_saved_and_loaded(tmp_path):
    p = made(images=("x.png", "Ä ü.png", "odd\udcff.png"), tolerance=0.25)
    path = p.save(tmp_path / "new folder" / "p.safetensors")
    back = Predictions.load(path)
    np.testing.assert_array_equal(back.probs, p.probs)
    for field in ("models", "images", "tolerance"):
        assert getattr(back, field) == getattr(p, field)
    for field in ("name", "ids", "names", "lemmas", "definitions"):
        assert getattr(back.labels, field) == getattr(p.labels, field)
    assert [file.name for file in path.parent.iterdir()] == ["p.safetensors"]


def test_saving_twice_gives_the_same_bytes(tmp_path):
    first, second = (made().save(tmp_path / name).read_bytes() for name in ("1", "2"))
    assert first == second


def test_half_precision_costs_what_it_says(tmp_path):
    space = from_names([f"label {i}" for i in range(200)])
    p = made(images=[str(i) for i in range(50)], space=space)
    path = p.save(tmp_path / "half", half=True)
    assert path.stat().st_size < 0.7 * p.save(tmp_path / "whole").stat().st_size
    back = Predictions.load(path)
    assert back.probs.dtype == np.float32
    np.testing.assert_array_equal(back.probs, p.probs.astype(np.float16))
    np.testing.assert_allclose(back.probs, p.probs, rtol=2**-11, atol=3e-8)


@pytest.mark.parametrize("half", [False, True])
def test_compressed_files_hold_the_same(half, tmp_path):
    space = from_names([f"label {i}" for i in range(200)])
    p = made(images=[f"{i}\udcff" for i in range(50)], space=space)
    plain = Predictions.load(p.save(tmp_path / "p.safetensors", half=half))
    packed = Predictions.load(p.save(tmp_path / "p.safetensors.gz", half=half))
    np.testing.assert_array_equal(packed.probs, plain.probs)
    assert (packed.models, packed.images) == (p.models, p.images)
    assert packed.labels == p.labels and packed.probs.dtype == np.float32
    first = (tmp_path / "p.safetensors.gz").read_bytes()
    assert first == p.save(tmp_path / "p.safetensors.gz", half=half).read_bytes()
    with gzip.open(tmp_path / "p.safetensors.gz") as file:
        assert len(file.read()) > len(first)


def test_a_compressed_file_that_is_cut_short(tmp_path):
    path = made().save(tmp_path / "p.safetensors.gz")
    whole = path.read_bytes()
    for content in (whole[:-9], whole[:40], whole[:12] + b"xx" + whole[14:], b""):
        path.write_bytes(content)
        with pytest.raises(MeznetError, match=r"p\.safetensors\.gz holds no predictions"):
            Predictions.load(path)


def test_half_precision_refuses_what_could_not_be_loaded(tmp_path):
    p = Predictions(np.full((1, 1, 3), 1 / 3), ["a"], ["x"], from_names([*"abc"]), tolerance=1e-6)
    with pytest.raises(MeznetError, match="instead of 1"):
        p.save(tmp_path / "p", half=True)
    assert not list(tmp_path.iterdir())


def test_load_refuses_other_files(tmp_path):
    from safetensors.numpy import save_file

    with pytest.raises(MeznetError, match="is not there"):
        Predictions.load(tmp_path / "none")
    weights = tmp_path / "weights.safetensors"
    save_file({"probs": np.zeros(3)}, weights)
    text = tmp_path / "text"
    text.write_text("hello", encoding="utf-8")
    odd = tmp_path / "odd"
    save_file({"probs": np.zeros(3)}, odd, {"meznet": "[]"})
    other = tmp_path / "other"
    save_file({"probs": np.zeros(3)}, other, {"meznet": '{"kind": "something else"}'})
    good = made().save(tmp_path / "good")
    cut = tmp_path / "cut"
    cut.write_bytes(good.read_bytes()[:-10])
    for path in (weights, text, odd, other, cut):
        with pytest.raises(MeznetError, match=f"{path.name} holds no predictions"):
            Predictions.load(path)


def described(path: Path) -> dict:
    """Return what a file of predictions says of them, without its digest."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        about = json.loads(file.metadata()["meznet"])
    return {key: value for key, value in about.items() if key != "sha256"}


FITTING = np.full((2, 3, 4), 0.25, np.float32)


@pytest.mark.parametrize(
    ("probs", "about", "said"),
    [
        (0 * FITTING, {}, "probs sums to 0 instead of 1"),
        (FITTING * np.nan, {}, "finite"),
        (FITTING[:, :2], {}, "images"),
        (FITTING[0], {}, "axes|shape"),
        (FITTING.astype(np.float64), {}, "they are float64"),
        (FITTING, {"models": "ab"}, 'its "models" is ab'),
        (FITTING, {"models": [1, 2]}, "."),
        (FITTING, {"tolerance": float("nan")}, 'its "tolerance" is nan'),
        (FITTING, {"labels": {"name": "pets", "ids": "abcd", "names": []}}, 'its "ids" is abcd'),
        (FITTING, {"labels": None}, 'its "labels" is None'),
        (FITTING, {"kind": "pets-1"}, "another kind"),
        (FITTING, {"more": 1}, "more"),
    ],
)
def test_load_checks_the_values(probs, about, said, tmp_path):
    from safetensors.numpy import save_file

    known = described(made().save(tmp_path / "good"))
    save_file({"probs": probs}, tmp_path / "bad", {"meznet": json.dumps(known | about)})
    with pytest.raises(MeznetError, match=f"bad holds no predictions .*({said})") as caught:
        Predictions.load(tmp_path / "bad")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["p.safetensors", "p.safetensors.gz"])
def test_each_flipped_bit_is_noticed(name, tmp_path):
    good = made()
    path = good.save(tmp_path / name)
    whole, rng, same = path.read_bytes(), np.random.default_rng(0), 0
    for place in rng.permutation(8 * len(whole))[:200].tolist():
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:
            found = Predictions.load(path)
        except MeznetError:
            continue
        same += 1  # a time or a name in the head of gzip, say
        np.testing.assert_array_equal(found.probs, good.probs)
        assert (found.models, found.images, found.labels) == (good.models, good.images, good.labels)
    assert same < (20 if path.suffix == ".gz" else 1)


def test_files_that_unpack_to_gigabytes_are_refused(tmp_path, monkeypatch):
    from meznet_helpers.predictions import table

    monkeypatch.setattr(table, "MAX_BYTES", 10**6)
    (tmp_path / "p.gz").write_bytes(gzip.compress(bytes(10**7)))
    with pytest.raises(MeznetError, match="it unpacks to more than"):
        Predictions.load(tmp_path / "p.gz")


def test_a_file_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(MeznetError, match="can't be written"):
        made().save(tmp_path / "file" / "p.safetensors")


def test_import_is_light(fresh_python):
    modules = "meznet_helpers.predictions, meznet_helpers.measure, meznet_helpers.assets.store"
    code = f"import sys, {modules}\n"
    heavy = "{'pandas', 'scipy', 'safetensors', 'pooch', 'requests', 'tensorflow', 'torch'}"
    assert fresh_python(code + f"print(sorted({heavy} & set(sys.modules)))").strip() == "[]"
