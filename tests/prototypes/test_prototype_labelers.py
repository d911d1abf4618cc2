"""Tests of indexes at work: as a labeler, through ``meznet index``, and on the page's list."""

import csv
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics.pairwise import cosine_similarity

from meznet_helpers import cli, emojizoo, features, prototypes
from meznet_helpers.assets import profile
from meznet_helpers.errors import MeznetError
from meznet_helpers.images import write_tree
from meznet_helpers.labelers import BackboneLabeler, NetworkLabeler
from meznet_helpers.labelers.timm import TimmLabeler
from meznet_helpers.labelers.torchvision import TorchvisionLabeler
from meznet_helpers.names import labeler
from meznet_helpers.prototypes import PrototypeLabeler
from meznet_helpers.prototypes.labeler import find, network
from meznet_helpers.ui import desk

pytestmark = pytest.mark.nets

NET = "keras/MobileNetV2@tiny"
CAT = profile.package_photographs()["cat"]


@pytest.fixture(scope="module")
def zoo():
    return emojizoo.render(["cat-face", "octopus", "snail"], 10, size=64, seed=4)


@pytest.fixture(scope="module")
def tree(zoo, tmp_path_factory) -> Path:
    return write_tree(zoo, tmp_path_factory.mktemp("tree") / "zoo")


@pytest.fixture(scope="module")
def built(tree, tmp_path_factory) -> Path:
    """What ``meznet index build`` makes of the tree, with a net of Keras."""
    file = tmp_path_factory.mktemp("index") / "zoo.safetensors"
    assert (
        cli.main(["index", "build", "--data", str(tree), "--out", str(file), "--backbone", NET])
        == 0
    )
    return file


@pytest.fixture
def index(built, tmp_path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copy(built, tmp_path / "zoo.safetensors"))


def run(capsys, *args: object) -> tuple[int, str, str]:
    capsys.readouterr()
    status = cli.main(["index", *map(str, args)])
    out, err = capsys.readouterr()
    return status, out, err


def refused(capsys, *args: object, words: str) -> None:
    status, out, err = run(capsys, *args)
    assert status == 2 and not out and err.count("\n") == 1 and words in err, (status, out, err)


def test_build_is_fit(built, zoo):
    index = prototypes.load(built)
    vectors = features.embed(zoo, NET, cache=False)
    for at, label in enumerate(zoo.labels.ids):
        place = index.labels.index(label)
        mean = vectors[zoo.truth == at].mean(axis=0)
        np.testing.assert_allclose(index.vectors[place], mean, rtol=1e-4, atol=1e-4)
    assert index.backbone == NET and index.digest == labeler(NET).digest()
    assert np.isfinite(index.threshold) and index.counts.tolist() == [10, 10, 10]


def test_the_labeler_is_softmax_of_cosines(built, zoo):
    net = labeler(f"prototypes/{built}")
    found = net.predict(zoo.images)
    vectors = features.embed(zoo, NET, cache=False)
    scores = net.index.scale * cosine_similarity(vectors, net.index.vectors)
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    np.testing.assert_allclose(
        found.probs[0], shares / shares.sum(axis=1, keepdims=True), atol=1e-4
    )
    assert found.models == (f"prototypes/{built}",) and found.labels.ids == net.labels.ids
    assert (np.array(found.labels.ids)[found.probs[0].argmax(1)]
            == np.array(zoo.labels.ids)[zoo.truth]).mean() > 0.9  # fmt: skip
    seen = net.seen(list(zoo.images[:2]))
    assert np.array_equal(seen, labeler(NET).seen(list(zoo.images[:2])))


