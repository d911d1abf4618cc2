"""A server that speaks OpenAI's API: Ollama, llama.cpp, LM Studio, vLLM, or a hosted one."""

import asyncio
import contextlib
import email.utils
import functools
import ipaddress
import json
import os
import re
import threading
import time
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from meznet_helpers.errors import MeznetError, reason
from meznet_helpers.llm.recording import Reply
from meznet_helpers.llm.request import Request

KEY = "OPENAI_API_KEY"  # the environment variable that holds the key, if the server wants one
TIMEOUT = 120.0  # seconds for one answer
LATER = (408, 409, 425, 429, 502, 503, 504, 529)  # statuses that pass: too many requests, loading
BROKEN = ("ReadError", "RemoteProtocolError", "WriteError", "CloseError")  # of a connection
PAUSE = 8.0  # seconds between two tries at most, unless the server names them


class Endpoint:
    """One server.

    One on this machine is never asked by way of a proxy.

    Parameters
    ----------
    url : str
        Up to and with ``/v1``, which is put where no path is: ``"http://127.0.0.1:11434/v1"`` for
        Ollama on this machine.
    timeout : float
        Seconds for one answer: all of it, with what is asked again while the server is busy.

    Attributes
    ----------
    url : str
        Without what is secret: a user, a password, a query.

    Raises
    ------
    MeznetError
        If the address is none, the timeout is not above 0, or the key can't be one.

    Examples
    --------
    >>> Endpoint("http://127.0.0.1:9").ask(Request("net", "What is it?"))
    Traceback (most recent call last):
    meznet_helpers.errors.MeznetError: no server answers at http://127.0.0.1:9/v1; start one, or \
name another.
    """

    def __init__(self, url: str, *, timeout: float = TIMEOUT) -> None:
        """Keep the address; nobody is asked yet."""
        if not 0 < timeout < float("inf"):
            raise MeznetError(f"timeout is {timeout:g}; it must be above 0, in seconds.")
        try:
            parts = urlsplit(url.strip())
            fine = parts.scheme in ("http", "https") and parts.port != 0
            fine = fine and re.fullmatch(r"[\w.:%-]+", parts.hostname or "")
        except ValueError:
            fine = False
        if not fine:
            raise MeznetError(
                f'the endpoint is "{_public(url)}"; it must begin with http:// or https://, a host '
                "and perhaps a port, which is a number, as in http://127.0.0.1:11434/v1."
            )
        path = parts.path.rstrip("/").removesuffix("/chat/completions") or "/v1"
        self._address = parts._replace(path=path, query="", fragment="").geturl()
        self._query = dict(parse_qsl(parts.query))
        self.url, self.timeout = _public(self._address), timeout
        self._direct = _on_this_machine(parts.hostname)
        self._refused: dict[str, set[str]] = {}  # by model: parameters that it does not know
        _key()

    @functools.cached_property
    def _client(self) -> Any:
        import openai

        try:
            http = openai.DefaultAsyncHttpxClient(
                trust_env=not self._direct, follow_redirects=False, timeout=self.timeout
            )
        except Exception as error:  # httpx has no kind of error for what is wrong with a proxy
            raise MeznetError(
                f"{self.url} can't be asked by the proxy that HTTP_PROXY, HTTPS_PROXY or ALL_PROXY "
                f"names: {_clean(reason(error))}."
            ) from error
        return openai.AsyncOpenAI(
            base_url=self._address, api_key=_key(), default_query=self._query, max_retries=0,
            timeout=self.timeout, http_client=http, default_headers={"Connection": "close"},
        )  # fmt: skip

    def ask(self, request: Request) -> Reply:
        """Send a request and wait for the answer.

        A busy server is asked again, as one is that is still loading and one that breaks off.

        Parameters
        ----------
        request : Request

        Returns
        -------
        Reply

        Raises
        ------
        MeznetError
            If nobody answers, in time or at all, the server refuses, in its own words, or what it
            sends is no answer.
        """
        start = time.perf_counter()
        text = asyncio.run_coroutine_threadsafe(self._in_time(request), _loop()).result()
        return self._understood(text, request.model, 1000 * (time.perf_counter() - start))

    async def _in_time(self, request: Request) -> str:
        """Return what the server sends, unless it takes too long: the whole of it counts."""
        import openai

        try:
            async with asyncio.timeout(self.timeout) as bound:
                return await self._sent(request, bound)
        except (TimeoutError, openai.APITimeoutError) as error:
            raise MeznetError(f"{self.url} gave no answer in {self.timeout:g} s.") from error

    async def _sent(self, request: Request, bound: asyncio.Timeout) -> str:
        """Ask for one of the choices, and again if it pays: without what the model refuses."""
        import openai

        given = {"model": request.model, "messages": request.messages(), **request.parameters}
        if request.choices:
            given["response_format"] = request.schema()
        refused = set(self._refused.get(request.model, ()))
        for tries in range(1000):
            known = {key: value for key, value in given.items() if key not in refused}
            pause = min(2.0**tries / 2, PAUSE)
            try:
                answer = await self._client.chat.completions.with_raw_response.create(**known)
                self._refused[request.model] = refused  # what was left out was to blame
                return answer.http_response.text
            except openai.APITimeoutError:
                raise
            except openai.APIConnectionError as error:
                cause = error.__cause__
                if type(cause).__name__ not in BROKEN or tries > 1:
                    raise MeznetError(self._nobody(cause)) from error
            except openai.APIStatusError as error:
                status, said = error.status_code, _said(error.response.text)
                if (
                    "temperature" in known
                    and status in (400, 422)
                    and "temperature" in said.lower()
                ):
                    refused.add("temperature")
                    continue
                if "response_format" in known and status in (400, 422, 500, 501):
                    refused.add("response_format")
                    continue
                if status in LATER and "quota" not in str(error.code):
                    pause = _asked_for(error.response.headers, pause)
                    if pause < bound.when() - asyncio.get_running_loop().time():
                        await asyncio.sleep(pause)
                        continue
                raise MeznetError(await self._refusal(request, error, said)) from error
            await asyncio.sleep(pause)
        raise TimeoutError

    def _nobody(self, cause: BaseException | None) -> str:
        """Say that no connection comes about, or that it does not last."""
        if type(cause).__name__ in BROKEN:
            return f"{self.url} broke the connection off ({_clean(reason(cause))})."
        proxy = not self._direct and urllib.request.getproxies()
        why = " (the environment names a proxy)" if proxy else ""
        why += f" ({_clean(reason(cause))})" if "SSL" in str(cause) else ""
        return f"no server answers at {self.url}{why}; start one, or name another."

    async def _refusal(self, request: Request, error: Any, said: str) -> str:
        """Say in one sentence what a status means, in the server's own words."""
        status = error.status_code
        if status == 401:
            return f"{self.url} wants a key that it knows; put it into {KEY} ({said})."
        if 300 <= status < 400:
            place = _public(error.response.headers.get("location", ""))
            return f"{self.url} sends on to {place}; name that address if you trust it."
        hint = ""
        if status == 404:
            names = await self._models()
            if names and request.model not in names:
                return f'{self.url} has no model "{request.model}"; it has {", ".join(names[:10])}.'
            if not names and not self.url.endswith("/v1"):
                hint = "; does the address end in /v1?"
        return f"{self.url} answered {status}: {said or 'nothing'}{hint or '.'}"

    async def _models(self) -> list[str]:
        """List the models that a server has; none if it does not say."""
        import openai

        try:
            page = await self._client.models.list()
            return sorted(_clean(model.id) for model in page.data)
        except (openai.APIError, AttributeError, TypeError):
            return []

    def _understood(self, text: str, model: str, ms: float) -> Reply:
        """Read an answer in any shape in which servers send one: whole, in parts, as a stream."""
        lines = [line[5:].strip() for line in text.split("\n") if line.startswith("data:")]
        parts = [line for line in lines if line != "[DONE]"] or [text]
        try:
            answers = [json.loads(part) for part in parts]
            if wrong := next((answer["error"] for answer in answers if answer.get("error")), None):
                raise MeznetError(f"{self.url} failed: {_said(json.dumps(wrong))}.")
            choices = [answer["choices"][0] for answer in answers if answer.get("choices")]
            messages = [choice.get("message") or choice.get("delta") or {} for choice in choices]
            calls = [call for message in messages for call in message.get("tool_calls") or ()]
            arguments = [call["function"]["arguments"] for call in calls]
            said = (
                "".join(_content(message.get("content")) for message in messages)
                or "".join(
                    each if isinstance(each, str) else json.dumps(each) for each in arguments
                )
                or "".join(_content(message.get("refusal")) for message in messages)
            )
            finish = [choice.get("finish_reason") for choice in choices]
            finish = [why for why in finish if isinstance(why, str)]
            finish = finish or ["length" if parts == lines else "stop"]  # no end of a stream
            named = [answers[0].get("model"), answers[0].get("system_fingerprint")]
            named = [name for name in named if isinstance(name, str)] or [model]
            if not choices:
                raise ValueError("there is no choice")
        except (AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
            if re.search("<(html|!doctype)", text[:1000], re.IGNORECASE):
                raise MeznetError(f"{self.url} sent a web page: {_said(text)}.") from error
            raise MeznetError(f"{self.url} sent what is no answer of a chat.") from error
        usage = [answer["usage"] for answer in answers if isinstance(answer.get("usage"), dict)]
        counts = [_count(usage[-1].get(key)) if usage else 0
                  for key in ("prompt_tokens", "completion_tokens")]  # fmt: skip
        return Reply(_clean(said, marks=True), _clean(" ".join(named)), *counts, ms, finish[-1])


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    """Return a loop in a thread of its own; the one of a notebook is busy with the notebook."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="endpoints", daemon=True).start()
    return loop


def _key() -> str:
    """Return the key; a stray space or line end is none of it."""
    key = os.environ.get(KEY, "").strip()
    if not re.fullmatch(r"[!-~]*", key):
        raise MeznetError(f"{KEY} holds a space or a letter that no key has; copy the key anew.")
    return key or "none"


def _on_this_machine(host: str) -> bool:
    """Say whether a host is this machine's own."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback or address.is_unspecified


def _public(url: str) -> str:
    """Return an address without what may be secret."""
    shown = re.sub(r"^(\w+://)?.*@", r"\1", url.strip(), flags=re.DOTALL)
    return re.split(r"[?#]", shown)[0].rstrip("/")


def _asked_for(headers: Mapping[str, str], otherwise: float) -> float:
    """Return the seconds that a server wants to be left alone."""
    value = headers.get("retry-after", "")
    with contextlib.suppress(ValueError):
        return max(float(value), 0.1)
    with contextlib.suppress(ValueError):
        return max(email.utils.parsedate_to_datetime(value).timestamp() - time.time(), 0.1)
    return otherwise


def _said(text: str) -> str:
    """Return the sentence of a server's error, or the words of a page."""
    with contextlib.suppress(ValueError, RecursionError):
        found = json.loads(text)
        for key in ("error", "message", "detail", "msg"):
            found = found[0] if isinstance(found, list) and found else found
            found = (found.get(key) or found) if isinstance(found, dict) else found
        text = found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)
    page = re.sub(r"<(script|style)\b.*?</\1>|<[^<>]*>", " ", text[:20_000], flags=re.DOTALL)
    return reason(ValueError(_clean(page))) if _clean(page) else ""


def _clean(text: str, marks: bool = False) -> str:
    """Take out of a server's words what no terminal and no file should get, and all keys."""
    text = text.encode("utf-8", "replace").decode()
    if marks:
        return text
    text = re.sub(r"\b(?:sk|pk|gsk|hf|xai)[-_][\w*.-]{4,}", "...", text)
    key = os.environ.get(KEY, "").strip()
    text = text.replace(key, "...") if len(key) > 5 else text
    return " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", text).split())


def _content(content: Any) -> str:
    """Return the text of a message's content, which may come in parts."""
    if isinstance(content, list):
        return "".join(_content(part if isinstance(part, str) else part.get("text"))
                       for part in content)  # fmt: skip
    if content is None or isinstance(content, str):
        return content or ""
    raise TypeError("content is no text")


def _count(value: Any) -> int:
    """Return a count of tokens; what is none counts as 0."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
