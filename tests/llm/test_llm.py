"""Tests of language models as labelers: over real HTTP, against a small server that misbehaves."""

import base64
import io
import json
import re
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from meznet_helpers import cli
from meznet_helpers.book import exhibit
from meznet_helpers.book.exhibit import Capture
from meznet_helpers.ensembles import soft
from meznet_helpers.errors import MeznetError
from meznet_helpers.labels import LabelSpace, from_names
from meznet_helpers.llm import Asker, EndpointJudge, LlmLabeler, recording
from meznet_helpers.llm import judge as judging
from meznet_helpers.llm.asking import AGAIN
from meznet_helpers.llm.endpoint import Endpoint
from meznet_helpers.llm.recording import Recording, Reply
from meznet_helpers.llm.request import Request, png
from meznet_helpers.predictions import Predictions

PETS = LabelSpace(
    "pets", ["cat", "dog", "hot-dog"], ["cat", "dog", "hot dog"],
    [["cat", "tabby", "pet"], ["dog", "hound", "pet"], ["hot dog", "frankfurter"]],
)  # fmt: skip
RED, BLUE = (np.full((8, 8, 3), color, np.uint8) for color in ((200, 30, 30), (30, 30, 200)))


class Server(ThreadingHTTPServer):
    """Says "cat" to red pictures and "dog" to others, unless its model is told to misbehave."""

    daemon_threads = False  # closing it waits for all answers: none is left for the next test

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[dict] = []
        self.fail: set[int] = set()  # which requests to the model "moody" fail
        self.headers: list[dict] = []
        self.at_once, self.most, self.lock = 0, 0, threading.Lock()
        self.three, self.over = threading.Barrier(3, timeout=120), threading.Event()


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def answer(self, body: dict, status: int = 200) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self) -> None:
        self.answer({"object": "list", "data": [{"id": "eyes", "object": "model", "created": 0,
                                                 "owned_by": "us"}]})  # fmt: skip

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server = self.server
        with server.lock:
            server.asked.append(body)
            server.headers.append({name.lower(): value for name, value in self.headers.items()})
        if body["model"] == "busy":
            self.wait_for_two_others(server)
        self.reply(body, body["model"])

    def wait_for_two_others(self, server: Server) -> None:
        """Wait for two more requests, and count how many are there; all before any answer."""
        with server.lock:
            server.at_once += 1
            server.most = max(server.most, server.at_once)
        server.three.wait()
        with server.lock:
            server.at_once -= 1

    def judged(self, question: str, model: str) -> str:
        """Choose the label whose first percent is largest; say its number, or its name."""
        rows = [line for line in question.splitlines() if line[:1].isdigit()]
        best = max(rows, key=lambda row: int(row.rsplit(": ", 1)[1].split()[0]))
        number, name = best.split(":")[0].split(". ")
        return {"namer": f"It is {name}.", "doubter": "none of these"}.get(model, number)

    def reply(self, body: dict, model: str) -> None:
        content = body["messages"][0]["content"]
        said = "dog"
        if not isinstance(content, str):
            url = content[1]["image_url"]["url"]
            picture = Image.open(io.BytesIO(base64.b64decode(url.split(",", 1)[1])))
            said = "cat" if picture.getpixel((0, 0))[0] > 100 else "dog"
        elif "percent that each net gives" in content:
            said = self.judged(content, model)
        again = AGAIN in json.dumps(body, ensure_ascii=False).replace("\\n", "\n")
        if model == "slow":  # the client does not wait for it
            self.server.over.wait(120)
            return None
        if model == "broken":
            return self.answer({"error": {"message": "out of memory"}}, 500)
        elif model == "locked":
            return self.answer({"error": {"message": "bad key sk-very-secret"}}, 401)
        elif model == "blind" and not isinstance(content, str):
            return self.answer({"error": {"message": "this model has no eyes"}}, 400)
        elif model == "old" and "response_format" in body:
            return self.answer({"error": {"message": "unknown field response_format"}}, 400)
        elif model == "malformed":
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(b'{"choices": [{"mess')
            return None
        elif model == "moody" and len(self.server.asked) in self.server.fail:
            return self.answer({"error": {"message": "a teapot"}}, 418)
        elif model == "empty":
            return self.answer({"choices": []})
        elif model == "nothing":
            return self.answer({"error": {"message": "no such model"}}, 404)
        said = {
            "poet": "An elephant, gray as dusk." if not again else said,
            "stubborn": "an elephant",
            "silent": None,
            "endless": "cat dog " * 5000,
            "evil": "<script>alert('cat')</script>",
        }.get(model, json.dumps({"label": said}) if "response_format" in body else said)
        choice = {"index": 0, "message": {"role": "assistant", "content": said},
                  "finish_reason": "length" if model == "endless" else "stop"}  # fmt: skip
        usage = {"prompt_tokens": 100, "completion_tokens": 5, "total_tokens": 105}
        return self.answer(
            {"id": "1", "object": "chat.completion", "created": 0, "model": model,
             "choices": [choice], "usage": usage, "system_fingerprint": "fp-1"}
        )  # fmt: skip


