"""Tests of meznet_helpers.assets.wheels and convert: weights taken out of wheels by pip.

The wheels are small ones, made here; pip finds them in a folder and asks no network.
"""

import base64
import contextlib
import hashlib
import http.server
import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections import namedtuple
from pathlib import Path

import pytest

from meznet_helpers import cli
from meznet_helpers.assets import profile, store, wheels
from meznet_helpers.assets.manifest import read
from meznet_helpers.errors import MeznetError

pytestmark = pytest.mark.nets  # most of them start pip

GGUF = b"GGUF" + bytes(range(256)) * 400
CONFIG = b'{"hidden_size": 384}'
INNER = b"not really tensors" * 1000
KILL = "import os; os.kill(os.getpid(), 9)"

# Runs in another interpreter: the same manifest, and something that happens to a function.
OTHER = """
import os, pathlib, sys
from meznet_helpers.assets import profile, store, wheels
profile.data = lambda: pathlib.Path({data!r})
real = wheels.{name}
def other(*arguments, **more):
    {code}
wheels.{name} = other
print(store.get({asset!r}, folder={folder!r}))
"""


def sha(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def wheel(folder, package, files, version="1.0"):
    """Make a wheel as pip wants it."""
    stem = f"{package.replace('-', '_')}-{version}"
    info = f"{stem}.dist-info"
    files = files | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n"
        "Requires-Dist: nothing-that-there-is\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for name, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        record += f"{name},sha256={digest},{len(content)}\n"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (files | {f"{info}/RECORD": record.encode()}).items():
            archive.writestr(name, content)
    return path


def archive(files):
    """The bytes of a zip archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as zipped:
        for name, content in files.items():
            zipped.writestr(name, content)
    return out.getvalue()


def entry(name, package, file, content, **more):
    """An entry of the manifest."""
    inside = {"inside": more.pop("inside")} if "inside" in more else {}
    return {
        "name": name,
        "path": None,
        "urls": [],
        "hash": sha(content),
        "bytes": len(content),
        "licence": "MIT",
        "source": "made up",
        "card": "README.md",
        "wheel": {"package": package, "version": "1.0", "file": file} | inside,
    } | more


ZIP = archive({"config.json": CONFIG, "1_Pooling/": b"", "1_Pooling/config.json": b"{}",
               "model.safetensors": INNER})  # fmt: skip
INIT = b"raise SystemExit('a wheel of weights was imported')\n"


class House:
    """A store, a manifest and a shelf of wheels of the test's own."""

    def __init__(self, folder):
        self.data, self.cache, self.shelf = folder / "data", folder / "store", folder / "shelf"
        self.data.mkdir()
        self.shelf.mkdir()

    def manifest(self, *entries):
        text = json.dumps({"assets": entries})
        (self.data / "manifest.json").write_text(text, encoding="utf-8")
        read.cache_clear()

    def files(self):
        """All that lies in the store, but for its lock."""
        found = {path.relative_to(self.cache).as_posix() for path in self.cache.rglob("*")}
        return found - {".wheels.lock"}

    def other(self, name, code, asset, folder=None):
        """A command that gets an asset while a function of the module does something else."""
        folder = folder and str(folder)
        text = OTHER.format(data=str(self.data), name=name, code=code, asset=asset, folder=folder)
        return [sys.executable, "-c", text]


@pytest.fixture
def house(tmp_path, monkeypatch):
    house = House(tmp_path)
    monkeypatch.setattr(profile, "data", lambda: house.data)
    for name, value in {
        "MEZNET_CACHE": house.cache,
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": house.shelf,
        "PIP_RETRIES": "0",
    }.items():
        monkeypatch.setenv(name, str(value))
    wheel(house.shelf, "talk-model", {"talk_model/__init__.py": INIT, "talk_model/m.gguf": GGUF})
    wheel(house.shelf, "mini-model", {"mini_model/__init__.py": INIT, "mini_model/m.zip": ZIP})
    inside = {"model.safetensors": sha(INNER)}
    house.manifest(
        entry("mini", "mini-model", "mini_model/m.zip", ZIP, inside=inside),
        entry("talk", "talk-model", "talk_model/m.gguf", GGUF),
    )
    return house


@pytest.fixture
def no_pip(monkeypatch):
    """Nothing may be started."""

    def started(*arguments, **more):
        raise AssertionError(f"it started {arguments}")

    monkeypatch.setattr(wheels.subprocess, "Popen", started)


def refused(asset, *words, **more):
    """One sentence that holds the words."""
    with pytest.raises(MeznetError) as caught:
        store.get(asset, **more)
    text = str(caught.value)
    assert "\n" not in text and text.endswith("."), text
    for word in (asset, *words):
        assert word in text, text
    return text


# ---- what is had, and where it lies


def test_get_takes_the_file_out_of_the_wheel(house):
    with pytest.raises(MeznetError) as caught:
        store.resolve("talk")
    assert str(caught.value) == (
        'asset "talk" (102.4 kB) is not on this machine; meznet fetch gets it.'
    )
    assert not store.is_here("talk") and not house.cache.exists()
    path = store.get("talk")
    assert path == store.resolve("talk") == store.location("talk") == house.cache / "talk/m.gguf"
    assert path.read_bytes() == GGUF and store.is_here("talk")
    assert house.files() == {"talk", "talk/m.gguf", "talk/wheel.json"}
    record = json.loads((house.cache / "talk/wheel.json").read_text(encoding="utf-8"))
    assert record["hash"] == sha(GGUF)
    assert record["files"]["m.gguf"]["sha256"] == sha(GGUF).removeprefix("sha256:")


def test_get_unpacks_an_archive(house):
    folder = store.get("mini")
    assert folder == store.resolve("mini") == house.cache / "mini"
    names = {"config.json", "1_Pooling", "1_Pooling/config.json", "model.safetensors", "wheel.json"}
    assert house.files() == {"mini"} | {f"mini/{name}" for name in names}
    assert (folder / "model.safetensors").read_bytes() == INNER


def test_get_has_it_once(house, no_pip):
    store.get("talk", folder=house.shelf)
    before = (house.cache / "talk/wheel.json").stat().st_mtime_ns
    shutil.rmtree(house.shelf)
    assert store.get("talk").is_file()
    assert (house.cache / "talk/wheel.json").stat().st_mtime_ns == before


def test_files_can_be_read_as_others_that_the_user_makes(house):
    path = store.get("talk")
    (house.cache / "mine").write_bytes(b"")
    (house.cache / "folder").mkdir()
    assert path.stat().st_mode == (house.cache / "mine").stat().st_mode
    assert path.parent.stat().st_mode == (house.cache / "folder").stat().st_mode


def test_a_name_with_a_slash_lies_in_a_folder(house):
    house.manifest(entry("a/talk@x", "talk-model", "talk_model/m.gguf", GGUF))
    assert store.get("a/talk@x") == house.cache / "a/talk@x/m.gguf"


def test_nothing_in_the_wheel_is_imported_and_nothing_installed(house):
    """The wheel's __init__.py would end whatever process runs it."""
    assert store.get("talk").is_file()
    assert store.get("mini", folder=house.shelf).is_dir()
    assert not {"talk_model", "mini_model"} & {*sys.modules}
    assert importlib.util.find_spec("talk_model") is None


def test_resolve_starts_nothing(house, no_pip):
    with pytest.raises(MeznetError, match="meznet fetch gets it"):
        store.resolve("mini")
    assert not house.cache.exists()


def test_resolve_loads_nothing_large(house, fresh_python):
    store.get("mini", folder=house.shelf)
    out = fresh_python(
        f"import pathlib, sys\n"
        f"from meznet_helpers.assets import profile, store\n"
        f"profile.data = lambda: pathlib.Path({str(house.data)!r})\n"
        f"store.resolve('mini')\n"
        f"print(sorted({{'torch', 'numpy', 'safetensors', 'requests', 'pip'}} & {{*sys.modules}}))"
    )
    assert out.strip() == "[]"


# ---- checkpoints


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, torch_python):
    """What torch.save wrote: tensors that lie across, share memory, count; keys out of order."""
    path = tmp_path_factory.mktemp("checkpoint") / "net.pth"
    torch_python(
        f"import torch\n"
        f"from collections import OrderedDict\n"
        f"torch.manual_seed(0)\n"
        f"w = torch.randn(4, 3, 2, 2).to(memory_format=torch.channels_last)\n"
        f"b = torch.arange(8.0)\n"
        f"torch.save(OrderedDict(z=w, a=b[::2], m=b[1:], half=b.half(), n=torch.tensor(7)),"
        f" {str(path)!r})"
    )
    return path.read_bytes()


