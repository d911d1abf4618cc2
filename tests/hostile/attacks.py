"""What files, folders, servers, disks and moments may do to the package, each from a seed.

An attack takes a generator of chance and an empty folder. It returns nothing if all went right, or
raises `Fault`. To refuse is right, in one sentence; to answer is right where the answer is that of
the sound input. ``data/results/make_reliability.py`` runs all of them, `test_hostile` a part.
"""

import contextlib
import csv
import functools
import http.server
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from PIL import Image
from safetensors.numpy import load_file, save_file

from meznet_helpers import cli, names, prototypes
from meznet_helpers.errors import MeznetError
from meznet_helpers.images import read
from meznet_helpers.labelers import Labeler
from meznet_helpers.labels import from_names
from meznet_helpers.llm.endpoint import Endpoint
from meznet_helpers.llm.recording import Recording, Reply
from meznet_helpers.llm.request import Request
from meznet_helpers.predictions import Predictions

Chance = np.random.Generator
PATIENCE = 20  # seconds; what takes longer hangs
FAULTS = ("tracebacks", "hangs", "lost", "silently wrong")


class Fault(Exception):
    """What went wrong: one of `FAULTS`, and what was seen."""

    def __init__(self, kind: str, seen: str) -> None:
        super().__init__(f"{kind}: {seen}")
        self.kind = kind


class Unsuitable(Exception):
    """This machine can't be brought into the state that an attack needs."""


class Hang(BaseException):
    """Time is up; no `except Exception` may stop it."""


def attack(kind: str, seed: int) -> None:
    """Run one attack in a folder of its own.

    Raises
    ------
    Fault
        If anything but the right answer or one sentence came of it.
    """

    def stop(*_: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, stop)
    with tempfile.TemporaryDirectory(prefix="hostile-") as folder:
        signal.setitimer(signal.ITIMER_REAL, PATIENCE)
        try:
            with warnings.catch_warnings(action="ignore"):
                ATTACKS[kind].try_it(
                    np.random.default_rng([sum(map(ord, kind)), seed]), Path(folder)
                )
        except (Fault, Unsuitable):
            raise
        except Hang:
            raise Fault("hangs", f"more than {PATIENCE} s") from None
        except Exception as error:
            raise Fault("tracebacks", f"{type(error).__name__}: {error}") from error
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def refusable() -> Iterator[None]:
    """Let one sentence pass."""
    try:
        yield
    except MeznetError as error:
        if "\n" in str(error) or not str(error).strip():
            raise Fault("tracebacks", f"no sentence: {str(error)!r:.200}") from error


def compare(given: np.ndarray, right: np.ndarray, what: str) -> None:
    """Hold an answer against the right one."""
    if given.shape != right.shape or not np.array_equal(given, right):
        raise Fault("silently wrong", what)


# ---- bytes


def flip(chance: Chance, content: bytes, bits: int = 1) -> bytes:
    """Turn bits around."""
    changed = bytearray(content)
    for _ in range(bits):
        changed[chance.integers(len(changed))] ^= 1 << int(chance.integers(8))
    return bytes(changed)


def cut(chance: Chance, content: bytes) -> bytes:
    """Keep the beginning."""
    return content[: chance.integers(len(content))]


