"""Builds the site: execute what changed, render, check, and only then replace the old site."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import hashlib
import importlib.metadata
import json
import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any

from meznet_helpers.errors import MeznetError
from meznet_helpers.site import book as books
from meznet_helpers.site import check, execute, freshness, render_quarto, render_sphinx, tidy

RENDERERS = ("auto", "quarto", "sphinx")
JOBS = 2  # chapters that run at a time


@dataclasses.dataclass(frozen=True)
class ChapterRun:
    """One chapter in a build: whether it was executed or still fresh, and its last cost."""

    name: str
    executed: bool
    seconds: float
    peak_mb: float
    key: str


@dataclasses.dataclass(frozen=True)
class Build:
    """A finished build; the same facts lie in ``_site/build.json``."""

    site: Path
    renderer: str
    renderer_version: str
    rendered: bool
    execute_seconds: float
    render_seconds: float
    chapters: tuple[ChapterRun, ...]
    pages: tuple[str, ...]
    render_key: str

    def __str__(self) -> str:
        """Say in one line what was done and where the book begins.

        Examples
        --------
        >>> run = ChapterRun("01-nets", executed=True, seconds=30.0, peak_mb=900.0, key="")
        >>> facts = {"renderer": "sphinx", "renderer_version": "9.0.4", "rendered": True}
        >>> times = {"execute_seconds": 30.2, "render_seconds": 3.1}
        >>> more = {"chapters": (run,), "pages": ("index.html",), "render_key": ""}
        >>> print(Build(site=Path("_site"), **facts, **times, **more))
        1 chapter executed in 30 s, 0 fresh; rendered with Sphinx 9.0.4 in 3 s: _site/index.html
        """
        count = sum(run.executed for run in self.chapters)
        words = f"{count} chapter{'' if count == 1 else 's'} executed"
        words += f" in {self.execute_seconds:.0f} s" if count else ""
        words += f", {len(self.chapters) - count} fresh; "
        tool = f"{self.renderer.capitalize()} {self.renderer_version}"
        done = f"rendered with {tool} in {self.render_seconds:.0f} s"
        words += done if self.rendered else f"nothing to render, pages are by {tool}"
        index = self.site / "index.html"
        near = index.is_relative_to(Path.cwd())
        return f"{words}: {(index.relative_to(Path.cwd()) if near else index).as_posix()}"


def _kept(name: str, key: str, cache: Path) -> tuple[ChapterRun, Any] | None:
    """Return what `keep` kept of a chapter, if its key is this one."""
    import nbformat

    copy, facts = cache / name / "executed.ipynb", cache / name / "run.json"
    if not (facts.is_file() and copy.is_file()):
        return None
    seen = json.loads(facts.read_text(encoding="utf-8"))
    if seen["key"] != key:
        return None
    return ChapterRun(executed=False, **seen), nbformat.read(copy, as_version=4)


def keep(done: execute.Executed, name: str, key: str, cache: Path) -> ChapterRun:
    """Keep an executed chapter for the next build, which takes it where the key is the same.

    Parameters
    ----------
    done : Executed
    name : str
        The chapter's, such as ``"01-keras-applications"``.
    key : str
        As `meznet_helpers.site.freshness.key` gives it.
    cache : Path
        ``.cache/site`` of the book.

    Returns
    -------
    ChapterRun
    """
    import nbformat

    folder = cache / name
    folder.mkdir(parents=True, exist_ok=True)
    facts = folder / "run.json"
    facts.unlink(missing_ok=True)
    nbformat.write(done.notebook, folder / "executed.ipynb")
    run = {"name": name, "seconds": done.seconds, "peak_mb": done.peak_mb, "key": key}
    facts.write_text(json.dumps(run), encoding="utf-8")
    return ChapterRun(executed=True, **run)


def _run_all(book: books.Book, cache: Path, force: bool) -> tuple[list[ChapterRun], dict[str, Any]]:
    """Execute the chapters that need it, some at a time, and return all in order."""
    assets_hash = freshness.assets(book.root, cache / "assets.json")
    # Not in the threads: Python 3.11 can't parse in two at a time.
    keys = {
        chapter.name: freshness.key(chapter.path, book.root, assets_hash=assets_hash)
        for chapter in book.chapters
    }
    done = {name: None if force else _kept(name, key, cache) for name, key in keys.items()}
    stale = [chapter for chapter in book.chapters if done[chapter.name] is None]
    # Kernels with more threads than there are cores wait for each other longer than they compute.
    threads = max(1, (os.cpu_count() or 1) // max(1, min(JOBS, len(stale))))
    stop = threading.Event()

    def run(chapter: books.Chapter) -> tuple[ChapterRun, Any]:
        log = cache / chapter.name / "kernel.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        copy = execute.execute(chapter.path, root=book.root, log=log, stop=stop, threads=threads)
        return keep(copy, chapter.name, keys[chapter.name], cache), copy.notebook

    with concurrent.futures.ThreadPoolExecutor(max_workers=JOBS) as pool:
        waiting = {pool.submit(run, chapter): chapter.name for chapter in stale}
        try:
            for future in concurrent.futures.as_completed(waiting):
                done[waiting[future]] = future.result()
        except BaseException:  # also when the user interrupts: no kernel outlives the build
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    runs = [run for run, _ in done.values()]
    return runs, {name: notebook for name, (_, notebook) in done.items()}


def _render_key(book: books.Book, cache: Path, renderer: str, version: str) -> str:
    """Return a hash over everything the pages depend on once the chapters have run."""
    files = [*sorted(Path(__file__).parent.iterdir()), book.root / "_quarto.yml", book.preface]
    files += book.bibliography
    for chapter in book.chapters:
        files += [chapter.path, cache / chapter.name / "executed.ipynb"]
        files += sorted(chapter.path.parent.rglob("*"))
    digest = hashlib.sha256(f"{renderer} {version}".encode())
    for path in files:
        if path.is_file() and ".ipynb_checkpoints" not in path.parts:
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"\n{path.name} {content}".encode())
    return digest.hexdigest()


def _previous(site: Path) -> dict[str, Any]:
    """Return the summary of the site that stands, or nothing if it is not whole."""
    try:
        summary = json.loads((site / "build.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    whole = all((site / page).is_file() for page in summary.get("pages", ["no pages"]))
    return summary if whole else {}


def _choose(renderer: str) -> tuple[str, str]:
    """Return the renderer's name and version."""
    if renderer not in RENDERERS:
        raise MeznetError(f"renderer {renderer!r}: choose one of {', '.join(RENDERERS)}")
    if renderer == "quarto" or (renderer == "auto" and render_quarto.find()):
        return "quarto", render_quarto.version()
    return "sphinx", importlib.metadata.version("sphinx")


