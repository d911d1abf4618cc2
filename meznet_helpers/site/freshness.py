"""What an executed chapter depends on, as one key: same key, same result, no new execution."""

from __future__ import annotations

import ast
import hashlib
import json
import platform
import re
from itertools import accumulate, chain
from pathlib import Path

PACKAGE = "meznet_helpers"
_IMPORTERS = ("import_module", "__import__")
_MAGIC = re.compile(r"^(\s*)[%!?].*$", flags=re.MULTILINE)


def modules(root: str | Path) -> dict[str, Path]:
    """Return the helper modules of a book: dotted name -> file.

    The package is the one in `root`, or where there is none the installed one.
    """
    folder = Path(root) / PACKAGE
    if not (folder / "__init__.py").is_file():
        folder = Path(__file__).resolve().parents[1]
    files = {}
    for path in sorted(folder.rglob("*.py")):
        parts = (PACKAGE, *path.relative_to(folder).with_suffix("").parts)
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return files


def _face(source: str) -> dict[str, str]:
    """Return what the package itself offers and loads when asked for: dotted name -> module."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_FACE":
            offered = ast.literal_eval(node.value)
            return {f"{PACKAGE}.{name}": f"{PACKAGE}.{offered[name]}" for name in offered}
    return {}


def _imports(source: str, package: str, known: dict[str, str]) -> set[str]:
    """Return the helper modules that a module's or a cell's source names, however it does so."""
    nodes = list(ast.walk(ast.parse(source)))
    names, beside, aliases = [], set(), {PACKAGE: PACKAGE}
    for node in nodes:  # imports first, so that attributes of what they name are understood
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
            aliases |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: 1 - node.level or None] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
            aliases |= {alias.asname or alias.name: f"{base}.{alias.name}" for alias in node.names}
    for node in nodes:
        if isinstance(node, ast.Attribute):
            parts, inner = [], node
            while isinstance(inner, ast.Attribute):
                parts, inner = [inner.attr, *parts], inner.value
            if isinstance(inner, ast.Name) and inner.id in aliases:
                names.append(".".join([aliases[inner.id], *parts]))
        elif isinstance(node, ast.Constant) and node.value in known and "." in node.value:
            names.append(node.value)
        elif isinstance(node, ast.Call) and node.args:
            target = node.args[0]
            if getattr(node.func, "attr", getattr(node.func, "id", "")) not in _IMPORTERS:
                continue
            if isinstance(target, ast.Constant) and isinstance(target.value, str):
                names.append(f"{package if target.value[:1] == '.' else ''}{target.value}")
            elif package and "_FACE" not in ast.unparse(target):
                # a computed name: any module beside this one may be meant
                beside |= {name for name in known.values() if name.startswith(f"{package}.")}
    paths = (accumulate(name.split("."), "{}.{}".format) for name in names)
    return beside | {known[path] for path in chain.from_iterable(paths) if path in known}


def reached(notebook: str | Path, root: str | Path) -> dict[str, Path]:
    """Return the helper modules that a notebook reaches, directly or through other modules.

    The search reads source only: imports at the top and inside functions, attributes of an
    imported package, what the package's own face offers, module names in strings, and for
    ``import_module`` with a computed name every module of the package it stands in.

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
    known = {name: name for name in files}
    sources = []
    for cell in json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            source = "\n".join(re.findall(r"`\{python\} ([^`]+)`", source))
        if cell["cell_type"] != "raw":
            sources.append(_MAGIC.sub(r"\1pass", source))
    try:
        known |= _face(files[PACKAGE].read_text(encoding="utf-8"))
        waiting = _imports("\n".join(sources), "", known)
    except SyntaxError:  # the kernel will say so, naming the cell
        waiting = set(files)
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        seen.add(name)
        path = files[name]
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        try:
            waiting |= _imports(path.read_text(encoding="utf-8"), package, known) - seen
        except SyntaxError:  # the kernel will say so
            continue
    return {name: files[name] for name in sorted(seen)}


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def assets(root: str | Path, memory: Path) -> str:
    """Return one hash over every file of ``data/``.

    Parameters
    ----------
    root : str or Path
        The book's folder.
    memory : Path
        JSON file that remembers the hash of a file by its path, size and time, so that a second
        call reads no big file again.

    Returns
    -------
    str
        Hexadecimal SHA-256.
    """
    folder = Path(root) / "data"
    try:
        seen = json.loads(memory.read_text(encoding="utf-8"))
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
    if now != seen:
        memory.parent.mkdir(parents=True, exist_ok=True)
        memory.write_text(json.dumps(now), encoding="utf-8")
    return _sha("\n".join(lines).encode())


def key(notebook: str | Path, root: str | Path, *, assets_hash: str) -> str:
    """Return the key of a chapter: a hash over everything its outputs depend on.

    Covered are the notebook, the helper modules it reaches, the files of ``data/``, the lock
    and the Python version.

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
    ]
    return _sha("\n".join(parts).encode())
