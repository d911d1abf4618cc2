"""Makes the tables of great-tables fit for a page that holds many of them.

Each table brings some nine kilobytes of style for a white page, and ids such as ``title`` and
``model`` that the next table brings again. The pages have one style for all tables instead
(``tables.css``), and every id carries its table's own prefix.
"""

from __future__ import annotations

import re
from typing import Any

_NAMED = ("headers", "aria-labelledby", "aria-describedby")


def table(html: str, prefix: str) -> str:
    """Return a table's HTML without its style and with ids that no other table has.

    Parameters
    ----------
    html : str
        What a cell showed; returned as it is unless great-tables wrote it.
    prefix : str
        What its ids begin with.

    Returns
    -------
    str
        HTML in a box of the class ``gt-box``, which scrolls, by keyboard too, where it is wide.

    Examples
    --------
    >>> table('<div id="a"><style>b</style><table class="gt_table"></table></div>', "t1")
    '<div id="t1" class="gt-box" tabindex="0"><table class="gt_table"></table></div>'
    >>> table("<p>Words</p>", "t1")
    '<p>Words</p>'
    """
    if not re.search(r"""<table\b[^>]*\bclass=["']gt_table\b""", html):
        return html
    import lxml.html

    parser = lxml.html.HTMLParser(encoding="utf-8", huge_tree=True)
    root = lxml.html.fragment_fromstring(html.encode(), create_parent=True, parser=parser)
    boxes = [element for element in root.iterchildren("div") if element.find("table") is not None]
    if len(boxes) != 1:
        return html
    box = boxes[0]
    for style in box.findall("style"):
        style.drop_tree()
    known = {element.get("id") for element in box.iter() if element.get("id")}
    for element in box.iter("*"):
        if element is not box and element.get("id"):
            element.set("id", f"{prefix}-{element.get('id')}")
        for name in _NAMED:
            if (value := element.get(name)) is None:
                continue
            words = [f"{prefix}-{word}" for word in value.split() if word in known]
            if words:
                element.set(name, " ".join(words))
            else:
                del element.attrib[name]
    box.attrib.clear()
    for name, value in (("id", prefix), ("class", "gt-box"), ("tabindex", "0")):
        box.set(name, value)
    box.tail = None
    return lxml.html.tostring(box, encoding="unicode")


def notebook(executed: Any) -> None:
    """Tidy the tables of an executed notebook, in place.

    Parameters
    ----------
    executed : NotebookNode
        The executed copy of a chapter.
    """
    for index, cell in enumerate(executed.cells):
        for number, output in enumerate(cell.get("outputs", ())):
            data = output.get("data", {})
            if "text/html" in data:
                content = "".join(data["text/html"])
                data["text/html"] = table(content, f"table-{index + 1}-{number + 1}")
