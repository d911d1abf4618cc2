"""The checks find what is wrong with a page, and pass a good one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from meznet_helpers.site import book as books
from meznet_helpers.site import check, offline

GOOD = """<html><head><link rel="stylesheet" href="style.css"></head><body><main>
<p id="top">A page with enough words to count as prose.</p><img src="dot.png" alt="A dot.">
<a href="#top">up</a> <a href="chapters/01-a.html#there">there</a>
<a href="https://python.org">out</a><pre>::: @fig-x</pre></main></body></html>"""
CHAPTER = "<html><body><main><p id='there'>Enough words to count as prose.</p></main></body></html>"


@pytest.fixture
def site(tmp_path: Path, make_book: Callable[..., Path]) -> Callable[[str], list[str]]:
    """Return a function that puts HTML into the first page and returns the findings."""
    chapters = {"01-a": [("markdown", "# T"), ("code", "1")]}
    book = books.read(make_book(tmp_path / "book", chapters))
    folder = tmp_path / "site"
    (folder / "chapters").mkdir(parents=True)
    (folder / "chapters" / "01-a.html").write_text(CHAPTER, encoding="utf-8")
    (folder / "style.css").write_text("a { background: url(dot.png); }", encoding="utf-8")
    (folder / "dot.png").write_bytes(b"png")

    def findings(extra: str, page: str = GOOD) -> list[str]:
        text = page.replace("</main>", f"{extra}</main>")
        (folder / "index.html").write_text(text, encoding="utf-8")
        return check.findings(folder, book)

    findings.folder, findings.book = folder, book
    return findings


def test_good_page(site: Callable) -> None:
    """A good site passes."""
    assert site("") == []
    check.check(site.folder, site.book)


@pytest.mark.parametrize(
    ("extra", "finding"),
    [
        ('<img src="dot.png">', "picture dot.png has no alt text"),
        ('<img src="dot.png" alt=" ">', "picture dot.png has no alt text"),
        ('<img src="gone.png" alt="x">', "dead link gone.png"),
        ('<a href="gone.html">x</a>', "dead link gone.html"),
        ('<a href="../up.html">x</a>', "dead link ../up.html"),
        ('<a href="#gone">x</a>', "dead anchor #gone"),
        ('<a href="chapters/01-a.html#no">x</a>', "dead anchor chapters/01-a.html#no"),
        ('<script src="https://cdn.org/x.js"></script>', "<script> loads https://cdn.org/x.js"),
        ('<script src="//cdn.org/x.js"></script>', "<script> loads //cdn.org/x.js"),
        ('<img src="http://a.org/x.png" alt="x">', "<img> loads http://a.org/x.png"),
        ('<link rel="stylesheet" href="https://a.org/x.css">', "<link> loads https://a.org/x.css"),
        ("<style>@import 'https://a.org/x.css';</style>", "style loads https://a.org/x.css"),
        ('<style>@import"//a.org/x.css";</style>', "style loads //a.org/x.css"),
        ("<p style='background: url(//a.org/x)'>x</p>", "style loads //a.org/x"),
        ("<p>::: {.callout}</p>", "raw div marker"),
        ("<p>see @fig-x</p>", "raw reference '@fig-x'"),
        ("<p>see <b>?fig-x</b></p>", "unresolved reference '?fig-x'"),
        ("<p>see ?@fig-x</p>", "raw reference"),
        ("<code>{python} x</code>", ""),
        ("<pre>#| label: fig-x</pre>", "cell option line"),
        ('<div id="refs"> </div>', "the list of references is empty"),
        ('<div id="refs" style="display: none">A.</div>', "the list of references is empty"),
        ('<div id="refs"><p>A. 2024.</p></div>', ""),
        (
            '<span class="citation"><a href="chapters/01-a.html#there">A</a></span>',
            "citation leads",
        ),
        ('<span class="citation"><a href="#top">A</a></span>', ""),
        ('<div class="citation"><a href="https://doi.org/10.1/x">A</a></div>', ""),
    ],
)
def test_finding(site: Callable, extra: str, finding: str) -> None:
    """Each fault is one line that names the page and the thing."""
    found = site(extra)
    if not finding:
        assert found == []
        return
    assert any(line.startswith(f"index.html: {finding}") for line in found), found
    with pytest.raises(check.CheckError, match=r"index\.html"):
        check.check(site.folder, site.book)


def test_missing_and_empty_page(site: Callable) -> None:
    """A chapter without a page, and a page without prose, are found."""
    assert site("", page="<html><body><main><h1>T</h1></main></body></html>") == [
        "index.html: the page has no prose"
    ]
    (site.folder / "chapters" / "01-a.html").unlink()
    assert "chapters/01-a.html: the page was not rendered" in site("")


def test_style_sheet_from_elsewhere(site: Callable) -> None:
    """A font that a style sheet loads from another host is found."""
    css = site.folder / "style.css"
    css.write_text('@font-face { src: url("https://a.org/f.woff2"); }', encoding="utf-8")
    assert site("") == ["style.css: loads https://a.org/f.woff2 from another host"]


def test_offline_rewrites_a_page(tmp_path: Path) -> None:
    """Quarto's CDN scripts go, its module becomes a plain script, its search needs no server."""
    libs = tmp_path / "site_libs" / "quarto-html"
    libs.mkdir(parents=True)
    (libs / "quarto.js").write_text(
        'import * as tabs from "./tabs.js";\ntabs.init();\n', encoding="utf-8"
    )
    (libs / "tabs.js").write_text("export function init() {}\n", encoding="utf-8")
    (tmp_path / "search.json").write_text("[]", encoding="utf-8")
    page = tmp_path / "01-a.html"
    page.write_text(
        '<script src="https://cdnjs.cloudflare.com/ajax/libs/require.js/2.3.6/require.min.js">'
        '</script><script src="https://cdn.org/mine.js"></script>'
        "<script type=\"application/javascript\">define('jquery', [])</script>"
        '<script src="site_libs/quarto-html/quarto.js" type="module"></script>'
        '<script src="site_libs/quarto-search/quarto-search.js"></script>'
        '<header id="title-block-header"><h1>A</h1></header>',
        encoding="utf-8",
    )
    offline.prepare(tmp_path, {"01-a.ipynb"})
    text = page.read_text(encoding="utf-8")
    assert "cdnjs" not in text
    assert "cdn.org" in text  # what an author put there is for the checks to find
    assert "define(" not in text
    assert '<script src="site_libs/quarto-html/quarto.js" defer></script>' in text
    assert text.index("book-offline.js") < text.index("quarto-search.js")
    assert '<a href="01-a.ipynb" download>' in text
    script = (libs / "quarto.js").read_text(encoding="utf-8")
    assert "import" not in script
    assert "return { init }" in script
    assert "bookSearchIndex = []" in (tmp_path / "search-index.js").read_text(encoding="utf-8")
