"""Tune the small CLIP to tell drawn animals from other things: `clip/tuned@tiny`.

    python data/models/tune_clip.py

Chapter 4 compares the methods; this is the one that leaves the tower as it is.
"""

import shutil
from pathlib import Path

from meznet_helpers import clip_study, emojizoo
from meznet_helpers.finetune import clip, report

FOLDER = Path(__file__).parent / "clip-tuned"
METHOD = "probe"


def main() -> None:
    """Write data/models/clip-tuned/."""
    parts = clip_study.split(clip.cropped(emojizoo.animal_or_not()), "picture", 0)
    tuned = clip.tune(*parts[:2], METHOD, templates=clip_study.TEMPLATE)
    shutil.rmtree(FOLDER, ignore_errors=True)
    report.save(tuned, FOLDER, parts[0], {"valid": parts[1], "test": parts[2]})
    print((FOLDER / "README.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
