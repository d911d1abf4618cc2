"""Chapter 3 on photographs: the lecture's animal faces, with features of the real MobileNetV2."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[2]
PROBE = """
import json
rows = pd.concat({"picture": halves, "style": new_style}, names=["split"]).reset_index("split")
print(json.dumps({"n": len(zoo), "rows": rows.to_dict("records")}, default=float))
"""


def test_chapter_on_photographs(real, tmp_path, fresh_cache, monkeypatch, capsys):
    from meznet_helpers.site.execute import execute

    monkeypatch.setenv("KERAS_HOME", str(real / "keras"))
    monkeypatch.setenv("MEZNET_OFFLINE", "1")
    for file in (real / "animal-faces").rglob("*.jpg"):
        folder = tmp_path / "faces" / file.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{file.parents[1].name}-{file.name}").symlink_to(file.resolve())
    notebook = nbformat.read(ROOT / "chapters/03-multiclass-and-features.ipynb", as_version=4)
    cell = next(cell for cell in notebook.cells if cell.id == "parameters")
    cell.source = cell.source.replace(
        '"keras/MobileNetV2@tiny"', '"keras/MobileNetV2@imagenet"'
    ).replace('PHOTOGRAPHS = ""', f"PHOTOGRAPHS = {str(tmp_path / 'faces')!r}")
    notebook.cells.append(nbformat.v4.new_code_cell(PROBE, id="probe"))
    path = tmp_path / "chapter.ipynb"
    nbformat.write(notebook, path)
    done = execute(path, root=ROOT)
    found = json.loads(done.notebook.cells[-1].outputs[0]["text"])
    assert found["n"] == 300
    rows = {(r["split"], r["features"], r["classifier"]): r for r in found["rows"]}
    net = rows["picture", "MobileNetV2, photographs", "logistic regression"]
    flat = rows["picture", "gray pixels", "logistic regression"]
    with capsys.disabled():
        for name, row in (("features", net), ("gray pixels", flat)):
            interval = f"{row['low']:.1%} to {row['high']:.1%}"
            print(f"\nfaces, chapter 3, {name}: {row['accuracy']:.1%} ({interval}, n = 300)")
    assert net["accuracy"] > 0.98 and 0.5 < flat["accuracy"] < 0.8
