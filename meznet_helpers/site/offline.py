"""Makes Quarto's pages work from a folder or a USB stick, without a server and without a CDN.

Quarto 1.7 adds jquery and require.js from a CDN to pages with HTML outputs, loads its own script
as a module and its search index by ``fetch``; browsers refuse the last two for ``file:`` addresses.
"""

from __future__ import annotations

import html
import posixpath
import re
import shutil
from functools import partial
from pathlib import Path

_CDN = re.compile(
    r"""<script\b[^>]*\bsrc=["']https://cdnjs\.cloudflare\.com/ajax/libs/(?:require\.js|jquery)/"""
    r"""[^>]*>\s*</script>"""
)
_DEFINE = re.compile(r"""<script\b[^>]*>\s*define\('jquery'.*?</script>""", flags=re.DOTALL)
_MODULE = re.compile(r"""(<script\b[^>]*\bsrc=["'])([^"']+)(["'])\s+type=["']module["']([^>]*>)""")
_IMPORT = re.compile(r"""^import \* as (\w+) from ["'](\./[^"']+)["'];?[ \t]*$""", re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?function (\w+))", flags=re.MULTILINE)
_TITLE_END = re.compile(r"""(<header\b[^>]*id=["']title-block.*?)(</header>)""", re.DOTALL)
_SEARCH = re.compile(r"""(?=<script src=["']([^"']*)site_libs/quarto-search/quarto-search\.js)""")

# What Quarto leaves out of its own elements: names of landmarks, and what a foldable title is.
_ACCESS = (
    ('<nav class="quarto-secondary-nav"', '<nav class="quarto-secondary-nav" aria-label="Page"'),
    (
        '<div class="callout-header d-flex align-content-center" data-bs-toggle="collapse"',
        '<div class="callout-header d-flex align-content-center" data-bs-toggle="collapse" '
        'role="button" tabindex="0"',
    ),
    (' aria-label="Toggle callout"', ""),  # its name is its title
    ("<pre><code>", '<pre tabindex="0"><code>'),  # scrolls by keyboard too
)
# Quarto's search refuses to work for file: addresses, although it is given its index here.
_REFUSAL = re.compile(r"""window\.location\.protocol === "file:" && !\w+""")


def bundle(script: Path) -> str | None:
    """Return a module and the modules it imports as one classic script.

    Parameters
    ----------
    script : Path
        A JavaScript module that imports whole modules by relative path, if any.

    Returns
    -------
    str or None
        The script, or None if it uses imports or exports of another form.
    """
    text = script.read_text(encoding="utf-8")
    bodies = []
    for name, address in _IMPORT.findall(text):
        inner = bundle(script.parent / address)
        if inner is None:
            return None
        bodies.append(f"const {name} = {inner}")
    body = _EXPORT.sub("", _IMPORT.sub("", text))
    if re.search(r"^(?:import|export)\b|\bimport\s*\(", body, flags=re.MULTILINE):
        return None
    exported = ", ".join(_EXPORT.findall(text))
    return f"(() => {{\n{''.join(bodies)}{body}\nreturn {{ {exported} }};\n}})();\n"


def prepare(site: str | Path, chapters: set[str]) -> None:
    """Rewrite the pages that Quarto rendered so that they need no server and no other host.

    Each chapter also gets a link to its notebook under its title.

    Parameters
    ----------
    site : str or Path
        Folder of the pages.
    chapters : set of str
        Paths of the notebooks in the site, such as ``chapters/01-nets.ipynb``.
    """
    site = Path(site)
    bundled: dict[Path, str | None] = {}

    def classic(match: re.Match[str], page: Path) -> str:
        """Turn a module script into a classic one that runs after parsing."""
        script = (page.parent / match[2]).resolve()
        if script not in bundled:
            bundled[script] = bundle(script) if script.is_file() else None
        defer = f"{match[1]}{match[2]}{match[3]} defer{match[4]}"
        return match[0] if bundled[script] is None else defer

    for page in sorted(site.rglob("*.html")):
        if "site_libs" in page.parts:
            continue
        text = _DEFINE.sub("", _CDN.sub("", page.read_text(encoding="utf-8")))
        text = _MODULE.sub(partial(classic, page=page), text)
        text = _SEARCH.sub(r'<script src="\1site_libs/book-offline.js"></script>\n', text, count=1)
        for before, after in _ACCESS:
            text = text.replace(before, after)
        notebook = page.relative_to(site).with_suffix(".ipynb").as_posix()
        if notebook in chapters:
            name = html.escape(posixpath.basename(notebook))
            link = f'<p><a href="{name}" download>Notebook of this page</a></p>'
            text = _TITLE_END.sub(lambda m, link=link: f"{m[1]}{link}\n{m[2]}", text, count=1)
        page.write_text(text, encoding="utf-8")
    for script, text in bundled.items():
        if text is not None:
            script.write_text(text, encoding="utf-8")
    index = site / "search.json"
    if index.is_file():
        script = f"window.bookSearchIndex = {index.read_text(encoding='utf-8')};\n"
        (site / "search-index.js").write_text(script, encoding="utf-8")
        shutil.copyfile(
            Path(__file__).with_name("offline.js"), site / "site_libs" / "book-offline.js"
        )
    search = site / "site_libs" / "quarto-search" / "quarto-search.js"
    if search.is_file():
        text = _REFUSAL.sub("false", search.read_text(encoding="utf-8"))
        search.write_text(text, encoding="utf-8")
