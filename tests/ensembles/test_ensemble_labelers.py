"""Tests of meznet_helpers.ensembles.labeler: the numbers of its members, each freed in turn."""

import numpy as np
import pytest

from meznet_helpers.ensembles import METHODS, EnsembleLabeler, combine
from meznet_helpers.ensembles.labeler import parse
from meznet_helpers.errors import MeznetError
from meznet_helpers.labelers import Labeler
from meznet_helpers.labels import from_names
from meznet_helpers.names import labeler

PAIR = ["keras/MobileNet@tiny", "keras/MobileNetV2@tiny"]


class Colors(Labeler):
    """Labels an image by its mean colors, and notes what happens to it."""

    labels = from_names(["red", "green", "blue"])

    def __init__(self, name, power=1, events=None):
        self.name, self.power = name, power
        self.events = [] if events is None else events

    def _probabilities(self, images):
        self.events.append((self.name, len(images)))
        sums = np.array([image.mean((0, 1)) + 1 for image in images], np.float32) ** self.power
        return sums / sums.sum(1, keepdims=True)

    def release(self):
        self.events.append((self.name, "released"))


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (8 + i, 9, 3), np.uint8) // (i + 1) for i in range(7)]


# ---- numbers


@pytest.mark.parametrize("method", sorted(METHODS))
def test_numbers_are_those_of_the_members(method, images):
    members = [Colors("a"), Colors("b", 3), Colors("c", -1)]
    net = EnsembleLabeler(members, method)
    found = net.predict(images, batch_size=3)
    first, *others = [member.predict(images) for member in members]
    expected = combine(first.join(*others), method, name=net.name)
    np.testing.assert_array_equal(found.probs, expected.probs)
    assert found.models == (f"ensemble/{method}(a, b, c)",) == (net.name,)
    assert found.images == expected.images and found.labels == Colors.labels
    np.testing.assert_allclose(net.probabilities(images), found.probs[0], atol=1e-6)


def test_members_work_one_after_the_other_and_are_freed(images):
    events = []
    net = EnsembleLabeler([Colors("a", events=events), Colors("b", events=events)])
    net.predict(images, batch_size=4)
    each = [4, 3, "released"]
    assert events == [("a", one) for one in each] + [("b", one) for one in each]


def test_a_member_that_fails_is_freed(images):
    class Bad(Colors):
        def _probabilities(self, images):
            raise MeznetError("No weights.")

    bad = Bad("bad")
    with pytest.raises(MeznetError, match=r"^No weights\.$"):
        EnsembleLabeler([bad, Colors("a")]).predict(images)
    assert bad.events == [("bad", "released")]


def test_an_ensemble_in_an_ensemble(images):
    inner = EnsembleLabeler([Colors("a"), Colors("b", 2)])
    outer = EnsembleLabeler([inner, Colors("c", 3)])
    assert outer.name == "ensemble/soft(ensemble/soft(a, b), c)"
    a, b, c = (Colors("", power).predict(images).probs[0] for power in (1, 2, 3))
    np.testing.assert_allclose(outer.predict(images).probs[0], (a + b) / 4 + c / 2, atol=1e-6)


def test_unreadable_images_are_named_once(tmp_path, images):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"nothing")
    net = EnsembleLabeler([Colors("a"), Colors("b"), Colors("c")])
    with pytest.warns(UserWarning, match=r"bad\.png") as warned:
        found = net.predict([bad, *images])
    assert len(warned) == 1 and warned[0].filename == __file__
    assert found.images == tuple(f"image {number}" for number in range(2, 9))


def test_no_images():
    assert EnsembleLabeler([Colors("a"), Colors("b")]).predict([]).probs.shape == (1, 0, 3)


