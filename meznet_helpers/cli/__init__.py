"""Label images with networks that other people trained.

Examples
--------
meznet label cat.jpg --top 3
meznet models
"""

import os
import sys
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
from meznet_helpers.errors import MeznetError, reason

app = options.group("meznet", __doc__)
for module in (label, evaluate, models, clip, index, llm, benchmark, leaderboard, site, ui, fetch):
    app.add_typer(module.app)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"meznet {__version__}")
        raise typer.Exit


EAGER = {"callback": _print_version, "is_eager": True}


@app.callback()
def meznet(
    version: Annotated[bool, options.flag("--version", "Print it and end.", **EAGER)] = False,
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
    try:
        status = _run(sys.argv[1:] if argv is None else list(argv))
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # the program that reads the output has seen enough of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except typer.TyperException as error:  # wrong usage
        context, text = getattr(error, "ctx", None), reason(error.format_message())
        path = context.command_path if context else "meznet"
        options.complain([f"{text}{'' if text.endswith('?') else '.'} {path} --help says more."])
    except MeznetError as error:
        options.complain([error])
    except KeyboardInterrupt as stop:
        options.complain([str(stop) or "interrupted."])
        return 130
    return 2


def _run(argv: list[str]) -> int:
    """Run a command and return its status; typer's own `main` words errors in several lines."""
    try:
        with typer.main.get_command(app).make_context("meznet", argv) as context:
            return context.command.invoke(context)
    except typer.Exit as end:  # of --help and --version
        return end.exit_code
