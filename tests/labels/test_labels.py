"""Tests of meznet_helpers.labels: label spaces, exact joins, and the exhibit's fuzzy match."""

import importlib.util
import json
import re
import unicodedata

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open

from meznet_helpers import emojizoo, labels
from meznet_helpers.assets import profile
from meznet_helpers.book import bookkeeping
from meznet_helpers.errors import MeznetError
from meznet_helpers.labels import LabelSpace

# The source exhibit's validation table: 20 images of Tiny-ImageNet and their ids.
EXHIBIT = {
    "val_5.JPEG": "n04399382",
    "val_63.JPEG": "n03355925",
    "val_108.JPEG": "n02124075",
    "val_229.JPEG": "n04285008",
    "val_242.JPEG": "n02099601",
    "val_384.JPEG": "n01910747",
    "val_899.JPEG": "n04285008",
    "val_1110.JPEG": "n07753592",
    "val_1536.JPEG": "n02793495",
    "val_4862.JPEG": "n04008634",
    "val_4985.JPEG": "n04487081",
    "val_5359.JPEG": "n02415577",
    "val_7609.JPEG": "n03085013",
    "val_7624.JPEG": "n04133789",
    "val_7736.JPEG": "n03854065",
    "val_8193.JPEG": "n04311004",
    "val_9426.JPEG": "n01644900",
    "val_9432.JPEG": "n02206856",
    "val_9464.JPEG": "n07734744",
    "val_9579.JPEG": "n07920052",
}


# --- ImageNet and Tiny-ImageNet


def test_imagenet_has_sorted_ids_and_words_for_each():
    space = labels.imagenet()
    assert len(space) == 1000
    assert list(space.ids) == sorted(space.ids)
    assert all(space.names) and all(space.definitions) and all(map(all, space.lemmas))
    assert space.names == tuple(words[0] for words in space.lemmas)
    assert space.lemmas[space.index("n02123045")] == ("tabby", "tabby cat")
    assert space.definitions[space.index("n02123045")].startswith("a cat with a grey or tawny coat")


def test_tiny_imagenet_is_a_sorted_part_of_imagenet():
    tiny, space = labels.tiny_imagenet(), labels.imagenet()
    assert len(tiny) == 200
    assert list(tiny.ids) == sorted(tiny.ids)
    assert all(label_id in space for label_id in tiny.ids)
    assert all(tiny.definitions)
    assert len(set(tiny.names)) == 200


def test_names_are_keras_names(real):
    path = real / "keras" / "models" / "imagenet_class_index.json"
    index = json.loads(path.read_text(encoding="utf-8"))
    space = labels.imagenet()
    assert [index[str(each)][0] for each in range(1000)] == list(space.ids)
    names = [index[str(each)][1].replace("_", " ") for each in range(1000)]
    assert names == list(space.names)


def test_tiny_imagenet_ids_and_words_are_the_published_ones(real):
    published = (real / "tiny-imagenet-200" / "wnids.txt").read_text(encoding="utf-8").split()
    tiny = labels.tiny_imagenet()
    assert sorted(published) == list(tiny.ids)
    lines = (real / "tiny-imagenet-200" / "words.txt").read_text(encoding="utf-8").splitlines()
    words = dict(line.split("\t") for line in lines)
    assert {each: tiny.words(each) for each in tiny.ids} == {each: words[each] for each in tiny.ids}


def test_all_validation_images_join(real):
    path = real / "tiny-imagenet-200" / "val" / "val_annotations.txt"
    table = pd.read_csv(path, sep="\t", header=None, usecols=[0, 1], names=["image", "label_id"])
    joined = labels.join(table, labels.tiny_imagenet())
    assert len(joined) == 10_000
    assert joined["image"].tolist() == table["image"].tolist()
    found = joined.set_index("image").loc[list(EXHIBIT), "label_id"]
    assert found.to_dict() == EXHIBIT


def test_spaces_load_neither_timm_nor_a_framework(fresh_python):
    code = (
        "import sys; from meznet_helpers import labels; labels.imagenet(); labels.tiny_imagenet();"
        "print(sorted({'timm', 'torch', 'tensorflow', 'keras', 'pandas'} & set(sys.modules)))"
    )
    assert fresh_python(code).strip() == "[]"


def test_missing_timm_is_said(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MeznetError, match="comes with timm; install timm"):
        labels.imagenet.__wrapped__()


