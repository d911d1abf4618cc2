"""Label images with networks that other people trained.

Examples
--------
meznet label cat.jpg --top 3
meznet models
"""

import contextlib
import io
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Annotated

import typer

from meznet_helpers import __version__
from meznet_helpers.cli import (
    benchmark,
    clip,
    evaluate,
    fetch,
    index,
    label,
    leaderboard,
    llm,
    models,
    options,
    site,
    ui,
)
from meznet_helpers.errors import MeznetError, MeznetWarning, reason

app = options.group("meznet", __doc__)
for module in (label, evaluate, models, clip, index, llm, benchmark, leaderboard, site, ui, fetch):
    app.add_typer(module.app)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"meznet {__version__}")
        raise typer.Exit


EAGER = {"callback": _print_version, "is_eager": True}
DEBUG = "--debug"


@app.callback()
def meznet(
    version: Annotated[bool, options.flag("--version", "Print it and end.", **EAGER)] = False,
    debug: Annotated[bool, options.flag(DEBUG, "Anywhere: show where an error arose.")] = False,
) -> None:
    """Take what is not about one command."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; those of the process by default.

    Returns
    -------
    int
        0 when all is done, 1 when some images could not be read, 2 when nothing was done, 130
        when it was interrupted. Each error is one line on standard error.

    Examples
    --------
    >>> main(["label", "cat.jpg", "--top", "0"])
    2
    """
    given = sys.argv[1:] if argv is None else list(argv)
    own = given.index("--") if "--" in given else len(given)
    debug = DEBUG in given[:own]
    given = [word for word in given[:own] if word != DEBUG] + given[own:]
    _prepare(native=debug or argv is not None)
    try:
        with warnings.catch_warnings():
            if not debug and not sys.warnoptions:
                warnings.simplefilter("ignore")
                warnings.simplefilter("always", MeznetWarning)
                warnings.showwarning = lambda message, *_: options.complain([message])
            status = _run(given)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # the program that reads the output has seen enough of it
        _drop_output()
        return 0
    except KeyboardInterrupt as stop:
        options.complain([str(stop) or "interrupted."])
        return 130
    except Exception as error:
        if debug:
            traceback.print_exception(error)
        if isinstance(error, OSError) and error.filename is None:
            _drop_output()
        options.complain([_sentence(error)])
        return 2


def _prepare(*, native: bool) -> None:
    """Make both outputs take any text; an output that is closed becomes one.

    Unless `native`, what libraries write past Python to standard error goes nowhere.
    """
    # read only: who writes to it gets an error, which is then told
    sys.stdout = sys.stdout or open(os.devnull, encoding="utf-8")  # noqa: PTH123, SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    elif not native:
        sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, encoding=sys.stderr.encoding)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _drop_output() -> None:
    """Let Python's own end write what is left of standard output to nowhere."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _sentence(error: Exception) -> str:
    """Say in one line what ended a command."""
    if isinstance(error, MeznetError):
        return str(error)
    if isinstance(error, typer.TyperException):  # wrong usage
        context, text = getattr(error, "ctx", None), reason(error.format_message())
        path = context.command_path if context else "meznet"
        text += "; --out FILE.csv writes one" if text.endswith(": --csv") else ""
        return f"{text}{'' if text.endswith('?') else '.'} {path} --help says more."
    if isinstance(error, MemoryError):
        return "the memory of this machine is not enough for that."
    if isinstance(error, OSError):
        what = "the output" if error.filename is None else error.filename
        return f"{what} can't be read or written ({reason(error)})."
    return f"{type(error).__name__}: {reason(error)}. That was not foreseen; {DEBUG} shows where."


def _run(argv: list[str]) -> int:
    """Run a command and return its status; typer's own `main` words errors in several lines."""
    try:
        with typer.main.get_command(app).make_context("meznet", argv) as context:
            return context.command.invoke(context)
    except typer.Exit as end:  # of --help and --version
        return end.exit_code
