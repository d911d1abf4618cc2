"""Tables of great-tables on a page of many."""

from __future__ import annotations

import re

import lxml.html
import nbformat

from meznet_helpers.site import tidy


def page_of(*contents: str) -> lxml.html.HtmlElement:
    """Return a page of a notebook's HTML outputs, tidied."""
    out = nbformat.v4.new_output
    cells = [
        nbformat.v4.new_code_cell(outputs=[out("display_data", {"text/html": content})])
        for content in contents
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# A"), *cells])
    tidy.notebook(notebook)
    shown = [cell.outputs[0].data["text/html"] for cell in notebook.cells[1:]]
    return lxml.html.fromstring(f"<main>{''.join(shown)}</main>")


def two_tables() -> lxml.html.HtmlElement:
    import pandas as pd

    from meznet_helpers.tables import plain

    frame = pd.DataFrame({"model": ["<b>a</b> & id='x'"], "top-1 share": [0.5]})
    return page_of(plain(frame, "Title").as_raw_html(), plain(frame).as_raw_html())


def test_ids_are_unique_and_resolve() -> None:
    """Two tables share no id, and what points to an id finds it in the same table."""
    page = two_tables()
    ids = page.xpath("//@id")
    assert len(ids) == len(set(ids)) == 7  # two boxes, four headings, one title
    for table, box in zip(page.iter("table"), page.find_class("gt-box"), strict=True):
        inside = set(box.xpath(".//@id"))
        for name in ("headers", "aria-labelledby"):
            for value in table.xpath(f"descendant-or-self::*/@{name}"):
                assert set(value.split()) <= inside, value
    assert len(page.xpath("//@headers")) == 4
    assert len(page.xpath("//@aria-labelledby")) == 1  # the second has no title
    lost = '<div id="q"><table class="gt_table" aria-labelledby="title"></table></div>'
    assert not page_of(lost).xpath("//@aria-labelledby")


def test_style_goes_and_words_stay() -> None:
    """The style for a white page is gone; cells, and what a user wrote in them, are not."""
    page = two_tables()
    text = lxml.html.tostring(page, encoding="unicode")
    assert "<style" not in text and "padding-top" not in text
    assert [box.get("tabindex") for box in page.find_class("gt-box")] == ["0", "0"]
    assert page.xpath("//td[contains(., 'id=')]")[0].text == "<b>a</b> & id='x'"
    assert not page.xpath("//td/b")


def test_pictures_keep_their_words() -> None:
    """A picture in a header passes, alt text and all."""
    table = '<table class="gt_table"><tr><td><img src="a.png" alt="A &quot;cat&quot;"></td></tr>'
    page = page_of(f'<div id="q" style="padding:0"><style>a</style>{table}</table></div>')
    assert page.xpath("//img/@alt") == ['A "cat"']


def test_other_html_is_not_touched() -> None:
    """Only the tables of great-tables are rewritten."""
    for html in (
        "<p id='a'>x</p>",
        '<table class="dataframe"><tr id="a"></tr></table>',
        "gt_table",
    ):
        assert tidy.table(html, "t") == html


def test_the_same_notebook_gives_the_same_page() -> None:
    """The random name that great-tables draws does not reach the page."""
    pages = [lxml.html.tostring(two_tables()) for _ in range(2)]
    assert pages[0] == pages[1]
    assert re.findall(rb'<div id="([^"]+)"', pages[0]) == [b"table-2-1", b"table-3-1"]