# ---- what is refused, before anything is loaded


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (([],), "members must be two labelers or more, not 0."),
        (([Colors("a")],), "members must be two labelers or more, not 1."),
        (("keras/MobileNet@tiny",), "members must be a list of labelers; labeler(name) makes one."),
        (([Colors("a"), Colors("a")],), 'members must be unique, but "a" is there more than once.'),
        (
            ([labeler("keras/MobileNet@tiny"), labeler("keras/MobileNet@imagenet")],),
            "members must share their labels, but keras/MobileNet@tiny has tiny_imagenet (200) and "
            "keras/MobileNet@imagenet imagenet (1000).",
        ),
    ],
)
def test_wrong_members(arguments, said):
    with pytest.raises(MeznetError) as error:
        EnsembleLabeler(*arguments)
    assert str(error.value) == said


def test_an_unknown_method_names_the_nearest():
    with pytest.raises(MeznetError, match='no method "geometrical"; did you mean "geometric"'):
        EnsembleLabeler([Colors("a"), Colors("b")], "geometrical")


def test_batch_size_must_be_positive(images):
    with pytest.raises(MeznetError, match="batch_size is 0"):
        EnsembleLabeler([Colors("a"), Colors("b")]).predict(images, batch_size=0)


# ---- names


@pytest.mark.parametrize(
    "name",
    [
        "ensemble/soft(keras/MobileNet@tiny, keras/MobileNetV2@tiny)",
        "ensemble/soft(keras/MobileNet@tiny,keras/MobileNetV2@tiny)",
        "  ensemble/soft  (\n keras/MobileNet@tiny ,\tkeras/MobileNetV2@tiny )  ",
    ],
)
def test_labeler_makes_an_ensemble_of_its_name(name):
    net = labeler(name)
    assert isinstance(net, EnsembleLabeler) and net.method == "soft"
    assert [member.name for member in net.members] == PAIR
    assert net.name == f"ensemble/soft({', '.join(PAIR)})"
    assert labeler(net.name).name == net.name


def test_labeler_takes_nested_names_and_hands_changes_on():
    name = f"ensemble/hard({PAIR[0]}, ensemble/borda({PAIR[1]}, keras/MobileNetV3Small@tiny))"
    net = labeler(name, mode="caffe", interpolation="nearest")
    assert net.name == name and net.members[1].method == "borda"
    for member in (net.members[0], *net.members[1].members):
        assert (member.backbone.mode, member.backbone.interpolation) == ("caffe", "nearest")


@pytest.mark.parametrize(
    "name",
    [
        "ensemble/",
        "ensemble/soft",
        "ensemble/soft()",
        "ensemble/soft(a,)",
        "ensemble/soft(a, b",
        "ensemble/soft(a, b))",
        "ensemble/soft(a)(b)",
        "ensemble/(a, b)",
        "ensemble/soft(a, b) c",
        "ensemble/soft(a)b, c(d)",
    ],
)
def test_malformed_names(name):
    with pytest.raises(MeznetError) as error:
        parse(name)
    text = str(error.value)
    assert text.startswith(f'"{name}" is no name of an ensemble; one looks like "ensemble/soft(')


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ensemble/sift(keras/MobileNet@tiny, keras/MobileNetV2@tiny)", r'"sift"; .*"soft"'),
        ("ensemble/soft(keras/MobileNet@tiny, keras/MobileNet2@tiny)", "keras/MobileNetV2@tiny"),
        ("ensemble/soft(keras/MobileNet@tiny)", "two labelers or more"),
    ],
)
def test_unknown_parts_of_a_name(name, said):
    with pytest.raises(MeznetError, match=said):
        labeler(name)


@pytest.mark.contract
def test_tiny_nets():
    images = np.random.default_rng(3).integers(0, 256, (5, 64, 64, 3), np.uint8)
    net = labeler(f"ensemble/geometric({', '.join(PAIR)})")
    found = net.predict(images, batch_size=2)
    for member in net.members:
        assert not {"model", "_run"} & member.__dict__.keys()
    a, b = (labeler(name).predict(images, batch_size=2) for name in PAIR)
    expected = combine(a.join(b), "geometric")
    np.testing.assert_array_equal(found.probs, expected.probs)
