"""Write spell-ranks.csv.gz: where each net puts the right label, under each condition.

    python data/results/make_spell.py --images tiny-imagenet-200

`--images` is the unpacked data set (val/images, val/val_annotations.txt). The file's bytes depend
on the weights and the photographs alone.
"""

import argparse
import gzip
from pathlib import Path

import pandas as pd

from meznet_helpers.book.published import tiny_nets
from meznet_helpers.book.spell import CONDITIONS
from meznet_helpers.book.validation_set import read
from meznet_helpers.measure import rank_of_truth
from meznet_helpers.names import labeler


def main() -> None:
    """Label the validation images under every condition."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, required=True, help="the folder tiny-imagenet-200")
    images, truth = read(parser.parse_args().images)
    columns = {}
    for condition, changes in CONDITIONS.items():
        for name in (net for net in tiny_nets()["model"] if net.startswith("keras/")):
            probs = labeler(name, **changes).predict(images, batch_size=250, progress=True).probs
            columns[condition, name] = rank_of_truth(probs, truth)[0]
    table = pd.DataFrame(columns, index=pd.Index(images.names, name="image"))
    table.columns.names = ["condition", "model"]
    target = Path(__file__).parent / "spell-ranks.csv.gz"
    text = table.to_csv(lineterminator="\n").encode("utf-8")
    target.write_bytes(gzip.compress(text, mtime=0))


if __name__ == "__main__":
    main()
