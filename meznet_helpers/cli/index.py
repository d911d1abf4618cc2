"""The commands ``meznet index build|add|remove|search|info|export``."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from meznet_helpers.cli import commands
from meznet_helpers.errors import MeznetError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from meznet_helpers.images import Images
    from meznet_helpers.prototypes import PrototypeIndex

BACKBONE = "timm/regnetx_002"


def build(args: argparse.Namespace) -> int:
    """Make an index of a tree of images, or of a zipped table.

    A fifth of each class's images sets the scale of the probabilities and the threshold of "none
    of these", with prototypes of the others; then all of them make the prototypes.

    Parameters
    ----------
    args : Namespace
        data, out (str), backbone (str or None), kind, metric (str), count, seed (int).

    Returns
    -------
    int
        0, or 1 if some images could not be read.

    Raises
    ------
    MeznetError
        If an argument is wrong, a class has no readable image, or the file can't be written.
    """
    from meznet_helpers import features, prototypes
    from meznet_helpers.images import read_tree

    out = Path(args.out).expanduser()
    if out.exists():
        raise MeznetError(f"{out} is there already; name a new file, or remove it first.")
    if not out.absolute().parent.is_dir():
        raise MeznetError(f"--out: {out.parent} is no folder.")
    name, digest = backbone(args.backbone)
    if Path(args.data).suffix == ".zip":
        made = {"metric": args.metric, "backbone": name, "digest": digest}
        print(prototypes.save(prototypes.read_csv(args.data, **made), out))
        return 0
    how = {"kind": args.kind, "count": args.count, "metric": args.metric}
    prototypes.PrototypeIndex(**how)  # complain before anything is read
    tree = read_tree(args.data, progress=True)
    commands.complain(tree.images)
    vectors = features.embed(tree, name, progress=True)
    how |= {"seed": args.seed, "backbone": name, "digest": digest}
    index = prototypes.PrototypeIndex.fit_calibrated(vectors, tree.truth, tree.labels, **how)
    print(prototypes.save(index, out))
    return 1 if tree.images.errors else 0


def add(args: argparse.Namespace) -> int:
    """Add a class to an index, or give one more examples.

    Parameters
    ----------
    args : Namespace
        file, label (str), images (list of str), more (bool).

    Returns
    -------
    int
        0, or 1 if some images could not be read, 2 if none could.

    Raises
    ------
    MeznetError
        If the class is there already, or with `more` is not.
    """
    from meznet_helpers import prototypes
    from meznet_helpers.labels import from_names

    labels = from_names([args.label])
    here = prototypes.load(args.file)
    if not args.more and labels.ids[0] in here.labels:
        raise MeznetError(
            f'{args.file} has a class "{labels.ids[0]}" already; --more gives it more examples.'
        )
    if args.more:
        here.labels.index(labels.ids[0])
    images, vectors = read(here, args.file, args.images)
    if not len(images):
        return 2
    with prototypes.editing(args.file) as index:
        if args.more:
            index.update(labels.ids[0], vectors)
        else:
            index.add(labels.ids[0], vectors, labels.names[0])
        print(index)
    return 1 if images.errors else 0


def remove(args: argparse.Namespace) -> int:
    """Forget classes of an index.

    Parameters
    ----------
    args : Namespace
        file (str), labels (list of str).

    Returns
    -------
    int
        0.

    Raises
    ------
    MeznetError
        If one of them is not there; none is removed then.
    """
    from meznet_helpers import prototypes
    from meznet_helpers.labels import from_names

    with prototypes.editing(args.file) as index:
        for label in args.labels:
            index.remove(label if label in index.labels else from_names([label]).ids[0])
        print(index)
    return 0


def search(args: argparse.Namespace) -> int:
    """Write image, rank, label id, label, score, and whether the image is of a known class.

    Parameters
    ----------
    args : Namespace
        file (str), images (list of str), top (int), json (bool).

    Returns
    -------
    int
        0, or 1 if some images could not be read, 2 if none could.

    Raises
    ------
    MeznetError
        If an argument is wrong, or the network is not that of the index.
    """
    from meznet_helpers import prototypes
    from meznet_helpers.prototypes.labeler import find

    index = prototypes.load(find(args.file))
    if args.top < 1:
        raise MeznetError(f"--top is {args.top}; it must be 1 or more.")
    images, vectors = read(index, args.file, args.images)
    if not len(images):
        return 2
    table = _table(index, images, vectors, min(args.top, len(index)))
    if args.json:
        print(json.dumps(table.to_dict("records"), indent=1, ensure_ascii=False))
    else:
        table.to_csv(sys.stdout, index=False, float_format="%.4f")
    return 1 if images.errors else 0


def info(args: argparse.Namespace) -> int:
    """Write what an index holds, as JSON.

    Parameters
    ----------
    args : Namespace
        file (str).

    Returns
    -------
    int
        0.
    """
    from meznet_helpers import prototypes
    from meznet_helpers.prototypes.labeler import find
    from meznet_helpers.prototypes.storage import FIELDS

    index = prototypes.load(find(args.file), mapped=True)
    fields = {name: getattr(index, name) for name in FIELDS}
    if fields["threshold"] == float("-inf"):
        fields["threshold"] = None
    examples = [int(index.counts[index.owners == at].sum()) for at in range(len(index))]
    about = {
        "name": index.labels.name,
        "classes": len(index),
        "prototypes": len(index.owners),
        "numbers": index.vectors.shape[1],
        **fields,
        "examples": dict(zip(index.labels.ids, examples, strict=True)),
    }
    print(json.dumps(about, indent=1, ensure_ascii=False))
    return 0


def export(args: argparse.Namespace) -> int:
    """Write an index as a zipped table.

    Parameters
    ----------
    args : Namespace
        file, out (str).

    Returns
    -------
    int
        0.
    """
    from meznet_helpers import prototypes
    from meznet_helpers.prototypes.labeler import find

    print(prototypes.write_csv(prototypes.load(find(args.file)), args.out))
    return 0


def backbone(name: str | None) -> tuple[str, str]:
    """Return the whole name and the digest of a network.

    Parameters
    ----------
    name : str or None
        None stands for `BACKBONE`.

    Returns
    -------
    name, digest : str

    Raises
    ------
    MeznetError
        If there is no such network, or it has no features.

    Examples
    --------
    >>> name, digest = backbone(None)
    >>> name, len(digest)
    ('timm/regnetx_002@tiny', 64)
    """
    from meznet_helpers.labelers import NetworkLabeler
    from meznet_helpers.names import labeler

    net = labeler(name or BACKBONE)
    if not isinstance(net, NetworkLabeler):
        raise MeznetError(f"--backbone: {net.name} has no features; name one network.")
    return net.name, net.digest()


def read(index: "PrototypeIndex", file: str, patterns: list[str]) -> "tuple[Images, np.ndarray]":
    """Read images and embed them with the network of an index; complain of bad files.

    Returns
    -------
    images : Images
    vectors : ndarray of float32, shape (images, d)
    """
    import numpy as np

    from meznet_helpers import features
    from meznet_helpers.prototypes.labeler import network

    net = network(index, file)
    images = commands.read(patterns)
    if not len(images):
        return images, np.zeros((0, 0), np.float32)
    return images, features.embed(images, net, progress=True)


def _table(
    index: "PrototypeIndex", images: "Images", vectors: "np.ndarray", k: int
) -> "pd.DataFrame":
    """Lay out what a search found, one row for each image and rank."""
    import pandas as pd

    found = index.search(vectors, k)
    rows = [
        [image, rank + 1, index.labels.ids[at], index.labels.names[at], float(score), bool(known)]
        for image, classes, scores, known in zip(
            images.names, found.classes, found.scores, found.known, strict=True
        )
        for rank, (at, score) in enumerate(zip(classes, scores, strict=True))
    ]
    return pd.DataFrame(rows, columns=["image", "rank", "label_id", "label", "score", "known"])
