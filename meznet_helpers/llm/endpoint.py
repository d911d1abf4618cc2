"""A server that speaks OpenAI's API: Ollama, llama.cpp, LM Studio, vLLM, or a hosted one."""

import functools
import os
import time
from typing import Any

from meznet_helpers.errors import MeznetError, reason
from meznet_helpers.llm.recording import Reply
from meznet_helpers.llm.request import Request

KEY = "OPENAI_API_KEY"  # the environment variable that holds the key, if the server wants one
TIMEOUT = 120.0  # seconds for one answer


class Endpoint:
    """One server.

    Parameters
    ----------
    url : str
        Up to and with ``/v1``: ``"http://127.0.0.1:11434/v1"`` for Ollama on this machine.
    timeout : float
        Seconds for one answer.

    Raises
    ------
    MeznetError
        If the address does not begin with http, or the timeout is not above 0.

    Examples
    --------
    >>> Endpoint("http://127.0.0.1:9/v1").ask(Request("net", "What is it?"))
    Traceback (most recent call last):
    meznet_helpers.errors.MeznetError: no server answers at http://127.0.0.1:9/v1; start one, or \
name another.
    """

    def __init__(self, url: str, *, timeout: float = TIMEOUT) -> None:
        """Keep the address; nobody is asked yet."""
        if not url.startswith(("http://", "https://")):
            raise MeznetError(f'the endpoint is "{url}"; it must begin with http:// or https://.')
        if not 0 < timeout < float("inf"):
            raise MeznetError(f"timeout is {timeout:g}; it must be above 0, in seconds.")
        self.url, self.timeout = url.rstrip("/"), timeout
        self._plain: set[str] = set()  # models that know no response format

    @functools.cached_property
    def _client(self) -> Any:
        import openai

        key = os.environ.get(KEY) or "none"
        return openai.OpenAI(base_url=self.url, api_key=key, timeout=self.timeout, max_retries=0)

    def ask(self, request: Request) -> Reply:
        """Send a request and wait for the answer.

        Parameters
        ----------
        request : Request

        Returns
        -------
        Reply

        Raises
        ------
        MeznetError
            If nobody answers, in time or at all, the server has no such model or takes no pictures,
            or what it sends is no answer.
        """
        import openai

        start = time.perf_counter()
        try:
            reply = self._send(request)
            choice = reply.choices[0]
            text, finish = choice.message.content or "", choice.finish_reason or "stop"
            model = " ".join(filter(None, [reply.model, reply.system_fingerprint]))
            usage = reply.usage
        except openai.APIError as error:
            raise MeznetError(self._words(request, error)) from error
        except (AttributeError, IndexError, TypeError, ValueError) as error:
            raise MeznetError(f"{self.url} sent what is no answer of a chat.") from error
        return Reply(
            text,
            model or request.model,
            usage.prompt_tokens if usage else 0,
            usage.completion_tokens if usage else 0,
            1000 * (time.perf_counter() - start),
            finish,
        )

    def _send(self, request: Request) -> Any:
        """Ask for one of the choices; ask again without where a server knows no such thing."""
        import openai

        given = {"model": request.model, "messages": request.messages(), **request.parameters}
        create = self._client.chat.completions.create
        if request.choices and request.model not in self._plain:
            try:
                return create(**given, response_format=request.schema())
            except (openai.BadRequestError, openai.UnprocessableEntityError):
                reply = create(**given)  # if this fails, too, the format was not to blame
                self._plain.add(request.model)
                return reply
        return create(**given)

    def _words(self, request: Request, error: Any) -> str:
        """Say in one sentence what an error of the client means."""
        import openai

        if isinstance(error, openai.APITimeoutError):
            return f"{self.url} gave no answer in {self.timeout:g} s."
        if isinstance(error, openai.APIConnectionError):
            return f"no server answers at {self.url}; start one, or name another."
        if isinstance(error, openai.AuthenticationError | openai.PermissionDeniedError):
            return f"{self.url} wants a key that it knows; put it into {KEY}."
        if isinstance(error, openai.NotFoundError):
            return f'{self.url} has no model "{request.model}"{self._others()}.'
        if isinstance(error, openai.BadRequestError) and request.picture:
            return f"{request.model} at {self.url} does not take the picture: {reason(error)}."
        return f"{self.url} failed: {reason(error)}."

    def _others(self) -> str:
        """List models that a server has, as the end of a sentence."""
        import openai

        try:
            names = [model.id for model in self._client.models.list().data]
        except (openai.APIError, AttributeError, TypeError):
            return ""
        return f"; it has {', '.join(sorted(names)[:10])}" if names else ""