def net(house, content):
    wheel(house.shelf, "net-model", {"net_model/__init__.py": INIT, "net_model/net.pth": content})
    house.manifest(entry("net", "net-model", "net_model/net.pth", content))


def test_a_checkpoint_is_converted_once_and_exactly(house, checkpoint, torch_python, tmp_path):
    net(house, checkpoint)
    path = store.get("net")
    assert path == store.resolve("net") == house.cache / "net/model.safetensors"
    assert house.files() == {"net", "net/model.safetensors", "net/wheel.json"}
    (tmp_path / "net.pth").write_bytes(checkpoint)
    torch_python(
        f"import json, torch\n"
        f"from safetensors import safe_open\n"
        f"expected = torch.load({str(tmp_path / 'net.pth')!r}, weights_only=True)\n"
        f"with safe_open({str(path)!r}, 'pt') as file:\n"
        f"    keys = json.loads(file.metadata()['keys'])\n"
        f"    assert keys == list(expected) == ['z', 'a', 'm', 'half', 'n']\n"
        f"    for key in keys:\n"
        f"        found = file.get_tensor(key)\n"
        f"        assert found.dtype == expected[key].dtype and found.is_contiguous()\n"
        f"        assert torch.equal(found, expected[key])\n"
    )
    (house.cache / "mine").write_bytes(b"")
    assert path.stat().st_mode == (house.cache / "mine").stat().st_mode
    house.cache.joinpath("mine").unlink()