def test_table_without_an_id_is_said(monkeypatch, tmp_path):
    spec = type("Spec", (), {"submodule_search_locations": [str(tmp_path)]})
    folder = tmp_path / "data" / "_info"
    folder.mkdir(parents=True)
    (folder / "imagenet_synsets.txt").write_text("n1\nn2\n", encoding="utf-8")
    (folder / "imagenet_synset_to_lemma.txt").write_text("n1\tone\n", encoding="utf-8")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(MeznetError, match=r"imagenet_synset_to_lemma\.txt lacks n2"):
        labels.imagenet.__wrapped__()


# --- LabelSpace


def test_label_space_fills_what_is_left_out():
    space = LabelSpace("pets", ["cat", "dog"], ["house cat", "dog"])
    assert space.lemmas == (("house cat",), ("dog",))
    assert space.definitions == ("", "")
    assert repr(space) == "LabelSpace('pets', 2 labels)"


def test_label_space_is_frozen():
    with pytest.raises(AttributeError):
        labels.imagenet().ids = ()


def test_equality_is_by_ids_in_order():
    one = LabelSpace("a", ["x", "y"], ["X", "Y"])
    same = LabelSpace("b", ["x", "y"], ["ex", "why"])
    other = LabelSpace("a", ["y", "x"], ["Y", "X"])
    assert one == same and hash(one) == hash(same)
    assert one != other
    assert one != ("x", "y")


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"ids": ["a", "a"], "names": ["A", "B"]}, 'the id "a" comes twice'),
        ({"ids": ["a"], "names": ["A", "B"]}, "1 ids need as many names, not 2"),
        ({"ids": ["a"], "names": ["A"], "definitions": ["", ""]}, "as many definitions, not 2"),
        ({"ids": ["a"], "names": ["A"], "lemmas": [["A"], ["B"]]}, "as many lemmas, not 2"),
        ({"ids": [""], "names": ["A"]}, "an id must be a text, not ''"),
        ({"ids": [7], "names": ["A"]}, "an id must be a text, not 7"),
    ],
)
def test_label_space_refuses(fields, sentence):
    with pytest.raises(MeznetError, match=sentence):
        LabelSpace("pets", **fields)


def test_index_and_indices_go_back_to_ids():
    space = labels.imagenet()
    order = np.random.default_rng(0).permutation(1000)
    found = space.indices([space.ids[each] for each in order])
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, order)
    assert space.indices([]).shape == (0,)


@pytest.mark.parametrize(
    ("wrong", "suggestion"),
    [
        ("n0212304", "n02123045"),
        ("Golden_Retriever", r"nearest: n02099601 \(golden retriever\)\.$"),
        ("crane", r"n02012849 \(crane\), n03126707 \(crane\)"),
    ],
)
def test_unknown_id_gets_suggestions(wrong, suggestion):
    with pytest.raises(MeznetError, match=rf'imagenet has no label id "{wrong}".*{suggestion}'):
        labels.imagenet().index(wrong)


@pytest.mark.parametrize("wrong", ["", "zebra crossing at night", None, 3])
def test_unknown_id_without_suggestion(wrong):
    space = labels.from_names(["cat", "dog"])
    assert wrong not in space
    with pytest.raises(MeznetError, match=f'labels has no label id "{wrong}"\\.$'):
        space.index(wrong)


# --- lists of names


def test_from_names_makes_slugs():
    space = labels.from_names(["Hot dog", "ice_cream", "Crème brûlée", "犬"], name="menu")
    assert space.ids == ("hot-dog", "ice-cream", "creme-brulee", "犬")
    assert space.names == ("Hot dog", "ice_cream", "Crème brûlée", "犬")
    assert space.name == "menu"


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        (["\N{CAT FACE}", "\N{DOG FACE}"], ["u1f431", "u1f436"]),
        (["C++", "C#", "C"], ["c-u002b-u002b", "c-u0023", "c"]),
        (["A-", "A", "A+", "A*"], ["a-u002d", "a", "a-u002b", "a-u002a"]),
        (["+", "-", "+/-", "--"], ["u002b", "u002d", "u002b-u002d", "u002d-u002d"]),
        (["<5", ">5", "5", "-5", "5 %"], ["u003c-5", "u003e-5", "5", "u002d-5", "5-u0025"]),
        (["stop", "stop!", "stop?", "stop 2"], ["stop", "stop-2", "stop-3", "stop-2-2"]),
        (["bed", "bid", "bad"], ["bed", "bid", "bad"]),
        (["a, b", "New York, USA"], ["a-b", "new-york-usa"]),
    ],
)
def test_labels_as_people_write_them(names, ids):
    space = labels.from_names(names)
    assert list(space.ids) == ids and list(space.names) == names


