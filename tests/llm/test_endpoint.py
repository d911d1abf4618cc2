"""Tests of what servers send and say: over real HTTP, from one that follows a script."""

import itertools
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from meznet_helpers.errors import MeznetError
from meznet_helpers.llm.endpoint import Endpoint
from meznet_helpers.llm.request import Request

ASK = Request("eyes", "Which?", choices=("cat", "dog"))
USAGE = {"prompt_tokens": 7, "completion_tokens": 2}


def chat(content="cat", *, finish="stop", usage=USAGE, **message):
    """A whole answer of OpenAI's shape."""
    message = {"role": "assistant", "content": content} | message
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return {"id": "1", "model": "net", "choices": [choice], "usage": usage}


def stream(*deltas, last=()):
    """The same in pieces, as a server sends it that only streams."""
    parts = [{"choices": [{"delta": delta, "finish_reason": None}]} for delta in deltas]
    parts += [{"choices": [{"delta": {}, "finish_reason": "stop"}]}, *last]
    return (
        "".join(f"data: {json.dumps(part, ensure_ascii=False)}\n\n" for part in parts)
        + "data: [DONE]\n\n"
    )


class Script(ThreadingHTTPServer):
    """Answers the first request by the first line of a script, and so on; the last one stays."""

    daemon_threads = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lines, self.asked, self.paths, self.over = [], [], [], threading.Event()

    def play(self, *lines):
        """Set the script: bodies with status 200, (status, body, headers), or callables."""
        self.lines, self.asked, self.paths = [*lines], [], []


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        models = {"data": [{"id": "eyes", "object": "model", "created": 0, "owned_by": "us"}]}
        self.send(*(200, models) if self.path == "/v1/models" else (404, "404 page not found"))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server = self.server
        server.asked.append(body)
        server.paths.append((self.path, self.headers.get("Authorization")))
        line = server.lines.pop(0) if len(server.lines) > 1 else server.lines[0]
        if not self.path.startswith("/v1/"):
            line = 404, "404 page not found"
        if callable(line):
            return line(self)
        self.send(*line) if isinstance(line, tuple) else self.send(200, line)

    def send(self, status, body, headers=()):
        data = body if isinstance(body, str | bytes) else json.dumps(body)
        data = data if isinstance(data, bytes) else data.encode()
        self.send_response(status)
        for key, value in {"Content-Length": str(len(data)), **dict(headers)}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture(scope="module")
def server(serving):
    with serving(Script()) as running:
        yield running
        running.over.set()
    assert not running.failed


@pytest.fixture
def endpoint(server):
    return Endpoint(server.url)


@pytest.mark.parametrize(
    ("body", "text", "tokens"),
    [
        (chat(), "cat", (7, 2)),
        (chat([{"type": "text", "text": "c"}, {"type": "text", "text": "at"}]), "cat", (7, 2)),
        (chat(["c", {"type": "thinking", "thinking": [{"text": "x"}]}, "at"]), "cat", (7, 2)),
        (chat(reasoning_content="A dog?"), "cat", (7, 2)),
        (chat("", reasoning_content="A dog?"), "", (7, 2)),
        (chat(None, reasoning="A dog?", refusal=None), "", (7, 2)),
        (chat(None, refusal="No."), "No.", (7, 2)),
        (chat(None, tool_calls=[{"function": {"name": "x", "arguments": '{"label": "cat"}'}}]),
         '{"label": "cat"}', (7, 2)),
        (chat(None, tool_calls=[{"function": {"name": "x", "arguments": {"label": "cat"}}}]),
         '{"label": "cat"}', (7, 2)),
        (chat(tool_calls=None, function_call=None, audio=None, annotations=[]), "cat", (7, 2)),
        (chat(usage=None), "cat", (0, 0)),
        (chat(usage={}), "cat", (0, 0)),
        (chat(usage=[1]), "cat", (0, 0)),
        (chat(usage={"prompt_tokens": "7", "completion_tokens": None}), "cat", (0, 0)),
        (chat(usage={"prompt_tokens": -7, "completion_tokens": True}), "cat", (0, 0)),
        (chat(finish=None), "cat", (7, 2)),
        ({"choices": [{"message": {"content": "cat"}}]}, "cat", (0, 0)),
        (chat() | {"error": None, "model": 5, "timings": {"x": 1}}, "cat", (7, 2)),
        (stream({"role": "assistant"}, {"content": "c"}, {"content": "at"}), "cat", (0, 0)),
        (": ping\n\n" + stream({"content": "cat"}, last=[{"choices": [], "usage": USAGE}]),
         "cat", (7, 2)),
        ("\ufeff \n" .strip("\ufeff") + json.dumps(chat()), "cat", (7, 2)),
        ('{"choices": [{"message": {"content": "c\\ud800t"}}]}', "c?t", (0, 0)),
    ],
)  # fmt: skip
def test_shapes_of_answers(server, endpoint, body, text, tokens):
    server.play(body)
    reply = endpoint.ask(ASK)
    assert (reply.text, reply.tokens_in, reply.tokens_out) == (text, *tokens)
    assert reply.finish == "stop" and reply.model in ("net", "eyes") and len(server.asked) == 1


