"""From executed notebooks in Quarto's markdown to MyST pages for Sphinx.

Every construct is either translated or refused: what the translator does not know raises a
`TranslationError` with chapter, cell and construct, so no raw text reaches a page.

pandoc with a filter gave the same pages, but replaced the parsing alone: numbers, references, code
cells and their outputs stayed, 390 lines of 670. Too little for another program of 155 MB.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import yaml

from meznet_helpers.site import outputs, references
from meznet_helpers.site.blocks import Blocks
from meznet_helpers.site.inline import Inline

_FRONT = re.compile(r"\A---[ \t]*\n(.*?)\n---[ \t]*\n?", flags=re.DOTALL)
_FRONT_KEYS = {"title", "subtitle", "description", "jupyter"}


@dataclasses.dataclass(frozen=True)
class Page:
    """A translated page: its title, its MyST text and the labels it defines."""

    name: str
    title: str
    text: str
    labels: dict[str, references.Label]


class Translator:
    """Translates the pages of one book.

    Parameters
    ----------
    folder : str or Path
        Where pages and pictures lie; pictures of ``chapters/01-nets`` go to
        ``chapters/01-nets_files/``.
    keys : set of str, optional
        Keys of the bibliography.
    fold : bool or str
        The book's own setting of ``code-fold``.
    """

    def __init__(
        self, folder: str | Path, keys: set[str] | None = None, *, fold: bool | str = False
    ) -> None:
        """Start with no labels known."""
        self.folder, self.keys, self.fold = Path(folder), keys or set(), fold
        self.labels: dict[str, references.Label] | None = None

    def _blocks(self, name: str, number: str | None) -> Blocks:
        inline = Inline(name, self.labels, self.keys, f"c{number or 0}-")
        return Blocks(name, number, inline)

    def _front(self, blocks: Blocks, source: str) -> str:
        """Take the front matter off a page's first cell and write its title."""
        found = _FRONT.match(source + "\n")
        if not found:
            return source
        settings = yaml.safe_load(found.group(1)) or {}
        if unknown := sorted(set(settings) - _FRONT_KEYS):
            blocks.fail(f"unknown construct: front matter {unknown}")
        if settings.get("title"):
            blocks.heading(1, str(settings["title"]))
        if settings.get("subtitle"):
            blocks.markdown(f"*{settings['subtitle']}*")
        return (source + "\n")[found.end() :]

    def _code(self, blocks: Blocks, cell: Any, index: int) -> None:
        """Write a code cell and its outputs."""
        for tag in cell.metadata.get("tags", []):
            if tag.startswith(("hide", "remove", "skip")):
                blocks.fail(f"unknown construct: cell tag {tag!r}")
        options, source = outputs.split(cell.source, blocks.fail)
        label = options.get("label", "")
        kind = label.partition("-")[0] if label.partition("-")[1] else ""
        kind = kind if kind in references.WORDS or kind == "lst" else ""
        if kind not in ("", "fig", "tbl"):
            blocks.fail(f"unknown construct: code cell labeled {label!r}")
        if options.get("include") is False:
            return
        blocks.out += outputs.code(source, options, fold=self.fold)
        if options.get("output") is False:
            return
        stem = f"{Path(blocks.page).name}_files/cell-{index + 1}"
        folder = self.folder / Path(blocks.page).parent
        shown = outputs.pieces(cell.outputs, stem, folder, blocks.fail)
        pictures = [piece for piece in shown if piece.kind == "picture"]
        alts = options.get("fig-alt", [])
        alts = [alts] * len(pictures) if isinstance(alts, str) else list(alts)
        for kind_, caption, wanted in (
            ("fig", "fig-cap", {"picture"}),
            ("tbl", "tbl-cap", {"html", "markdown"}),
        ):
            if kind != kind_ and not (options.get(caption) and not kind):
                continue
            found = [piece for piece in shown if piece.kind in wanted]
            if kind == "fig" and not found:
                found = [piece for piece in shown if piece.kind == "html"]
            if len(found) != 1:
                blocks.fail(f"{label or caption}: the cell shows {len(found)} of them, not one")
            if not options.get(caption):
                blocks.fail(f"{label} has no {caption}")
            for piece in shown:
                if piece is found[0]:
                    body = self._piece(blocks, piece, alts)
                    blocks.figure(kind_, label if kind else "", options[caption], body)
                else:
                    blocks.out += self._piece(blocks, piece, alts)
            return
        for piece in shown:
            blocks.out += self._piece(blocks, piece, alts)

    def _piece(self, blocks: Blocks, piece: outputs.Piece, alts: list[str]) -> list[str]:
        """Return the lines that show one output."""
        if piece.kind == "picture":
            alt = alts.pop(0) if alts else ""
            if not str(alt).strip():
                blocks.fail("a picture without alt text: give the cell fig-alt")
            return blocks.image(piece.content, str(alt), dict(piece.size))
        if piece.kind == "html":
            return outputs.html_lines(piece.content)
        if piece.kind == "text":
            return outputs.text_lines(piece.content)
        kept, blocks.out = blocks.out, []
        blocks.markdown(piece.content)
        lines, blocks.out = blocks.out, kept
        return lines

    def _finish(self, blocks: Blocks) -> Page:
        if blocks.open:
            blocks.fail(f"a div ({blocks.open[-1]['kind']}) is never closed")
        if not blocks.title:
            blocks.fail("the page has no title")
        if blocks.inline.cites:
            prefix = blocks.inline.prefix
            options = [":filter: docname in docnames", f":keyprefix: {prefix}"]
            sources = ["```{bibliography}", *options, "```"]
            if references.LIST in blocks.out:  # its place is chosen, and its heading stands there
                at = blocks.out.index(references.LIST)
                blocks.out[at : at + 1] = sources
            else:
                blocks.out += ["", "## References", "", *sources, ""]
        text = re.sub(r"\n{3,}", "\n\n", "\n".join(blocks.out)).lstrip("\n")
        return Page(blocks.page, blocks.title, text, blocks.labels)

    def notebook(self, notebook: Any, name: str, number: str | None) -> Page:
        """Translate an executed notebook.

        Parameters
        ----------
        notebook : NotebookNode
            The executed copy.
        name : str
            Name of the page without its ending, such as ``chapters/01-nets``.
        number : str or None
            The chapter's number.

        Returns
        -------
        Page
            Title, text and labels. References resolve only once `labels` is set.

        Raises
        ------
        TranslationError
            On a construct or an output that the translator does not know.
        """
        blocks = self._blocks(name, number)
        for index, cell in enumerate(notebook.cells):
            blocks.cell = f"{index + 1} ({cell.get('id', 'no id')})"
            source = cell.source
            if index == 0 and cell.cell_type in ("raw", "markdown"):
                source = self._front(blocks, source)
                if cell.cell_type == "raw" and not source.strip():
                    continue
            if cell.cell_type == "raw":
                blocks.fail("unknown construct: raw cell")
            if cell.cell_type == "markdown":
                if cell.get("attachments"):
                    blocks.fail("unknown construct: notebook attachment")
                blocks.markdown(source)
            else:
                self._code(blocks, cell, index)
        return self._finish(blocks)

    def markdown(self, source: str, name: str) -> Page:
        """Translate a page without code and without numbers, such as the preface."""
        blocks = self._blocks(name, None)
        blocks.markdown(self._front(blocks, source))
        return self._finish(blocks)

    def book(self, preface: str, notebooks: dict[str, tuple[str, Any]]) -> list[Page]:
        """Translate a whole book, references between its pages included.

        Parameters
        ----------
        preface : str
            Text of ``index.qmd``.
        notebooks : dict of str to (str, NotebookNode)
            Numbers and executed notebooks by page name, in the order of the chapters.

        Returns
        -------
        list of Page
            The preface, then the chapters.
        """
        for first in (True, False):
            pages = [self.markdown(preface, "index")]
            for name, (number, notebook) in notebooks.items():
                pages.append(self.notebook(notebook, name, number))
            if first:
                self.labels = {}
                for page in pages:
                    for label, place in page.labels.items():
                        if label in self.labels:
                            other = self.labels[label].page
                            problem = f"label {label!r} is also defined in {other}"
                            raise references.TranslationError(page.name, "any", problem)
                        self.labels[label] = place
        return pages