@pytest.fixture
def server(serving):
    with serving(Server()) as running:
        running.v1 = f"{running.url}v1"
        yield running
        running.over.set()
    assert not running.failed


def labeler(server, model="eyes", timeout=120, **options):
    return LlmLabeler(Endpoint(server.v1, timeout=timeout), model, PETS, **options)


# ---- over HTTP


def test_the_picture_is_really_sent(server):
    """The bytes that the server got are the picture's, and nothing names a file."""
    probs = labeler(server).predict([RED, BLUE]).probs[0]
    assert probs.tolist() == [[1, 0, 0], [0, 1, 0]]
    for body in server.asked:
        (message,) = body["messages"]
        text, picture = message["content"]
        assert "cat, dog, hot dog" in text["text"] and body["temperature"] == 0
        data = base64.b64decode(picture["image_url"]["url"].split(",", 1)[1])
        pixels = np.asarray(Image.open(io.BytesIO(data)))
        assert any(np.array_equal(pixels, sent) for sent in (RED, BLUE))
        enum = body["response_format"]["json_schema"]["schema"]["properties"]["label"]["enum"]
        assert enum == ["cat", "dog", "hot dog"]


def test_costs(server):
    table = labeler(server, price=(2.0, 10.0)).ask([RED])
    (row,) = table.to_dict("records")
    assert (row["tokens_in"], row["tokens_out"], row["tries"]) == (100, 5, 1)
    assert row["price"] == pytest.approx((2 * 100 + 10 * 5) / 1e6)
    assert row["ms"] > 0 and row["error"] == ""


def test_an_answer_off_the_list_is_asked_for_once_more(server):
    poet = labeler(server, "poet").ask([RED]).iloc[0]
    assert (poet["label_id"], poet["tries"], poet["tokens_in"]) == ("cat", 2, 200)
    stubborn = labeler(server, "stubborn")
    row = stubborn.ask([RED]).iloc[0]
    assert (row["label_id"], row["how"], row["tries"]) == ("", "other", 2)
    assert row["text"] == "an elephant"
    np.testing.assert_allclose(stubborn.predict([RED]).probs[0, 0], 1 / 3)


@pytest.mark.parametrize(
    ("model", "how"),
    [("silent", "empty"), ("endless", "cut off"), ("evil", "other")],
)
def test_odd_answers_are_only_text(server, model, how):
    row = labeler(server, model).ask([RED]).iloc[0]
    assert row["how"] == how and row["error"] == ""


def test_servers_without_response_format(server):
    """The first request finds out; the others are plain from the start."""
    net = labeler(server, "old", workers=1)
    assert net.ask([RED, BLUE])["label_id"].tolist() == ["cat", "dog"]
    assert ["response_format" in body for body in server.asked] == [True, False, False]


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("slow", "gave no answer in 1 s"),
        ("broken", r"answered 500: out of memory\.$"),
        ("malformed", "sent what is no answer of a chat"),
        ("empty", "sent what is no answer of a chat"),
        ("nothing", 'has no model "nothing"; it has eyes.'),
        ("blind", r"answered 400: this model has no eyes\.$"),
        ("locked", "wants a key that it knows; put it into OPENAI_API_KEY"),
    ],
)
def test_what_goes_wrong_is_one_sentence(server, model, words):
    with pytest.raises(MeznetError, match=words) as error:
        labeler(server, model, timeout=1 if model == "slow" else 120).ask([RED])
    assert "\n" not in str(error.value) and "secret" not in str(error.value)


