"""The chapters: how their notebooks are made, and that they compute what the data say."""

from __future__ import annotations

import ast
import csv
import gzip
import json
import re
import statistics
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
import yaml

from meznet_helpers.site.clean import clean

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = sorted((ROOT / "chapters").glob("*.ipynb"))
PARTS = ["What did not help", "Exercises", "Quiz", "Results", "Take-aways"]
MEDIAN, NINETIETH, LONGEST, DEF_LINES = 3, 8, 15, 3  # lines of a code cell, of a function


def code_of(cell: nbformat.NotebookNode) -> list[str]:
    """Return the lines of a code cell that are code: no options, no blank lines."""
    return [line for line in cell.source.splitlines() if line.strip() and not line.startswith("#|")]


def options_of(cell: nbformat.NotebookNode) -> dict:
    """Return a code cell's options."""
    lines = [line[2:] for line in cell.source.splitlines() if line.startswith("#|")]
    return yaml.safe_load("\n".join(lines)) or {}


def clean_problems(notebook: nbformat.NotebookNode) -> Iterator[str]:
    """Say where a notebook holds more than its source, or lacks an id of its own."""
    seen = set()
    for number, cell in enumerate(notebook.cells, start=1):
        name = cell.get("id", "")
        if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name) or len(name) > 32:
            yield f"cell {number}: the id {name!r} is not a name"
        if re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f-]+)?", name):
            yield f"cell {number}: the id {name!r} was drawn by chance"
        if name in seen:
            yield f"cell {number}: the id {name!r} is taken"
        seen.add(name)
        if cell.cell_type == "code" and (cell.outputs or cell.execution_count is not None):
            yield f"cell {number}: outputs or an execution count are stored"


