"""Rows about photographs, in a file as soon as they are known: what is broken off goes on.

Rows are appended to ``FILE.part``, which becomes ``FILE`` when all are there. Beside it lies
``FILE.part.json``: its first line says what the rows depend on, and each other line up to which
photograph, and to which byte, the part is whole.
"""

import contextlib
import csv
import io
import json
import math
import os
import shutil
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self

from meznet_helpers.cli import options
from meznet_helpers.errors import MeznetError, reason
from meznet_helpers.files import aside, expanded

if TYPE_CHECKING:
    from meznet_helpers.images import Images

SHARD = 512
"""Photographs in each file of a folder of Parquet."""

FAILED = 4
"""Photographs in a row at which all that is left is given up."""

Row = tuple[Any, ...]


class Failed(MeznetError):
    """A photograph got no rows this time; the sentence names it."""


def text(columns: Sequence[str], rows: Sequence[Row], form: str, *, as_json: bool) -> str:
    """Return rows as lines of CSV, or of JSON.

    Parameters
    ----------
    columns : sequence of str
    rows : sequence of tuple
        None, and a number that is none, is an empty cell, or null.
    form : str
        How floats look.
    as_json : bool

    Examples
    --------
    >>> print(text(["label", "score"], [("a, b", 2 / 3)], "%.4f", as_json=False), end="")
    "a, b",0.6667
    >>> print(text(["label", "score"], [("a, b", None)], "%.4f", as_json=True), end="")
    {"label": "a, b", "score": null}
    """
    lines = io.StringIO()
    table = csv.writer(lines, lineterminator="\n")
    for row in rows:
        known = [None if isinstance(cell, float) and math.isnan(cell) else cell for cell in row]
        if as_json:
            cells = [float(form % cell) if isinstance(cell, float) else cell for cell in known]
            lines.write(options.to_json(dict(zip(columns, cells, strict=True))) + "\n")
        else:
            table.writerow(
                form % cell if isinstance(cell, float) else options.inert(cell) for cell in known
            )
    return lines.getvalue()


