"""Sphinx extension of the book: maths as MathML, references by author and year."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from pybtex.plugin import register_plugin
from pybtex.richtext import Text
from pybtex.style.formatting.unsrt import Style
from pybtex.style.labels import BaseLabelStyle
from pybtex.style.sorting import BaseSortingStyle
from sphinx.util import logging
from sphinxcontrib.bibtex.plugin import register_plugin as register_reference_style
from sphinxcontrib.bibtex.style.referencing.author_year import AuthorYearReferenceStyle

from meznet_helpers.errors import reason


def mathml(formula: str, *, display: bool) -> str:
    """Return a LaTeX formula as MathML.

    Parameters
    ----------
    formula : str
        LaTeX, without dollar signs.
    display : bool
        Whether it stands on its own line.

    Returns
    -------
    str
        One ``<math>`` element.

    Raises
    ------
    docutils.utils.math.MathError
        If the formula uses LaTeX that the converter of docutils does not know.

    Examples
    --------
    >>> "<mfrac>" in mathml(r"\\frac{1}{n}", display=False)
    True
    """
    return re.sub(r">\s+<", "><", tex2mathml(formula, as_block=display))


def _visit(display: bool) -> Any:
    def visit(writer: Any, node: Any) -> None:
        try:
            body = mathml(node.astext(), display=display)
        except MathError as error:
            logger, body = logging.getLogger(__name__), ""
            logger.warning("formula %r: %s", node.astext(), reason(error), location=node)
        writer.body.append(f'<div class="math">{body}</div>' if display else body)
        raise nodes.SkipNode

    return visit


def _surname(person: Any) -> str:
    return str(Text.from_latex(" ".join([*person.prelast_names, *person.last_names])))


def _author_year(entry: Any) -> str:
    """Return the label of an entry, such as ``He et al., 2016``."""
    people = entry.persons.get("author") or entry.persons.get("editor") or []
    names = [_surname(person) for person in people]
    if not names:
        who = entry.fields.get("organization") or entry.fields.get("title", entry.key)
        names = [who.replace("{", "").replace("}", "")]
    first = names[0] if len(names) == 1 else f"{names[0]} et al."
    first = " and ".join(names) if len(names) == 2 else first
    return ", ".join(part for part in (first, entry.fields.get("year")) if part)


class _Labels(BaseLabelStyle):
    def format_labels(self, sorted_entries: Any) -> Any:
        return map(_author_year, sorted_entries)


class _ByLabel(BaseSortingStyle):
    def sorting_key(self, entry: Any) -> tuple[str, str]:
        return _author_year(entry).casefold(), entry.fields.get("title", "").casefold()


class _BookStyle(Style):
    default_label_style = _Labels
    default_sorting_style = _ByLabel


@dataclasses.dataclass
class _InParentheses(AuthorYearReferenceStyle):
    def __post_init__(self) -> None:
        for brackets in (self.bracket_parenthetical, self.bracket_textual):
            brackets.left, brackets.right, brackets.sep = "(", ")", "; "
        super().__post_init__()


def _plain_lists(
    app: Any, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Take away the reference list's roles, whose structure is not there; name an empty icon."""
    context["metatags"] = context.get("metatags", "") + '<link rel="icon" href="data:,">'
    for before, after in (
        ('<div role="list" class="citation-list">', '<div class="citation-list">'),
        (' role="doc-biblioentry"', ""),
    ):
        context["body"] = context.get("body", "").replace(before, after)


def setup(app: Any) -> dict[str, Any]:
    """Register the math renderer and the bibliography style with Sphinx."""
    app.add_html_math_renderer("mathml", (_visit(False), None), (_visit(True), None))
    app.connect("html-page-context", _plain_lists)
    register_plugin("pybtex.style.formatting", "meznet", _BookStyle)
    register_reference_style("sphinxcontrib.bibtex.style.referencing", "meznet", _InParentheses)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