def test_the_bundled_ones_join_tables_and_ensembles():
    """In a process where TensorFlow lives: the net of timm needs no torch."""
    import keras  # noqa: F401

    pictures = emojizoo.render(["cat-face", "octopus"], 7, size=64, seed=9)
    own, photographs = (labeler(f"prototypes/{name}@tiny") for name in ("animals", "photographs"))
    probs = own.predict(pictures.images)
    said = [own.labels.ids[at] for at in probs.probs[0].argmax(1)]
    right = [pictures.labels.ids[at] for at in pictures.truth]
    assert np.mean([a == b for a, b in zip(said, right, strict=True)]) > 0.7
    assert own.net._worker is None and "torch" not in sys.modules
    own.release()
    assert len(photographs.labels) == 200
    both = labeler("ensemble/soft(prototypes/photographs@tiny, keras/MobileNetV2@tiny)")
    found = both.predict(pictures.images[:2])
    members = [member.predict(pictures.images[:2]).probs[0] for member in both.members]
    np.testing.assert_allclose(found.probs[0], np.mean(members, axis=0), atol=1e-6)
    both.release()


def test_another_network_is_refused(index, tmp_path):
    """Other weights or settings than those that made the embeddings: no answer."""
    stored = prototypes.load(index)
    stored.digest = "0" * 64
    other = prototypes.save(stored, tmp_path / "other.safetensors")
    for call in (lambda: network(stored, other), lambda: labeler(f"prototypes/{other}")):
        with pytest.raises(MeznetError, match=r"of digest 000000000000, and that network has"):
            call()
    stored.digest = stored.backbone = ""
    nameless = prototypes.save(stored, tmp_path / "nameless.safetensors")
    with pytest.raises(MeznetError, match="does not say which network"):
        PrototypeLabeler(nameless)
    stored.backbone = f"ensemble/soft({NET}, keras/MobileNet@tiny)"
    several = prototypes.save(stored, tmp_path / "several.safetensors")
    with pytest.raises(MeznetError, match="which has no features"):
        PrototypeLabeler(several)
    empty = prototypes.PrototypeIndex(backbone=NET)
    with pytest.raises(MeznetError, match="has no class yet; meznet index add"):
        PrototypeLabeler(prototypes.save(empty, tmp_path / "empty.safetensors"))
    with pytest.raises(MeznetError, match="mode is for nets of the registry"):
        labeler(f"prototypes/{index}", mode="tf")
    assert find("animals@tiny").is_file()


def test_add_more_remove_search(index, tmp_path, capsys):
    pictures = emojizoo.render(["flamingo"], 8, size=64)
    for at, image in enumerate(pictures.images):
        Image.fromarray(image).save(tmp_path / f"{at}.png")
    files = sorted(tmp_path.glob("*.png"))
    assert run(capsys, "add", index, "Pink Flamingo", *files[:3])[0] == 0
    stored = prototypes.load(index)
    assert stored.labels.ids[-1] == "pink-flamingo" and stored.labels.names[-1] == "Pink Flamingo"
    vectors = features.embed(pictures, NET)
    np.testing.assert_allclose(stored.vectors[-1], vectors[:3].mean(axis=0), atol=1e-4)
    refused(capsys, "add", index, "pink flamingo", files[3], words="--more gives it more examples")
    assert run(capsys, "add", index, "pink-flamingo", *files[3:], "--more")[0] == 0
    stored = prototypes.load(index)
    np.testing.assert_allclose(stored.vectors[-1], vectors.mean(axis=0), atol=1e-4)
    assert stored.counts.tolist() == [10, 10, 10, 8]

    status, out, _ = run(capsys, "search", index, *files[:2], "--top", "2")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert status == 0 and [row["rank"] for row in rows] == ["1", "2", "1", "2"]
    assert rows[0]["label"] == "Pink Flamingo" and rows[0]["known"] == "True"
    score = cosine_similarity(vectors[:1], stored.vectors)[0]
    assert float(rows[0]["score"]) == pytest.approx(score[3], abs=1e-3)
    status, out, _ = run(capsys, "search", index, files[0], "--json")
    assert [json.loads(line)["rank"] for line in out.splitlines()] == [1, 2, 3, 4]

    assert run(capsys, "remove", index, "Pink Flamingo", "snail")[0] == 0
    assert prototypes.load(index).labels.ids == ("cat-face", "octopus")
    refused(capsys, "remove", index, "octopus", "snail", words='no label id "snail"')
    assert "octopus" in prototypes.load(index).labels, "half of the command was done"


