"""Classes that come and go: an index of prototypes.

Examples
--------
meznet index build --data animals --out animals.safetensors
meznet index search animals.safetensors holiday/ --top 3
"""

import hashlib
from typing import TYPE_CHECKING, Annotated

from meznet_helpers.cli import options
from meznet_helpers.cli.label import COLUMNS as LABELS
from meznet_helpers.cli.options import argument, option
from meznet_helpers.cli.writing import Writer, write_all
from meznet_helpers.errors import MeznetError

if TYPE_CHECKING:
    import numpy as np

    from meznet_helpers.cli.writing import Row
    from meznet_helpers.images import Images
    from meznet_helpers.prototypes import PrototypeIndex

COLUMNS = LABELS | {"known": "bool"}
BACKBONE = "timm/regnetx_002@tiny"

app = options.group("index", __doc__)

File = Annotated[str, argument("FILE", "An index.")]


@options.command(app)
def build(
    data: Annotated[str, option("FOLDER", "A folder of images for each label; or a zipped table.")],
    out: Annotated[str, option("FILE", "Must not be there yet.")],
    backbone: Annotated[str, option("NAME", "The network.")] = BACKBONE,
    kind: Annotated[str, option("mean|k-means|medoid")] = "mean",
    count: Annotated[int, option("N", "Prototypes per label.")] = 1,
    metric: Annotated[str, option("cosine|inner|l2")] = "cosine",
    seed: options.Seed = 0,
) -> int:
    """Make an index of a tree of folders, or of a zipped table.

    A fifth of each label's images sets the scale of the probabilities and the threshold of "none
    of these", with prototypes of the others; then all of them make the prototypes.

    Examples
    --------
    meznet index build --data animals --out animals.safetensors
    meznet index build --data animals --out five.safetensors --kind k-means --count 5 --seed 1
    """
    from meznet_helpers import features, prototypes
    from meznet_helpers.images import read_tree

    file = options.check_folder("--out", out)
    if file.exists():
        raise MeznetError(f"{file} is there already; name a new file, or remove it first.")
    name, digest = network_of(backbone)
    made = {"metric": metric, "backbone": name, "digest": digest}
    if data.lower().endswith(".zip"):
        print(prototypes.save(prototypes.read_csv(data, **made), file))
        return 0
    shape = {"kind": kind, "count": count}
    prototypes.PrototypeIndex(metric=metric, **shape)  # complain before anything is read
    tree = read_tree(data, progress=True)
    options.say_left_aside(data)
    options.complain(tree.images.errors)
    vectors = features.embed(tree, name, progress=True)
    index = prototypes.PrototypeIndex.fit_calibrated(
        vectors, tree.truth, tree.labels, seed=seed, **shape, **made
    )
    print(prototypes.save(index, file))
    return 1 if tree.images.errors else 0


@options.command(app)
def add(
    file: File,
    label: Annotated[str, argument("LABEL", "A name.")],
    images: options.Images,
    more: Annotated[bool, options.flag("--more", "The label is there already.")] = False,
    download: options.Download = False,
) -> int:
    """Add a label to an index, or give one more examples.

    Examples
    --------
    meznet index add animals.safetensors flamingo pictures/flamingo*.jpg
    meznet index add animals.safetensors flamingo more/*.jpg --more
    """
    from meznet_helpers import prototypes
    from meznet_helpers.labels import from_names

    label_id = from_names([label]).ids[0]
    before = prototypes.load(file)
    if more:
        before.labels.index(label_id)
    elif label_id in before.labels:
        raise MeznetError(
            f'{file} has a class "{label_id}" already; --more gives it more examples.'
        )
    read, vectors = embed(before, file, images, download)
    if not len(read):
        return 2
    with prototypes.editing(file) as index:
        if more:
            index.update(label_id, vectors)
        else:
            index.add(label_id, vectors, label)
        print(index)
    return 1 if read.errors else 0


@options.command(app)
def remove(
    file: File,
    labels: Annotated[list[str], argument("LABEL", "Names or ids.")],
) -> int:
    """Forget labels; none if one of them is not there.

    Examples
    --------
    meznet index remove animals.safetensors fox
    meznet index remove animals.safetensors owl "polar bear"
    """
    from meznet_helpers import prototypes
    from meznet_helpers.labels import from_names

    with prototypes.editing(file) as index:
        for label in labels:
            index.remove(label if label in index.labels else from_names([label]).ids[0])
        print(index)
    return 0