class Writer:
    """Writes rows, photograph by photograph; use it in a ``with``.

    Parameters
    ----------
    out : str
        ``-`` is standard output; or a file that ends in ``.csv`` or ``.jsonl``; or one that ends
        in ``.parquet``, a folder of shards of `SHARD` photographs.
    columns : dict of str
        The type of each column, as Parquet calls it.
    files : sequence of Path
        The photographs, in the order of the rows.
    settings : dict
        What else the rows depend on, for JSON. None of it may differ where a run goes on.
    as_json : bool
        Standard output gets JSON Lines instead of CSV.
    restart : bool
        Throw away what a run before this one has left.
    form : str
        How floats look. Parquet holds them whole.
    shard : int, optional
        Photographs in each file of the part; in the end it is `SHARD`.
    shown : callable, optional
        Makes the text of standard output of rows, in place of CSV.

    Attributes
    ----------
    done : int
        How many photographs are known, readable or not.
    unreadable : list of str
        What is wrong with those that could not be read.
    failed : list of int
        Places of those that are to be tried again.
    stopped : bool
        Whether some are left, so that the part stays one.

    Raises
    ------
    MeznetError
        If another run with other settings or photographs was broken off, or the file system
        refuses. Nothing is lost by that.
    """

    def __init__(
        self,
        out: str,
        columns: dict[str, str],
        files: Sequence[Path],
        settings: dict[str, Any],
        *,
        as_json: bool = False,
        restart: bool = False,
        form: str = "%.4f",
        shard: int | None = None,
        shown: Callable[[Sequence[Row]], str] | None = None,
    ) -> None:
        """Keep the arguments; ``with`` begins, or goes on."""
        self.columns, self.files, self.form, self.shown = columns, files, form, shown
        self.settings = json.loads(json.dumps({**settings, "columns": [*columns], "form": form}))
        self.restart, self.done, self.unreadable = restart, 0, []
        self.shard, self.failed, self.stopped = shard or SHARD, [], False
        self.path = None if out == "-" else expanded(out)
        suffix = "" if self.path is None else self.path.suffix.lower()
        self.as_json, self.shards = as_json or suffix == ".jsonl", suffix == ".parquet"
        self.header = "" if self.as_json or shown else ",".join(columns) + "\n"
        self._rows: list[Row] = []  # of the next shard
        self._bad: list[str] = []
        self._end = 0  # bytes, or shards
        self._kept = 0  # photographs that the part is whole for
        if self.path is not None:
            self.part = self.path.with_name(f"{self.path.name}.part")
            self.sidecar = self.path.with_name(f"{self.part.name}.json")
            self._log: IO[bytes] | None = None
            self._file: IO[bytes] | None = None

    @property
    def labeled(self) -> int:
        """How many photographs have their rows."""
        return self.done - len(self.unreadable) - len(self.failed)

    # ---- beginning, and going on

    def __enter__(self) -> Self:
        """Begin, or find out from where to go on."""
        if self.path is None:
            return self
        if self.path.is_dir():
            strange = [file.name for file in self.path.iterdir() if not _is_shard(file)]
            if strange or not self.shards:
                raise MeznetError(f"{self.path} is a folder of other things; name a new file.")
        with contextlib.ExitStack() as undo, self._writing():
            self._hold()
            undo.callback(self._release)
            if self.restart:
                self._remove()
            if not self._go_on():
                self._begin()
            self._log = self.sidecar.open("ab")
            if not self.shards:
                self._file = self.part.open("ab")
            undo.pop_all()
        return self

    def _hold(self) -> None:
        """Keep other runs from the part."""
        from filelock import FileLock, Timeout

        try:
            self._lock = FileLock(self.path.with_name(f".{self.part.name}.lock"), timeout=0)
            self._lock.acquire()
        except Timeout as error:
            raise MeznetError(f"{self.part} is being written by another run.") from error

    def _release(self) -> None:
        """Let other runs have the part."""
        with contextlib.suppress(OSError):
            Path(self._lock.lock_file).unlink()
        self._lock.release()

    def _begin(self) -> None:
        """Say in the sidecar what the part depends on, and make it."""
        self._remove()
        depends = {"settings": self.settings, "photographs": _stats(self.files)}
        with aside(self.sidecar) as file:
            file.write_text(json.dumps(depends) + "\n", encoding="utf-8")
        if self.shards:
            self.part.mkdir()
        else:
            self.part.write_text(self.header, encoding="utf-8")
            self._end = len(self.header)

    def _go_on(self) -> bool:
        """Keep what is whole of another run; False if that is nothing."""
        if not self.part.exists():
            return False
        try:
            first, *lines = self.sidecar.read_bytes().splitlines(keepends=True)
            then, whole, steps = json.loads(first), len(first), []
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                whole += len(line)
                steps.append((whole, json.loads(line)))
        except (FileNotFoundError, ValueError) as error:
            raise MeznetError(
                f"{self.part} is there, but {self.sidecar.name}, which says what it depends on, "
                "is not or is damaged; --restart throws it away."
            ) from error
        while steps and not self._holds(steps[-1][1]["end"]):
            steps.pop()
        if not steps:
            return False
        if difference := self._difference(then):
            raise MeznetError(
                f"{self.part} was begun otherwise ({difference}); do as then and it goes on, "
                "--restart throws it away."
            )
        self.unreadable = [text for _, step in steps for text in step["unreadable"]]
        whole, step = steps[-1]
        self.done, self._end, self.failed = step["done"], step["end"], step.get("failed", [])
        self._kept = self.done
        os.truncate(self.sidecar, whole)
        if not self.shards:
            os.truncate(self.part, self._end)
        options.complain([
            f"{self.part} holds {self.done - len(self.failed):,} of {len(self.files):,} "
            "photographs; going on from there; --restart begins anew."
        ])  # fmt: skip
        return True

    def _holds(self, end: int) -> bool:
        """Say whether the part is whole up to a byte, or a number of shards."""
        if self.shards:
            return all((self.part / _shard(number)).is_file() for number in range(end))
        with self.part.open("rb") as file:
            file.seek(max(end - 1, 0))
            return not end or file.read(1) == b"\n"

    def _difference(self, then: dict[str, Any]) -> str:
        """Say in a few words what is not as it was when the part was begun."""
        for key, new in self.settings.items():
            old = then["settings"].get(key)
            if old != new:
                return f"{key}: {_brief(old)} then, {_brief(new)} now"
        before = {path: rest for path, *rest in then["photographs"]}
        now = _stats(self.files)
        for path, *rest in now:
            if path not in before:
                return f"{path} is new"
            if before[path] != rest:
                return f"{path} has changed"
        if gone := before.keys() - {path for path, *_ in now}:
            return f"{min(gone)} is not among the photographs now"
        if then["photographs"] != now:
            return "the photographs come in another order"
        return ""

    # ---- rows

    def add(self, count: int, rows: Sequence[Row], unreadable: Sequence[str] = ()) -> None:
        """Write the rows of the next photographs.

        Parameters
        ----------
        count : int
            How many photographs that are, readable or not.
        rows : sequence of tuple
            One cell for each column.
        unreadable : sequence of str
            What is wrong with those that could not be read.
        """
        self.done += count
        self.unreadable += unreadable
        if self.path is None:
            self._print(rows)
            return
        self._bad += unreadable
        with self._writing():
            if not self.shards:
                content = text([*self.columns], rows, self.form, as_json=self.as_json)
                self._end += self._file.write(content.encode("utf-8", "surrogateescape"))
                self._file.flush()
                self._note()
                return
            self._rows += rows
            if self.done - self._kept >= self.shard or not count:
                self._close_shard()

    def _print(self, rows: Sequence[Row]) -> None:
        """Write rows to standard output, so that its reader has them at once."""
        if self.shown is not None:
            sys.stdout.write(self.shown(rows))
        elif rows:
            sys.stdout.write(self.header)
            self.header = ""
            sys.stdout.write(text([*self.columns], rows, self.form, as_json=self.as_json))
        sys.stdout.flush()

    def _close_shard(self) -> None:
        """Write the rows of a shard."""
        import pyarrow
        from pyarrow import parquet

        kinds = [(name, pyarrow.type_for_alias(kind)) for name, kind in self.columns.items()]
        cells = list(zip(*self._rows, strict=True)) or [[] for _ in kinds]
        arrays = [pyarrow.array(part, kind) for part, (_, kind) in zip(cells, kinds, strict=True)]
        with aside(self.part / _shard(self._end)) as file:
            parquet.write_table(pyarrow.table(arrays, schema=pyarrow.schema(kinds)), file)
        self._end += 1
        self._rows = []
        self._note()

    def _note(self) -> None:
        """Write down up to where the part is whole."""
        step = {"done": self.done, "end": self._end, "unreadable": self._bad}
        step |= {"failed": self.failed} if self.failed else {}
        self._log.write(json.dumps(step).encode() + b"\n")
        self._log.flush()
        self._kept, self._bad = self.done, []

    # ---- the end

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the part its name; keep it if something went wrong."""
        if self.path is None:
            return
        if error is None and not self.stopped:
            with self._writing():
                self._finish()
            self._release()
            return
        self._close()
        if not self._kept or not self.labeled:
            with contextlib.suppress(OSError):
                self._remove()
        elif error is not None:
            options.complain([
                f"{self.part} holds {self._kept:,} of {len(self.files):,} photographs; the same "
                "command goes on from there."
            ])  # fmt: skip
        self._release()

    def _finish(self) -> None:
        """Rename the part; without any rows there is no file, and with failures a copy."""
        if not self.labeled:
            self._close()
            self._remove()
            return
        if self.shards and self._rows:
            self._close_shard()
        if self._file is not None:
            os.fsync(self._file.fileno())
        self._close()
        if self.path.is_dir():
            shutil.rmtree(self.path)
        elif self.shards:
            self.path.unlink(missing_ok=True)
        if not self.failed and self.shard >= SHARD:
            self.part.replace(self.path)
            self.sidecar.unlink()
            return
        with aside(self.path) as whole:
            self._copy(whole)
        if not self.failed:
            self._remove()

    def _copy(self, whole: Path) -> None:
        """Copy the part, in shards of `SHARD` rows."""
        if not self.shards:
            shutil.copyfile(self.part, whole)
            return
        from pyarrow import parquet

        whole.mkdir()
        table = parquet.read_table(self.part)
        for number, start in enumerate(range(0, len(table), SHARD)):
            parquet.write_table(table.slice(start, SHARD), whole / _shard(number))

    def _close(self) -> None:
        """Close both files."""
        for file in (self._file, self._log):
            if file is not None:
                file.close()

    def _remove(self) -> None:
        """Throw away what there is of the part."""
        if self.part.is_dir():
            shutil.rmtree(self.part)
        self.part.unlink(missing_ok=True)
        self.sidecar.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Say in one sentence what the file system refuses."""
        try:
            yield
        except OSError as error:
            raise MeznetError(f"{self.part} can't be written ({reason(error)}).") from error