@pytest.mark.parametrize(
    "names",
    [
        ["की", "कि", "क"],  # Devanagari: vowel signs
        ["क़लम", "कलम"],  # a dot below is another letter
        ["كِتاب", "كُتّاب", "كتاب"],  # Arabic
        ["ไก่", "ไก้", "ไก"],  # Thai: tones
        ["が", "か"],
        ["чай", "чаи"],
        ["שׁ", "שׂ"],  # Hebrew
        ["高", "髙"],
    ],
)
def test_marks_that_make_other_words(names):
    assert len(set(labels.from_names(names).ids)) == len(names)
    for name in names:
        composed, decomposed = (unicodedata.normalize(form, name) for form in ("NFC", "NFD"))
        assert labels.from_names([composed]).ids == labels.from_names([decomposed]).ids


@given(st.lists(st.text(max_size=6), min_size=2, max_size=6, unique_by=labels.normalize))
def test_different_names_are_different_labels(names):
    names = [name for name in names if labels.normalize(name)] or ["a"]
    space = labels.from_names(names)
    assert list(space.names) == names and len(set(space.ids)) == len(names)


def test_ids_that_are_stored_are_those_of_the_names():
    """Signs got ids of their own; what data/ holds has the ids that it always had."""
    with safe_open(profile.data() / "models/prototypes/animals.safetensors", "np") as file:
        stored = json.loads(file.metadata()["meznet"])["labels"]
    assert labels.from_names(stored["names"]).ids == tuple(stored["ids"])
    words = {word for lemmas in labels.imagenet().lemmas for word in lemmas}
    for name in words.union(emojizoo.table()["name"]):
        text = unicodedata.normalize("NFKD", name.lower())
        plain = "".join(letter for letter in text if not unicodedata.combining(letter))
        assert labels.slug(name) == re.sub(r"[\W_]+", "-", plain).strip("-")


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["cat", "Cat"], '"cat" and "Cat" are the same label'),
        (["hot dog", "cat", "hot-dog"], '"hot dog" and "hot-dog" are the same label'),
        (["cat", " "], "' ' is no name"),
        (["cat", "_"], "'_' is no name"),
        (["crème", "cre\u0300me"], r'are the same label \("creme"\)'),
        (["\u2764\ufe0f", "\u2764"], "are the same label"),
        (["cat", None], "None is no name"),
        ([], "the list of names is empty"),
        ("cat", "must be a list of names"),
    ],
)
def test_from_names_refuses(names, sentence):
    with pytest.raises(MeznetError, match=sentence):
        labels.from_names(names)


def test_files_of_labels(tmp_path):
    path = tmp_path / "labels.csv"
    rows = 'cat, tabby\n\n"New York, USA"\n# a remark\nC#\n\N{CAT FACE}\n'
    for text in (rows, "\ufeff" + rows, rows.replace("\n", "\r\n"), rows.replace("\n", "\r")):
        path.write_bytes(text.encode())
        assert labels.from_file(path).names == ("cat", "New York, USA", "C#", "\N{CAT FACE}")
    for encoding in ("utf-16", "utf-16-le", "latin-1"):
        path.write_bytes("crème\ncat\n".encode(encoding))
        with pytest.raises(MeznetError, match=r"labels\.csv can't be read \(it is no UTF-8 text"):
            labels.from_file(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Egyptian_cat", "egyptian cat"),
        ("  ping-pong   ball\n", "ping pong ball"),
        ("Crème  Brûlée", "creme brulee"),
        ("jack\N{EN DASH}o'\N{NON-BREAKING HYPHEN}lantern", "jack o' lantern"),
        ("İstanbul", "istanbul"),
        ("A-", "a-"),
        ("- cat -", "cat"),
        ("", ""),
    ],
)
def test_normalize(text, expected):
    assert labels.normalize(text) == expected


@given(st.text())
def test_normalize_is_idempotent_and_squeezed(text):
    once = labels.normalize(text)
    assert labels.normalize(once) == once
    assert once == " ".join(once.split())
    assert "_" not in once and "-" not in once.strip("-")


# --- joins


def test_join_gives_the_exhibits_table():
    table = labels.join(EXHIBIT, labels.tiny_imagenet())
    assert table.columns.tolist() == ["image", "label_id", "words"]
    assert dict(zip(table["image"], table["label_id"], strict=True)) == EXHIBIT
    words = dict(zip(table["image"], table["words"], strict=True))
    assert words["val_5.JPEG"] == "teddy, teddy bear"
    assert words["val_9579.JPEG"] == "espresso"
    assert words["val_9426.JPEG"] == (
        "tailed frog, bell toad, ribbed toad, tailed toad, Ascaphus trui"
    )