def test_a_checkpoint_that_would_run_something_is_refused(house, tmp_path):
    import pickle

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "evil"),)

    net(house, pickle.dumps({"w": Evil()}))
    refused("net", "can't be converted", "no checkpoint of torch")
    assert not (tmp_path / "evil").exists() and house.files() == set()


def test_a_checkpoint_of_something_else_is_refused(house, torch_python, tmp_path):
    torch_python(f"import torch; torch.save({{'epoch': 3}}, {str(tmp_path / 'x.pth')!r})")
    net(house, (tmp_path / "x.pth").read_bytes())
    refused("net", "something else than named tensors")
    assert house.files() == set()


# ---- what is damaged later


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.write_bytes(GGUF[:-1]), "has 102403 bytes instead of 102404"),
        (lambda path: path.write_bytes(GGUF[::-1]), "has the wrong hash"),
        (lambda path: path.unlink(), "is missing"),
        (lambda path: path.with_name("wheel.json").unlink(), "wheel.json can't be read"),
        (lambda path: path.with_name("wheel.json").write_text('{"hash'), "wheel.json can't be"),
        (lambda path: path.with_name("wheel.json").write_text("[]"), "wheel.json can't be read"),
    ],
)
def test_what_is_damaged_is_said_and_got_anew(house, damage, words):
    path = store.get("talk", folder=house.shelf)
    damage(path)
    with pytest.raises(MeznetError) as caught:
        store.resolve("talk")
    text = str(caught.value)
    assert words in text and text.endswith("; meznet fetch gets it anew.") and "\n" not in text
    assert not store.is_here("talk")
    assert store.get("talk", folder=house.shelf).read_bytes() == GGUF
    assert store.resolve("talk") == path
    assert house.files() == {"talk", "talk/m.gguf", "talk/wheel.json"}


