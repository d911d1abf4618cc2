"""Tests of ``meznet ui``: the page in headless Chromium, with real uploads."""

import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from meznet_helpers.assets import profile
from meznet_helpers.errors import MeznetError
from meznet_helpers.images import read
from meznet_helpers.labelers.timm import TimmLabeler
from meznet_helpers.names import MODEL
from meznet_helpers.ui import desk
from meznet_helpers.words import ZeroShotLabeler

pytestmark = pytest.mark.nets

PHOTOGRAPHS = profile.package_photographs()
WORDS = "cat, rocket, cup of coffee"
WAIT = 180_000  # milliseconds: the first answer loads torch


@contextlib.contextmanager
def served(
    folder: Path, *options: str, signals: Sequence[int] = (signal.SIGTERM,)
) -> Iterator[str]:
    """Run the command; yields the address that it prints."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "meznet_helpers.cli", "ui", "--port", str(port), *options]
    env = os.environ | {"TMPDIR": str(folder)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
    ) as process:
        try:
            line = process.stdout.readline()
            found = re.search(r"http://\S+", line)
            assert found, (line, process.stderr.read() if process.poll() is not None else "")
            yield found[0]
            assert process.poll() is None, "the page did not stay up"
        finally:
            for number in signals:
                process.send_signal(number)
            process.wait(120)


@pytest.fixture(scope="module")
def temporary(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("ui")


@pytest.fixture(scope="module")
def address(temporary, browser) -> Iterator[str]:
    with served(temporary) as url:
        yield url
    assert not list(temporary.glob("meznet*")), "the page left files behind"


@contextlib.contextmanager
def opened(browser, address: str):
    """A tab of its own, and all addresses that it asked for."""
    with contextlib.closing(browser.new_page(viewport={"width": 1280, "height": 1000})) as tab:
        tab.set_default_timeout(WAIT)
        tab.asked = []
        tab.on("request", lambda request: tab.asked.append(request.url))
        tab.goto(address)
        choose(tab, desk.WORDS)
        tab.get_by_label("Your labels, with commas").fill(WORDS)
        yield tab


def choose(tab, kind: str) -> None:
    """Choose a labeler by what it is good for."""
    text = {kind: text for text, kind in desk.offers([])}[kind]
    field = tab.get_by_label("Labeler", exact=True)
    field.click()
    field.fill(text)
    tab.get_by_role("option", name=text, exact=True).click()


def answer(tab) -> tuple[str, list[str]]:
    """The remark, and the names and shares of the bars."""
    bars = tab.locator("#bars").inner_text().split("\n") if tab.locator("#bars").count() else []
    return tab.locator("#remark").inner_text().strip(), [each.strip() for each in bars]


def upload(tab, path: Path) -> None:
    tab.locator("input[type=file]").first.set_input_files(str(path))


def expected(path: Path) -> tuple[str, int]:
    net = ZeroShotLabeler("tiny", WORDS.split(", "))
    scores = net.predict([read(path)]).probs[0, 0]
    net.release()
    return net.labels.names[int(scores.argmax())], round(100 * float(scores.max()))


@pytest.fixture(scope="module")
def wanted() -> dict[str, tuple[str, int]]:
    import keras  # noqa: F401 (so that torch stays out of this process)

    return {name: expected(PHOTOGRAPHS[name]) for name in ("cat", "rocket", "coffee")}


def test_a_picture_gets_its_labels(address, browser, wanted):
    with opened(browser, address) as tab:
        upload(tab, PHOTOGRAPHS["cat"])
        tab.locator("#remark p", has_text=" labels.").wait_for(timeout=WAIT)
        said, bars = answer(tab)
        label, share = wanted["cat"]
        assert said == "clip/zero-shot@tiny: 3 labels."
        assert label in bars and f"{share}%" in bars
        assert tab.get_by_text("64 x 64 pixels").count() >= 1
        hosts = {urlsplit(url).netloc for url in tab.asked if url.startswith("http")}
        assert hosts == {urlsplit(address).netloc}, "the page asked somebody else"


def test_three_at_once(address, browser, wanted):
    """Each tab gets the answer to its own picture."""
    with contextlib.ExitStack() as stack:
        tabs = {name: stack.enter_context(opened(browser, address)) for name in wanted}
        for name, tab in tabs.items():
            upload(tab, PHOTOGRAPHS[name])
        for name, tab in tabs.items():
            tab.locator("#remark p", has_text=" labels.").wait_for(timeout=WAIT)
            label, share = wanted[name]
            bars = answer(tab)[1]
            assert label in bars and f"{share}%" in bars, (name, bars)


def test_bad_files_are_one_line_and_the_page_stays_up(address, browser, tmp_path, wanted):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    words = tmp_path / "words.png"
    words.write_text("no picture at all", encoding="utf-8")
    empty = tmp_path / "empty.png"
    empty.touch()
    wide = tmp_path / "wide.png"
    Image.new("1", (10_000, 6_000)).save(wide)  # 60 million pixels in 10 kB
    with opened(browser, address) as tab:
        for path in (broken, words, wide):
            upload(tab, path)
            remark = tab.locator("#remark p", has_text=path.name)
            remark.wait_for(timeout=WAIT)
            assert "\n" not in remark.inner_text() and "Traceback" not in tab.content()
            tab.get_by_label("Remove Image").or_(tab.get_by_label("Clear")).first.click()
            remark.wait_for(state="detached", timeout=WAIT)
        upload(tab, PHOTOGRAPHS["cat"])
        tab.get_by_text("clip/zero-shot@tiny: 3 labels.").wait_for(timeout=WAIT)
        assert wanted["cat"][0] in answer(tab)[1]


def test_large_uploads_are_turned_away(address, browser, tmp_path):
    large = tmp_path / "large.png"
    large.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(21_000_000))
    with opened(browser, address) as tab:
        upload(tab, large)
        tab.get_by_text(re.compile("maximum|exceed|too large", re.IGNORECASE)).first.wait_for(
            timeout=WAIT
        )
        assert answer(tab)[0] in ("", "Drop a picture first.")


def test_words_are_only_words(address, browser):
    """Markup in a label is shown, not run; bad words get one line."""
    with opened(browser, address) as tab:
        upload(tab, PHOTOGRAPHS["cat"])
        tab.locator("#remark p", has_text=" labels.").wait_for(timeout=WAIT)
        field = tab.get_by_label("Your labels, with commas")
        field.fill("<img src=x onerror=alert(1)>, <b>dog</b>")
        tab.on("dialog", lambda dialog: pytest.fail(f"the page ran a label: {dialog.message}"))
        tab.get_by_role("button", name="Label", exact=True).click()
        tab.get_by_text("clip/zero-shot@tiny: 2 labels.").wait_for(timeout=WAIT)
        assert "<b>dog</b>" in answer(tab)[1]
        for words, part in (("cat", "leaves no choice"), (" , ", "Type your labels"),
                            ("cat, cat", "are the same label")):  # fmt: skip
            field.fill(words)
            tab.get_by_role("button", name="Label", exact=True).click()
            tab.locator("#remark p", has_text=part).wait_for(timeout=WAIT)


def test_examples_and_other_labelers(address, browser):
    """A click on an example labels it; an ensemble shows what each of its nets saw."""
    with opened(browser, address) as tab:
        tab.locator("[data-testid=dataset], .gallery").locator("button").first.click()
        tab.locator("#remark p", has_text=" labels.").wait_for(timeout=WAIT)
        for kind, said in (
            (desk.TUNED, "clip/tuned@tiny: 2 labels."),
            (desk.ANIMALS, "prototypes/animals@tiny: 90 labels."),
            ("keras/MobileNet@tiny", "keras/MobileNet@tiny: 200 labels. Scores are calibrated on"),
            (desk.MANY, f"ensemble/soft({desk.nets()[0]},"),
        ):
            choose(tab, kind)
            tab.locator("#remark p", has_text=said).wait_for(timeout=WAIT)
        captions = tab.get_by_text(re.compile(r"keras/\w+@\w+, \d+ x \d+ pixels"))
        assert captions.count() >= 3


def test_uploads_are_not_kept(address, browser, temporary, tmp_path):
    """Within two rounds of the sweeper nothing of an upload is left on the disk."""
    mine = tmp_path / "mine-alone.png"
    Image.effect_noise((64, 64), 90).save(mine)
    with opened(browser, address) as tab:
        upload(tab, mine)
        tab.locator("#remark p", has_text=" labels.").wait_for(timeout=WAIT)
        assert list(temporary.rglob(mine.name)), "the test looks in the wrong place"
    deadline = time.monotonic() + 600
    while list(temporary.rglob(mine.name)) and time.monotonic() < deadline:
        time.sleep(2)
    assert not list(temporary.rglob(mine.name))


def test_it_listens_on_the_loopback_alone(address):
    assert urlsplit(address).hostname == "127.0.0.1"
    outside = socket.gethostbyname(socket.gethostname())
    if not outside.startswith("127."):
        with (
            pytest.raises(OSError),
            socket.create_connection((outside, urlsplit(address).port), timeout=5),
        ):
            pass
    with urlopen(address, timeout=120) as reply:
        assert reply.status == 200


def test_what_cannot_be_served(address, tmp_path):
    port = str(urlsplit(address).port)
    for options, part in (
        (["--port", port], f"127.0.0.1 port {port} can't be listened on ("),
        (["--host", "203.0.113.9"], "203.0.113.9 port 7860 can't be listened on ("),
        (["--port", "70000"], "port 70000 can't be listened on ("),
        (["--checkpoint", str(tmp_path), "--port", "0"], "holds no meznet.json"),
    ):
        command = [sys.executable, "-m", "meznet_helpers.cli", "ui", *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        assert done.returncode == 2 and done.stderr.count("\n") == 1, done
        assert part in done.stderr, done.stderr


# ---- without a browser


def test_only_what_is_offered_can_be_chosen(monkeypatch):
    nets = desk.nets()
    assert "keras/MobileNet@tiny" in nets and "timm/regnetx_002@tiny" in nets
    assert "keras/ResNet50@imagenet" not in nets  # it is not on this machine
    real = [name for name in nets if not name.endswith(desk.OWN)]
    with_lites = [name for name in real if "Lite" in name]
    assert nets[: len(real)] == real  # real ones first
    texts, kinds = zip(*desk.offers(["mine"]), strict=True)
    assert len(set(texts)) == len(texts) and {*nets, "mine", desk.WORDS, desk.MANY} <= {*kinds}
    assert kinds[0] == (MODEL if with_lites else "mine")
    monkeypatch.setattr(TimmLabeler, "here", lambda self: "18" in self.net)
    assert desk.choose("timm/resnet18", "", "", [], "soft", {}).name == "timm/resnet18@imagenet"
    for kind in ("clip/tuned@/etc", "keras/Nothing@imagenet", "timm/resnet34", "nothing"):
        with pytest.raises(MeznetError, match="is not on the list of this page"):
            desk.choose(kind, "", "", [], "soft", {})
    with pytest.raises(MeznetError, match="is not on the list of this page"):
        desk.choose(desk.MANY, "", "", [nets[0], "clip/tuned@/etc"], "soft", {})
    with pytest.raises(MeznetError, match="two labelers or more, not 1"):
        desk.choose(desk.MANY, "", "", nets[:1], "soft", {})
    both = desk.choose(desk.MANY, "", "", nets[:2], "hard", {})
    assert both.name == f"ensemble/hard({nets[0]}, {nets[1]})"
    folder = profile.data() / "models" / "clip-tuned"
    assert desk.choose("mine", "", "", [], "soft", {"mine": folder}).folder == folder


def test_pictures_of_visitors(monkeypatch):
    """Each has one, of the files of all the oldest go, and who left leaves nothing."""
    paths = [str(PHOTOGRAPHS[name]) for name in ("cat", "rocket", "coffee")]
    sizes = [Path(path).stat().st_size for path in paths]
    monkeypatch.setattr(desk, "MAX_KEPT", sum(sizes))
    table = desk.Desk({})
    fields = ("keras/MobileNet@tiny", "", "", [], "soft")
    for visitor, path in zip("abc", paths, strict=True):
        table.keep(visitor, path)
    expected = desk.labeler(fields[0]).predict([read(paths[0])], calibrated=True).probs[0, 0]
    assert max(table.label("a", *fields)[0].values()) == pytest.approx(expected.max(), abs=1e-6)
    table.keep("b", paths[1])  # again: the same bytes in place of the same
    assert all(table.label(visitor, *fields)[0] for visitor in "abc")
    table.keep("d", paths[2])  # now there are more than may be
    assert [bool(table.label(visitor, *fields)[0]) for visitor in "abcd"] == [
        False, True, sizes[0] >= sizes[2], True
    ]  # fmt: skip
    for visitor in "bcd":
        table.keep(visitor, None)
        assert table.label(visitor, *fields) == ({}, [], "Drop a picture first.")
    assert not table._pictures


def test_only_its_own_names_reach_the_page(address):
    """A name of somebody else's that points to this machine gets nothing (DNS rebinding)."""
    for host, status in (
        (f"localhost:{urlsplit(address).port}", 200),
        (urlsplit(address).netloc, 200),
        ("evil.example", 400),
        (f"evil.example:{urlsplit(address).port}", 400),
        ("127.0.0.1.evil.example", 400),
    ):
        connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=120)
        with contextlib.closing(connection):
            connection.request("GET", "/config", headers={"Host": host})
            assert connection.getresponse().status == status, host


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no such signal")
def test_what_a_killed_page_left_goes_with_the_next(tmp_path):
    """Killed, it leaves its folder, which the next one sweeps; a hang-up leaves nothing."""
    with FileLock(tmp_path / "meznet-ui-of-another" / ".lock"):
        with served(tmp_path, signals=[signal.SIGKILL]):
            pass
        assert len(list(tmp_path.glob("meznet-ui-*"))) == 2
        with served(tmp_path, signals=[signal.SIGHUP]):
            assert len(list(tmp_path.glob("meznet-ui-*"))) == 2  # the other's, and its own
        assert [path.name for path in tmp_path.glob("*")] == ["meznet-ui-of-another"]


def test_what_a_net_saw():
    from meznet_helpers.names import labeler

    net = labeler("keras/MobileNet@tiny")
    image = read(PHOTOGRAPHS["cat"])
    ((seen, words),) = desk.saw(net, image)
    np.testing.assert_array_equal(seen, net.backbone.resize(image))
    assert words == f"keras/MobileNet@tiny, {net.backbone.size} x {net.backbone.size} pixels"