def test_nobody_there(server):
    with pytest.raises(MeznetError, match=r"no server answers at http://127\.0\.0\.1:9/v1"):
        LlmLabeler("http://127.0.0.1:9/v1", "eyes", PETS).ask([RED])
    with pytest.raises(MeznetError, match="must begin with http"):
        Endpoint("localhost:1")
    with pytest.raises(MeznetError, match="two labels or more"):
        LlmLabeler(server.v1, "eyes", ["cat"])


def test_the_key_comes_from_the_environment(server, monkeypatch, tmp_path):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-mine")
    monkeypatch.setenv("MEZNET_LLM", "record")
    file = tmp_path / "answers.jsonl"
    labeler(server, recording=file).ask([RED])
    assert server.headers[0]["authorization"] == "Bearer sk-mine"
    assert "sk-mine" not in file.read_text(encoding="utf-8")


def test_a_few_at_a_time(server):
    pictures = [np.full((4, 4, 3), each, np.uint8) for each in range(12)]
    found = labeler(server, "busy", workers=3).ask(pictures)
    assert found["image"].tolist() == [f"image {each}" for each in range(1, 13)] or len(found) == 12
    assert server.most == 3


# ---- a judge that does not see the picture


@pytest.fixture
def nets():
    """Three nets about nine pictures."""
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.ones(6), (3, 9)).astype(np.float32)
    names = ["owl", "cat", "zebra", "dog", "ant", "bee"]
    return Predictions(probs, ["a", "b", "c"], [f"{at}.jpg" for at in range(9)], from_names(names))


@pytest.mark.parametrize("model", ["judge", "namer"])
def test_a_judge_behind_a_server(server, nets, model):
    """It is told names and percents, no picture and no file; what it picks gets their mass."""
    judge = EndpointJudge(Asker(server.v1, model), k=3)
    chosen = judging.candidates(nets, 3)
    picks = np.rint(100 * np.take_along_axis(nets.probs[0], chosen, 1)).argmax(1)
    table = judge.ask(nets, chosen)
    assert table["label_id"].tolist() == [str(1 + pick) for pick in picks]
    names = [nets.labels.names[row[pick]] for row, pick in zip(chosen, picks, strict=True)]
    assert table["label"].tolist() == names and (table["tries"] == 1).all()
    given = np.eye(3)[picks]
    np.testing.assert_allclose(judge(nets), judging.dealt(nets, chosen, given), atol=1e-6)
    for body in server.asked:
        assert isinstance(body["messages"][0]["content"], str)
        assert "jpg" not in json.dumps(body) and "base64" not in json.dumps(body)
        enum = body["response_format"]["json_schema"]["schema"]["properties"]["label"]["enum"]
        assert enum == ["1", "2", "3"]


def test_a_judge_without_an_answer_changes_nothing(server, nets):
    judge = EndpointJudge(Asker(server.v1, "doubter"), k=3)
    np.testing.assert_allclose(judge(nets), soft(nets.probs), atol=1e-6)
    assert (judge.ask(nets, judging.candidates(nets, 3))["how"] == "other").all()
    with pytest.raises(MeznetError, match="answered 500: out of memory"):
        EndpointJudge(Asker(server.v1, "broken"))(nets)
    server.asked, server.fail = [], {2}
    with pytest.warns(UserWarning, match=r"^1\.jpg: .* answered 418: .* The nets' mean stands"):
        judged = EndpointJudge(Asker(server.v1, "moody", workers=1), k=3)(nets)
    assert np.allclose(judged[1], soft(nets.probs)[1]) and not np.allclose(judged, soft(nets.probs))


# ---- the exhibit's question