def thin_problems(notebook: nbformat.NotebookNode) -> Iterator[str]:
    """Say where a notebook does what the package should do."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    lengths = [len(code_of(cell)) for cell in cells]
    ninetieth = statistics.quantiles(lengths, n=10, method="inclusive")[-1]
    for words, length, bound in (
        ("median", statistics.median(lengths), MEDIAN),
        ("90th percentile", ninetieth, NINETIETH),
        ("longest", max(lengths), LONGEST),
    ):
        if length > bound:
            yield f"{words} of the code cells: {length} lines, at most {bound}"
    for cell in cells:
        code = "\n".join(code_of(cell))
        for pattern, words in (
            (r"\bsys\.path\b", "sys.path"),
            (r"^\s*!", "a shell command"),
            (r"^\s*%", "a magic command"),
            (r"\bpip\b", "pip"),
        ):
            if re.search(pattern, code, flags=re.MULTILINE):
                yield f"{cell.id}: {words}"
        try:
            nodes = list(ast.walk(ast.parse(code)))
        except SyntaxError:
            yield f"{cell.id}: not Python"
            continue
        for node in nodes:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                length = node.end_lineno - node.lineno + 1
                if length > DEF_LINES or isinstance(node, ast.ClassDef):
                    yield f"{cell.id}: {node.name} is defined in {length} lines"


def part_problems(notebook: nbformat.NotebookNode) -> Iterator[str]:
    """Say which parts of a chapter are missing, and what is shown without words."""
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    headings = re.findall(r"^#+\s+(.*?)\s*(?:\{.*\})?\s*$", text, flags=re.MULTILINE)
    yield from (f"no heading {part!r}" for part in PARTS if part not in headings)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    marked = sum("parameters" in cell.metadata.get("tags", []) for cell in cells)
    if marked != 1:
        yield f"{marked} cells are tagged parameters, not one"
    for cell in cells:
        options = options_of(cell)
        label = str(options.get("label", ""))
        for kind in ("fig", "tbl"):
            if label.startswith(f"{kind}-") and not str(options.get(f"{kind}-cap", "")).strip():
                yield f"{label} has no caption"
        if label.startswith("fig-") and not str(options.get("fig-alt", "")).strip():
            yield f"{label} has no alt text"
    for caption, written in re.findall(r"!\[(.*?)\]\([^)]*\)(\{[^}]*\})?", text):
        if not caption or "fig-alt=" not in written:
            yield f"the picture {caption!r} lacks a caption or alt text"
    if re.search(r"(?m)^:::\s*\{#refs", text):
        yield "three colons before {#refs}: Quarto would put all chapters' references there"


def load(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


every_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)


@every_chapter
def test_clean(path: Path, tmp_path: Path) -> None:
    """Only the source is stored, and each cell keeps a name of its own."""
    stored = json.loads(path.read_text(encoding="utf-8"))  # nbformat would mend the ids
    assert not list(clean_problems(nbformat.from_dict(stored)))
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes())
    assert not clean(copy)  # else a plain `quarto render` would leave it changed


def test_labels_differ() -> None:
    """A label names one figure or table of the whole book."""
    labels = Counter(
        str(options_of(cell)["label"])
        for path in CHAPTERS
        for cell in load(path).cells
        if cell.cell_type == "code" and "label" in options_of(cell)
    )
    assert len(labels) > 50 and not [label for label, count in labels.items() if count > 1]


@every_chapter
def test_thin(path: Path) -> None:
    """The work is done by the package."""
    assert not list(thin_problems(load(path)))


@every_chapter
def test_parts(path: Path) -> None:
    """Every chapter has its parts, and every figure and table its words."""
    assert not list(part_problems(load(path)))


def test_the_checks_see_a_bad_notebook() -> None:
    """Each finding is found."""
    code, prose = nbformat.v4.new_code_cell, nbformat.v4.new_markdown_cell
    bad = [
        prose("# T\n\n## Quiz {.unnumbered}\n\n![](a.png){#fig-a}\n\n::: {#refs}\n:::", id="1x"),
        code("1", id="one", execution_count=3),
        code("\n".join(f"x = {n}" for n in range(16)), id="one"),
        code("#| label: fig-a\n#| tbl-cap: A\nimport sys\nsys.path.append('x')", id="ab12cd34"),
        code("#| label: tbl-a\n#| fig-alt: A\n!pip install x", id="shell"),
        code("%matplotlib inline", id="magic"),
        code("def f():\n    a = 1\n    b = 2\n    return a + b\n", id="long-def"),
    ]
    notebook = nbformat.from_dict({"cells": bad})
    assert list(clean_problems(notebook)) == [
        "cell 1: the id '1x' is not a name",
        "cell 2: outputs or an execution count are stored",
        "cell 3: the id 'one' is taken",
        "cell 4: the id 'ab12cd34' was drawn by chance",
    ]
    found = list(thin_problems(notebook))
    for words in ("longest of the code cells: 16", "90th percentile of the code cells: 10.0",
                  "ab12cd34: sys.path", "shell: a shell command", "shell: pip",
                  "magic: a magic command", "long-def: f is defined in 4 lines"):  # fmt: skip
        assert any(line.startswith(words) for line in found), words
    assert not any(line.startswith("median") for line in found)
    assert list(part_problems(notebook)) == [
        *(f"no heading {part!r}" for part in PARTS if part != "Quiz"),
        "0 cells are tagged parameters, not one",
        "fig-a has no caption",
        "fig-a has no alt text",
        "tbl-a has no caption",
        "the picture '' lacks a caption or alt text",
        "three colons before {#refs}: Quarto would put all chapters' references there",
    ]


# ---- chapter 1

CHAPTER = "01-keras-applications"
PROBE = """
import json
print(json.dumps({"results": results.to_dict("records"), "models": models.to_dict("records"),
                  "thousands": thousands.to_dict("records"), "changed": int(changed.sum()),
                  "nets": NETS}))
"""


def percent(text: str) -> float | None:
    """Read a percentage or a number as the page prints it; a dash is nothing."""
    if text == "-":
        return None
    number = float(text.rstrip("%M"))
    return round(number / 100, 4) if text.endswith("%") else number


@pytest.fixture(scope="module")
def ranks() -> dict[tuple[str, str], list[int]]:
    """The stored ranks of the right label: (condition, net) -> one number per image."""
    path = ROOT / "data" / "results" / "spell-ranks.csv.gz"
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        conditions, models, _, *rows = list(csv.reader(file))
    columns = list(zip(*rows, strict=True))[1:]
    names = list(zip(conditions[1:], models[1:], strict=True))
    return {name: [int(at) for at in column] for name, column in zip(names, columns, strict=True)}


@pytest.fixture(scope="module")
def published() -> list[dict[str, str]]:
    """Keras' table as it is stored."""
    path = ROOT / "data" / "published" / "keras-applications.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_first_cost(chapter: SimpleNamespace, report_cost) -> None:
    """What the run took stands in the table of budgets."""
    report_cost(chapter)


