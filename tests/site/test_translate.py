"""Each construct of the book is translated or refused."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from meznet_helpers.site import outputs
from meznet_helpers.site.inline import Label, TranslationError
from meznet_helpers.site.sphinx_ext import mathml
from meznet_helpers.site.translate import Page, resolve

LABELS = {
    "fig-a": Label("fig-a", "chapters/01-x", "1.1"),
    "sec-b": Label("sec-b", "chapters/02-y", "2"),
    "sec-z": Label("sec-z", "chapters/a-z", "A"),
}


def page(tmp_path: Path, *cells: object) -> str:
    """Translate markdown texts and code cells as one chapter and return its MyST text."""
    made = [nbformat.v4.new_markdown_cell("# Title", id="c0")]
    for number, cell in enumerate(cells, start=1):
        made.append(nbformat.v4.new_markdown_cell(cell) if isinstance(cell, str) else cell)
        made[-1]["id"] = f"c{number}"
    made = Page("chapters/01-x", "1", {"he2016", "wilson1927"}, tmp_path).notebook(
        nbformat.v4.new_notebook(cells=made)
    )
    return made.resolved(made.myst, LABELS)


def code(source: str, *shown: object) -> object:
    """Return a code cell with outputs: HTML text, or (kind, data) pairs."""
    cell = nbformat.v4.new_code_cell(source)
    for item in shown:
        kind, data = item if isinstance(item, tuple) else ("text/html", item)
        cell.outputs.append(nbformat.v4.new_output("display_data", {kind: data}))
    return cell


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("See @fig-a.", '<a class="crossref" href="#fig-a">Figure 1.1</a>.'),
        ("@sec-b", '<a class="crossref" href="02-y.html#sec-b">Chapter 2</a>'),
        ("@sec-z", '<a class="crossref" href="a-z.html#sec-z">Appendix A</a>'),
        ("[@he2016; @wilson1927]", "{cite:p}`c1-he2016,c1-wilson1927`"),
        ("@he2016 showed", "{cite:t}`c1-he2016` showed"),
        ("[two](02-y.ipynb#sec-b)", '<a href="02-y.html#sec-b">two</a>'),
        ("[home](../index.qmd)", '<a href="../index.html">home</a>'),
        ("[py](https://python.org)", "[py](https://python.org)"),
        ("`@fig-a` a@b.org", "`@fig-a` a@b.org"),
        ("$x^2$ costs $5 and $6", "$x^2$ costs $5 and $6"),
        ("![dot](d.png)  inline", "![dot](d.png)  inline"),
        ("% is no comment", r"\% is no comment"),
        ("## Cost {#sec-cost}", '<span id="sec-cost" class="anchor"></span>\n\n## 1.1 Cost'),
        ("## Extra {.unnumbered}", "## Extra"),
        ("```bash\nmake @fig-a\n```", "```bash\nmake @fig-a\n```"),
        ("```{=html}\n<b>x</b>\n```", "```{raw} html\n<b>x</b>\n```"),
        ("$$\nx\n$$ {#eq-m}", '<div class="equation" id="eq-m">\n\n$$\nx\n$$'),
        ("::: {.callout-note}\nText\n:::", "{admonition} Note\n:class: note\n\nText"),
        ("::: {.callout-tip}\n\n## Try\nIt\n:::", "{admonition} Try\n:class: tip\n\nIt"),
        ('::: {.callout-tip collapse="true" title="S"}\nx\n:::', "{dropdown} S\n:color: success"),
        ("::: {.panel-tabset}\n## A\na\n\n## B\nb\n:::", "{tab-item} B\n\nb"),
        ("::: aside\nx\n:::", "{margin}\n\nx"),
        ("| a |\n|---|\n| 1 |\n\n: Cap {#tbl-t}", '<figure class="book-tbl" id="tbl-t">'),
        ('![C](d.png){#fig-d fig-alt="Alt."}', "```{image} d.png\n:alt: Alt.\n```"),
    ],
)
def test_known_construct(tmp_path: Path, source: str, expected: str) -> None:
    """What the book uses comes out in MyST's form."""
    assert expected in page(tmp_path, source)


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("{{< video x.mp4 >}}", "shortcode"),
        ("::: {.columns}\nx\n:::", "div '{.columns}'"),
        ("::: {.callout-note foo=1}\nx\n:::", "callout options"),
        ("[text]{.smallcaps}", "bracketed span"),
        ("x^2^ and", "superscript"),
        ("H~2~O", "subscript"),
        ("`x`{.python}", "code with attributes"),
        ("`{python} x`", "code with attributes"),
        ("```{python}\n1\n```", "code block '{python}'"),
        ("```{mermaid}\n1\n```", "code block '{mermaid}'"),
        ("[see @he2016, p. 3]", "citation with more than keys"),
        ("@nobody1999 said", "unresolved citation @nobody1999"),
        ("@fig-none", "unresolved reference @fig-none"),
        ("[readme](README.md)", "no page of the book"),
        ("## Head {.wide}", "heading attributes"),
        ("+---+---+", "grid table"),
        ("Words\n=====", "underlined heading"),
        ("{note}`x`", "role"),
        (":::", "never opened"),
        ("::: {.callout-note}\nx", "never closed"),
        ("```python\nx", "never closed"),
        ("$$ x", "never closed"),
        ("# Second title", "second title"),
        ("![c](d.png){#fig-d lightbox=true}", "image attributes"),
        ("text {#sec-lost}", "attributes"),
    ],
)
def test_unknown_construct(tmp_path: Path, source: str, named: str) -> None:
    """What the translator does not know is an error that names chapter, cell and construct."""
    with pytest.raises(TranslationError) as caught:
        page(tmp_path, source)
    message = str(caught.value)
    assert message.startswith("chapters/01-x, cell 2 (c1): ")
    assert named in message
    assert "\n" not in message