def test_another_version_is_got_anew(house):
    store.get("talk", folder=house.shelf)
    shutil.rmtree(house.shelf)
    wheel(house.shelf, "talk-model", {"talk_model/m.gguf": GGUF[::-1]})
    house.manifest(entry("talk", "talk-model", "talk_model/m.gguf", GGUF[::-1]))
    with pytest.raises(MeznetError, match=r"another version .* meznet fetch gets it anew"):
        store.resolve("talk")
    assert store.get("talk").read_bytes() == GGUF[::-1]


def test_a_copied_store_is_read_once(house, monkeypatch):
    """Other times, same files: they are compared by hash, and `get` notes the new times."""
    path = store.get("talk", folder=house.shelf)
    os.utime(path, (1, 1))
    hashed = []
    real = wheels.digest
    monkeypatch.setattr(wheels, "digest", lambda path: hashed.append(path) or real(path))
    assert store.resolve("talk") == path and hashed == [path]
    assert store.get("talk") == path
    hashed.clear()
    assert store.resolve("talk") == path and hashed == []


# ---- killed in the middle


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("_download", KILL),
        ("_take", f"real(*arguments); {KILL}"),
        ("_write_record", f"real(*arguments); {KILL}"),
        ("_put", KILL),
        ("_put", f"arguments[1].exists() and arguments[1].replace(arguments[2] / 'old'); {KILL}"),
        ("_put", f"real(*arguments); {KILL}"),
    ],
)
@pytest.mark.parametrize("damaged", [False, True])
def test_killed_and_again(house, name, code, damaged):
    if damaged:
        store.get("talk", folder=house.shelf).write_bytes(b"damaged")
    folder = None if name == "_download" else house.shelf
    command = house.other(name, code, "talk", folder)
    done = subprocess.run(command, capture_output=True, encoding="utf-8")
    assert done.returncode not in (0, 1), done.stderr
    assert {path for path in house.files() if "/" not in path} <= {".wheels", "talk"}
    with contextlib.suppress(MeznetError):  # never half an asset
        assert store.resolve("talk").read_bytes() == GGUF
    assert store.get("talk", folder=house.shelf).read_bytes() == GGUF
    assert house.files() == {"talk", "talk/m.gguf", "talk/wheel.json"}


class Slow(http.server.BaseHTTPRequestHandler):
    """Lists one wheel, and stops in the middle of it."""

    wheel: Path

    def log_message(self, *args):
        """Say nothing."""

    def do_GET(self):
        content, name = self.wheel.read_bytes(), self.wheel.name
        if not self.path.endswith(".whl"):
            content = (
                f'<!DOCTYPE html><html><body><a href="{name}">{name}</a></body></html>'.encode()
            )
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.path.endswith(".whl"):
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            self.server.halfway.append(1)
            time.sleep(60)
        else:
            self.wfile.write(content)


class SlowServer(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, path):
        super().__init__(("127.0.0.1", 0), type("Handler", (Slow,), {"wheel": path}))
        self.halfway = []


