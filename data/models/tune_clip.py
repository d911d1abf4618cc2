"""Tune the small CLIP: `clip/tuned@tiny` on drawings, `clip/tuned@tiny-photographs` on photographs.

    python data/models/tune_clip.py
    python data/models/tune_clip.py --images tiny-imagenet-200 --cache runs/cache

The first tells drawn animals from other things, the second, which needs the photographs, the 200
classes of Tiny-ImageNet. Chapter 4 compares the methods; this is the one that leaves the tower as
it is.
"""

import argparse
import shutil
from pathlib import Path

from training import load_images, split

from meznet_helpers import emojizoo, labels
from meznet_helpers.book import clip_study, validation_set
from meznet_helpers.finetune import Recipe, clip, report
from meznet_helpers.images import Dataset, Images
from meznet_helpers.words import tuned

METHOD = "probe"
PHOTOGRAPHS = Recipe(epochs=5, rate=1e-2, batch=256, crop=0.5, mixed=True)


def drawings() -> None:
    """Write data/models/clip-tuned/."""
    parts = clip_study.split(clip.cropped(emojizoo.animal_or_not(), "tiny"), "picture", 0)
    net = clip.tune(*parts[:2], METHOD, source="tiny", templates=clip_study.TEMPLATE)
    write(net, "tiny", parts[0], {"valid": parts[1], "test": parts[2]})


def photographs(images: Path, validation_images: Path, cache: Path) -> None:
    """Write data/models/clip-tuned-photographs/; the training photographs held out choose."""
    space, (x, y) = labels.tiny_imagenet(), load_images(images, cache)
    chosen, truth = validation_set.read(validation_images)
    train, valid = (
        Dataset(Images(list(x[some]), list(map(str, some))), y[some], space) for some in split(y)
    )
    net = clip.tune(train, valid, METHOD, PHOTOGRAPHS, source="tiny", progress=True)
    judged = {"valid": valid, "test": Dataset(chosen, truth, space)}
    write(net, "tiny-photographs", train, judged)


def write(net: clip.Tuned, name: str, train: Dataset, judged: dict[str, Dataset]) -> None:
    """Write the folder of a tuned CLIP in place of an older one."""
    folder = tuned.find(name)
    shutil.rmtree(folder, ignore_errors=True)
    report.save(net, folder, train, judged)
    print((folder / "README.md").read_text(encoding="utf-8"))


def main() -> None:
    """Tune on photographs if they are named, else on drawings."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, help="the folder tiny-imagenet-200")
    parser.add_argument("--validation", type=Path, help="by default the same folder")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"), help="decoded images")
    args = parser.parse_args()
    if args.images:
        photographs(args.images, args.validation or args.images, args.cache)
    else:
        drawings()


if __name__ == "__main__":
    main()