def test_a_stream_without_an_end_is_cut_off(server, endpoint):
    whole = stream({"content": "c\u2028at"})
    for end, finish in ((len(whole), "stop"), (whole.index("\n\n") + 2, "length")):
        server.play(whole[:end])
        reply = endpoint.ask(ASK)
        assert (reply.text, reply.finish) == ("c\u2028at", finish)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (chat(5), "sent what is no answer of a chat"),
        (chat([5]), "sent what is no answer of a chat"),
        (chat() | {"choices": None}, "sent what is no answer of a chat"),
        (chat() | {"choices": []}, "sent what is no answer of a chat"),
        (chat() | {"choices": {}}, "sent what is no answer of a chat"),
        (chat() | {"choices": [None]}, "sent what is no answer of a chat"),
        ([], "sent what is no answer of a chat"),
        ("null", "sent what is no answer of a chat"),
        ("", "sent what is no answer of a chat"),
        ('{"choices": [{"mess', "sent what is no answer of a chat"),
        ("[" * 100_000, "sent what is no answer of a chat"),
        (b"\x1f\x8b\xff\x00", "sent what is no answer of a chat"),
        ("<!DOCTYPE html><html><script>x()</script><body>Sign in\n to the net</body></html>",
         r"sent a web page: Sign in to the net\."),
        ({"error": {"message": "image too large", "code": 413}}, r"failed: image too large\."),
        ({"error": "the model crashed"}, r"failed: the model crashed\."),
        ('data: {"error": {"message": "out of memory"}}\n\n', r"failed: out of memory\."),
    ],
)  # fmt: skip
def test_what_is_no_answer(server, endpoint, body, words):
    server.play(body)
    with pytest.raises(MeznetError, match=words) as error:
        endpoint.ask(ASK)
    assert "\n" not in str(error.value) and str(error.value).endswith(".")


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (404, {"error": {"message": "No endpoints found that support image input"}},
         r"answered 404: No endpoints found that support image input\."),
        (400, {"error": {"message": "exceeds the available context size (4096)", "code": 400}},
         r"answered 400: exceeds the available context size \(4096\)\."),
        (400, {"error": "Model is unloaded"}, r"answered 400: Model is unloaded\."),
        (400, {"object": "error", "message": "too long"}, r"answered 400: too long\."),
        (422, {"detail": [{"loc": ["body"], "msg": "no image"}]}, r"answered 422: no image\."),
        (413, "<html><h1>413 Too Large</h1></html>", r"answered 413: 413 Too Large\."),
        (403, {"message": "not in your country"}, r"answered 403: not in your country\."),
        (500, "\x1b[31mred\x07", r"answered 500: \[31mred\."),
        (500, "", r"answered 500: nothing\."),
        (401, {"error": {"message": "bad key sk-abcdefgh"}}, r"knows; put it into OPENAI_API_KEY "),
        (429, {"error": {"message": "no money", "code": "insufficient_quota"}},
         r"answered 429: no money\."),
        (307, "", r"sends on to http://elsewhere/v1; name that address if you trust it\."),
    ],
)  # fmt: skip
def test_a_servers_own_words(server, endpoint, status, body, words, monkeypatch):
    server.play((status, body, {"Location": "http://me:secret@elsewhere/v1?key=secret"}))
    with pytest.raises(MeznetError, match=words) as error:
        endpoint.ask(ASK)
    assert "secret" not in str(error.value) and "sk-" not in str(error.value)