def _replace(new: Path, site: Path) -> None:
    """Put the new site where the old one stands."""
    old = site.with_name(f"{site.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if site.exists():
        site.rename(old)
    new.rename(site)
    shutil.rmtree(old, ignore_errors=True)


def build(root: str | Path, *, renderer: str = "auto", force: bool = False) -> Build:
    """Build the book's site in ``_site/``.

    Chapters whose notebook, helpers, assets and lock have not changed are not executed again, and
    nothing is rendered when no page can have changed. The old site stays until the new one passed
    all checks.

    Parameters
    ----------
    root : str or Path
        Folder of the book, the one with ``_quarto.yml``.
    renderer : {"auto", "quarto", "sphinx"}
        ``auto`` takes Quarto where it is found and Sphinx elsewhere.
    force : bool
        Execute and render everything.

    Returns
    -------
    Build
        What was executed, how long it took and which pages there are.

    Raises
    ------
    ExecutionError
        If a cell fails: chapter, cell and error in three lines.
    MeznetError
        If a page cannot be rendered or fails a check.

    Examples
    --------
    >>> from meznet_helpers import site
    >>> site.build(".").renderer  # doctest: +SKIP
    'sphinx'
    """
    book = books.read(root)
    name, version = _choose(renderer)
    cache, site = book.root / ".cache" / "site", book.root / "_site"
    started = time.perf_counter()
    runs, notebooks = _run_all(book, cache, force)
    executed_at = time.perf_counter()
    key = _render_key(book, cache, name, version)
    same = not force and _previous(site).get("render_key") == key
    where = site if same else cache / "new"
    if not same:
        for notebook in notebooks.values():
            tidy.notebook(notebook)
        module = render_quarto if name == "quarto" else render_sphinx
        if name == "quarto":  # a construct that Sphinx would refuse is refused here as well
            render_sphinx.translate(book, notebooks, cache / "translated")
        module.render(book, notebooks, cache / "project", where)
        for chapter in book.chapters:
            shutil.copyfile(chapter.path, where / chapter.path.relative_to(book.root))
        check.check(where, book)
    done = Build(
        site=site,
        renderer=name,
        renderer_version=version,
        rendered=not same,
        execute_seconds=round(executed_at - started, 2),
        render_seconds=round(time.perf_counter() - executed_at, 2),
        chapters=tuple(runs),
        pages=tuple(check.page_names(where)),
        render_key=key,
    )
    summary = dataclasses.asdict(done) | {"site": "_site"}
    text = json.dumps(summary, indent=2) + "\n"
    (where / "build.json").write_text(text, encoding="utf-8")
    if not same:
        _replace(where, site)
    return done