def test_info_and_export(built, tmp_path, capsys):
    about = json.loads(run(capsys, "info", built)[1])
    assert about["classes"] == 3 and about["numbers"] == 1280 and about["backbone"] == NET
    assert about["examples"] == {"cat-face": 10, "octopus": 10, "snail": 10}
    assert json.loads(run(capsys, "info", "animals@tiny")[1])["classes"] == 90
    table, back = tmp_path / "zoo.zip", tmp_path / "back.safetensors"
    assert run(capsys, "export", built, "--out", table)[0] == 0
    assert run(capsys, "build", "--data", table, "--out", back, "--backbone", NET)[0] == 0
    assert np.array_equal(prototypes.load(back).vectors, prototypes.load(built).vectors)
    assert labeler(f"prototypes/{back}").labels.ids == ("cat-face", "octopus", "snail")


def test_bad_input_is_one_line(tree, index, tmp_path, capsys):
    data, out = ("--data", tree), ("--out", tmp_path / "new.safetensors")
    picture = next(tree.rglob("*.png"))
    (tmp_path / "text.png").write_text("no picture", encoding="utf-8")
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(index.read_bytes()[:300])
    for args, words in (
        (["build", *data, "--out", index], "is there already; name a new file"),
        (["build", *data, "--out", tmp_path / "no" / "new"], "is no folder"),
        (["build", *data, *out, "--kind", "mode"], 'kind is "mode"'),
        (["build", *data, *out, "--count", "3"], "must be 1 or more, and 1 for kind"),
        (["build", *data, *out, "--metric", "l1"], 'metric is "l1"'),
        (["build", *data, *out, "--backbone", "keras/Nothing"], "No backbone is called"),
        (["build", "--data", tmp_path / "nowhere", *out], "is no folder"),
        (["add", index, "cat face", picture], 'has a class "cat-face" already'),
        (["add", index, "fox", picture, "--more"], 'no label id "fox"'),
        (["add", index, "fox", tmp_path / "none*.png"], "none*.png"),
        (["add", tmp_path / "nowhere", "fox", picture], "nowhere is not there"),
        (["add", index, "  ", picture], "is no name"),
        (["add", index, "fox", tmp_path / "text.png"], "text.png"),
        (["search", cut, picture], "is cut off, or no index of prototypes"),
        (["search", index, picture, "--top", "0"], "'--top': Input should be"),
        (["remove", index, "fox"], 'no label id "fox"'),
        (["info", picture], "is cut off, or no index of prototypes"),
    ):
        refused(capsys, *args, words=words)
    assert len(prototypes.load(index)) == 3 and not (tmp_path / "new.safetensors").exists()


def test_a_bad_file_does_not_lose_the_rest(index, tmp_path, capsys):
    picture = emojizoo.render(["flamingo"], 1, size=64).images[0]
    Image.fromarray(picture).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    status, out, err = run(capsys, "add", index, "flamingo", tmp_path / "*.png")
    assert status == 1 and "bad.png" in err and err.count("\n") == 1
    assert prototypes.load(index).counts.tolist() == [10, 10, 10, 1]
    status, out, err = run(capsys, "search", index, tmp_path / "*.png", "--top", "1")
    assert status == 1 and out.count("\n") == 2 and "bad.png" in err


def test_the_command_itself(built, tmp_path):
    """As a reader types it, in a process of its own, with a bundled index."""
    Image.fromarray(emojizoo.render(["octopus"], 1, size=64).images[0]).save(tmp_path / "a.png")
    command = [sys.executable, "-m", "meznet_helpers.cli"]
    done = subprocess.run(
        [*command, "label", tmp_path / "a.png", "--model", "prototypes/animals@tiny", "--top", "1"],
        capture_output=True, text=True, encoding="utf-8",
    )  # fmt: skip
    assert done.returncode == 0 and "octopus" in done.stdout and not done.stderr, done.stderr


