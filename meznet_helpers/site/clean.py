"""Takes the outputs out of notebooks; Quarto calls it after a render of its own.

A plain ``quarto render`` writes the outputs of the chapters into their notebooks. ``_quarto.yml``
names this file as its post-render script, so that the sources come out as they went in.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def clean(path: str | Path) -> bool:
    """Remove outputs, execution counts and the kernel's own notes from a notebook.

    Parameters
    ----------
    path : str or Path
        The notebook. It is written only if something changes, in Jupyter's own layout.

    Returns
    -------
    bool
        Whether the file was written.

    Examples
    --------
    >>> import tempfile, nbformat
    >>> cell = nbformat.v4.new_code_cell("1", execution_count=3)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.ipynb"
    ...     nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    ...     clean(path), clean(path)
    (True, False)
    """
    path = Path(path)
    before = path.read_text(encoding="utf-8")
    notebook = json.loads(before)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
        for name in ("execution", "user_expressions"):
            cell["metadata"].pop(name, None)
    for name in ("language_info", "widgets"):
        notebook["metadata"].pop(name, None)
    if spec := notebook["metadata"].get("kernelspec"):
        spec.pop("path", None)
    after = json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
    if after == before:
        return False
    path.write_text(after, encoding="utf-8", newline="\n")
    return True


def main() -> int:
    """Clean the notebooks named on the command line, or else all chapters."""
    for name in sys.argv[1:] or sorted(Path("chapters").glob("*.ipynb")):
        clean(name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