def test_killed_while_pip_downloads(house, serving):
    content = os.urandom(1_000_000)
    path = wheel(house.shelf, "talk-model", {"talk_model/m.gguf": content})
    house.manifest(entry("talk", "talk-model", "talk_model/m.gguf", content))
    with serving(SlowServer(path)) as server:
        env = os.environ | {"PIP_FIND_LINKS": server.url}
        process = subprocess.Popen(
            house.other("_take", "raise AssertionError", "talk"),
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 120
        while not server.halfway or wheels._size(house.cache / ".wheels") < 100_000:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        process.kill()
        process.wait()
        assert not store.is_here("talk")
        assert store.get("talk").read_bytes() == content  # the killed one's pip may still run
        assert {"talk", "talk/m.gguf", "talk/wheel.json"} <= house.files()


def test_interrupted_while_pip_downloads(house, serving, monkeypatch):
    """Control-C ends pip, too, and leaves nothing."""
    content = os.urandom(1_000_000)
    path = wheel(house.shelf, "talk-model", {"talk_model/m.gguf": content})
    house.manifest(entry("talk", "talk-model", "talk_model/m.gguf", content))

    class Steps:
        n = 0

        def update(self, count):
            self.n += count
            if self.n > 100_000:
                raise KeyboardInterrupt

    shown = []
    bar = lambda **more: shown.append(more) or contextlib.nullcontext(Steps())  # noqa: E731
    monkeypatch.setattr(wheels, "bar", bar)
    with serving(SlowServer(path)) as server:
        monkeypatch.setenv("PIP_FIND_LINKS", server.url)
        with pytest.raises(KeyboardInterrupt):
            store.get("talk")
    assert shown == [{"total": 1_000_000, "label": "talk (1.0 MB)", "unit": "B"}]
    assert house.files() == set()


def test_two_processes_at_once(house, tmp_path):
    """The second waits, and takes what the first has got."""
    log = tmp_path / "log"
    code = (
        f"open({str(log)!r}, 'a').write('x'); import time; time.sleep(1); return real(*arguments)"
    )
    command = house.other("_download", code, "talk")
    pipe = subprocess.PIPE
    first, second = (
        subprocess.Popen(command, stdout=pipe, stderr=pipe, encoding="utf-8") for _ in range(2)
    )
    for process in (first, second):
        out, err = process.communicate(timeout=300)
        assert (process.returncode, err) == (0, "")
        assert Path(out.strip()).read_bytes() == GGUF
    assert log.read_text(encoding="utf-8") == "x"
    assert house.files() == {"talk", "talk/m.gguf", "talk/wheel.json"}


def test_folders_that_go_while_they_are_counted(tmp_path, monkeypatch):
    """pip removes its own; that must not end the download."""
    for name in "abc":
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "deep" / "file").write_bytes(b"12345")
    real = os.scandir

    def scandir(path):
        if str(path).endswith("b"):
            shutil.rmtree(path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert wheels._size(tmp_path) == 10


def test_what_a_killed_process_left_is_swept_though_all_is_there(house):
    store.get("talk", folder=house.shelf)
    (house.cache / ".wheels" / "tmpxyz").mkdir(parents=True)
    store.get("talk")
    assert house.files() == {"talk", "talk/m.gguf", "talk/wheel.json"}


# ---- what goes wrong


def test_pip_does_not_find_the_wheel(house):
    (house.shelf / "talk_model-1.0-py3-none-any.whl").rename(
        house.shelf / "talk_model-1.1-py3-none-any.whl"
    )
    refused("talk", "pip can't get talk-model (", "talk-model==1.0", "--wheels FOLDER")
    assert house.files() == set()


def test_pip_reaches_nobody(house, monkeypatch):
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_RETRIES", "1")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    refused("talk", "reaches no package index", "meznet fetch --wheels FOLDER")
    assert house.files() == set()


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("", "(it gave no wheel)"),
        (
            "WARNING: old\nERROR: first\nERROR: No matching distribution",
            "(No matching distribution)",
        ),
        (
            "ERROR: Exception:\nTraceback:\n  File x\nOSError: [Errno 28] full",
            "(OSError: [Errno 28] full)",
        ),
    ],
)
def test_what_pip_said_is_told_in_short(log, words):
    assert wheels._why(log, "net-model") == f"pip can't get net-model {words}"


