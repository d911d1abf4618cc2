"""Tests of meznet_helpers.stored and files: what is damaged, odd or left over."""

import json

import numpy as np
import pytest

from meznet_helpers import prototypes, stored
from meznet_helpers.errors import MeznetError
from meznet_helpers.files import aside
from meznet_helpers.labels import from_fields


@pytest.fixture
def index(tmp_path):
    made = prototypes.PrototypeIndex(name="pets")
    made.add("cat", [[1.0, 0.5]])
    made.add("dog", [[0.5, 1.0]])
    return prototypes.save(made, tmp_path / "pets.safetensors")


def test_each_flipped_bit_is_noticed(index):
    whole = index.read_bytes()
    word = range(8 * whole.index(b"sha256"), 8 * whole.index(b"sha256") + 48)
    for place in range(0, 8 * len(whole), 11):
        if place in word:  # the file says no digest then, as older ones, and all else is right
            continue
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        index.write_bytes(damaged)
        with pytest.raises(MeznetError, match="is cut off, or no index of prototypes"):
            prototypes.load(index)


@pytest.mark.parametrize(
    "header",
    [
        b"[]",
        b"{",
        b"[" * 100_000,
        b'{"__metadata__": []}',
        b'{"vectors": 1}',
        b'{"vectors": {"dtype": "F32", "shape": [9000000000000], "data_offsets": [0, 4]}}',
        b'{"vectors": {"dtype": "F32", "shape": [-1], "data_offsets": [-4, 4]}}',
        b'{"vectors": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}',
        b'{"__metadata__": {"meznet": "[]"}}',
        b"\xff\xfe",
    ],
    ids=lambda header: header[:30].decode(errors="replace"),
)
def test_odd_headers_are_one_sentence(header, index):
    for length in (len(header), 2**63):
        index.write_bytes(length.to_bytes(8, "little") + header + bytes(4))
        with pytest.raises(MeznetError, match="no index of prototypes") as caught:
            prototypes.load(index)
        assert len(str(caught.value).splitlines()) == 1


def test_json_states_its_digest(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(stored.sealed(stored.text({"kind": "pets-1", "n": 1})))
    assert stored.read_json(path, "no pets") == {"kind": "pets-1", "n": 1}
    path.write_bytes(path.read_bytes().replace(b'"n": 1', b'"n": 2'))
    with pytest.raises(MeznetError, match=r"a\.json is no pets: it was damaged or changed"):
        stored.read_json(path, "no pets")
    path.write_text(json.dumps({"kind": "pets-1", "n": 2}), encoding="utf-8")  # an older file
    assert stored.read_json(path, "no pets")["n"] == 2


def test_a_link_and_a_mode_stay(index, tmp_path):
    index.chmod(0o640)
    link = tmp_path / "other" / "link.safetensors"
    link.parent.mkdir()
    link.symlink_to(index)
    with prototypes.editing(link) as found:
        found.add("fox", [[1.0, 1.0]])
    assert link.is_symlink() and "fox" in prototypes.load(index).labels
    assert index.stat().st_mode & 0o777 == 0o640 and list(link.parent.iterdir()) == [link]


def test_what_killed_writers_left_is_swept_and_nothing_else(tmp_path):
    for name in (".a.txt.999999.part", ".a.txt.0123abcd.part", ".b.txt.0123abcd.part"):
        (tmp_path / name).touch()
    (tmp_path / ".a.txt.00ff00ff.part").mkdir()
    with aside(tmp_path / "a.txt") as outer, aside(tmp_path / "a.txt") as inner:
        outer.write_text("outer", encoding="utf-8")  # held by a writer that lives
        inner.write_text("inner", encoding="utf-8")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".b.txt.0123abcd.part", "a.txt"]
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "outer"


def test_numbers_must_be_finite_and_labels_texts():
    for value in (float("inf"), True, "1", None, np.nan):
        with pytest.raises(ValueError, match='its "scale"'):
            stored.demand({"scale": value}, {"scale": int | float})
    with pytest.raises(ValueError, match="one of its labels is no text"):
        from_fields({"name": "pets", "ids": ["a"], "names": [1]})
