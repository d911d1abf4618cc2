"""Tests against a real server: llama.cpp's own, with the small chat model that wheels carry."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest

from meznet_helpers.assets import store
from meznet_helpers.errors import MeznetError
from meznet_helpers.labels import from_names
from meznet_helpers.llm import Asker, LlmLabeler
from meznet_helpers.llm.answers import Reader
from meznet_helpers.llm.endpoint import Endpoint
from meznet_helpers.llm.request import Request

MODEL = "smollm2-135m-instruct"
SERVER = """
import sys
import xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.n_ctx, params.n_parallel, params.warmup = sys.argv[1], 512, 1, False
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = params.n_threads_http = 1
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
"""
PETS = from_names(["cat", "dog"])


@pytest.fixture(scope="module")
def llama():
    """Start the server on a free port of this machine; it ends with its standard input."""
    files = sorted((store.cache() / MODEL).glob("*.gguf"))
    if not files:
        pytest.skip(f"{MODEL} is not on this machine; meznet fetch {MODEL} gets it")
    if importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("xllamacpp, which holds llama.cpp's server, is not installed")
    command = [sys.executable, "-c", SERVER, str(files[0])]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, encoding="utf-8", **pipes) as running:
        yield Endpoint(running.stdout.readline().strip())
        running.stdin.close()


@pytest.mark.nets
def test_an_answer_and_its_tokens(llama):
    """In its own words; the server says which model it really is, whatever it is called."""
    reply = llama.ask(Request("any", "What is the capital of France? One sentence."))
    assert "Paris" in reply.text and reply.finish == "stop"
    assert reply.tokens_in > 10 and 1 < reply.tokens_out < 100 and reply.ms > 0
    assert reply.model.split()[0].endswith(".gguf")


@pytest.mark.nets
def test_an_answer_held_to_the_labels(llama):
    """The schema becomes a grammar: what comes back is one of them, in JSON."""
    request = Request("any", "Which animal barks?", choices=PETS.names)
    row = Asker(llama, "any").row("question", request, Reader(PETS))
    assert row["label"] in PETS.names and row["how"] == "name" and row["tries"] == 1
    assert row["text"].strip().startswith("{")


@pytest.mark.nets
def test_its_own_words(llama):
    """Too much to read, no eyes, and another address: what the server says is said."""
    with pytest.raises(MeznetError, match=r"answered 400: .*exceeds the available context size"):
        llama.ask(Request("any", "word " * 1000))
    picture = [np.zeros((8, 8, 3), np.uint8)]
    with pytest.raises(MeznetError, match=r"answered \d+: image input is not supported"):
        LlmLabeler(llama, "any", PETS).ask(picture)
    with pytest.raises(MeznetError, match=r"nowhere answered 404: .+ /v1\?"):
        Endpoint(llama.url.replace("/v1", "/nowhere")).ask(Request("any", "What?"))