@options.command(app)
def search(
    file: File,
    images: options.Images,
    download: options.Download = False,
    top: options.Top = 5,
    out: options.RowsOut = "-",
    as_json: options.RowsJson = False,
    restart: options.Restart = False,
) -> int:
    """Find the nearest labels of images.

    Also says whether an image is of a known class at all.

    Examples
    --------
    meznet index search animals.safetensors holiday/ --top 3
    meznet index search animals@tiny cat.jpg --json
    """
    from meznet_helpers import prototypes
    from meznet_helpers.prototypes.labeler import find, network

    index = prototypes.load(find(file))
    net = network(index, file, download=download)
    settings = {"index": hashlib.sha256(find(file).read_bytes()).hexdigest(), "top": top}

    def rows(images: "Images") -> "list[Row]":
        return _rows(index, images, net.features(list(images.arrays)), min(top, len(index)))

    files = options.find(images, out)
    try:
        writer = Writer(out, COLUMNS, files, settings, as_json=as_json, restart=restart)
        return write_all(writer, rows)
    finally:
        net.release()


@options.command(app)
def info(file: File) -> int:
    """Say what is in an index, as JSON.

    Examples
    --------
    meznet index info animals.safetensors
    meznet index info photographs@tiny
    """
    from meznet_helpers import prototypes
    from meznet_helpers.prototypes.labeler import find
    from meznet_helpers.prototypes.storage import FIELDS

    index = prototypes.load(find(file), mapped=True)
    fields = {name: getattr(index, name) for name in FIELDS}
    if fields["threshold"] == float("-inf"):
        fields["threshold"] = None
    examples = [int(index.counts[index.owners == place].sum()) for place in range(len(index))]
    content = {
        "name": index.labels.name,
        "classes": len(index),
        "prototypes": len(index.owners),
        "numbers": index.vectors.shape[1],
        **fields,
        "examples": dict(zip(index.labels.ids, examples, strict=True)),
    }
    print(options.to_json(content, 1))
    return 0


@options.command(app)
def export(file: File, out: Annotated[str, option("FILE.zip")]) -> int:
    """Write an index as a zipped table.

    Examples
    --------
    meznet index export animals.safetensors --out animals.zip
    meznet index export animals@tiny --out tiny.zip
    """
    from meznet_helpers import prototypes
    from meznet_helpers.prototypes.labeler import find

    print(prototypes.write_csv(prototypes.load(find(file)), out))
    return 0


def network_of(name: str) -> tuple[str, str]:
    """Return the whole name and the digest of a network.

    Raises
    ------
    MeznetError
        If there is no such network, or it has no features.

    Examples
    --------
    >>> name, digest = network_of(BACKBONE)
    >>> name, len(digest)
    ('timm/regnetx_002@tiny', 64)
    """
    from meznet_helpers.labelers import NetworkLabeler
    from meznet_helpers.names import labeler

    net = labeler(name)
    if not isinstance(net, NetworkLabeler):
        raise MeznetError(f"--backbone: {net.name} has no features; name one network.")
    return net.name, net.digest()


def embed(
    index: "PrototypeIndex", file: str, patterns: list[str], download: bool
) -> "tuple[Images, np.ndarray | None]":
    """Read images and embed them with the network of an index; complain of bad files.

    Returns
    -------
    images : Images
    vectors : ndarray of float32, shape (images, d)
        None if no image could be read.
    """
    from meznet_helpers import features
    from meznet_helpers.prototypes.labeler import network

    net = network(index, file, download=download)
    images = options.read_images(patterns)
    return images, features.embed(images, net, progress=True) if len(images) else None


def _rows(index: "PrototypeIndex", images: "Images", vectors: "np.ndarray", k: int) -> "list[Row]":
    """Lay out what a search found, one row for each image and rank."""
    hits = index.search(vectors, k)
    ids, names = index.labels.ids, index.labels.names
    return [
        (image, rank, ids[place], names[place], float(score), bool(known))
        for image, places, scores, known in zip(
            images.names, hits.classes, hits.scores, hits.known, strict=True
        )
        for rank, (place, score) in enumerate(zip(places, scores, strict=True), 1)
    ]