def test_a_model_that_is_not_there(server, endpoint):
    server.play((404, {"error": {"message": "not found"}}))
    with pytest.raises(MeznetError, match=r'has no model "ears"; it has eyes\.$'):
        endpoint.ask(Request("ears", "Which?"))


# ---- asked again


@pytest.mark.parametrize(
    ("words", "status", "left_out"),
    [
        ("response_format is not supported", 400, "response_format"),
        ("unknown field", 422, "response_format"),
        ("failed to parse grammar", 500, "response_format"),
        ("not implemented", 501, "response_format"),
        ("'temperature' does not support 0.0 with this model", 400, "temperature"),
    ],
)
def test_what_a_model_refuses_is_left_out(server, endpoint, words, status, left_out):
    """Once it has answered without; the next request is without it from the start."""
    server.play((status, {"error": {"message": words}}), chat())
    assert [endpoint.ask(ASK).text for _ in range(2)] == ["cat", "cat"]
    assert [left_out in body for body in server.asked] == [True, False, False]
    assert all({"temperature", "response_format"} - {left_out} < {*body} for body in server.asked)


def test_both_are_left_out_if_need_be(server, endpoint):
    server.play((400, "no temperature"), (400, "no response_format"), chat())
    assert endpoint.ask(ASK).text == "cat"
    assert not {"temperature", "response_format"} & {*server.asked[-1]}


def hang_up(handler):
    """Break the connection off in the middle of a request."""
    handler.connection.close()
    handler.wfile.close = handler.rfile.close = lambda: None
    handler.close_connection = True
    handler.wfile.flush = lambda: None


@pytest.mark.parametrize(
    "busy",
    [
        (429, {"error": {"message": "Rate limit reached"}}, {"Retry-After": "0.1"}),
        (429, "slow down", {"Retry-After": "Mon, 01 Jan 2001 00:00:00 GMT"}),
        (503, {"error": {"message": "Loading model", "code": 503}}, {"Retry-After": "0"}),
        (529, "overloaded", {"Retry-After": "0.1"}),
        hang_up,
    ],
)
def test_a_busy_server_is_asked_again(server, endpoint, busy):
    server.play(busy, chat())
    assert endpoint.ask(ASK).text == "cat" and len(server.asked) == 2
    assert all("response_format" in body for body in server.asked)


def test_a_server_that_names_too_long_a_pause_is_not_waited_for(server, endpoint):
    server.play((429, {"error": {"message": "come back tomorrow"}}, {"Retry-After": "86400"}))
    with pytest.raises(MeznetError, match=r"answered 429: come back tomorrow\."):
        endpoint.ask(ASK)
    assert len(server.asked) == 1


def test_a_server_that_is_busy_for_ever_or_breaks_off(server):
    server.play((503, "Loading model", {"Retry-After": "0.3"}))
    with pytest.raises(MeznetError, match="answered 503: Loading model"):
        Endpoint(server.url, timeout=1).ask(ASK)
    assert 2 <= len(server.asked) <= 4
    server.play(hang_up)
    with pytest.raises(MeznetError, match="broke the connection off"):
        Endpoint(server.url).ask(ASK)
    assert len(server.asked) == 3


def test_the_time_for_an_answer_is_that_of_all_of_it(server):
    """A server that sends a space now and then would be waited for for a minute."""

    def drip(handler):
        body = json.dumps(chat()).encode()
        handler.send_response(200)
        handler.send_header("Content-Length", str(600 + len(body)))
        handler.end_headers()
        for _ in itertools.takewhile(lambda _: not server.over.wait(0.1), range(600)):
            try:
                handler.wfile.write(b" ")
            except OSError:
                return
        handler.wfile.write(body)

    server.play(drip)
    with pytest.raises(MeznetError, match=r"gave no answer in 0\.5 s"):
        Endpoint(server.url, timeout=0.5).ask(ASK)


# ---- addresses, keys, proxies


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("", "/v1/chat/completions"),
        ("v1", "/v1/chat/completions"),
        ("v1/", "/v1/chat/completions"),
        ("v1/chat/completions", "/v1/chat/completions"),
        ("v1?api-version=3", "/v1/chat/completions?api-version=3"),
    ],
)
def test_addresses(server, written, path):
    server.play(chat())
    address = f"  {server.url}{written} ".replace("http://", "HTTP://")
    endpoint = Endpoint(address)
    assert endpoint.ask(ASK).text == "cat" and server.paths[0][0] == path
    assert endpoint.url == f"{server.url}v1"