def test_the_exhibits_question_holds_a_path_and_no_picture():
    """Over HTTP, with the client that asks all questions; ours holds the picture and no path."""
    with Capture() as capture:
        said = Endpoint(capture.url).ask(Request("mistral", exhibit.prompt())).text
        LlmLabeler(capture.url, "eyes", PETS).ask([RED])
    blind, seeing = capture.bodies[:2]
    assert said == "The main object in the image is an elephant."
    assert b"elephant.jpg" in blind and exhibit.pictures(blind) == []
    (picture,) = exhibit.pictures(seeing)
    np.testing.assert_array_equal(picture, RED)
    assert b"image 1" not in seeing and b".jpg" not in seeing


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("C:\\pictures\\red_panda.JPG", "a red panda"),
        ("/home/me/owl.png", "an owl"),
        ("mug.webp", "a mug"),
    ],
)
def test_the_parrot_follows_the_name(path, word):
    assert exhibit.parrot(exhibit.prompt(path)) == f"The main object in the image is {word}."
    assert exhibit.parrot("Is it an owl?") == "I cannot see an image."


# ---- record and replay


def test_record_then_replay_without_a_server(server, tmp_path, monkeypatch):
    file = tmp_path / "answers.jsonl"
    monkeypatch.setenv("MEZNET_LLM", "record")
    first = labeler(server, "poet", recording=file).ask([RED, BLUE])
    count = len(server.asked)
    assert labeler(server, "poet", recording=file).ask([RED, BLUE]).equals(first)
    assert len(server.asked) == count, "what is on file was asked again"
    for line in file.read_text(encoding="utf-8").splitlines():
        about = json.loads(line)
        assert about["model"] == "poet" and about["reply"]["model"] == "poet fp-1"
        assert about["reply"]["date"].startswith("20") and len(about["request"]) == 64

    monkeypatch.setenv("MEZNET_LLM", "replay")
    away = LlmLabeler(Endpoint("http://127.0.0.1:9/v1"), "poet", PETS, recording=file)
    assert away.ask([RED, BLUE]).equals(first)
    with pytest.raises(MeznetError, match=r"has no answer of poet to .* \(request [0-9a-f]{12}\)"):
        away.ask([np.zeros((4, 4, 3), np.uint8)])
    monkeypatch.setenv("MEZNET_LLM", "always")
    with pytest.raises(MeznetError, match='MEZNET_LLM is "always"; it must be live, record'):
        away.ask([RED])


def test_requests_differ_in_all_that_counts():
    base = {"model": "a", "prompt": "b", "picture": png(RED), "choices": ("x",)}
    changes = [{"model": "c"}, {"prompt": "c"}, {"picture": png(BLUE)}, {"choices": ("y",)},
               {"picture": b""}, {"parameters": {"temperature": 1.0}}]  # fmt: skip
    digests = {Request(**base | change).digest for change in [{}, *changes]}
    assert len(digests) == 7 and Request(**base).digest == Request(**base).digest


ASK = [Request("net", f"What is {number}?") for number in range(20)]


def recorded(file, monkeypatch):
    """Write twenty answers."""
    monkeypatch.setenv("MEZNET_LLM", "record")
    kept = Recording(file)
    for request in ASK:
        kept.ask(request, lambda _: Reply("a c\u00e4t", "net", 1, 2, 3.5))
    return file.read_bytes()


def test_a_line_that_was_broken_off_is_dropped_and_asked_again(tmp_path, monkeypatch):
    """Wherever it was; what is whole is kept, and nothing is written into the middle."""
    file = tmp_path / "answers.jsonl"
    data = recorded(file, monkeypatch)
    start = data[:-1].rindex(b"\n") + 1
    for end in (start + 1, start + 90, data.index("\u00e4".encode(), start) + 1, len(data) - 2):
        file.write_bytes(data[:end])
        with pytest.warns(UserWarning, match=r"line 20, is no recorded answer .* is asked again"):
            kept = Recording(file)
        assert len(kept.replies) == 19
        assert kept.ask(ASK[19], lambda _: Reply("a dog", "net")).text == "a dog"
        assert file.read_bytes()[:start] == data[:start] and len(Recording(file).replies) == 20
    file.write_bytes(data[:-1])  # only the end of the line is gone
    kept = Recording(file)
    kept.ask(Request("net", "one more"), lambda _: Reply("an owl", "net"))
    assert file.read_bytes().startswith(data) and len(Recording(file).replies) == 21


