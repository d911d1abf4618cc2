"""From executed notebooks in Quarto's markdown to MyST pages for Sphinx.

Every construct is either translated or refused: what the translator does not know raises a
`TranslationError` with chapter, cell and construct, so no raw text reaches a page.

pandoc with a filter gave the same pages, but replaced the parsing alone: numbers, references, code
cells and their outputs stayed, 390 lines of 670. Too little for another program of 155 MB.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import yaml

from meznet_helpers.site.blocks import LIST
from meznet_helpers.site.inline import Label, TranslationError
from meznet_helpers.site.outputs import Cells

_FRONT = re.compile(r"\A---[ \t]*\n(.*?)\n---[ \t]*\n?", flags=re.DOTALL)
_FRONT_KEYS = {"title", "subtitle", "description", "jupyter"}


class Page(Cells):
    """One page of the book: its ``title``, its ``labels`` and, once translated, its ``myst``.

    Parameters
    ----------
    page, number, keys, folder, fold
        As in `Cells`.
    """

    myst = ""

    def notebook(self, notebook: Any) -> Page:
        """Translate an executed notebook.

        Parameters
        ----------
        notebook : NotebookNode
            The executed copy.

        Returns
        -------
        Page
            This one. References in its text wait for `resolve`.

        Raises
        ------
        TranslationError
            On a construct or an output that the translator does not know.
        """
        for index, cell in enumerate(notebook.cells):
            self.cell = f"{index + 1} ({cell.get('id', 'no id')})"
            source = cell.source
            if index == 0 and cell.cell_type in ("raw", "markdown"):
                source = self._front(source)
            if cell.cell_type == "code":
                self.code(cell, index)
            elif cell.cell_type == "raw":
                if index or source.strip():
                    self.fail("unknown construct: raw cell")
            else:
                if cell.get("attachments"):
                    self.fail("unknown construct: notebook attachment")
                self.markdown(source)
        return self._finish()

    def prose(self, source: str) -> Page:
        """Translate a page without code, such as the preface; as `notebook`."""
        self.markdown(self._front(source))
        return self._finish()

    def _front(self, source: str) -> str:
        """Take the front matter off a page's first cell and write its title."""
        front = _FRONT.match(source + "\n")
        if not front:
            return source
        settings = yaml.safe_load(front[1]) or {}
        if unknown := sorted(set(settings) - _FRONT_KEYS):
            self.fail(f"unknown construct: front matter {unknown}")
        if settings.get("title"):
            self.heading(1, str(settings["title"]))
        if settings.get("subtitle"):
            self.markdown(f"*{settings['subtitle']}*")
        return (source + "\n")[front.end() :]

    def _finish(self) -> Page:
        """Add the list of references, in its place or at the end."""
        if self.open:
            self.fail(f"a div ({self.open[-1]['kind']}) is never closed")
        if not self.title:
            self.fail("the page has no title")
        if self.cites:
            if LIST not in self.out:
                self.out += ["", "## References", "", LIST, ""]
            place = self.out.index(LIST)
            options = [":filter: docname in docnames", f":keyprefix: {self.prefix}"]
            self.out[place : place + 1] = ["```{bibliography}", *options, "```"]
        self.myst = re.sub(r"\n{3,}", "\n\n", "\n".join(self.out)).lstrip("\n")
        return self


def resolve(pages: Iterable[Page]) -> None:
    """Turn the references between translated pages into links, in their ``myst``.

    Parameters
    ----------
    pages : iterable of Page
        All pages of the book.

    Raises
    ------
    TranslationError
        On a label that two pages define, and on a reference to none.
    """
    labels: dict[str, Label] = {}
    for page in pages:
        for name, label in page.labels.items():
            if name in labels:
                problem = f"label {name!r} is also defined in {labels[name].page}"
                raise TranslationError(page.page, "any", problem)
            labels[name] = label
    for page in pages:
        page.myst = page.resolved(page.myst, labels)