def test_pip_is_missing(house, monkeypatch, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    folder = tmp_path / "bare" / ("Scripts" if os.name == "nt" else "bin")
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    refused("talk", "has no pip", "ensurepip")
    assert house.files() == set()
    assert store.get("talk", folder=house.shelf).is_file()  # does without


def test_the_wheel_holds_another_file(house):
    wheel(house.shelf, "talk-model", {"talk_model/m.gguf": GGUF[::-1]})
    text = refused("talk", "has the wrong hash")
    assert sha(GGUF) in text and sha(GGUF[::-1]) in text
    wheel(house.shelf, "talk-model", {"talk_model/m.gguf": GGUF + b"x"})
    refused("talk", f"has {len(GGUF) + 1} bytes instead of {len(GGUF)}")
    wheel(house.shelf, "talk-model", {"talk_model/other.gguf": GGUF})
    refused("talk", "talk_model-1.0-py3-none-any.whl has no file talk_model/m.gguf")
    assert house.files() == set()


@pytest.mark.parametrize("by_pip", [True, False])
@pytest.mark.parametrize("how", ["half", "middle", "no zip"])
def test_a_broken_wheel(house, by_pip, how):
    content = os.urandom(200_000)
    path = wheel(house.shelf, "talk-model", {"talk_model/m.gguf": content})
    house.manifest(entry("talk", "talk-model", "talk_model/m.gguf", content))
    whole = path.read_bytes()
    middle = len(whole) // 2
    path.write_bytes(
        {
            "half": whole[:middle],
            "middle": whole[:middle] + bytes(1000) + whole[middle + 1000 :],
            "no zip": b"<html>Log in to this hotel's network</html>",
        }[how]
    )
    refused("talk", folder=None if by_pip else house.shelf)
    assert house.files() == set()


def test_a_damaged_asset_stays_where_it_can_not_be_had_anew(house):
    """Somebody may want to look at it."""
    store.get("talk", folder=house.shelf).write_bytes(b"damaged")
    wheel(house.shelf, "talk-model", {"talk_model/m.gguf": GGUF[::-1]})
    refused("talk", "wrong hash")
    assert (house.cache / "talk/m.gguf").read_bytes() == b"damaged"
    assert ".wheels" not in house.files()


@pytest.mark.parametrize(
    "name", ["../evil.json", "/evil.json", "a/../../evil.json", "C:/evil.json", "a\\..\\evil.json",
             "run.py", "model.pkl", "pytorch_model.bin", "config"],
)  # fmt: skip
def test_an_archive_with_other_files_is_refused(house, name, tmp_path):
    content = archive({"config.json": CONFIG, name: b"{}"})
    wheel(house.shelf, "mini-model", {"mini_model/m.zip": content})
    house.manifest(entry("mini", "mini-model", "mini_model/m.zip", content))
    refused("mini", "its archive holds", "refused", folder=house.shelf)
    assert house.files() == set()
    assert not list(tmp_path.rglob("evil.json"))


def test_an_archive_whose_weights_are_others_is_refused(house):
    for inside in ({"model.safetensors": sha(b"others")}, {"weights.safetensors": sha(INNER)}):
        house.manifest(entry("mini", "mini-model", "mini_model/m.zip", ZIP, inside=inside))
        refused("mini", "missing or has the wrong hash", folder=house.shelf)
    assert house.files() == set()


def test_no_space(house, monkeypatch, no_pip):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(wheels.shutil, "disk_usage", lambda path: usage(10**6, 10**6, 10**5))
    refused("talk", "needs 307.2 kB of free space", "has 100.0 kB", "MEZNET_CACHE")
    assert house.files() == set()


def test_a_disk_that_fills_up(house, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(wheels, "_copy", full)
    refused("talk", "can't be unpacked", str(house.cache), "No space left on device")
    assert house.files() == set()


def test_a_store_that_can_not_be_made(house, monkeypatch, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("MEZNET_CACHE", str(tmp_path / "file" / "store"))
    refused("talk", "can't be unpacked", "Not a directory" if os.name != "nt" else "")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_store_that_is_read_only(house):
    store.get("talk", folder=house.shelf)
    house.cache.chmod(0o555)
    try:
        refused("mini", "Permission denied", folder=house.shelf)
        assert store.get("talk").is_file()  # what is there is had all the same
    finally:
        house.cache.chmod(0o755)


def test_a_read_only_store_as_told_by_the_system(house, monkeypatch):
    store.get("talk", folder=house.shelf)
    os.utime(store.location("talk"), (1, 1))

    def lock(*arguments, **more):
        raise PermissionError(13, "Permission denied", str(house.cache / ".wheels.lock"))

    monkeypatch.setattr("filelock.FileLock", lock)
    refused("mini", "can't be unpacked", str(house.cache), "Permission denied")
    assert store.get("talk").read_bytes() == GGUF


def test_offline_a_folder_of_wheels_is_the_only_way(house, monkeypatch, no_pip):
    monkeypatch.setenv("MEZNET_OFFLINE", "1")
    refused("talk", "(102.4 kB)", "MEZNET_OFFLINE is set", "meznet fetch --wheels FOLDER")
    assert not house.cache.exists()
    assert store.get("talk", folder=house.shelf).is_file()
    assert store.get("talk").is_file()


# ---- the folder of wheels


def test_wheels_are_found_by_any_spelling_of_their_names(house, tmp_path):
    path = house.shelf / "talk_model-1.0-py3-none-any.whl"
    folder = tmp_path / "stick"
    folder.mkdir()
    path.rename(folder / "Talk.Model-1.0-1-py2.py3-none-any.whl")
    (folder / "talk_model-1.0.1-py3-none-any.whl").write_bytes(b"")
    (folder / "notes.txt").write_bytes(b"")
    assert store.get("talk", folder=folder).is_file()


def test_a_folder_that_lacks_wheels_names_all_of_them(house, tmp_path):
    assets = store.manifest().values()
    with pytest.raises(MeznetError, match=r"empty lacks mini-model 1\.0, talk-model 1\.0\.$"):
        (tmp_path / "empty").mkdir()
        wheels.find(assets, tmp_path / "empty")
    for folder in ("gone", "data/manifest.json"):
        with pytest.raises(MeznetError, match=r"--wheels: .* is no folder\.$"):
            wheels.find(assets, tmp_path / folder)


# ---- the manifest's field


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"wheel": {"package": "a"}}, "wheel must be null or have the keys"),
        ({"wheel": "a"}, "wheel must be null or have the keys"),
        ({"wheel": {"package": "a b", "version": "1", "file": "x"}}, "package must be"),
        ({"wheel": {"package": "--pre", "version": "1", "file": "x"}}, "package must be"),
        ({"wheel": {"package": "a", "version": ">=1", "file": "x"}}, "version must be exact"),
        ({"wheel": {"package": "a", "version": "1", "file": "../x"}}, "inside the wheel"),
        (
            {"wheel": {"package": "a", "version": "1", "file": "x.zip", "inside": {"a": "b"}}},
            "inside must hold",
        ),
        ({"urls": ["http://127.0.0.1:9/x"]}, "neither a path nor a url"),
        ({"path": "x"}, "neither a path nor a url"),
        ({"bytes": None}, "bytes and sha256"),
        ({"hash": "md5:" + 32 * "0"}, "bytes and sha256"),
        ({"wheel": None}, "needs a path, a url or a wheel"),
    ],
)
def test_a_wrong_entry_is_named(house, change, match):
    house.manifest(entry("talk", "talk-model", "talk_model/m.gguf", GGUF) | change)
    with pytest.raises(MeznetError, match=match) as caught:
        store.manifest()
    assert "manifest.json: entry 1" in str(caught.value)