def test_the_page_offers_indexes(built):
    for kind, labels in ((desk.ANIMALS, 90), ("zoo", 3)):
        net = desk.choose(kind, "", "", [], "soft", {"zoo": built})
        assert isinstance(net, PrototypeLabeler) and len(net.labels) == labels
    with pytest.raises(MeznetError, match="no index of prototypes"):
        desk.opened(Path(__file__))


# ---- an index that somebody else made


@pytest.fixture
def foreign(tmp_path):
    """An index of a net, without a digest, so that the net need not be loaded to know it."""

    def make(backbone: str) -> Path:
        index = prototypes.PrototypeIndex(backbone=backbone)
        index.add("cat", np.eye(2))
        return prototypes.save(index, tmp_path / "foreign.safetensors")

    return make


@pytest.mark.parametrize("net", ["keras/MobileNetV2", "timm/regnetx_002"])
def test_a_network_without_a_tag_is_refused(net, foreign, capsys):
    file = foreign(net)
    said = f"build it anew with {net}@imagenet (published) or {net}@tiny."
    for call in (
        lambda: labeler(f"prototypes/{file}"),
        lambda: network(prototypes.load(file), "x"),
    ):
        with pytest.raises(MeznetError, match=re.escape(said)):
            call()
    for download in ([], ["--download"]):
        refused(capsys, "search", file, CAT, *download, words=said)


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """No published weights are on this machine, and none may come."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    for kind in (TimmLabeler, TorchvisionLabeler):
        monkeypatch.setattr(kind, "here", lambda self: False)
    for kind in (NetworkLabeler, BackboneLabeler):
        monkeypatch.setattr(kind, "features", lambda *_, **__: pytest.fail("it was used"))


NETS = ["keras/ResNet50@imagenet", "timm/resnet18@imagenet", "torchvision/resnet18@imagenet"]


@pytest.mark.parametrize("net", NETS)
def test_a_file_starts_no_download(net, foreign, elsewhere, capsys, monkeypatch):
    file = foreign(net)
    said = f"{file} wants {net}, which is not on this machine; --download (in Python download=True)"
    for name in (f"prototypes/{file}", f"ensemble/soft(prototypes/{file}, {NET})"):
        with pytest.raises(MeznetError, match=re.escape(said)):
            labeler(name)
    refused(capsys, "search", file, CAT, words=said)
    refused(capsys, "add", file, "dog", CAT, words=said)
    assert cli.main(["label", str(CAT), "--model", f"prototypes/{file}"]) == 2
    assert said in capsys.readouterr().err
    with pytest.raises(MeznetError, match="is not on this machine"):
        desk.opened(file)
    assert run(capsys, "info", file)[0] == 0
    # Allowed, or offline, where nothing comes and loading says why:
    assert labeler(f"prototypes/{file}", download=True).net.name == net
    assert PrototypeLabeler(file, download=True).net.name == net
    monkeypatch.setenv("MEZNET_OFFLINE", "1")
    assert labeler(f"prototypes/{file}").net.name == net


def test_download_is_passed_on(foreign, elsewhere, capsys, monkeypatch):
    file, asked = foreign(NETS[0]), []
    for kind in (NetworkLabeler, BackboneLabeler):
        monkeypatch.setattr(
            kind, "features", lambda self, *_, **__: asked.append(self.name) or np.eye(2)[:1]
        )
    monkeypatch.setattr(features, "embed", lambda images, net, **_: net.features(images))
    assert run(capsys, "search", file, CAT, "--download")[0] == 0
    assert run(capsys, "add", file, "dog", CAT, "--download")[0] == 0
    command = ["label", str(CAT), "--model", f"prototypes/{file}", "--download"]
    assert cli.main(command) == 0
    assert asked == [NETS[0]] * 3


def test_a_bundled_index_needs_its_tag(capsys):
    for call in (lambda: labeler("prototypes/animals"), lambda: find("animals")):
        with pytest.raises(MeznetError, match=r'No index "animals" .* prototypes/animals@tiny'):
            call()