def test_div_spans_cells(tmp_path: Path) -> None:
    """A solution may hold code: its callout opens in one cell and closes in another."""
    opened = '::: {.callout-tip collapse="true" title="Solution"}\nWords'
    text = page(tmp_path, opened, code("1 + 1", ("text/plain", "2")), ":::\n\nAfter")
    inside = text[text.index("{dropdown}") : text.index("\n" + ":" * 24 + "\n", 30)]
    assert "1 + 1" in inside
    assert "After" not in inside


def test_code_options(tmp_path: Path) -> None:
    """Options decide what shows, and never show themselves."""
    shown = ("text/plain", "'result'")
    assert "secret" not in page(tmp_path, code("#| echo: false\nsecret", shown))
    assert "result" not in page(tmp_path, code("#| output: false\ncode", shown))
    hidden = page(tmp_path, code("#| include: false\ncode", shown))
    assert "code" not in hidden
    assert "result" not in hidden
    folded = page(tmp_path, code('#| code-fold: true\n#| code-summary: "Set-up"\ncode', shown))
    assert '<details class="cell-code"><summary>Set-up</summary>' in folded
    assert "#|" not in folded


def test_figure_cell(tmp_path: Path) -> None:
    """A labeled picture gets number, caption, alt text and anchor."""
    options = '#| label: fig-a\n#| fig-cap: "Of @he2016."\n#| fig-alt: "A line."\n'
    text = page(tmp_path, code(options + "plot()", ("image/png", "iVBORw0K")))
    assert '<figure class="book-fig" id="fig-a">' in text
    assert "**Figure 1.1**: Of {cite:t}`c1-he2016`." in text
    assert ":alt: A line." in text
    assert (tmp_path / "chapters" / "01-x_files" / "cell-2-1.png").is_file()


def test_table_cell(tmp_path: Path) -> None:
    """A labeled table has its caption above, with a number."""
    text = page(tmp_path, code('#| label: tbl-t\n#| tbl-cap: "Nets"\nt', "<table></table>"))
    assert '<figure class="book-tbl" id="tbl-t">' in text
    assert text.index("**Table 1.1**: Nets") < text.index("<table>")


