"""The exhibit's question to a language model, and a way to see what is in a question."""

import base64
import functools
import io
import json
import re
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

import numpy as np
import pandas as pd
from PIL import Image

from meznet_helpers.assets import profile
from meznet_helpers.words import frame

PATH = r"C:\Users\reader\llm_images\elephant.jpg"  # the exhibit's, in a folder of a reader's own
_FILE = re.compile(r"([^\\/]+)\.(?:jpe?g|png|webp|gif|bmp)", re.IGNORECASE)
_URL = re.compile(r"data:image/[\w+.-]+;base64,([A-Za-z0-9+/=]+)")


@functools.cache
def _words() -> str:
    return (profile.data() / "exhibit" / "prompt.txt").read_text(encoding="utf-8").strip()


def prompt(path: str = PATH) -> str:
    """Return the exhibit's question about a picture.

    Parameters
    ----------
    path : str
        Where the picture lies.

    Returns
    -------
    str
        Its words, with that path.

    Examples
    --------
    >>> "Here is the location: cat.jpg, please" in prompt("cat.jpg")
    True
    """
    return _words().replace("{path}", path)


def parrot(question: str) -> str:
    r"""Answer from a question's words alone: name the file that it names.

    Parameters
    ----------
    question : str

    Returns
    -------
    str

    Examples
    --------
    >>> parrot(prompt())
    'The main object in the image is an elephant.'
    >>> parrot("What is it?")
    'I cannot see an image.'
    """
    names = [name.rsplit(" ", 1)[-1] for name in _FILE.findall(question)]
    if not names:
        return "I cannot see an image."
    return f"The main object in the image is {frame('{a}', names[-1].replace('_', ' '))}."


def pictures(body: bytes) -> list[np.ndarray]:
    """Find the pictures in a request.

    Parameters
    ----------
    body : bytes
        As it went over the wire.

    Returns
    -------
    list of ndarray, each (height, width, 3), uint8
        Those of all data URLs.

    Examples
    --------
    >>> pictures(b'{"messages": [{"role": "user", "content": "Is C:/elephant.jpg gray?"}]}')
    []
    """
    arrays = []
    for data in _URL.findall(body.decode("utf-8", "replace")):
        with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
            arrays.append(np.asarray(picture.convert("RGB")))
    return arrays


def contents(bodies: Mapping[str, bytes]) -> pd.DataFrame:
    """Say what is in requests.

    Parameters
    ----------
    bodies : mapping of str to bytes
        Requests as they went over the wire, by name.

    Returns
    -------
    DataFrame
        Columns `request`, `bytes`, `pictures` (how many are in it), and `names a file`.

    Examples
    --------
    >>> contents({"blind": b'{"content": "What is on cat.jpg?"}'}).values.tolist()
    [['blind', 34, 0, True]]
    """
    rows = [
        [name, len(body), len(pictures(body)), bool(_FILE.search(body.decode()))]
        for name, body in bodies.items()
    ]
    return pd.DataFrame(rows, columns=["request", "bytes", "pictures", "names a file"])


class Capture:
    """A server on this machine that speaks OpenAI's API, keeps what it is sent, and knows nothing.

    It answers as `parrot` does. Use it in a ``with`` statement.

    Attributes
    ----------
    url : str
        Its address.
    bodies : list of bytes
        The requests, as they came.

    Examples
    --------
    >>> from meznet_helpers.llm.endpoint import Endpoint
    >>> from meznet_helpers.llm.request import Request
    >>> with Capture() as server:
    ...     Endpoint(server.url).ask(Request("any", prompt())).text
    'The main object in the image is an elephant.'
    """

    def __init__(self) -> None:
        """Nothing listens yet."""
        self.bodies: list[bytes] = []

    def __enter__(self) -> Self:
        """Listen on a free port of this machine."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Handler, self))
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    def __init__(self, capture: Capture, *request: object) -> None:
        self.capture = capture
        super().__init__(*request)

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.capture.bodies.append(body)
        question = json.loads(body)
        content = question["messages"][-1]["content"]
        text = content if isinstance(content, str) else content[0]["text"]
        message = {"role": "assistant", "content": parrot(text)}
        answer = {"id": "1", "object": "chat.completion", "created": 0, "model": question["model"]}
        answer["choices"] = [{"index": 0, "message": message, "finish_reason": "stop"}]
        sent = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)