def test_join_keeps_rows_and_columns_of_a_frame():
    frame = pd.DataFrame({"image": ["b", "a"], "label_id": ["dog", "dog"], "n": [1, 2]}, [7, 3])
    joined = labels.join(frame, labels.from_names(["cat", "dog"]))
    assert joined.columns.tolist() == ["image", "label_id", "n", "words"]
    assert joined.index.tolist() == [7, 3]
    assert joined["words"].tolist() == ["dog", "dog"]
    assert "words" not in frame.columns


def test_join_takes_pairs_and_nothing():
    space = labels.from_names(["cat", "dog"])
    assert labels.join([("a", "cat"), ("a", "dog")], space)["words"].tolist() == ["cat", "dog"]
    empty = labels.join([], space)
    assert empty.columns.tolist() == ["image", "label_id", "words"] and len(empty) == 0


def test_join_names_missing_ids():
    with pytest.raises(MeznetError, match="tiny_imagenet has no label id n01440764, cow;"):
        labels.join({"a": "n01440764", "b": "n02793495", "c": "cow"}, labels.tiny_imagenet())
    with pytest.raises(MeznetError, match=r"has no label id 0, 1, 2, 3, 4, \.\.\.;"):
        labels.join([("a", str(each)) for each in range(9)], labels.tiny_imagenet())


def test_join_names_a_missing_column():
    with pytest.raises(MeznetError, match='no column "label_id"; its columns are image, wnid'):
        labels.join(pd.DataFrame({"image": ["a"], "wnid": ["b"]}), labels.tiny_imagenet())


def test_map_between_imagenet_and_tiny_imagenet():
    space, tiny = labels.imagenet(), labels.tiny_imagenet()
    in_space, in_tiny = labels.map_between(space, tiny)
    np.testing.assert_array_equal(in_tiny, np.arange(200))
    assert [space.ids[each] for each in in_space] == list(tiny.ids)
    for side in labels.map_between(space, labels.from_names(["cat"])):
        assert side.dtype == np.int64 and side.shape == (0,)


@given(st.sets(st.sampled_from("abcdefgh"), min_size=1), st.permutations(list("cdefghij")))
def test_map_between_agrees_with_brute_force(left, right):
    left, right = labels.from_names(sorted(left)), labels.from_names(right)
    in_left, in_right = labels.map_between(left, right)
    expected = [(i, j) for i, a in enumerate(left.ids) for j, b in enumerate(right.ids) if a == b]
    assert list(zip(in_left.tolist(), in_right.tolist(), strict=True)) == expected


# --- the exhibit's mistake


def test_exhibit_counts_harp_and_beacon_as_barn():
    found = bookkeeping.exhibit_fuzzy_match(["harp", "barn", "beacon", "church"], ["barn"])
    assert found["predicted"].tolist() == ["harp", "barn", "beacon"]
    assert found["position"].tolist() == [0, 1, 2]
    assert found["edits"].tolist() == [2, 0, 3]


def test_exhibit_reads_underscores_and_capitals_as_r_does():
    found = bookkeeping.exhibit_fuzzy_match(["Egyptian_cat", "egyptian_cat"], "Egyptian cat")
    assert found["edits"].tolist() == [0, 1]
    found = bookkeeping.exhibit_fuzzy_match(["sports_car"], "sports car, sport car")
    assert found["truth"].tolist() == ["sports car", "sport car"]
    assert found["edits"].tolist() == [0, 1]


def brute_osa(a, b):
    """Optimal string alignment by its recurrence."""
    rows = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i in range(len(a) + 1):
        for j in range(len(b) + 1):
            if min(i, j) == 0:
                rows[i][j] = i + j
                continue
            swap = i > 1 and j > 1 and a[i - 1] == b[j - 2] and a[i - 2] == b[j - 1]
            rows[i][j] = min(
                rows[i - 1][j] + 1,
                rows[i][j - 1] + 1,
                rows[i - 1][j - 1] + (a[i - 1] != b[j - 1]),
                rows[i - 2][j - 2] + 1 if swap else len(a) + len(b),
            )
    return rows[-1][-1]


@given(st.lists(st.text("abc ", max_size=6)), st.lists(st.text("abc ", max_size=6)))
def test_exhibit_match_agrees_with_brute_force(predicted, truth):
    found = bookkeeping.exhibit_fuzzy_match(predicted, truth)
    expected = [
        (i, a, b, brute_osa(a, b))
        for i, a in enumerate(predicted)
        for b in truth
        if brute_osa(a, b) <= 3
    ]
    assert list(found.itertuples(index=False, name=None)) == expected
