"""What the commands of ``meznet`` share: options that mean the same everywhere, images, tables."""

import contextlib
import inspect
import json
import math
import re
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meznet_helpers.errors import STEERING, MeznetError, shown
from meznet_helpers.files import aside, expanded
from meznet_helpers.names import MODEL

if TYPE_CHECKING:
    import pandas as pd

    from meznet_helpers.images import Images as ImagesRead
    from meznet_helpers.labelers import Labeler
    from meznet_helpers.labels import LabelSpace

SUFFIXES = (".csv", ".json", ".parquet")
ROWS = (".csv", ".jsonl", ".parquet")
FORMULAS = tuple("=+-@\uff1d\uff0b\uff0d\uff20")  # the latter are as wide as Chinese letters
"""How texts begin that a spreadsheet takes for a formula; in CSV an apostrophe goes before them."""


def group(name: str | None = None, doc: str = "") -> typer.Typer:
    """Make a group of commands; without a name they stand beside those of ``meznet``."""
    text, epilog = _parts(doc)
    plain = {"add_completion": False, "rich_markup_mode": None}  # rich takes long to import
    return typer.Typer(name=name, help=text, epilog=epilog, **plain)


def command(app: typer.Typer) -> Callable[[Callable], Callable]:
    """Make a function a command, and its docstring the help."""

    def register(function: Callable) -> Callable:
        text, epilog = _parts(function.__doc__)
        return app.command(help=text, epilog=epilog)(function)

    return register


def _parts(doc: str) -> tuple[str, str]:
    """Cut the examples off a docstring, to stand below the options; behind ``\\b`` lines stay."""
    text, _, examples = inspect.cleandoc(doc).partition("\n\nExamples\n--------\n")
    return text, "\b\nExamples:\n" + textwrap.indent(examples, "  ")


def check_folder(option: str, path: str | Path) -> Path:
    """Refuse a file whose folder is not there.

    Examples
    --------
    >>> check_folder("--out", "/nowhere/net.onnx")
    Traceback (most recent call last):
    meznet_helpers.errors.MeznetError: --out: /nowhere is no folder.
    """
    path = expanded(path)
    if not path.absolute().parent.is_dir():
        raise MeznetError(f"{option}: {path.parent} is no folder.")
    return path


def check_out(context: typer.Context, param: typer.CallbackParam, value: Any) -> Any:
    """Refuse, before anything is read, a file that `write` can't make, and two outputs."""
    return _check(context, param, value, SUFFIXES)


def check_rows(context: typer.Context, param: typer.CallbackParam, value: Any) -> Any:
    """Refuse, before anything is read, a file of rows that can't be made, and two outputs."""
    return _check(context, param, value, ROWS)


def _check(
    context: typer.Context, param: typer.CallbackParam, value: Any, suffixes: tuple[str, ...]
) -> Any:
    """Refuse files without one of the suffixes, and two outputs."""
    given = {"out": "-"} | context.params | {param.name: value}
    if isinstance(value, str) and value != "-":
        path = check_folder(param.opts[0], value)
        if path.suffix.lower() not in suffixes:
            ends = f"{', '.join(suffixes[:-1])} or {suffixes[-1]}"
            raise MeznetError(f"{param.opts[0]}: {value} must end in {ends}.")
    if given.get("as_json") and given["out"] != "-":
        suffix = suffixes[1]
        raise MeznetError(
            f"--json is for standard output; --out FILE{suffix} writes JSON to a file."
        )
    return value


def option(metavar: str, text: str = "", shown: str | None = None, **more: Any) -> Any:
    """Describe an option; `shown` stands for the default where that is None."""
    more |= {"show_default": shown} if shown else {}
    return typer.Option(metavar=metavar, help=text, **more)


def argument(metavar: str, text: str, shown: str | None = None) -> Any:
    """Describe an argument that has no name."""
    return typer.Argument(metavar=metavar, help=text, show_default=shown or False)


def flag(name: str, text: str, **more: Any) -> Any:
    """Describe an option that is there or not."""
    return typer.Option(name, help=text, **more)


ALLOW = "Let what a file names, as an index does its network, be downloaded."
METHODS = "Combine the models, or three published ones, to one: soft, hard, ..."
NO_LABEL = "Say none of these at small scores; RISK, such as 0.05, of good labels may go by it."
SETS = "Give sets, so many that SHARE of them, such as 0.9, hold the right label."
MIN = "Leave out labels with less, from 0 to 1."
FORMS = "CSV, JSON or Parquet, by its suffix; - is standard output."
LINES = "Ends in .csv, .jsonl (JSON Lines) or .parquet (a folder); - is standard output."

