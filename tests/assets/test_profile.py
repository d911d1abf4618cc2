"""Tests of meznet_helpers.assets.profile."""

import pytest

from meznet_helpers.assets import profile
from meznet_helpers.errors import MeznetError


@pytest.mark.parametrize(
    ("value", "expected"),
    [("1", True), ("true", True), ("YES", True), ("on", True)]
    + [(no, False) for no in ("", "0", "false", "No", "off")],
)
def test_offline(monkeypatch, value, expected):
    monkeypatch.setenv("MEZNET_OFFLINE", value)
    assert profile.offline() is expected


def test_offline_by_default_is_off(monkeypatch):
    monkeypatch.delenv("MEZNET_OFFLINE", raising=False)
    assert profile.offline() is False


def test_offline_refuses_what_it_does_not_know(monkeypatch):
    monkeypatch.setenv("MEZNET_OFFLINE", "ture")
    with pytest.raises(MeznetError, match="MEZNET_OFFLINE"):
        profile.offline()


def test_root_and_data():
    assert (profile.root() / "pyproject.toml").is_file()
    assert profile.data() == profile.root() / "data"


def test_package_photographs_are_color_photographs():
    from PIL import Image

    found = profile.package_photographs()
    assert {"cat", "coffee", "rocket", "astronaut", "china", "flower", "grace_hopper"} <= set(found)
    for path in found.values():
        with Image.open(path) as image:
            assert image.mode == "RGB"
            assert min(image.size) >= 256
    assert len(set(found.values())) == len(found)


def test_package_photographs_skip_what_is_not_installed(monkeypatch):
    gone = {"cat": ("no_such_package", "cat.png"), "dog": ("skimage", "data/no_such_dog.png")}
    monkeypatch.setattr(profile, "_PHOTOGRAPHS", gone)
    assert profile.package_photographs() == {}


def test_package_photographs_import_nothing(fresh_python):
    out = fresh_python(
        "import sys\n"
        "from meznet_helpers.assets import profile\n"
        "assert profile.package_photographs()\n"
        "print(sorted({'skimage', 'sklearn', 'matplotlib', 'numpy', 'pandas'} & set(sys.modules)))"
    )
    assert out.strip() == "[]"
