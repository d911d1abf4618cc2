"""What is asked of a language model, and the digest by which an answer is found again."""

import base64
import hashlib
import io
import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

SIDE = 1024  # longer sides are brought to it before a picture is sent, pixels


@dataclass(frozen=True)
class Request:
    """One question, with or without a picture.

    Parameters
    ----------
    model : str
    prompt : str
    picture : bytes
        A PNG file; empty for a question without a picture.
    choices : tuple of str
        What the answer must be one of, where the server can hold the model to it.
    parameters : dict
        Of the API, such as ``temperature``.

    Examples
    --------
    >>> Request("net", "What is it?", b"").digest[:8]
    '...'
    """

    model: str
    prompt: str
    picture: bytes = b""
    choices: tuple[str, ...] = ()
    parameters: dict[str, Any] = field(default_factory=lambda: {"temperature": 0.0})

    @property
    def digest(self) -> str:
        """The sha256 of all of it, hexadecimal; of the picture only its own digest counts."""
        parts = {
            "model": self.model,
            "prompt": self.prompt,
            "picture": hashlib.sha256(self.picture).hexdigest() if self.picture else "",
            "choices": self.choices,
            "parameters": self.parameters,
        }
        text = json.dumps(parts, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def messages(self) -> list[dict[str, Any]]:
        """Return the messages of an OpenAI-compatible chat, the picture within."""
        if not self.picture:
            return [{"role": "user", "content": self.prompt}]
        url = f"data:image/png;base64,{base64.b64encode(self.picture).decode()}"
        content = [
            {"type": "text", "text": self.prompt},
            {"type": "image_url", "image_url": {"url": url}},
        ]
        return [{"role": "user", "content": content}]

    def schema(self) -> dict[str, Any]:
        """Return the response format that holds an answer to `choices`."""
        label = {"type": "string", "enum": list(self.choices)}
        schema = {
            "type": "object",
            "properties": {"label": label},
            "required": ["label"],
            "additionalProperties": False,
        }
        return {"type": "json_schema", "json_schema": {"name": "label", "schema": schema,
                                                       "strict": True}}  # fmt: skip


def png(image: np.ndarray) -> bytes:
    """Write an image as PNG, its longer side at most `SIDE` pixels.

    Parameters
    ----------
    image : ndarray, shape (height, width, 3), uint8

    Returns
    -------
    bytes
        The same for the same pixels.

    Examples
    --------
    >>> png(np.zeros((2, 3, 3), np.uint8))[1:4]
    b'PNG'
    """
    picture = Image.fromarray(image)
    picture.thumbnail((SIDE, SIDE), Image.Resampling.BICUBIC)
    written = io.BytesIO()
    picture.save(written, "PNG")
    return written.getvalue()