# ---- meznet fetch


def run(capsys, *argv):
    """Exit status, standard output, and the lines of standard error."""
    status = cli.main([str(each) for each in argv])
    out, err = capsys.readouterr()
    return status, out, err.splitlines()


def test_fetch_gets_what_wheels_carry(house, capsys):
    lines = f"mini ({wheels.readable_size(len(ZIP))})\ntalk (102.4 kB)\n"
    assert run(capsys, "fetch") == (0, lines, [])
    assert store.is_here("mini") and store.is_here("talk")
    assert run(capsys, "fetch") == (0, f"All 2 assets are here: {house.cache}\n", [])
    assert run(capsys, "fetch", "talk", "talk") == (
        0,
        f"talk is here: {house.cache / 'talk' / 'm.gguf'}\n",
        [],
    )


def test_fetch_from_a_folder(house, capsys, monkeypatch, no_pip):
    monkeypatch.setenv("MEZNET_OFFLINE", "1")
    status, out, err = run(capsys, "fetch", "--wheels", house.shelf)
    assert (status, len(out.splitlines()), err) == (0, 2, [])
    assert store.is_here("mini") and store.is_here("talk")


def test_fetch_lists(house, capsys):
    store.get("talk", folder=house.shelf)
    status, out, err = run(capsys, "fetch", "--list")
    assert (status, err) == (0, [])
    assert out.splitlines() == [
        "asset,mb,license,here",
        f"mini,{len(ZIP) / 1e6:.1f},MIT,False",
        "talk,0.1,MIT,True",
    ]


