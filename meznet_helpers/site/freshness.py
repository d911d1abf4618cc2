"""What an executed chapter depends on, as one key: same key, same result, no new execution."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import platform
import re
from pathlib import Path

PACKAGE = "meznet_helpers"
_MAGIC = re.compile(r"^(\s*)[%!?].*$", flags=re.MULTILINE)


def modules(root: str | Path) -> dict[str, Path]:
    """Return the helper modules of a book: dotted name -> file.

    The package is the one in `root`, or where there is none the installed one.
    """
    folder = Path(root) / PACKAGE
    if not (folder / "__init__.py").is_file():
        folder = Path(__file__).resolve().parents[1]
    found = {}
    for path in sorted(folder.rglob("*.py")):
        parts = (PACKAGE, *path.relative_to(folder).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


class _Imports(ast.NodeVisitor):
    """Collects the helper modules that a piece of source names, however it does so."""

    def __init__(self, package: str, known: set[str]) -> None:
        self.package, self.known = package, known
        self.found: set[str] = set()
        self.aliases = {PACKAGE: PACKAGE}

    def add(self, name: str) -> None:
        """Note a dotted name's modules: it and the packages above it, whichever exist."""
        parts = name.split(".")
        for end in range(1, len(parts) + 1):
            if (part := ".".join(parts[:end])) in self.known:
                self.found.add(part)

    def visit_Import(self, node: ast.Import) -> None:
        for name in node.names:
            self.add(name.name)
            if name.name.split(".")[0] == PACKAGE and name.asname:
                self.aliases[name.asname] = name.name

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = node.module or ""
        if node.level:
            above = self.package.split(".")[: len(self.package.split(".")) - node.level + 1]
            base = ".".join([*above, *([node.module] if node.module else [])])
        self.add(base)
        for name in node.names:
            full = f"{base}.{name.name}"
            if name.name == "*":
                continue
            self.add(full)
            if full in self.known:
                self.aliases[name.asname or name.name] = full

    def visit_Attribute(self, node: ast.Attribute) -> None:
        parts, inner = [node.attr], node.value
        while isinstance(inner, ast.Attribute):
            parts.append(inner.attr)
            inner = inner.value
        if isinstance(inner, ast.Name) and inner.id in self.aliases:
            self.add(".".join([self.aliases[inner.id], *reversed(parts)]))
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str) and node.value in self.known and "." in node.value:
            self.add(node.value)

    def visit_Call(self, node: ast.Call) -> None:
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if name in ("import_module", "__import__") and node.args:
            target = node.args[0]
            if isinstance(target, ast.Constant) and isinstance(target.value, str):
                relative = target.value.startswith(".")
                self.add(self.package + target.value if relative else target.value)
            elif self.package:  # a computed name: any module beside this one may be meant
                self.found |= {n for n in self.known if n.startswith(self.package + ".")}
        self.generic_visit(node)


def _imports(source: str, package: str, known: set[str]) -> set[str]:
    """Return the helper modules that a module's or a cell's source names."""
    visitor = _Imports(package, known)
    tree = ast.parse(source)
    for node in ast.walk(tree):  # aliases first, so that their attributes are understood
        if isinstance(node, ast.Import | ast.ImportFrom):
            visitor.visit(node)
    visitor.visit(tree)
    return visitor.found


def reached(notebook: str | Path, root: str | Path) -> dict[str, Path]:
    """Return the helper modules that a notebook reaches, directly or through other modules.

    The search reads source only: imports at the top and inside functions, attributes of an
    imported package, module names in strings, and for ``import_module`` with a computed name
    every module of the package it stands in.

    Parameters
    ----------
    notebook : str or Path
        The chapter.
    root : str or Path
        The book's folder.

    Returns
    -------
    dict of str to Path
        Dotted module name -> file, sorted by name.

    Examples
    --------
    >>> import tempfile, nbformat
    >>> cell = nbformat.v4.new_code_cell("from meznet_helpers import errors")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.ipynb"
    ...     nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    ...     sorted(reached(path, folder))
    ['meznet_helpers', 'meznet_helpers.errors']
    """
    files = modules(root)
    known = set(files)
    sources = []
    for cell in json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            source = "\n".join(re.findall(r"`\{python\} ([^`]+)`", source))
        if cell["cell_type"] != "raw":
            sources.append(_MAGIC.sub(r"\1pass", source))
    try:
        waiting = _imports("\n".join(sources), "", known)
    except SyntaxError:  # the kernel will say so, naming the cell
        waiting = set(known)
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        found.add(name)
        path = files[name]
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        try:
            waiting |= _imports(path.read_text(encoding="utf-8"), package, known) - found
        except SyntaxError:  # the kernel will say so
            continue
    return {name: files[name] for name in sorted(found)}


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def assets(root: str | Path, memory: str | Path | None = None) -> str:
    """Return one hash over every file of ``data/``.

    Parameters
    ----------
    root : str or Path
        The book's folder.
    memory : str or Path, optional
        JSON file that remembers the hash of a file by its path, size and time, so that a second
        call reads no big file again.

    Returns
    -------
    str
        Hexadecimal SHA-256.
    """
    folder = Path(root) / "data"
    memory = Path(memory) if memory else None
    try:
        seen = json.loads(memory.read_text(encoding="utf-8")) if memory else {}
    except (OSError, ValueError):
        seen = {}
    now, lines = {}, []
    for path in sorted(folder.rglob("*")) if folder.is_dir() else []:
        if not path.is_file() or "__pycache__" in path.parts:
            continue
        facts, name = path.stat(), path.relative_to(folder).as_posix()
        entry = seen.get(name)
        if not entry or entry[:2] != [facts.st_size, facts.st_mtime_ns]:
            entry = [facts.st_size, facts.st_mtime_ns, _sha(path.read_bytes())]
        now[name] = entry
        lines.append(f"{name} {entry[2]}")
    if memory and now != seen:
        memory.parent.mkdir(parents=True, exist_ok=True)
        memory.write_text(json.dumps(now), encoding="utf-8")
    return _sha("\n".join(lines).encode())


def key(notebook: str | Path, root: str | Path, *, assets_hash: str) -> str:
    """Return the key of a chapter: a hash over everything its outputs depend on.

    Covered are the notebook, the helper modules it reaches, the files of ``data/``, the lock,
    the Python version and the profile.

    Parameters
    ----------
    notebook : str or Path
        The chapter.
    root : str or Path
        The book's folder.
    assets_hash : str
        What `assets` returned.

    Returns
    -------
    str
        Hexadecimal SHA-256.
    """
    lock = Path(root) / "requirements.lock"
    parts = [
        _sha(Path(notebook).read_bytes()),
        *(f"{n} {_sha(p.read_bytes())}" for n, p in reached(notebook, root).items()),
        assets_hash,
        _sha(lock.read_bytes()) if lock.is_file() else "no lock",
        platform.python_version(),
        os.environ.get("MEZNET_PROFILE", "tiny"),
    ]
    return _sha("\n".join(parts).encode())