def extreme(chance: Chance, content: bytes) -> bytes:
    """Put an extreme number near the beginning."""
    place = int(chance.integers(min(len(content), 96)))
    number = [b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\xff\xff", b"\0\0"]
    number = number[chance.integers(len(number))]
    return content[:place] + number + content[place + len(number) :]


def doubled(chance: Chance, content: bytes) -> bytes:
    """Write a piece twice."""
    begin, end = sorted(chance.integers(len(content), size=2))
    return content[:end] + content[begin:end] + content[end:]


def wiped(chance: Chance, content: bytes) -> bytes:
    """Write zeros over a piece, as a disk does that was cut off."""
    begin, end = sorted(chance.integers(len(content), size=2))
    return content[:begin] + bytes(end - begin) + content[end:]


BYTES = (flip, cut, extreme, doubled, wiped)

ODD = (
    None, True, -1, 0, 0.5, 10**30, 1e308, float("nan"), float("inf"), "", "x", "é" * 3, "1",
    [], [1], [[]], ["a", "a"], {}, {"a": 1}, [None], "\ud800", "a\0b", -(2**63), "x" * 5000,
)  # fmt: skip
DEEP = "[" * 100_000


def oddly(chance: Chance, value: Any) -> Any:
    """Put something odd in a random place of what JSON holds, or take it away."""
    value = json.loads(json.dumps(value))
    place = value
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = keys[chance.integers(len(keys))]
        if isinstance(place[key], dict | list) and len(place[key]) and chance.random() < 0.7:
            place = place[key]
            continue
        if chance.random() < 0.15:
            del place[key]
        else:
            place[key] = ODD[chance.integers(len(ODD))]
        return value


# ---- pictures


@functools.cache
def pictures() -> list[tuple[str, bytes, np.ndarray]]:
    """One picture in all kinds of files: suffix, content, and what is read of it."""
    chance = np.random.default_rng(5)
    small = Image.fromarray(chance.integers(0, 256, (6, 8, 3), np.uint8))
    picture = small.resize((48, 36), Image.Resampling.BICUBIC)
    gray = picture.convert("L")
    clear = picture.copy()
    clear.putalpha(gray)
    deep = Image.fromarray(np.asarray(gray).astype(np.uint16) * 257)
    made = []
    for image, kind, options in (
        (picture, "JPEG", {}), (picture, "JPEG", {"progressive": True}), (gray, "JPEG", {}),
        (picture.convert("CMYK"), "JPEG", {}), (picture, "PNG", {}), (clear, "PNG", {}),
        (gray, "PNG", {}), (deep, "PNG", {}), (picture.quantize(20), "PNG", {}),
        (picture.convert("1"), "PNG", {}), (picture, "GIF", {}), (picture, "BMP", {}),
        (picture, "WEBP", {}), (clear, "WEBP", {"lossless": True}), (picture, "TIFF", {}),
        (picture, "TIFF", {"compression": "tiff_lzw"}), (deep, "TIFF", {}),
        (picture, "TIFF", {"compression": "jpeg"}), (gray, "PPM", {}), (picture, "ICO", {}),
        (picture, "AVIF", {}), (picture, "JPEG2000", {}),
        (picture, "MPO", {"save_all": True, "append_images": [picture]}),
    ):  # fmt: skip
        file = io.BytesIO()
        try:
            image.save(file, kind, **options)
        except (KeyError, OSError):  # Pillow was built without it
            continue
        made.append((kind, file.getvalue(), read(file.getvalue())))
    return made


def images(chance: Chance, folder: Path) -> None:
    """A file that was cut, or whose content has changed."""
    kind, content, right = pictures()[chance.integers(len(pictures()))]
    change = BYTES[chance.integers(len(BYTES))]
    bad = change(chance, content)
    side = None if chance.random() < 0.5 else int(chance.integers(1, 40))
    with refusable():
        array = read(bad, name="bad", side=side)
        if array.dtype != np.uint8 or array.shape[2:] != (3,):
            raise Fault("silently wrong", f"{kind}: {array.dtype} {array.shape}")
        if side is None and (change is cut or (kind == "PNG" and change is flip)):
            compare(array, right, f"{kind}, {change.__name__}")


# ---- indexes


@functools.cache
def index_file() -> bytes:
    """The file of a small index."""
    chance = np.random.default_rng(6)
    index = prototypes.PrototypeIndex(kind="k-means", count=2, name="zoo")
    for label in ("cat", "dog", "owl", "fox", "bee"):
        index.add(label, chance.normal(size=(6, 16)).astype(np.float32))
    index.threshold = 0.1
    with tempfile.TemporaryDirectory() as folder:
        return prototypes.save(index, Path(folder, "zoo.safetensors")).read_bytes()


QUESTIONS = np.random.default_rng(7).normal(size=(30, 16)).astype(np.float32)


def found(file: Path, *, mapped: bool) -> np.ndarray:
    """What a search in an index finds."""
    index = prototypes.load(file, mapped=mapped)
    hits = index.search(QUESTIONS, 2)
    named = np.array(index.labels.names, object)[hits.classes]
    probs = index.probabilities(QUESTIONS) if hasattr(index, "probabilities") else hits.scores
    return np.concatenate(
        [named, hits.scores.astype(object), hits.known[:, None], probs.astype(object)], axis=1
    )


@functools.cache
def right_finds() -> np.ndarray:
    """What is found in the sound one."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "zoo.safetensors")
        file.write_bytes(index_file())
        return found(file, mapped=False)


def packed(header: dict[str, Any], data: bytes) -> bytes:
    """Write the file of a header and its data."""
    text = json.dumps(header).encode("utf-8", "replace")
    return len(text).to_bytes(8, "little") + text + data


def indexes(chance: Chance, folder: Path) -> None:
    """An index whose bytes, header, metadata or tensors are others."""
    content = index_file()
    size = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + size]), content[8 + size :]
    about = json.loads(header["__metadata__"]["meznet"])
    file = folder / "zoo.safetensors"
    way = int(chance.integers(4))
    if way == 0:
        file.write_bytes(BYTES[chance.integers(len(BYTES))](chance, content))
    elif way == 1:
        file.write_bytes(packed(oddly(chance, header), data))
    elif way == 2:
        text = DEEP if chance.random() < 0.05 else json.dumps(oddly(chance, about))
        file.write_bytes(packed(header | {"__metadata__": {"meznet": text}}, data))
    else:
        file.write_bytes(content)
        tensors = load_file(file)
        name = list(tensors)[chance.integers(len(tensors))]
        save_file(tensors | odd_tensor(chance, name, tensors[name]), file,
                  {"meznet": header["__metadata__"]["meznet"]})  # fmt: skip
    with refusable():
        compare(found(file, mapped=chance.random() < 0.5), right_finds(), f"way {way}")


def odd_tensor(chance: Chance, name: str, tensor: np.ndarray) -> dict[str, np.ndarray]:
    """Change a tensor into what does not fit."""
    changed = [
        lambda: tensor[:-1],
        lambda: np.concatenate([tensor, tensor[:1]]),
        lambda: tensor[::-1].copy(),
        lambda: tensor * 2,
        lambda: -tensor,
        lambda: tensor * 0,
        lambda: np.where(tensor == tensor.flat[-1], np.nan, tensor),
        lambda: tensor.astype(np.float16),
        lambda: tensor.astype(np.int32),
        lambda: tensor.reshape(-1),
        lambda: tensor[None],
        lambda: tensor[:0],
        lambda: tensor + 10**6,
    ]  # fmt: skip
    with np.errstate(all="ignore"):
        return {name: np.ascontiguousarray(changed[chance.integers(len(changed))]())}


# ---- tables


def tables(chance: Chance, folder: Path) -> None:
    """A zipped table of prototypes whose text, or zip, is odd."""
    rows = [["target", "0", "1", "2"]]
    rows += [[f"class {n // 2}", *(f"{x:.6g}" for x in chance.normal(size=3))] for n in range(8)]
    cells = ("", " ", "nan", "inf", "1e400", "1,2", '"', "'", "=1+1", "\0", "é", "0x10", "1_0", "-",
             "class 0 ", "CLASS 0", "\ufeff", "3" * 400, "true", "\n", "ß", "😀", "٣")  # fmt: skip
    for _ in range(int(chance.integers(1, 3))):
        row = rows[chance.integers(len(rows))]
        what = chance.integers(5)
        if what == 0:
            row.append("5")
        elif what == 1 and len(row) > 1:
            row.pop()
        elif what == 2:
            rows.insert(int(chance.integers(len(rows))), [])
        elif row:
            row[chance.integers(len(row))] = cells[chance.integers(len(cells))]
    raw = chance.random() < 0.5
    lines = io.StringIO(newline="")
    csv.writer(lines).writerows(rows)
    text = "\n".join(",".join(row) for row in rows) if raw else lines.getvalue()
    content = text.encode("utf-8")
    whole = True
    if chance.random() < 0.2:
        content, whole = BYTES[chance.integers(len(BYTES))](chance, content), False
    file = folder / "zoo.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("zoo.csv", content)
        if chance.random() < 0.1:
            out.writestr("__MACOSX/._zoo.csv", b"\0\5\26\7")
    if chance.random() < 0.2:
        file.write_bytes(BYTES[chance.integers(len(BYTES))](chance, file.read_bytes()))
        whole = False
    with refusable():
        index = prototypes.read_csv(file)
        given = {}
        for label, owner in enumerate(index.labels.names):
            given[owner] = index.vectors[index.owners == label].astype(float).tolist()
        if not np.isfinite(index.vectors).all():
            raise Fault("silently wrong", "numbers that are none")
        if whole and given != table(text):
            raise Fault("silently wrong", f"{text!r:.300}")


def table(text: str) -> dict[str, list[list[float]]] | None:
    """Read the same by Python's own module, strictly: the names and their numbers."""
    try:
        header, *rows = [row for row in csv.reader(io.StringIO(text.removeprefix("\ufeff"))) if row]
        if header != ["target", *map(str, range(len(header) - 1))]:
            return None
        read: dict[str, list[list[float]]] = {}
        for name, *numbers in rows:
            if len(numbers) != len(header) - 1:
                return None
            read.setdefault(name, []).append([float(np.float32(number)) for number in numbers])
    except (ValueError, csv.Error):
        return None
    return read


# ---- answers


class Handler(http.server.BaseHTTPRequestHandler):
    """Sends what the attack wants to be sent."""

    status, kind, content, more = 200, "application/json", b"", ()

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        """Answer a question."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with contextlib.suppress(OSError):
            self.send_response(Handler.status)
            self.send_header("Content-Type", Handler.kind)
            for name, value in Handler.more:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(Handler.content)

    do_GET = do_POST


@functools.cache
def server() -> str:
    """Start a server of this machine; return its address."""
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.daemon_threads = True
    threading.Thread(target=made.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{made.server_address[1]}/v1"


def answers(chance: Chance, folder: Path) -> None:
    """A server that answers oddly."""
    body = {
        "id": "x", "object": "chat.completion", "created": 1, "model": "net",
        "choices": [{"index": 0, "finish_reason": "stop",
                     "message": {"role": "assistant", "content": "cat"}}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }  # fmt: skip
    error = {"error": {"message": "no such thing", "type": "x", "code": 7}}
    content = json.dumps(oddly(chance, body if chance.random() < 0.8 else error)).encode()
    Handler.kind, Handler.more, Handler.status = "application/json", (), 200
    if chance.random() < 0.3:
        Handler.status = int(chance.choice([204, 301, 400, 401, 404, 413, 418, 429, 500, 502, 503]))
        Handler.more = (("Retry-After", str(chance.choice(["0", "1", "-1", "x", "99999"]))),)
    way = chance.random()
    if way < 0.1:
        content = cut(chance, content)
    elif way < 0.2:
        content, Handler.kind = b"<html><body>Sign in</body></html>", "text/html"
    elif way < 0.25:
        content = DEEP.encode()
    elif way < 0.3:
        Handler.more = (*Handler.more, ("Content-Length", str(len(content) + 5)))
    elif way < 0.35:
        content = flip(chance, content, 20)
    Handler.content = content
    with refusable():
        reply = Endpoint(server(), timeout=2).ask(Request("net", "What is it?", choices=("cat",)))
        numbers = [reply.tokens_in, reply.tokens_out, reply.ms]
        if not isinstance(reply.text, str) or not np.isfinite(numbers).all():
            raise Fault("silently wrong", repr(reply))


# ---- folders


class Brightness(Labeler):
    """Stands for a network; its scores say which picture it saw."""

    name, labels = "test/Brightness", from_names(["bright", "dark"])

    def _probabilities(self, images: list[np.ndarray]) -> np.ndarray:
        bright = np.array([image.mean() / 255 for image in images], np.float32)
        return np.stack([bright, 1 - bright], 1)


@contextlib.contextmanager
def stub() -> Iterator[None]:
    """Put `Brightness` in the place of every labeler."""
    with mock.patch.object(names, "labeler", lambda name, download=False: Brightness()):
        yield


def command(*argv: object) -> tuple[int, str, str]:
    """Run a command: its status, and what it wrote to both outputs."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = cli.main([str(each) for each in argv])
    if "Traceback" in err.getvalue() or "not foreseen" in err.getvalue():
        raise Fault("tracebacks", err.getvalue())
    return status, out.getvalue(), err.getvalue()


NAMES = (
    "a b", "~x", "$HOME", "x[1]", "-n", "--out", "=1+1", "naïve", "猫", "😀", "x\ny", "x\x1b[31m",
    "a;b", "a,b", 'a"b', "*", "?", "CON", "x" * 200, "caf\udce9", "train", "a.b", " x", "x ",
)  # fmt: skip


def folders(chance: Chance, folder: Path) -> None:
    """A folder with odd names, links, holes and litter."""
    places, levels = [folder / "holiday"], chance.permutation(np.arange(1, 255))
    places[0].mkdir()
    outside = folder / "elsewhere"
    outside.mkdir()
    good, bad = set(), []
    for number in range(int(chance.integers(5, 20))):
        place = places[chance.integers(len(places))]
        name = f"{NAMES[chance.integers(len(NAMES))]}{number}"
        way, level = int(chance.integers(12)), int(levels[number])
        file = place / f"{name}.png"
        if way == 0:
            (place / name).mkdir()
            places.append(place / name)
        elif way == 1:
            file.write_bytes(b"no picture")
            bad.append(file)
        elif way == 2:
            file.symlink_to("nowhere.png")
            bad.append(file)
        elif way == 3:
            (place / name).symlink_to(places[0], target_is_directory=True)  # a loop
        elif way == 4:
            (place / f"{name}.txt").write_text("not a picture", encoding="utf-8")
        elif way == 5:
            (outside / name).mkdir(exist_ok=True)
            picture(outside / name / "there.png", level)
            (place / f"link {number}").symlink_to(outside / name, target_is_directory=True)
            good.add(level)
        elif way == 6:
            picture(outside / f"{number}.png", level)
            file.symlink_to(outside / f"{number}.png")
            good.add(level)
        elif way == 7:
            (place / f"._{number}.png").write_bytes(b"\0\5\26\7")
            (place / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
        elif way == 8:
            (place / f"{name}.png").mkdir()
        elif way == 9 and hasattr(os, "mkfifo"):
            os.mkfifo(place / f"{name}.txt")
        else:
            picture(file, level)
            good.add(level)
    out = folder / "labels.csv"
    with stub():
        status, _, err = command("label", places[0], "--out", out, "--top", "1")
    if status != (1 if good and bad else 2 if not good else 0):
        raise Fault(
            "silently wrong", f"status {status} for {len(good)} good, {len(bad)} bad: {err}"
        )
    lines = [line for line in err.splitlines() if "left aside" not in line]
    if good and len(lines) != len(bad):
        raise Fault("silently wrong", f"{len(bad)} can't be read: {[*map(str, bad)]} {err}")
    if good:
        with out.open(encoding="utf-8", newline="") as stream:
            scores = [
                float(row["score"]) if row["label"] == "bright" else 1 - float(row["score"])
                for row in csv.DictReader(stream)
            ]
        seen = {round(score * 255) for score in scores}
        if seen != good:
            raise Fault("lost" if seen < good else "silently wrong", f"{good} but {seen}; {err}")


def picture(file: Path, level: int) -> None:
    """Write a gray picture."""
    Image.new("RGB", (5, 4), (level,) * 3).save(file)


# ---- flipped bits


def bits(chance: Chance, folder: Path) -> None:
    """One bit of a stored file that has turned around."""
    kind = ("index", "mapped", "predictions", "packed", "recording")[chance.integers(5)]
    if kind in ("index", "mapped"):
        file = folder / "zoo.safetensors"
        file.write_bytes(flip(chance, index_file()))
        with refusable():
            compare(found(file, mapped=kind == "mapped"), right_finds(), kind)
    elif kind == "recording":
        file, asked = folder / "answers.jsonl", [Request("net", f"{n}?") for n in range(4)]
        with mock.patch.dict(os.environ, {"MEZNET_LLM": "record"}):
            for request in asked:
                Recording(file).ask(request, lambda request: Reply(f"a {request.prompt}", "net"))
        file.write_bytes(flip(chance, file.read_bytes()))
        with refusable(), mock.patch.dict(os.environ, {"MEZNET_LLM": "replay"}):
            recording = Recording(file)
            for request in asked:
                with refusable():
                    text = recording.ask(request, lambda _: None).text
                    if text != f"a {request.prompt}":
                        raise Fault("silently wrong", f"{kind}: {text}")
    else:
        file = folder / ("p.safetensors" if kind == "predictions" else "p.safetensors.gz")
        probs = np.random.default_rng(8).dirichlet(np.ones(4), (2, 30)).astype(np.float32)
        images = [f"{n}.png" for n in range(30)]
        whole = Predictions(probs, ["a", "b"], images, from_names(["cat", "dog", "owl", "fox"]))
        whole.save(file)
        file.write_bytes(flip(chance, file.read_bytes()))
        with refusable():
            back = Predictions.load(file)
            compare(back.probs, whole.probs, kind)
            if (back.images, back.labels, back.models) != (
                whole.images, whole.labels, whole.models
            ):  # fmt: skip
                raise Fault("silently wrong", f"{kind}: names")


# ---- killed at any moment

KILLED = {
    "index": """
from meznet_helpers import prototypes
for number in range(int(sys.argv[2]), 10**6, 2):
    with prototypes.editing(sys.argv[1]) as index:
        index.add(f"class {number}", np.ones((1, 16), np.float32) * (number + 1))
    print(number, flush=True)
""",
    "recording": """
import os
os.environ["MEZNET_LLM"] = "record"
from meznet_helpers.llm.recording import Recording, Reply
from meznet_helpers.llm.request import Request
recording = Recording(sys.argv[1])
for number in range(int(sys.argv[2]), 10**6, 2):
    recording.ask(Request("net", f"{number}?"), lambda _: Reply("cat" * 200, "net"))
    print(number, flush=True)
""",
    "rows": """
from meznet_helpers.cli.writing import Writer
from pathlib import Path
files = [Path(f"{number}.png") for number in range(4000)]
with Writer(sys.argv[1], {"image": "string", "score": "float32"}, files, {}) as writer:
    for number in range(writer.done, len(files)):
        writer.add(1, [(f"{number}.png", number / 7)])
        print(number, flush=True)
""",
}
BEGIN = "import sys\nimport numpy as np\n"


def start(kind: str, *argv: object) -> subprocess.Popen:
    """Start a program that says what it has written, when it has."""
    return subprocess.Popen(
        [sys.executable, "-c", BEGIN + KILLED[kind], *map(str, argv)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def killed(process: subprocess.Popen) -> tuple[str, str]:
    """Kill a program; return what else it wrote to both outputs."""
    process.kill()
    with process:
        # not by communicate, which knows nothing of what readline has read ahead
        return process.stdout.read(), process.stderr.read()


def target(kind: str, folder: Path) -> Path:
    """Make what is written to, where it must be there."""
    file = folder / {"index": "zoo.safetensors", "rows": "rows.csv"}.get(kind, "answers.jsonl")
    if kind == "index":
        file.write_bytes(index_file())
    return file


def written(kind: str, file: Path) -> set[int]:
    """Read what is there after all."""
    if kind == "index":
        names = prototypes.load(file).labels.names
        return {int(name.split()[1]) for name in names if name.startswith("class ")}
    if kind == "recording":
        known = Recording(file).replies
        return {n for n in range(40_000) if Request("net", f"{n}?").digest in known}
    with file.open(encoding="utf-8", newline="") as stream:
        return {int(row["image"].removesuffix(".png")) for row in csv.DictReader(stream)}


def kills(chance: Chance, folder: Path) -> None:
    """A writer that is killed; what it had acknowledged is there, and the next one can write."""
    kind = list(KILLED)[chance.integers(len(KILLED))]
    file = target(kind, folder)
    process = start(kind, file, 0)
    first = process.stdout.readline()
    time.sleep(float(chance.uniform(0, 0.15)))
    rest, err = killed(process)
    said = {int(line) for line in (first + rest).split("\n")[:-1]}
    if not said:
        raise Fault("tracebacks", err[-500:])
    if kind == "rows" and not file.exists():
        again = start(kind, file, 0)
        _, err = again.communicate()
        if again.returncode:
            raise Fault("tracebacks", err[-500:])
    elif kind != "rows":
        again = start(kind, file, 1)
        said.add(int(again.stdout.readline() or -1))
        killed(again)
    if lost := said - written(kind, file):
        raise Fault("lost", f"{kind}: {sorted(lost)[:5]} of {len(said)}")
    litter = {path.name for path in folder.iterdir() if ".part" in path.name}
    if kind == "rows" and litter:
        raise Fault("lost", f"{litter} is left")


def writers(chance: Chance, folder: Path) -> None:
    """Two writers of one file, one of them through a link."""
    kind = ("index", "recording")[chance.integers(2)]
    file, link = target(kind, folder), folder / "other" / "link"
    link.parent.mkdir()
    if kind == "recording":
        file.touch()
    link.symlink_to(file)
    both = [start(kind, file, 0), start(kind, link, 1)]
    first = [process.stdout.readline() for process in both]
    time.sleep(float(chance.uniform(0.1, 0.5)))
    said = set()
    for process, line in zip(both, first, strict=True):
        rest, err = killed(process)
        if not line:
            raise Fault("tracebacks", err[-500:])
        said |= {int(each) for each in (line + rest).split("\n")[:-1]}
    if lost := said - written(kind, file):
        raise Fault("lost", f"{kind}: {len(lost)} of {len(said)}")
    if not link.is_symlink():
        raise Fault("silently wrong", f"{kind}: the link is none any more")


# ---- disks


@contextlib.contextmanager
def disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    """Make a small disk; as root of a system with tmpfs."""
    place = folder / "disk"
    place.mkdir()
    made = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(place)]
    if not shutil.which("mount") or subprocess.run(made, capture_output=True).returncode:
        raise Unsuitable("a small disk can be mounted by root of Linux alone")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def disks(chance: Chance, folder: Path) -> None:
    """A disk that is full, or can't be written: one sentence, and what was there is there."""
    kind = ("label", "index", "recording", "predictions", "export")[chance.integers(5)]
    old = b"what was there\n"
    pictures = folder / "pictures"
    pictures.mkdir()
    for number in range(100):
        picture(pictures / f"{number:03} {'x' * 100}.png", number)
    with disk(folder, 32) as place:
        index = place / "zoo.safetensors"
        index.write_bytes(index_file())
        file = place / {"label": "a.csv", "recording": "a.jsonl", "export": "a.zip"}.get(kind, "p")
        if kind != "recording":
            file.write_bytes(old)
        if chance.random() < 0.3:
            remount = ["mount", "-o", "remount,ro", str(place)]
            subprocess.run(remount, check=True, capture_output=True)
        else:
            free = shutil.disk_usage(place).free
            (place / "ballast").write_bytes(bytes(max(0, free - int(chance.integers(0, 4)) * 4096)))
        before = index.read_bytes()
        said: list[int] = []
        with refusable():
            if kind == "label":
                with stub():
                    status, _, err = command("label", pictures, "--out", file)
                if status != 2 or len(err.splitlines()) > 2:
                    raise Fault("silently wrong", f"status {status}: {err}")
            elif kind == "index":
                for number in range(200):
                    with prototypes.editing(index) as content:
                        content.add(f"class {number}", chance.normal(size=(20, 16)).astype("f4"))
                    said.append(number)
            elif kind == "recording":
                with mock.patch.dict(os.environ, {"MEZNET_LLM": "record"}):
                    recording = Recording(file)
                    for number in range(100):
                        recording.ask(Request("n", f"{number}?"), lambda _: Reply("x" * 999, "n"))
                        if file.stat().st_size and Recording(file).replies.keys() >= {
                            Request("n", f"{number}?").digest
                        }:
                            said.append(number)
            elif kind == "predictions":
                Predictions(
                    np.full((1, 9000, 2), 0.5, np.float32), ["n"], [*map(str, range(9000))],
                    from_names(["a", "b"]),
                ).save(file)  # fmt: skip
                raise Fault("silently wrong", "more was written than there is room for")
            else:
                prototypes.write_csv(big_index(), file)
                raise Fault("silently wrong", "more was written than there is room for")
        if kind == "index":
            names = prototypes.load(index).labels.names
            if lost := [number for number in said if f"class {number}" not in names]:
                raise Fault("lost", f"{kind}: {lost[:5]}")
        elif index.read_bytes() != before:
            raise Fault("lost", "the index has changed")
        if kind == "recording" and said:
            known = Recording(file).replies
            if lost := [n for n in said if Request("n", f"{n}?").digest not in known]:
                raise Fault("lost", f"{kind}: {lost[:5]}")
        if kind != "recording" and file.read_bytes() != old:
            raise Fault("lost", f"{kind}: what was there")
        litter = [path.name for path in place.iterdir() if path.name.endswith(".part")]
        if litter and kind != "label":
            raise Fault("silently wrong", f"{kind}: {litter} is left")


@functools.cache
def big_index() -> prototypes.PrototypeIndex:
    """An index that needs more room than `disks` leaves."""
    index = prototypes.PrototypeIndex(name="big")
    vectors = np.random.default_rng(9).normal(size=(40, 400)).astype(np.float32)
    for number, vector in enumerate(vectors):
        index.add(f"class {number}", vector[None])
    return index


@dataclass(frozen=True)
class Attack:
    """One of them, how often the script tries it and the tests do, and its name in the table."""

    try_it: Callable[[Chance, Path], None]
    times: int
    in_tests: int
    what: str


ATTACKS = {
    "images": Attack(images, 900, 90, "images, cut or changed"),
    "indexes": Attack(indexes, 800, 80, "indexes whose bytes, header or tensors were changed"),
    "tables": Attack(tables, 400, 40, "zipped tables of prototypes with odd cells, rows or bytes"),
    "answers": Attack(answers, 125, 13, "answers of servers, of odd shape or status"),
    "folders": Attack(folders, 77, 8, "folders with odd names, links, loops and litter"),
    "bits": Attack(bits, 300, 30, "stored files with one bit turned around"),
    "kills": Attack(kills, 200, 10, "writers killed at a random moment"),
    "writers": Attack(writers, 20, 2, "two writers of one file, one of them through a link"),
    "disks": Attack(disks, 60, 6, "disks that are full or read-only"),
}
