"""The commands ``meznet label`` and ``meznet evaluate``: images in, tables out."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from meznet_helpers.errors import MeznetError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import pandas as pd

    from meznet_helpers.images import Images
    from meznet_helpers.labelers import Labeler
    from meznet_helpers.labels import LabelSpace
    from meznet_helpers.predictions import Predictions

MODEL = "keras/MobileNetV2"


def label(args: argparse.Namespace) -> int:
    """Write image, rank, label id, label and score; bad files as lines on standard error.

    Parameters
    ----------
    args : Namespace
        images, model (list of str or None), ensemble (str or None), top (int), json (bool).

    Returns
    -------
    int
        0, or 1 if some images could not be read, 2 if none could.

    Raises
    ------
    MeznetError
        If an argument is wrong or a model can't be had.
    """
    return write_labels(args, lambda: nets(args.model, args.ensemble))


def write_labels(args: argparse.Namespace, make: "Callable[[], list[Labeler]]") -> int:
    """Label the images that a command line names and write the table.

    Parameters
    ----------
    args : Namespace
        images (list of str), top (int), json (bool), and perhaps file (str): where the table goes.
    make : callable
        Makes the labelers, once there are images.

    Returns
    -------
    int
        0, or 1 if some images could not be read, 2 if none could.
    """
    if args.top < 1:
        raise MeznetError(f"--top is {args.top}; it must be 1 or more.")
    file = getattr(args, "file", None)
    if file and not Path(file).absolute().parent.is_dir():
        raise MeznetError(f"--csv: {Path(file).parent} is no folder.")
    images = read(args.images)
    if not len(images):
        return 2
    import pandas as pd

    found = [_predict(net, images) for net in make()]
    table = pd.concat([one.top(args.top) for one in found], ignore_index=True)
    place = {name: number for number, name in enumerate(images.names)}
    table = table.sort_values("image", key=lambda names: names.map(place), kind="stable")
    if len(found) == 1:
        table = table.drop(columns="model")
    if file:
        write(file, table, index=False, float_format="%.4f")
    elif args.json:
        print(_json(table))
    else:
        table.to_csv(sys.stdout, index=False, float_format="%.4f")
    return 1 if images.errors else 0


def evaluate(args: argparse.Namespace) -> int:
    """Write how often models are right on labeled images, and what they mix up.

    Parameters
    ----------
    args : Namespace
        model (list of str or None), ensemble (str or None), data (str), tables (bool), json
        (bool), confusion (str or None).

    Returns
    -------
    int
        0, or 1 if some images could not be read or a table does not agree, 2 if no image could.

    Raises
    ------
    MeznetError
        If an argument is wrong, a model can't be had, or the folder's labels don't fit.
    """
    import pandas as pd
    from sklearn.metrics import confusion_matrix

    from meznet_helpers.measure import accuracy, mixed_up, rank_of_truth

    if args.tables:
        return _tables(args)
    if args.confusion and not Path(args.confusion).absolute().parent.is_dir():
        raise MeznetError(f"--confusion: {Path(args.confusion).parent} is no folder.")
    models = nets(args.model, args.ensemble)
    spaces = list(dict.fromkeys(net.labels for net in models))
    if args.confusion and len(spaces) > 1:
        raise MeznetError("--confusion: the models have different labels; write one file for each.")
    sets = {labels: labeled(args.data, labels) for labels in spaces}
    images, _ = sets[spaces[0]]  # the same ones for each label space
    complain(images)
    if not len(images):
        return 2
    tables, pairs, matrices = [], [], []
    for net in models:
        _, truth = sets[net.labels]
        found = _predict(net, images)
        guesses = found.probs[0].argmax(axis=1)
        counts = confusion_matrix(truth, guesses, labels=range(len(net.labels)))
        tables.append(accuracy(rank_of_truth(found.probs, truth), models=found.models))
        pairs.append(mixed_up(counts, net.labels).assign(model=net.name))
        ids = list(net.labels.ids)
        matrices.append(pd.DataFrame(counts, pd.Index(ids, name="truth"), ids))
    table = pd.concat(tables)
    mixed = pd.concat(pairs)[["model", "truth", "predicted", "count"]]
    if args.confusion:
        whole = pd.concat(matrices, keys=[net.name for net in models], names=["model"])
        write(args.confusion, whole if len(models) > 1 else matrices[0])
    if args.json:
        print(f'{{"accuracy": {_json(table)}, "confusions": {_json(mixed)}}}')
    else:
        table.to_csv(sys.stdout, index=False, float_format="%.4f")
        print()
        mixed.to_csv(sys.stdout, index=False)
    return 1 if images.errors else 0


def nets(names: list[str] | None, ensemble: str | None) -> "list[Labeler]":
    """Make the labelers that the options ask for.

    Parameters
    ----------
    names : list of str or None
        None: the default model, or for an ensemble all nets that the repository brings.
    ensemble : str or None
        A method that combines the named ones to one.

    Returns
    -------
    list of Labeler

    Raises
    ------
    MeznetError
        If a name or the method is unknown, or two names stand for one model.

    Examples
    --------
    >>> [net.name for net in nets(["keras/MobileNet@tiny"], None)]
    ['keras/MobileNet@tiny']
    """
    from meznet_helpers.book.published import tiny_nets
    from meznet_helpers.names import labeler
    from meznet_helpers.predictions import unique_names

    members = [labeler(name) for name in names or (tiny_nets()["model"] if ensemble else [MODEL])]
    unique_names("models", [member.name for member in members])
    if ensemble is None:
        return members
    from meznet_helpers.ensembles import EnsembleLabeler

    return [EnsembleLabeler(members, ensemble)]


def labeled(folder: str, labels: "LabelSpace") -> "tuple[Images, np.ndarray]":
    """Read images and their right labels.

    Parameters
    ----------
    folder : str
        A tree as `meznet_helpers.images.read_tree` takes it, or the unpacked Tiny-ImageNet.
    labels : LabelSpace

    Returns
    -------
    images : Images
    truth : ndarray of int64, shape (images,)
        Positions in `labels`.

    Raises
    ------
    MeznetError
        If the folder is neither, or has other labels.
    """
    import numpy as np

    from meznet_helpers.book import validation_set
    from meznet_helpers.images import read_tree
    from meznet_helpers.labels import tiny_imagenet

    if not (Path(folder) / "val" / "val_annotations.txt").is_file():
        tree = read_tree(folder, labels, progress=True)
        return tree.images, tree.truth
    images, truth = validation_set.read(folder)
    return images, labels.indices(np.array(tiny_imagenet().ids)[truth].tolist())


def _tables(args: argparse.Namespace) -> int:
    """Write whether the bundled predictions agree with those computed anew."""
    from meznet_helpers.book import validation_set

    if args.model or args.ensemble or args.confusion:
        raise MeznetError("--tables compares what the repository holds; it takes --data alone.")
    images, _ = validation_set.read(args.data)
    table = validation_set.compare(images)
    if args.json:
        print(_json(table))
    else:
        table.to_csv(sys.stdout, index=False, float_format="%.4f")
    return 0 if table["agree"].all() else 1


def _predict(net: "Labeler", images: "Images") -> "Predictions":
    """Label images and free the memory for the next net."""
    try:
        return net.predict(images, progress=True)
    finally:
        net.release()


def read(patterns: list[str]) -> "Images":
    """Read the images that a command line names, and complain of those that can't be read.

    Parameters
    ----------
    patterns : list of str
        Files, folders or patterns.

    Returns
    -------
    Images
        Perhaps none.

    Raises
    ------
    MeznetError
        If a pattern matches nothing.
    """
    from meznet_helpers.images import find, read_many

    images = read_many(find(patterns), progress=True)
    complain(images)
    return images


def complain(images: "Images") -> None:
    """Write a line for each image that can't be read."""
    for error in images.errors:
        print(f"meznet: {error}", file=sys.stderr)


def _json(table: "pd.DataFrame") -> str:
    """Write rows as JSON objects, with as many digits as the CSV has."""
    decimal = dict.fromkeys(table.select_dtypes("float"), float)
    return json.dumps(table.astype(decimal).round(4).to_dict("records"), indent=1)


def write(out: "str | Path | TextIO", table: "pd.DataFrame", **how: Any) -> None:
    """Write a table as CSV to a file or a stream; `how` is for pandas.

    Raises
    ------
    MeznetError
        If it can't be written.
    """
    try:
        table.to_csv(out, **how)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise MeznetError(f"{out} cannot be written ({error.strerror}).") from error
