"""Tests of meznet_helpers.progress: who sees a bar, and that the items always pass."""

import io
import sys
import types

import pytest

from meznet_helpers import progress


class Terminal(io.StringIO):
    """A text stream that claims to be a terminal."""

    def isatty(self):
        """Say yes, as a terminal does."""
        return True


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    """Run outside any notebook, with the variable unset."""
    monkeypatch.delenv("MEZNET_PROGRESS", raising=False)
    monkeypatch.delitem(sys.modules, "IPython", raising=False)


def notebook(monkeypatch, shell):
    """Pretend that IPython runs with `shell`."""
    module = types.SimpleNamespace(get_ipython=lambda: shell)
    monkeypatch.setitem(sys.modules, "IPython", module)


def shown(monkeypatch, stream, **options):
    """Walk a bar to its end with `stream` as standard error; return what was written to it."""
    # in the test's body: pytest puts its own stream back between a fixture and the test
    monkeypatch.setattr(sys, "stderr", stream)
    assert list(progress.bar(range(3), **options)) == [0, 1, 2]
    return stream.getvalue()


def test_silent_when_nobody_looks(monkeypatch):
    assert shown(monkeypatch, io.StringIO(), label="Reading") == ""


def test_shown_on_a_terminal_and_gone_at_the_end(monkeypatch):
    text = shown(monkeypatch, Terminal(), label="Reading", unit="img")
    assert "Reading" in text and "/3" in text
    assert "\n" not in text
    assert text.endswith("\r")
    assert text.split("\r")[-2].strip() == ""  # the last thing written is a line of spaces


def test_variable_silences_a_terminal(monkeypatch):
    monkeypatch.setenv("MEZNET_PROGRESS", "0")
    assert shown(monkeypatch, Terminal()) == ""


def test_variable_silences_a_notebook(monkeypatch):
    notebook(monkeypatch, types.SimpleNamespace(kernel=object()))
    monkeypatch.setenv("MEZNET_PROGRESS", "0")
    assert shown(monkeypatch, io.StringIO()) == ""


def test_shown_in_a_notebook_kernel(monkeypatch):
    notebook(monkeypatch, types.SimpleNamespace(kernel=object()))
    assert "Reading" in shown(monkeypatch, io.StringIO(), label="Reading")


@pytest.mark.parametrize("shell", [None, types.SimpleNamespace()])
def test_ipython_without_a_kernel_is_no_notebook(monkeypatch, shell):
    notebook(monkeypatch, shell)
    assert shown(monkeypatch, io.StringIO()) == ""


@pytest.mark.parametrize("closed", [False, True])
def test_missing_or_closed_standard_error(monkeypatch, closed):
    stream = io.StringIO() if closed else None
    if closed:
        stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    assert list(progress.bar(range(3))) == [0, 1, 2]


def test_bytes_by_hand(monkeypatch):
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    with progress.bar(total=2_000_000, label="weights", unit="B") as steps:
        steps.update(1_000_000)
        steps.refresh()
    assert "2.00M" in stream.getvalue() and "weights" in stream.getvalue()
