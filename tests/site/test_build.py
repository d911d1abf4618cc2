"""The whole way: a small book, executed and rendered by either renderer."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import lxml.html
import pytest

from meznet_helpers import site
from meznet_helpers.errors import MeznetError
from meznet_helpers.site import book, check, render_quarto

QUARTO = os.environ.get("MEZNET_QUARTO") or shutil.which("quarto")


def words(page: Path) -> str:
    """Return the text of a page's main part with single blanks."""
    tree = lxml.html.fromstring(page.read_bytes())
    return " ".join(tree.xpath("//main")[0].text_content().split())


def assert_page(folder: Path) -> None:
    """What a reader of chapter one sees, whoever rendered it."""
    page = folder / "chapters" / "01-one.html"
    text, tree = words(page), lxml.html.fromstring(page.read_bytes())
    for expected in ("The value is 42.", "Figure 1.1", "Table 1.1", "Table 1.2", "Section 2.1",
                     "He et al.", "Wilson", "84", "Set-up", "output alone", "A footnote",
                     "Not counted", "code @fig-x"):  # fmt: skip
        assert expected in text, expected
    for hidden in ("#|", ":::", "never seen", "not even code", "?fig"):
        assert hidden not in text, hidden
    assert {image.get("alt") for image in tree.xpath("//main//figure//img")} == {
        "One dot.", "A black dot.",
    }  # fmt: skip
    assert tree.xpath("//math")
    links = {link.get("href") for link in tree.iter("a")}
    assert "01-one.ipynb" in links
    for name in ("index.html", "chapters/01-one.html"):  # or else browsers ask for /favicon.ico
        head = lxml.html.fromstring((folder / name).read_bytes())
        assert head.xpath("//head/link[@rel='icon']/@href") == ["data:,"]
    assert any(link and link.endswith("02-two.html") for link in links)
    back = lxml.html.fromstring((folder / "chapters" / "02-two.html").read_bytes())
    assert any(a.get("href", "").endswith("01-one.html#fig-line") for a in back.iter("a"))


@pytest.mark.parametrize("renderer", ["sphinx", "quarto"])
def test_build(
    renderer: str,
    make_book: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Cold, warm and changed builds; the old site stays when a new one fails."""
    if renderer == "quarto":
        if not QUARTO:
            pytest.skip("no Quarto: neither on PATH nor in MEZNET_QUARTO")
        monkeypatch.setenv("MEZNET_QUARTO", QUARTO)
    folder = make_book(tmp_path / "book")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    done = site.build(folder, renderer=renderer)
    assert all(path.read_bytes() == data for path, data in before.items())
    assert (done.renderer, done.rendered) == (renderer, True)
    assert all(run.executed and run.seconds > 0 and run.peak_mb > 0 for run in done.chapters)
    assert_page(done.site)
    check.check(done.site, book.read(folder))
    summary = json.loads((done.site / "build.json").read_text(encoding="utf-8"))
    assert summary["renderer_version"] == done.renderer_version
    assert [run["name"] for run in summary["chapters"]] == ["01-one", "02-two"]
    said = rf"2 chapters executed in \d+ s, 0 fresh; rendered with {renderer.capitalize()} [\d.]+"
    assert re.fullmatch(rf"{said} in \d+ s: {done.site.as_posix()}/index\.html", str(done))
    source = folder / "chapters" / "01-one.ipynb"
    assert (done.site / "chapters" / "01-one.ipynb").read_bytes() == source.read_bytes()

    warm = site.build(folder, renderer=renderer)
    assert not warm.rendered
    assert not any(run.executed for run in warm.chapters)
    said = rf"0 chapters executed, 2 fresh; nothing to render, pages are by {done.renderer}"
    assert re.match(said, str(warm), flags=re.IGNORECASE)

    preface = folder / "index.qmd"
    preface.write_text(preface.read_text(encoding="utf-8") + "\nSee @fig-gone.\n", encoding="utf-8")
    with pytest.raises(MeznetError, match="index, cell 1: unresolved reference @fig-gone"):
        site.build(folder, renderer=renderer)
    assert_page(folder / "_site")


def test_bad_settings(
    make_book: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wrong choices are one sentence each."""
    folder = make_book(tmp_path / "book")
    with pytest.raises(MeznetError, match="choose one of auto, quarto, sphinx"):
        site.build(folder, renderer="word")
    monkeypatch.setenv("MEZNET_QUARTO", str(tmp_path / "none"))
    with pytest.raises(MeznetError, match="MEZNET_QUARTO names"):
        render_quarto.find()
    monkeypatch.delenv("MEZNET_QUARTO")
    monkeypatch.setattr(render_quarto.shutil, "which", lambda name: None)
    with pytest.raises(MeznetError, match="Quarto was not found"):
        site.build(folder, renderer="quarto")
    (folder / "chapters" / "02-two.ipynb").unlink()
    with pytest.raises(MeznetError, match=r"names chapters/02-two\.ipynb, which does not exist"):
        book.read(folder)
    with pytest.raises(MeznetError, match=r"holds no _quarto\.yml"):
        book.read(tmp_path)


def test_appendices_have_letters(make_book: Callable[..., Path], tmp_path: Path) -> None:
    """They come after the chapters."""
    folder = make_book(tmp_path / "book")
    file = folder / "_quarto.yml"
    settings = json.loads(file.read_text(encoding="utf-8"))
    last = settings["book"]["chapters"].pop()
    file.write_text(
        json.dumps(settings | {"book": settings["book"] | {"appendices": [last]}}), encoding="utf-8"
    )
    chapters = book.read(folder).chapters
    assert [(each.number, each.name) for each in chapters] == [("1", "01-one"), ("A", "02-two")]


def test_broken_formula_is_an_error(make_book: Callable[..., Path], tmp_path: Path) -> None:
    """A Sphinx warning stops the build."""
    cells = [("markdown", "# T\n\nWords that count as prose: $\\nonsense{x}$."), ("code", "1")]
    folder = make_book(tmp_path / "book", {"01-a": cells}, preface="# P\n\nEnough words for prose.")
    with pytest.raises(MeznetError, match=r"Sphinx: chapters/01-a\.md.*nonsense"):
        site.build(folder, renderer="sphinx")


def test_a_page_that_fails_its_checks_is_not_published(
    make_book: Callable[..., Path], tmp_path: Path
) -> None:
    """A script from another host stops the build, and no site is written."""
    script = "HTML('<script src=\"https://cdn.org/x.js\"></script>')"
    cells = [
        ("markdown", "# T\n\nEnough words to count as prose."),
        ("code", f"from IPython.display import HTML\n{script}"),
    ]
    folder = make_book(tmp_path / "book", {"01-a": cells}, preface="# P\n\nEnough words for prose.")
    with pytest.raises(
        check.CheckError, match=r"01-a\.html: <script> loads https://cdn\.org/x\.js"
    ):
        site.build(folder, renderer="sphinx")
    assert not (folder / "_site").exists()