def test_each_flipped_bit_of_a_recording_is_noticed(tmp_path, monkeypatch):
    """By a sentence that names the line, or the last line is asked again."""
    file = tmp_path / "answers.jsonl"
    data, rng = recorded(file, monkeypatch), np.random.default_rng(0)
    whole = Recording(file).replies
    for at in rng.integers(0, 8 * len(data), 200):
        flipped = bytearray(data)
        flipped[at // 8] ^= 1 << at % 8
        file.write_bytes(flipped)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = Recording(file).replies
        except MeznetError as error:
            assert re.search(r"answers\.jsonl, line \d+, is no recorded answer", str(error))
        else:
            assert found.items() <= whole.items()


@pytest.mark.parametrize(
    "change",
    [
        {"reply": None}, {"reply": {}}, {"request": 5}, {"request": "abc"}, {"more": 1},
        {"tokens_in": "1"}, {"tokens_in": -1}, {"tokens_in": True}, {"ms": float("nan")},
        {"ms": -1}, {"ms": "fast"}, {"text": None}, {"text": ["a"]}, {"finish": 1}, {"extra": 1},
        {"sha256": "0" * 64}, {"sha256": 1},
    ],
)  # fmt: skip
def test_lines_that_are_no_answers(tmp_path, change):
    """Written by others, without a digest: what is wrong is told with its line."""
    line = {"request": "0" * 64, "model": "net", "prompt": "What?"}
    reply = {"text": "a cat", "model": "net", "tokens_in": 1, "tokens_out": 2, "ms": 3}
    file = tmp_path / "answers.jsonl"
    file.write_text(json.dumps(line | {"reply": reply}) + "\n", encoding="utf-8")
    assert Recording(file).replies["0" * 64].text == "a cat", "as they were before digests"
    of_line = change.keys() & {"reply", "request", "more", "sha256"}
    line |= {"reply": reply} | change if of_line else {"reply": reply | change}
    file.write_text(json.dumps(line) + "\n", encoding="utf-8")
    with pytest.raises(MeznetError, match=r"answers\.jsonl, line 1, is no recorded answer"):
        Recording(file)
    file.write_text("[" * 100_000 + "\n", encoding="utf-8")
    with pytest.raises(MeznetError, match="line 1, is no recorded answer"):
        Recording(file)


def test_several_recordings_write_to_one_file(tmp_path, monkeypatch):
    monkeypatch.setenv("MEZNET_LLM", "record")
    file = tmp_path / "answers.jsonl"
    writers = [Recording(file) for _ in range(4)]

    def write(number):
        request = Request("net", f"{number} " * 500)
        writers[number % 4].ask(request, lambda _: Reply("cat " * 5000, "net"))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(40)))
    assert len(Recording(file).replies) == 40


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full disk to write to")
def test_an_answer_is_not_lost_with_a_full_disk(server, monkeypatch):
    """The one that could not be kept is delivered; nobody pays for another that can't be."""
    monkeypatch.setenv("MEZNET_LLM", "record")
    net = labeler(server, recording="/dev/full", workers=1)
    with pytest.warns(UserWarning, match=r"^/dev/full can't be written \(No space left"):
        table = net.ask([RED, BLUE])
    assert table["label_id"].tolist() == ["cat", ""] and len(server.asked) == 1
    assert table["error"][1].startswith("/dev/full can't be written")


def test_a_recording_that_cannot_be_is_said_before_anybody_is_asked(tmp_path, monkeypatch):
    monkeypatch.setenv("MEZNET_LLM", "record")
    for file in (tmp_path / "nowhere" / "a.jsonl", tmp_path):
        with pytest.raises(MeznetError, match="can't be written"):
            Recording(file)
    for mode, words in (("replay", "MEZNET_LLM is replay"), ("record", "MEZNET_LLM is record"),
                        ("yes", 'MEZNET_LLM is "yes"')):  # fmt: skip
        monkeypatch.setenv("MEZNET_LLM", mode)
        with pytest.raises(MeznetError, match=words):
            Asker("http://127.0.0.1:9/v1", "net")
    monkeypatch.delenv("MEZNET_LLM")
    assert recording.mode() == "live"


# ---- pictures at which the server fails