Images = Annotated[list[str], argument("IMAGE", "Files, folders, patterns.")]
Models = Annotated[list[str] | None, option("NAME", "Of a labeler; repeatable.", MODEL)]
Ensemble = Annotated[str | None, option("METHOD", METHODS)]
Top = Annotated[int, option("K", "Labels per image.", min=1)]
Min = Annotated[float, typer.Option("--min", metavar="SCORE", help=MIN, min=0, max=1)]
Risk = Annotated[float | None, option("RISK", NO_LABEL, "off")]
Coverage = Annotated[float | None, option("SHARE", SETS, "off")]
Seed = Annotated[int, option("N", "Of all that is drawn by chance.")]
Out = Annotated[str, option("FILE", FORMS, callback=check_out)]
Json = Annotated[bool, flag("--json", "JSON on standard output.", callback=check_out)]
Download = Annotated[bool, flag("--download", ALLOW)]
RowsOut = Annotated[str, option("FILE", LINES, callback=check_rows)]
RowsJson = Annotated[bool, flag("--json", "JSON Lines on standard output.", callback=check_rows)]
Restart = Annotated[bool, flag("--restart", "Begin anew, and not where FILE.part was broken off.")]
Labels = Annotated[str | None, option("A,B,...", 'A row of CSV, such as cat,"New York, USA".')]
LabelsFile = Annotated[str | None, option("FILE", "CSV: a label a line, its synonyms behind it.")]


def read_labels(row: str | None, file: str | None) -> "LabelSpace | None":
    """Read the options ``--labels`` and ``--labels-file``.

    Returns
    -------
    LabelSpace or None
        None if neither is given.

    Raises
    ------
    MeznetError
        If both are given, or the one is wrong.

    Examples
    --------
    >>> read_labels('cat,"New York, USA"', None).names
    ('cat', 'New York, USA')
    >>> read_labels("cat", None)
    Traceback (most recent call last):
    meznet_helpers.errors.MeznetError: --labels: there must be two labels or more, not 1 (cat).
    """
    from meznet_helpers.images.reading import is_file
    from meznet_helpers.labels import from_file, from_row

    if row is not None and file is not None:
        raise MeznetError("Labels come from --labels or from --labels-file, not from both.")
    name, hint = "--labels", " A file is given by --labels-file."
    if file is not None:
        name, hint = "--labels-file", " Labels themselves are given by --labels."
    try:
        if file is not None:
            return from_file(file)
        return None if row is None else from_row(row)
    except MeznetError as error:
        confused = is_file(Path(row)) if file is None else not is_file(Path(file))
        text = str(error).removeprefix("labels: ")
        raise MeznetError(f"{name}: {text}{hint if confused else ''}") from error


def nets(names: list[str] | None, ensemble: str | None, download: bool = False) -> "list[Labeler]":
    """Make the labelers that ``--model`` and ``--ensemble`` ask for.

    Parameters
    ----------
    names : list of str or None
        None: the default model, or for an ensemble the published EfficientNet-Lites.
    ensemble : str or None
        A method that combines the named ones to one.
    download : bool
        Whether what a file names may be downloaded.

    Returns
    -------
    list of Labeler

    Raises
    ------
    MeznetError
        If a name or the method is unknown, or two names stand for one model.

    Examples
    --------
    >>> [net.name for net in nets(["keras/MobileNet@tiny"], None)]
    ['keras/MobileNet@tiny']
    """
    from meznet_helpers.names import labeler
    from meznet_helpers.predictions import unique_names

    if ensemble and not names:
        from meznet_helpers.labelers import registry

        published = [net for net in registry().values() if net.asset and net.tag == "imagenet"]
        names = [net.name for net in published if net.framework == "keras"]
    members = [labeler(name, download=download) for name in names or [MODEL]]
    unique_names("models", [member.name for member in members])
    if ensemble is None:
        return members
    from meznet_helpers.ensembles import EnsembleLabeler

    return [EnsembleLabeler(members, ensemble)]