def test_fetch_lists_in_a_terminal(house, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    out = run(capsys, "fetch", "--list")[1]
    assert [line.split() for line in out.splitlines()][1] == ["mini", "0.0", "MIT", "no"]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--wheels", "gone"], "--wheels: gone is no folder."),
        (["--wheels", "."], "lacks mini-model 1.0, talk-model 1.0."),
        (["--list", "talk"], "--list stands alone."),
        (["tolk"], 'The manifest has no asset "tolk"; did you mean "talk"?'),
    ],
)
def test_fetch_refuses(house, capsys, argv, words, tmp_path, monkeypatch, no_pip):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    status, out, err = run(capsys, "fetch", *argv)
    assert (status, out, len(err)) == (2, "", 1)
    assert words in err[0]
    assert not house.cache.exists()


def test_fetch_offline(house, capsys, monkeypatch, no_pip):
    monkeypatch.setenv("MEZNET_OFFLINE", "1")
    status, out, err = run(capsys, "fetch")
    assert (status, out, len(err)) == (2, "", 1) and "MEZNET_OFFLINE is set" in err[0]


def test_fetch_that_fails_keeps_what_was_got(house, capsys):
    (house.shelf / "talk_model-1.0-py3-none-any.whl").unlink()
    status, _, err = run(capsys, "fetch")
    assert (status, len(err)) == (2, 1) and "talk-model" in err[0]
    assert store.is_here("mini") and ".wheels" not in house.files()


# ---- the real ones


def test_the_readme_names_every_wheel(root):
    text = (root / "README.md").read_text(encoding="utf-8")
    for asset in store.manifest().values():
        if asset.wheel:
            assert f"{asset.wheel.package}=={asset.wheel.version}" in text


def test_no_file_names_a_registry(root):
    names = ["meznet_helpers/assets/wheels.py", "meznet_helpers/cli/fetch.py", "README.md",
             "Makefile", "postBuild", "data/manifest.json"]  # fmt: skip
    for name in names:
        text = (root / name).read_text(encoding="utf-8")
        assert not re.search(r"pypi|pythonhosted|index-url http", text, re.I), name


@pytest.mark.parametrize(
    ("name", "count"),
    [("efficientnet-lite0", 296), ("efficientnet-lite1", 386), ("efficientnet-lite2", 386)],
)
def test_the_real_nets(name, count):
    if not store.is_here(name):
        pytest.skip(f"{name} was not fetched (meznet fetch)")
    from safetensors import safe_open

    with safe_open(store.resolve(name), "np") as file:
        keys = json.loads(file.metadata()["keys"])
        assert len(keys) == count and set(keys) == set(file.keys())
        assert keys[0] == "_conv_stem.weight" and keys[-2:] == ["_fc.weight", "_fc.bias"]
        assert file.get_tensor("_fc.bias").shape == (1000,)


def test_the_real_language_models():
    for name in ("all-minilm-l6-v2", "smollm2-135m-instruct"):
        if not store.is_here(name):
            pytest.skip(f"{name} was not fetched (meznet fetch)")
    folder = store.resolve("all-minilm-l6-v2")
    assert {"config.json", "tokenizer.json", "model.safetensors"} <= {
        p.name for p in folder.iterdir()
    }
    asset = store.manifest()["all-minilm-l6-v2"]
    assert f"sha256:{wheels.digest(folder / 'model.safetensors')}" in asset.wheel.inside.values()
    assert store.resolve("smollm2-135m-instruct").read_bytes()[:4] == b"GGUF"