def test_an_address_without_v1(server):
    server.play(chat())
    with pytest.raises(MeznetError, match=r"answered 404: .* does the address end in /v1\?"):
        Endpoint(f"{server.url}api").ask(ASK)


@pytest.mark.parametrize(
    "address",
    ["localhost:1143", "ftp://a/v1", "http://", "http://:80/v1", "http://127.0.0.1:1143x/v1", "",
     "http://127.0.0.1:99999/v1", "http://[::1/v1", "http://a b/v1", "//a/v1", "x", "http://a:0"],
)  # fmt: skip
def test_addresses_that_are_none(address):
    with pytest.raises(MeznetError, match=r"the endpoint is .* it must begin with http:// or"):
        Endpoint(address)


@pytest.mark.parametrize(
    "address",
    [
        "http://user:hunter2@127.0.0.1:9/v1?api_key=sk-123",
        "http://user:hun@ter2@127.0.0.1:9/v1#sk-123",
        "http://user:hunter2?@127.0.0.1:9x/v1?api_key=sk-123",
        "user:hunter2@127.0.0.1:9/v1?api_key=sk-123",
    ],
)
def test_secrets_of_an_address_are_never_said(address):
    with pytest.raises(MeznetError) as error:
        Endpoint(address).ask(ASK)
    said = repr(error.value) + str(vars(error.value))
    assert "127.0.0.1:9" in said
    assert not any(secret in said for secret in ("user", "hunter2", "ter2", "sk-123"))


def test_keys(server, monkeypatch):
    server.play(chat())
    for key, sent in ((" sk-abc\n", "Bearer sk-abc"), ("", "Bearer none")):
        monkeypatch.setenv("OPENAI_API_KEY", key)
        Endpoint(server.url).ask(ASK)
        assert server.paths.pop()[1] == sent
    server.play((500, "the key my0wnkey123 is at its end"))
    monkeypatch.setenv("OPENAI_API_KEY", "my0wnkey123")
    with pytest.raises(MeznetError, match=r"the key \.\.\. is at its end"):
        Endpoint(server.url).ask(ASK)
    for key in ("sk-\u00e4\u00f6\u00fc", "sk-a\nb", "sk a"):
        monkeypatch.setenv("OPENAI_API_KEY", key)
        with pytest.raises(MeznetError, match="OPENAI_API_KEY holds"):
            Endpoint(server.url)


PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "socks5://127.0.0.1:9", "what:ever"])
def test_this_machine_is_never_asked_by_proxy(server, monkeypatch, proxy):
    for name in PROXIES:
        monkeypatch.setenv(name, proxy)
    server.play(chat())
    for host in ("127.0.0.1", "localhost"):
        address = server.url.replace("127.0.0.1", host)
        assert Endpoint(address).ask(ASK).text == "cat"


@pytest.mark.parametrize(
    ("proxy", "words"),
    [
        (
            "http://me:secret@127.0.0.1:9",
            r"no server answers at http://example\.test/v1 \(the environment",
        ),
        ("what://me:secret@127.0.0.1:9", "can't be asked by the proxy that HTTP_PROXY"),
        ("socks9://me:secret@127.0.0.1:9", "can't be asked by the proxy that HTTP_PROXY"),
        ("http://me:secret@127.0.0.1:9x", "can't be asked by the proxy that HTTP_PROXY"),
    ],
)
def test_proxies_that_cannot_be_used(monkeypatch, proxy, words):
    for name in PROXIES:
        monkeypatch.setenv(name, proxy)
        monkeypatch.setenv(name.lower(), proxy)
    with pytest.raises(MeznetError, match=words) as error:
        Endpoint("http://example.test").ask(ASK)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("127.0.0.1", True), ("127.8.9.1", True), ("localhost", True), ("a.localhost", True),
        ("[::1]", True), ("[::ffff:127.0.0.1]", True), ("0.0.0.0", True), ("LocalHost", True),
        ("192.168.0.1", False), ("localhost.example.test", False), ("127.0.0.1.example", False),
    ],
)  # fmt: skip
def test_which_hosts_are_this_machine(host, own):
    assert Endpoint(f"http://{host}:11434/v1")._direct == own