def test_predictions_hold_no_row_without_an_answer(server):
    """What was answered stays, and the others are named."""
    pictures = [np.full((4, 4, 3), 20 * each, np.uint8) for each in range(10)]
    server.fail = {5, 6}
    with pytest.warns(UserWarning, match="answered 418: a teapot") as told:
        found = labeler(server, "moody", workers=1).predict(pictures, batch_size=4)
    assert [str(each.message).split(":")[0] for each in told] == ["image 5", "image 6"]
    assert found.images == tuple(f"image {at}" for at in (1, 2, 3, 4, 7, 8, 9, 10))
    assert (found.probs.max(2) == 1).all()
    server.asked, server.fail = [], set(range(100))
    with pytest.raises(MeznetError, match=r"image 1: .* answered 418"):
        labeler(server, "moody").predict(pictures)
    with pytest.raises(MeznetError, match=r"image 1: .* answered 418"):
        labeler(server, "moody").probabilities(pictures)


# ---- the command


def test_the_command(server, tmp_path, capsys):
    """Rows for what worked, a line for what did not, and markup as text."""
    for name, color in (("red", RED), ("elephant", BLUE)):
        Image.fromarray(color).save(tmp_path / f"{name}.png")
    (tmp_path / "bad.png").write_text("no picture", encoding="utf-8")
    labels = tmp_path / "labels.txt"
    labels.write_text("# pets\ncat, tabby\n\ndog\n<b>bird</b>\n", encoding="utf-8")
    options = ["--endpoint", server.v1, "--model", "eyes", "--labels-file", str(labels)]
    status = cli.main(["llm", "label", str(tmp_path / "*.png"), *options, "--json"])
    out, err = capsys.readouterr()
    rows = {row["image"]: row["label"] for row in map(json.loads, out.splitlines())}
    assert status == 1 and rows == {"red.png": "cat", "elephant.png": "dog"}
    assert err.count("\n") == 1 and "bad.png" in err
    assert "elephant" not in json.dumps(server.asked), "a file's name was sent"
    same = tmp_path / "same.txt"
    same.write_text("cat, tabby\nTabby\n", encoding="utf-8")
    for changed, words in (
        (["--labels-file", str(same)], '"Tabby" stands for "cat" and for "Tabby"'),
        (["--model", "nothing"], "has no model"),
        (["--labels-file", str(tmp_path / "none.txt")], "can't be read"),
        (["--endpoint", "http://127.0.0.1:9/v1"], "no server answers"),
        (["--timeout", "0"], "timeout is 0; it must be above 0"),
        (["--workers", "0"], "workers is 0; it must be 1 or more"),
        (["--labels-file", str(tmp_path / "red.png")], "is no UTF-8 text"),
    ):
        assert cli.main(["llm", "label", str(tmp_path / "red.png"), *options, *changed]) == 2
        out, err = capsys.readouterr()
        assert not out and err.count("\n") == 1 and words in err, err
    labels.write_text("cat\nCat\n", encoding="utf-8")
    assert cli.main(["llm", "label", str(tmp_path / "red.png"), *options]) == 2
    assert "are the same label" in capsys.readouterr().err


# ---- the command: an answer that was paid for is on disk


