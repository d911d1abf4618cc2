"""Tests of language models as labelers: over real HTTP, against a small server that misbehaves."""

import base64
import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
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


def test_a_damaged_recording_names_its_line(tmp_path, monkeypatch):
    file = tmp_path / "answers.jsonl"
    monkeypatch.setenv("MEZNET_LLM", "record")
    Recording(file).ask(Request("a", "b"), lambda _: Reply("c", "a"))
    with file.open("a", encoding="utf-8") as out:
        out.write('{"request": "cut o\n')
    with pytest.raises(MeznetError, match="line 2, is no recorded answer"):
        Recording(file)
    monkeypatch.delenv("MEZNET_LLM")
    assert recording.mode() == "live"


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