def _stats(files: Sequence[Path]) -> list[list[Any]]:
    """Return path, size and time of change of each file."""
    stats: list[list[Any]] = []
    for file in files:
        size = changed = None
        with contextlib.suppress(OSError):
            found = file.stat()
            size, changed = found.st_size, found.st_mtime_ns
        stats.append([str(file.absolute()), size, changed])
    return stats


def _shard(number: int) -> str:
    """Name a shard."""
    return f"part-{number:05}.parquet"


def _is_shard(file: Path) -> bool:
    """Say whether a file may be one of a folder that this module wrote."""
    return file.name.startswith("part-") and file.suffix == ".parquet"


def _brief(value: Any) -> str:
    """Return a setting as it was given, cut short."""
    shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def write_all(
    writer: Writer,
    rows: "Callable[[Images], Sequence[Row]]",
    *,
    side: int | None = None,
    batch_size: int = 32,
    workers: int = 1,
) -> int:
    """Read photographs in a stream, and write the rows of each batch before the next is begun.

    Parameters
    ----------
    writer : Writer
    rows : callable
        Makes rows of images; it gets no empty batches. It may raise `Failed`: then they are tried
        again where the command goes on, in the end.
    side, batch_size : int
        As `meznet_helpers.images.stream` takes them.
    workers : int
        Batches at a time; with several, `rows` is called in threads.

    Returns
    -------
    int
        The status: 0, 1 if some photographs have no rows, 2 if none has.

    Raises
    ------
    MeznetError
        If it fails at `FAILED` in a row, or as many as there are workers, and there are no rows.
    """
    from meznet_helpers.images import stream
    from meznet_helpers.images.reading import display_names
    from meznet_helpers.progress import bar, wanted

    began, names = time.monotonic(), display_names(writer.files)
    on_screen = writer.path is None and sys.stdout.isatty()
    in_a_row, most, stop = 0, max(FAILED, workers), ""
    with writer:
        first, bad = writer.labeled, len(writer.unreadable)
        options.complain(writer.unreadable)
        left = [*range(writer.done, len(names)), *writer.failed]
        places = iter(left)
        steps = None if on_screen else bar(total=len(names), label="Labeling", unit="img")
        with steps or contextlib.nullcontext():
            if steps is not None:
                steps.update(len(names) - len(left))
            batches = stream([writer.files[at] for at in left], names=[names[at] for at in left],
                             side=side, batch_size=batch_size)  # fmt: skip

            def complain(lines: Sequence[object]) -> None:
                if lines and steps is not None:
                    steps.clear()
                options.complain(lines)

            def read() -> "Iterator[Images]":
                for images in batches:
                    if stop:
                        return
                    complain(images.errors)
                    yield images

            for images, some in _side_by_side(read(), rows, workers):
                errors = [str(error) for error in images.errors]
                failed = isinstance(some, Failed)
                complain([some] if failed else [])
                here = [*islice(places, len(images) + len(errors))]
                in_a_row = in_a_row + 1 if failed else 0 if some else in_a_row
                writer.failed = [at for at in writer.failed if at not in here]
                if failed:
                    writer.failed += here
                    stop = stop or (str(some) if in_a_row == most else "")
                writer.add(sum(at >= writer.done for at in here), [] if failed else some, errors)
                if steps is not None:
                    steps.update(len(here))
        writer.stopped = next(places, None) is not None
    new = len(writer.unreadable) - bad
    lost = len(writer.failed)
    if writer.stopped:
        kept = f" {writer.part} holds {writer.labeled:,} of {len(names):,}." if writer.path else ""
        options.complain([f"stopped, since {most} photographs in a row failed.{kept}"])
    elif lost and writer.path and writer.labeled:
        options.complain(
            [f"{writer.path} lacks {lost:,} that failed; the same command tries again."]
        )
    if wanted():
        labeled = writer.labeled - first
        many = f"{labeled:,} photograph{'s' if labeled != 1 else ''} labeled"
        lost = f"; {new:,} could not be read" if new else ""
        options.complain([f"{many} in {time.monotonic() - began:,.0f} s{lost}."])
    if not writer.labeled:
        return 2
    return 1 if writer.unreadable or writer.failed else 0


def _side_by_side(
    batches: "Iterable[Images]", rows: "Callable[[Images], Sequence[Row]]", workers: int
) -> "Iterator[tuple[Images, Sequence[Row] | Failed]]":
    """Yield batches with their rows, in order; the next is begun when the first has been taken."""

    def tried(images: "Images") -> Sequence[Row] | Failed:
        try:
            return rows(images) if len(images) else []
        except Failed as error:
            return error

    if workers == 1:
        yield from ((images, tried(images)) for images in batches)
        return
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque = deque()
        for images in batches:
            waiting.append((images, pool.submit(tried, images)))
            if len(waiting) == workers:
                first, found = waiting.popleft()
                yield first, found.result()
        for first, found in waiting:
            yield first, found.result()
