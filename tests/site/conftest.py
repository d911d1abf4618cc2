"""A small book that uses every construct the translator knows."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest

BIB = """@article{he2016, author={He, Kaiming and Zhang, Xiangyu and Ren, Shaoqing and Sun, Jian},
  title={Deep {Residual} Learning}, journal={CVPR}, year={2016}}
@article{wilson1927, author={Wilson, Edwin}, title={Probable Inference},
  journal={JASA}, year={1927}}
"""
PREFACE = """# Preface {.unnumbered}

What this book is about: see @fig-line and @sec-two, or read [chapter one](chapters/01-one.ipynb).
"""
DOT = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)
ONE = [
    ("markdown", "# One chapter {#sec-one}\n\nProse with *emphasis*, `code @fig-x`, "
     "$\\frac{1}{n}$ and [@he2016; @wilson1927]. As @he2016 showed, see @fig-line, "
     "@tbl-nets, @eq-mean, @sec-two."),
    ("code", "x = 42"),
    ("markdown", "## A section {#sec-sub}\n\nThe value is `{python} x`.\n\n"
     "$$\n\\bar{x} = \\sum x_i\n"
     "$$ {#eq-mean}\n\n::: {.callout-note}\n## Careful\nA [link](02-two.ipynb#sec-two).\n:::\n\n"
     "::: {.callout-tip collapse=\"true\" title=\"Solution\"}\nFolded words."),
    ("code", "print(x * 2)"),
    ("markdown", ":::\n\n::: {.panel-tabset}\n## First\nFirst tab.\n\n## Second\n"
     "::: {.callout-warning}\nInside.\n:::\n:::"),
    ("code", "#| label: fig-line\n#| fig-cap: \"A dot, after @he2016.\"\n#| fig-alt: \"One dot.\"\n"
     f"from IPython.display import Image\nImage({DOT!r})"),
    ("code", "#| label: tbl-nets\n#| tbl-cap: \"Nets.\"\n#| code-fold: true\n"
     "#| code-summary: \"Set-up\"\nfrom IPython.display import HTML\n"
     "HTML('<table><tr><td>MobileNet</td></tr></table>')"),
    ("markdown", "| a | b |\n|---|---|\n| 1 | $x$ |\n\n: A markdown table {#tbl-md}\n\n"
     "![A dot](dot.png){#fig-dot fig-alt=\"A black dot.\"}\n\nSee @fig-dot and @tbl-md.[^1]\n\n"
     "[^1]: A footnote.\n\n## Not counted {.unnumbered}\n\nWords."),
    ("code", "#| echo: false\nprint('output alone')"),
    ("code", "#| output: false\nprint('never ' + 'seen')"),
    ("code", "#| include: false\nprint('not even code')"),
]  # fmt: skip
TWO = [
    ("raw", "---\ntitle: Two\n---"),
    ("markdown", "This chapter points to @fig-line in chapter one.\n\n## Back {#sec-two}\n\n"
     "To [one](01-one.ipynb) and its [section](01-one.ipynb#sec-sub)."),
    ("code", "print('two')"),
]  # fmt: skip


def write_notebook(path: Path, cells: list[tuple[str, str]], tags: dict[int, list[str]]) -> Path:
    """Write a notebook of (kind, source) cells with the ids c0, c1 ..."""
    import nbformat

    notebook = nbformat.v4.new_notebook(
        metadata={"kernelspec": {"name": "python3", "display_name": "P", "language": "python"}}
    )
    for number, (kind, source) in enumerate(cells):
        cell = getattr(nbformat.v4, f"new_{kind}_cell")(source, id=f"c{number}")
        cell.metadata["tags"] = tags.get(number, [])
        notebook.cells.append(cell)
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path


@pytest.fixture
def notebook(tmp_path: Path) -> Callable[..., Path]:
    """Write one notebook into a temporary folder and return its path."""

    def write(*cells: tuple[str, str], name: str = "01-a", tags: dict | None = None) -> Path:
        path = tmp_path / "chapters" / f"{name}.ipynb"
        return write_notebook(path, list(cells), tags or {})

    return write


@pytest.fixture
def make_book(root: Path) -> Callable[..., Path]:
    """Write a book of chapters into a folder and return the folder."""

    def write(
        folder: Path, chapters: dict[str, list] | None = None, preface: str = PREFACE
    ) -> Path:
        import yaml

        chapters = chapters or {"01-one": ONE, "02-two": TWO}
        settings = yaml.safe_load((root / "_quarto.yml").read_text(encoding="utf-8"))
        files = [f"chapters/{name}.ipynb" for name in chapters]
        settings["book"]["chapters"] = ["index.qmd", *files]
        settings["book"].pop("appendices", None)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "_quarto.yml").write_text(json.dumps(settings), encoding="utf-8")
        (folder / "references.bib").write_text(BIB, encoding="utf-8")
        (folder / "index.qmd").write_text(preface, encoding="utf-8")
        for name, cells in chapters.items():
            write_notebook(folder / "chapters" / f"{name}.ipynb", cells, {})
        (folder / "chapters" / "dot.png").write_bytes(DOT)
        return folder

    return write