@pytest.fixture
def command(server, tmp_path, capsys):
    """Label nine pictures, some of which may fail; return the status, rows, and what is said."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for at in range(9):
        Image.fromarray(np.full((4, 4, 3), 25 * at, np.uint8)).save(folder / f"{at}.png")

    def run(*argv, fail=(), model="moody", out="out.csv"):
        server.asked, server.fail = [], set(fail)
        argv = ["--endpoint", server.v1, "--model", model, "--labels", "cat,dog", *argv]
        argv += ["--out", str(tmp_path / out)]
        status = cli.main(["llm", "label", str(folder), *argv])
        return status, len(server.asked), capsys.readouterr().err.splitlines()

    return run


def rows_of(path):
    if path.suffix == ".csv":
        return pd.read_csv(path)
    if path.suffix == ".jsonl":
        return pd.read_json(path, lines=True, dtype_backend="numpy_nullable")
    return pd.read_parquet(path)


@pytest.mark.parametrize("out", ["out.csv", "out.jsonl", "out.parquet"])
def test_single_failures_are_asked_again_by_the_same_command(command, tmp_path, out):
    status, _, said = command("--workers", "1", fail={3, 7}, out=out)
    assert status == 1 and "2.png: " in said[0] and "answered 418: a teapot" in said[0]
    assert (
        said[-1] == f"meznet: {tmp_path / out} lacks 2 that failed; the same command tries again."
    )
    table = rows_of(tmp_path / out)
    assert table["image"].tolist() == [f"{at}.png" for at in (0, 1, 3, 4, 5, 7, 8)]
    status, asked, said = command("--workers", "1", fail={1}, out=out)
    assert (status, asked) == (1, 2) and "holds 7 of 9 photographs; going on" in said[0]
    assert sorted(rows_of(tmp_path / out)["image"]) == [
        f"{at}.png" for at in (0, 1, 3, 4, 5, 6, 7, 8)
    ]
    status, asked, _ = command(out=out)
    assert (status, asked) == (0, 1)
    table = rows_of(tmp_path / out).sort_values("image")
    assert table["image"].tolist() == [f"{at}.png" for at in range(9)]
    assert table["label"].tolist() == ["dog"] * 5 + ["cat"] * 4
    assert not [*tmp_path.glob("out*.part*")]


def test_a_server_that_fails_at_all_is_left_alone(command, tmp_path):
    """The rows are kept, and the same command asks about the others."""
    status, asked, said = command("--workers", "1", fail=range(4, 99))
    assert (status, asked) == (1, 7)
    assert said[-1].endswith(
        f"4 photographs in a row failed. {tmp_path}/out.csv.part holds 3 of 9."
    )
    assert not (tmp_path / "out.csv").exists()
    status, asked, said = command("--workers", "1")
    assert (status, asked) == (0, 6)
    assert sorted(rows_of(tmp_path / "out.csv")["image"]) == [f"{at}.png" for at in range(9)]
    status, _, said = command(fail=range(99), out="none.csv")
    assert status == 2 and said[-1].startswith("meznet: stopped") and not [*tmp_path.glob("none*")]


def test_each_answer_is_written_before_the_next_is_asked(command, server, tmp_path, monkeypatch):
    """With several workers, as many may be on their way."""
    seen, ask = [], Endpoint.ask

    def look(endpoint, request):
        part = tmp_path / f"{workers}.csv.part"
        lines = part.read_text(encoding="utf-8").count("\n") - 1
        with server.lock:
            seen.append(len(seen) - lines)
        return ask(endpoint, request)

    monkeypatch.setattr(Endpoint, "ask", look)
    for workers in (1, 3):
        seen.clear()
        command("--workers", str(workers), out=f"{workers}.csv")
        assert len(seen) == 9 and max(seen) < workers


def test_another_question_does_not_go_on(command, tmp_path):
    command("--workers", "1", fail={9})
    for changed in (["--prompt", "Which of {labels}?"], ["--labels", "cat,dog,owl"],
                    ["--labels-file", "x"], ["--price", "1", "2"]):  # fmt: skip
        status, asked, said = command(*changed)
        assert (status, asked) == (2, 0)
    assert "was begun otherwise (price: [0.0, 0.0] then, [1.0, 2.0] now)" in said[0]
    assert command("--restart")[:2] == (0, 9)


def test_what_the_command_says_of_recordings(command, tmp_path, monkeypatch):
    file = tmp_path / "answers.jsonl"
    assert "is left alone; MEZNET_LLM=record writes it" in command("--record", str(file))[2][0]
    monkeypatch.setenv("MEZNET_LLM", "record")
    assert command("--record", str(file), "--restart", "--workers", "1", fail={4, 5})[0] == 1
    assert len(file.read_text(encoding="utf-8").splitlines()) == 7
    file.write_bytes(file.read_bytes()[:-9])
    status, asked, said = command("--record", str(file), "--restart")
    assert (status, asked) == (0, 3) and "line 7, is no recorded answer" in said[0]
    monkeypatch.setenv("MEZNET_LLM", "replay")
    assert command("--record", str(file), out="again.csv")[:2] == (0, 0)
    for argv, mode in (([], "replay"), ([], "record"), (["--record", str(file)], "always")):
        monkeypatch.setenv("MEZNET_LLM", mode)
        status, asked, said = command(*argv, out="no.csv")
        assert (status, asked) == (2, 0) and "MEZNET_LLM is" in said[0] and len(said) == 1
