"""Quarto's pages made fit for a folder, on pages cut down to what is rewritten."""

from __future__ import annotations

from pathlib import Path

import pytest

from meznet_helpers.site import offline

SEARCH = """async function readSearchData() {
  if (window.location.protocol === "file:" && !shownWarning) {
    window.alert("Search requires JavaScript features disabled"); return; }
}
"""
PAGE = """<html><head>
<script src="https://cdnjs.cloudflare.com/ajax/libs/require.js/2.3.6/require.min.js"></script>
<script src="../site_libs/quarto-search/quarto-search.js"></script>
<script src="../site_libs/quarto-html/quarto.js" type="module"></script>
</head><body><header id="title-block-header"><h1>Nets</h1></header>
<div class="callout-header d-flex align-content-center" data-bs-toggle="collapse"
 aria-expanded="false" aria-label="Toggle callout">Answer</div>
<pre><code>a long line</code></pre></body></html>
"""


@pytest.fixture
def page(tmp_path: Path) -> str:
    """A chapter's page, rewritten."""
    for name, text in (
        ("chapters/01-nets.html", PAGE),
        ("site_libs/quarto-search/quarto-search.js", SEARCH),
        ("site_libs/quarto-html/quarto.js", 'import * as t from "./t.js";\nt.go();\n'),
        ("site_libs/quarto-html/t.js", "export function go() {}\n"),
        ("search.json", '[{"title": "Nets"}]'),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    offline.prepare(tmp_path, {"chapters/01-nets.ipynb"})
    return (tmp_path / "chapters" / "01-nets.html").read_text(encoding="utf-8")


def test_search_works_from_a_folder(page: str, tmp_path: Path) -> None:
    """The search asks for no server, and finds its index in a script that comes before it."""
    script = tmp_path / "site_libs" / "quarto-search" / "quarto-search.js"
    assert "if (false)" in script.read_text(encoding="utf-8")
    index = (tmp_path / "search-index.js").read_text(encoding="utf-8")
    assert index == 'window.bookSearchIndex = [{"title": "Nets"}];\n'
    assert page.index("book-offline.js") < page.index("quarto-search.js")


def test_no_other_host_and_no_module(page: str, tmp_path: Path) -> None:
    """Scripts from a CDN are gone; modules are classic scripts with their imports inside."""
    assert "cdnjs" not in page
    assert '<script src="../site_libs/quarto-html/quarto.js" defer>' in page
    script = (tmp_path / "site_libs/quarto-html/quarto.js").read_text(encoding="utf-8")
    assert "function go()" in script and "import" not in script and "export" not in script


def test_folded_titles_and_long_lines_are_reachable(page: str) -> None:
    """A folded title is a button named by its words; a line too long scrolls by keyboard."""
    assert 'role="button" tabindex="0"' in page
    assert "Toggle callout" not in page
    assert '<pre tabindex="0"><code>a long line' in page


def test_the_notebook_is_linked(page: str) -> None:
    """Under the title stands a link to the notebook."""
    assert '<a href="01-nets.ipynb" download>' in page.split("</header>")[0]