def read_images(patterns: list[str]) -> "ImagesRead":
    """Read the images that a command line names, and complain of those that can't be read."""
    from meznet_helpers.images import read_many

    images = read_many(find(patterns), progress=True)
    complain(images.errors)
    return images


def find(patterns: list[str], out: str = "-") -> list[Path]:
    """Find the images that a command line names, and say what is left aside in folders.

    Parameters
    ----------
    patterns : list of str
    out : str
        The command's own output, which is no such file, nor is its part.

    Returns
    -------
    list of Path
    """
    from meznet_helpers.images import survey

    files, others = survey(patterns)
    own = str(expanded(out).absolute())
    complain(left_aside([file for file in others if not str(file.absolute()).startswith(own)]))
    return files


def say_left_aside(folder: str) -> None:
    """Say what a tree of images holds besides; what is wrong with the tree is said elsewhere."""
    with contextlib.suppress(MeznetError):
        find([folder])


def left_aside(files: Sequence[Path]) -> list[str]:
    """Say of which kinds files are that lie beside images; nothing if there are none.

    Examples
    --------
    >>> left_aside([Path("1.CR2"), Path("2.cr2"), Path("README")])
    ['left aside 3 files that are no images it can read: 2 .cr2, 1 without a suffix.']
    """
    kinds = Counter(file.suffix.lower() or "without a suffix" for file in files).most_common()
    named = [f"{count:,} {kind}" for kind, count in kinds[:6]]
    if rest := sum(count for _, count in kinds[6:]):
        named.append(f"{rest:,} of other kinds")
    what = (
        "1 file that is no image" if len(files) == 1 else f"{len(files):,} files that are no images"
    )
    return [f"left aside {what} it can read: {', '.join(named)}."] if files else []


def complain(lines: object) -> None:
    """Write a line for each thing that went wrong without stopping the rest."""
    for line in lines:
        print(f"meznet: {shown(str(line))}", file=sys.stderr)


def inert(cell: Any) -> Any:
    """Return a cell of a table that spreadsheets do not run and that does not steer a terminal.

    Examples
    --------
    >>> inert("=1+1"), inert("cat"), inert(-0.5), inert("a\\x1b[31m")
    ("'=1+1", 'cat', -0.5, 'a\\\\x1b[31m')
    """
    if not isinstance(cell, str):
        return cell
    return f"'{shown(cell)}" if cell.startswith(FORMULAS) else shown(cell)


def to_json(content: Any, indent: int | None = None) -> str:
    """Return JSON that does not steer a terminal."""
    text = json.dumps(content, indent=indent, ensure_ascii=False)
    return re.sub(f"[{STEERING}]", lambda letter: f"\\u{ord(letter[0]):04x}", text)


def rows(table: "pd.DataFrame", form: str = "%.4f") -> list[dict[str, Any]]:
    """Return rows for JSON: floats have the digits of the CSV, and None is what is not known.

    Examples
    --------
    >>> import pandas as pd
    >>> rows(pd.DataFrame({"label": ["cat", "dog"], "score": [2 / 3, None]}))
    [{'label': 'cat', 'score': 0.6667}, {'label': 'dog', 'score': None}]
    """

    def plain(value: Any) -> Any:
        if not isinstance(value, float):
            return value
        return None if math.isnan(value) else float(form % value)

    return [{key: plain(value) for key, value in row.items()} for row in table.to_dict("records")]


def write(table: "pd.DataFrame", out: str = "-", as_json: bool = False, form: str = "%.4f") -> None:
    """Write a table to standard output or to a file.

    Parameters
    ----------
    table : DataFrame
        Without its index.
    out : str
        ``-``, or a file with one of `SUFFIXES`; it is written aside and renamed.
    as_json : bool
        Standard output gets JSON instead of CSV.
    form : str
        How floats look. Parquet holds them whole.

    Raises
    ------
    MeznetError
        If it can't be written.
    """
    suffix = Path(out).suffix.lower()
    if suffix == ".json" or as_json:
        text = to_json(rows(table, form), 1) + "\n"
    elif suffix != ".parquet":
        table = table.rename(columns=inert).map(inert)
        text = table.to_csv(index=False, float_format=form, lineterminator="\n")
    if out == "-":
        sys.stdout.write(text)
        return
    with aside(expanded(out)) as part:
        if suffix == ".parquet":
            table.to_parquet(part, index=False)
        else:
            part.write_text(text, encoding="utf-8")