@pytest.mark.parametrize(
    ("cell", "named"),
    [
        (code("plot()", ("image/png", "iVBORw0K")), "without alt text"),
        (code("#| label: fig-a\n#| fig-cap: C\n1"), "shows 0 of them"),
        (code('#| label: fig-a\n#| fig-alt: "x"\n1', ("image/png", "iVBORw0K")), "no fig-cap"),
        (code("#| layout-ncol: 2\n1"), "cell option 'layout-ncol'"),
        (code("#| eval: false\n1"), "cell option 'eval'"),
        (code("#| echo: fenced\n1"), "cell option echo: 'fenced'"),
        (code("#| a: [\n1"), "not YAML"),
        (code("w", ("application/vnd.jupyter.widget-view+json", {})), "unknown output"),
        (code("w", ("text/latex", "x")), "unknown output"),
    ],
)
def test_refused_cell(tmp_path: Path, cell: object, named: str) -> None:
    """Options and outputs that are not known are errors, and so is a picture without alt text."""
    with pytest.raises(TranslationError, match=r"cell 2 \(c1\)") as caught:
        page(tmp_path, cell)
    assert named in str(caught.value)


def test_output_is_escaped(tmp_path: Path) -> None:
    """What a cell printed is shown, not interpreted."""
    assert "&lt;script&gt;" in page(tmp_path, code("p", ("text/plain", "<script>")))
    ticks = outputs.raw("a ``` b")
    assert ticks[1].startswith("````{raw}")


def test_markdown_output(tmp_path: Path) -> None:
    """Markdown that a cell made may refer to figures too."""
    text = page(tmp_path, code("m", ("text/markdown", "See @fig-a.")))
    assert "Figure 1.1" in text


def test_book_numbers_and_duplicates(tmp_path: Path) -> None:
    """Labels are numbered by chapter, and one label means one thing."""
    source = "# T\n\n## S {#sec-s}\n\n| a |\n|---|\n| 1 |\n\n: C {#tbl-t}\n\n@sec-s @tbl-t"
    other = source.replace("sec-s", "sec-r").replace("tbl-t", "tbl-r")

    def made(name: str, number: str | None, text: str) -> Page:
        return Page(name, number, set(), tmp_path).prose(text)

    preface = made("index", None, "# P {.unnumbered}\n\n@tbl-r")
    chapters = made("chapters/1", "1", source), made("chapters/a", "A", other)
    resolve([preface, *chapters])
    assert "chapters/a.html#tbl-r" in preface.myst and "Table A.1" in preface.myst
    assert "Section A.1" in chapters[1].myst
    with pytest.raises(TranslationError, match="also defined in chapters/1"):
        resolve([made("chapters/1", "1", source), made("chapters/2", "2", source)])


def test_list_of_references(tmp_path: Path) -> None:
    """The list stands where the page wants it, under the page's own heading, or else at the end."""
    texts = {}
    for name, end in (
        ("own", "## Sources {.unnumbered}\n\n::: {#refs}\n:::\n\nLast."),
        ("end", "Last."),
    ):
        source = f"# T\n\nSee [@he2016].\n\n{end}"
        texts[name] = Page("chapters/1", "1", {"he2016"}, tmp_path).prose(source).myst
    assert re.search(r"## Sources\n+```\{bibliography\}\n[^`]*```\n+Last\.", texts["own"])
    assert re.search(r"Last\.\n+## References\n+```\{bibliography\}\n", texts["end"])
    assert texts["own"].count("bibliography") == 1 and "## References" not in texts["own"]
    page = Page("chapters/1", "1", set(), tmp_path).prose("# T\n\n::: {#refs}\n:::")
    assert "{bibliography}" not in page.myst  # nothing is cited


def test_front_matter(tmp_path: Path) -> None:
    """The title may stand in front matter, whose keys are known or refused."""
    cell = nbformat.v4.new_raw_cell("---\ntitle: Two\n---")
    notebook = SimpleNamespace(cells=[cell])
    page = Page("chapters/02", "2", set(), tmp_path)
    assert page.notebook(notebook).myst.startswith("# 2 Two")
    cell.source = "---\ntitle: Two\ncode-fold: true\n---"
    with pytest.raises(TranslationError, match="front matter"):
        Page("chapters/02", "2", set(), tmp_path).notebook(notebook)


def test_mathml() -> None:
    """Maths becomes MathML, inline or on its own line."""
    assert 'display="block"' in mathml(r"\hat p = \frac{k}{n}", display=True)
    assert "<mfrac>" in mathml(r"\frac{k}{n}", display=False)
