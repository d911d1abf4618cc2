"""Renders the executed chapters with Sphinx: the renderer that needs nothing but pip."""

from __future__ import annotations

import os
import posixpath
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from meznet_helpers.errors import MeznetError
from meznet_helpers.site.book import Book
from meznet_helpers.site.translate import Page, resolve

_ENTRY = re.compile(
    r"^\s*@(?!comment|string|preamble)\w+\s*\{\s*([^,\s]+)\s*,", re.MULTILINE | re.IGNORECASE
)
_STATIC = ("tables.css", "book.css", "book.js")
_SETTINGS: dict[str, Any] = {
    "extensions": [
        "myst_parser",
        "sphinx_design",
        "sphinx_copybutton",
        "sphinxcontrib.bibtex",
        "meznet_helpers.site.sphinx_ext",
    ],
    "myst_enable_extensions": ["attrs_inline", "colon_fence", "deflist", "dollarmath", "tasklist"],
    "myst_dmath_allow_space": False,
    "myst_dmath_allow_digits": False,
    "myst_update_mathjax": False,
    "suppress_warnings": ["myst.header"],
    "html_math_renderer": "mathml",
    "bibtex_reference_style": "meznet",
    "bibtex_default_style": "meznet",
    "html_theme": "sphinx_book_theme",
    "html_theme_options": {
        "use_download_button": False,
        "use_fullscreen_button": False,
        "show_navbar_depth": 1,
        "show_toc_level": 2,
        "navbar_persistent": [],
        "toc_title": "On this page",
    },
    "html_static_path": ["_static"],
    "html_css_files": ["tables.css", "book.css"],
    "html_js_files": ["book.js"],
    "html_context": {"default_mode": "auto"},
    "html_copy_source": False,
    "html_use_index": False,
    "html_show_sourcelink": False,
    "html_show_sphinx": False,
    "html_show_copyright": False,
    "copybutton_selector": "div.highlight pre",
    "pygments_style": "a11y-high-contrast-light",
    "language": "en",
}


def begin(book: Book, staging: Path, target: Path) -> None:
    """Empty both folders, and copy what lies beside the chapters to `staging`, but no notebooks."""
    for folder in (staging, target):
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
    staging.mkdir()
    for folder in {chapter.path.parent for chapter in book.chapters}:
        for path in folder.rglob("*"):
            inside = path.relative_to(book.root)
            hidden = any(part.startswith((".", "__")) for part in inside.parts)
            if path.is_file() and path.suffix != ".ipynb" and not hidden:
                (staging / inside).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, staging / inside)


def _with_link(text: str, page: str) -> str:
    """Put the link to the notebook under the title."""
    address = f"{posixpath.basename(page)}.ipynb"
    link = f'<p class="notebook-link"><a href="{address}" download>Notebook of this page</a></p>'
    return re.sub(r"^# .*", lambda title: f"{title[0]}\n\n{link}\n", text, count=1, flags=re.M)


def translate(book: Book, notebooks: dict[str, Any], staging: Path) -> dict[str, str]:
    """Translate the book and write the pictures of its outputs.

    Parameters
    ----------
    book : Book
        The book.
    notebooks : dict of str to NotebookNode
        Executed notebooks by chapter name.
    staging : Path
        Folder that receives the pictures.

    Returns
    -------
    dict of str to str
        MyST text by page name.

    Raises
    ------
    TranslationError
        On a construct that the translator does not know, and on an unresolved reference.
    """
    texts = (path.read_text(encoding="utf-8") for path in book.bibliography)
    keys = {key for text in texts for key in _ENTRY.findall(text)}
    pages = [Page("index", None, keys, staging).prose(book.preface.read_text(encoding="utf-8"))]
    for chapter in book.chapters:
        name = chapter.path.relative_to(book.root).with_suffix("").as_posix()
        page = Page(name, chapter.number, keys, staging, book.fold)
        pages.append(page.notebook(notebooks[chapter.name]))
    resolve(pages)
    preface, *chapters = pages
    names = [page.page for page in chapters]
    tree = ["", "```{toctree}", ":hidden:", "", "Preface <self>", *names, "```", ""]
    texts = {page.page: _with_link(page.myst, page.page) for page in chapters}
    return {"index": preface.myst + "\n".join(tree), **texts}


def render(book: Book, notebooks: dict[str, Any], staging: Path, target: Path) -> None:
    """Render the book with Sphinx.

    Parameters
    ----------
    book : Book
        The book.
    notebooks : dict of str to NotebookNode
        Executed notebooks by chapter name.
    staging : Path
        Folder for the translated pages; emptied first.
    target : Path
        Folder for the HTML; emptied first.

    Raises
    ------
    TranslationError
        On a construct that the translator does not know.
    MeznetError
        If Sphinx fails or warns; the message is its first warning.
    """
    begin(book, staging, target)
    for name, text in translate(book, notebooks, staging).items():
        path = staging / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (staging / "_static").mkdir()
    for name in _STATIC:
        shutil.copyfile(Path(__file__).with_name(name), staging / "_static" / name)
    settings = {
        **_SETTINGS,
        "project": book.title,
        "author": book.author,
        "html_title": book.title,
        "bibtex_bibfiles": [path.name for path in book.bibliography],
    }
    for path in book.bibliography:
        shutil.copyfile(path, staging / path.name)
    lines = [f"{name} = {value!r}" for name, value in settings.items()]
    (staging / "conf.py").write_text("\n".join(lines) + "\n", encoding="utf-8")
    warnings = staging / "warnings.txt"
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-q", "-T", "-E", "-d"]
    command += [str(staging / "doctrees"), "-w", str(warnings), str(staging), str(target)]
    env = os.environ | {"PYTHONWARNINGS": "ignore"}
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    text = warnings.read_text(encoding="utf-8").strip() if warnings.is_file() else ""
    if done.returncode or text:
        text = (text or done.stderr.strip() or "no message").replace(f"{staging}/", "")
        raise MeznetError(f"Sphinx: {text.splitlines()[0]}")