def test_first_results(chapter: SimpleNamespace, ranks: dict) -> None:
    """The results are the shares of first places in the stored ranks."""
    nets = {net if "@" in net else f"{net}@tiny" for net in chapter.values.nets}
    assert {row["model"] for row in chapter.values.results} >= nets
    assert chapter.values.results
    for row in chapter.values.results:
        for condition in ("caffe, nearest", "own, bilinear"):
            at = ranks[condition, row["model"]]
            assert len(at) == 10_000
            assert row[condition] == pytest.approx(at.count(1) / len(at), abs=1e-12)


def test_first_intervals(chapter: SimpleNamespace, ranks: dict) -> None:
    """Counts and intervals are those of the stored ranks, by scipy."""
    from scipy.stats import binomtest

    assert len(chapter.values.thousands) == 2 * len(ranks)
    for row in chapter.values.thousands:
        hits = sum(at <= row["k"] for at in ranks[row["condition"], row["model"]])
        interval = binomtest(hits, 10_000).proportion_ci(0.95, method="wilson")
        assert (row["hits"], row["n"]) == (hits, 10_000)
        assert (row["low"], row["high"]) == pytest.approx((interval.low, interval.high), abs=1e-9)


def test_first_published(chapter: SimpleNamespace, published: list) -> None:
    """The chapter's table of models is the stored one."""
    assert [row["model"] for row in chapter.values.models] == [row["model"] for row in published]
    for shown, stored in zip(chapter.values.models, published, strict=True):
        for column in ("size_mb", "top1", "top5", "parameters", "depth", "ms_cpu", "ms_gpu"):
            value = None if shown[column] != shown[column] else shown[column]  # NaN
            assert value == percent(stored[column]), (stored["model"], column)


def test_first_prose(chapter: SimpleNamespace, ranks: dict, published: list) -> None:
    """The numbers in the sentences are those of the data."""
    missing = sum(row["ms_cpu"] == "-" for row in published)
    assert f"{missing} of the {len(published)} models" in chapter.cells["dash-text"].source
    assert f"{chapter.values.changed} change" in chapter.cells["changed-text"].source
    registry = {f"keras/{path.name}@tiny" for path in (ROOT / "data" / "models").iterdir()}
    freed = []
    for model in {model for _, model in ranks} & registry:
        net = json.loads((ROOT / "data/models" / model[6:-5] / "net.json").read_text("utf-8"))
        if net["mode"] != "caffe":
            freed.append(ranks["own, bilinear", model].count(1) / 10_000)
        hard, soft = (
            ranks[condition, model].count(1) for condition in ("own, nearest", "own, bilinear")
        )
        spelled = ranks["caffe, nearest", model].count(1)
        if net["mode"] == "caffe":  # what the picture's alt text says
            assert 0.6 < spelled / soft < 0.73
        else:
            assert 0.005 < spelled / 10_000 < 0.045 and 0.5 * soft < hard < soft
    assert freed
    assert f"{sum(freed) / len(freed):.1%}" in chapter.cells["broken-text"].source


def test_first_solutions(chapter: SimpleNamespace, published: list) -> None:
    """The folded solutions say what is true."""
    from scipy.stats import binomtest

    interval = binomtest(7, 10).proportion_ci(0.95, method="wilson")
    assert (
        chapter.text_of(chapter.cells["solution-1"]) == f"{interval.low:.0%} to {interval.high:.0%}"
    )
    assert chapter.text_of(chapter.cells["solution-1"]) == "40% to 89%"
    assert re.fullmatch(
        r"[0-8] of 8 first guesses stay", chapter.text_of(chapter.cells["solution-2"])
    )
    small = [row for row in published if float(row["size_mb"]) < 50]
    best = max(percent(row["top1"]) for row in small)
    names = [row["model"] for row in small if percent(row["top1"]) == best]
    assert chapter.text_of(chapter.cells["solution-3"]).strip("'") in names
    assert len(names) == 1
