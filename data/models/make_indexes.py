"""Make the two indexes of prototypes that lie in this folder.

    python data/models/make_indexes.py --images tiny-imagenet-200

`animals@tiny`: Emoji Zoo's 90 animals, new to the network. `photographs@tiny`: the 200 classes of
Tiny-ImageNet, from its 100,000 training photographs, which the network was trained on.
"""

import argparse
from pathlib import Path

import numpy as np

from meznet_helpers import emojizoo, features, labels, prototypes
from meznet_helpers.book.validation_set import read
from meznet_helpers.labels import LabelSpace
from meznet_helpers.measure import accuracy, rank_of_truth
from meznet_helpers.names import labeler
from meznet_helpers.prototypes import PrototypeIndex

FOLDER = Path(__file__).parent / "prototypes"
NET = "timm/regnetx_002@tiny"

CARD = """# prototypes/animals@tiny and prototypes/photographs@tiny

Two indexes of prototypes: one mean embedding for each class, compared by cosine. They are what
`meznet index build` makes; `../make_indexes.py` made them.

| index | classes | embeddings | made of | top-1 | top-4 | n |
|---|---|---|---|---|---|---|
{rows}

95 % Wilson intervals. The network behind both is `{net}`, which knows Tiny-ImageNet's
photographs and drawings of things, but no drawn animal. *animals* is judged on 5,400 pictures
composed anew from the same drawings (another seed), in the styles that the prototypes are made of:
so this is not the accuracy on a new style, which chapter 5 measures. *photographs* is judged on the
10,000 validation photographs. Its scale and threshold were fitted on training photographs, which
the network has seen; on new ones it is surer than it should be.

Files hold 32-bit vectors, counts, the label space, the name of the network and a digest of its
weights and settings. Licence: MIT, as this repository. They name what is nearest, whatever the
picture shows: do not use them for anything that matters.
"""


def make(name: str, images: object, truth: np.ndarray, space: LabelSpace) -> PrototypeIndex:
    """Make an index, and write it."""
    net = labeler(NET)
    vectors = features.embed(images, net, progress=True, cache=False)
    own = {"backbone": net.name, "digest": net.digest()}
    index = PrototypeIndex.fit_calibrated(vectors, truth, space, **own)
    FOLDER.mkdir(exist_ok=True)
    prototypes.save(index, FOLDER / f"{name}.safetensors")
    return index


def row(name: str, made_of: str, images: object, truth: np.ndarray) -> str:
    """Judge an index; one line of the card."""
    net = labeler(f"prototypes/{name}@tiny")
    ranks = rank_of_truth(net.predict(images, batch_size=250, progress=True).probs, truth)
    cells = [f"{len(net.labels)} classes", f"{net.index.vectors.shape[1]} numbers", made_of]
    for k in (1, 4):
        share = accuracy(ranks, k).iloc[0]
        cells.append(f"{share.accuracy:.1%} ({share.low:.1%} to {share.high:.1%})")
    return f"| {name} | {' | '.join(cells)} | {len(truth):,} |"


def main() -> None:
    """Write data/models/prototypes/."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, required=True, help="the folder tiny-imagenet-200")
    parser.add_argument("--validation", type=Path, help="by default the same folder")
    args = parser.parse_args()
    zoo, new = emojizoo.animals(), emojizoo.animals(seed=10_000)
    space = labels.tiny_imagenet()
    files = [sorted(args.images.glob(f"train/{wnid}/images/*.JPEG")) for wnid in space.ids]
    if min(map(len, files)) < 1:
        raise SystemExit(f"{args.images} lacks photographs of a class of Tiny-ImageNet.")
    make("animals", zoo, zoo.truth, zoo.labels)
    truth = np.repeat(np.arange(len(files)), [len(group) for group in files])
    make("photographs", [file for group in files for file in group], truth, space)
    photographs, right = read(args.validation or args.images)
    lines = [
        row("animals", f"{len(zoo):,} pictures", new.images, new.truth),
        row("photographs", f"{len(truth):,} photographs", photographs, right),
    ]
    card = CARD.format(rows="\n".join(lines), net=NET)
    (FOLDER / "README.md").write_text(card, encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
