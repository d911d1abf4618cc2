"""The command ``meznet evaluate``: how often are models right, and what do they mix up?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from meznet_helpers.cli import options
from meznet_helpers.cli.options import option
from meznet_helpers.errors import MeznetError

if TYPE_CHECKING:
    import numpy as np

    from meznet_helpers.images import Images
    from meznet_helpers.labelers import Labeler
    from meznet_helpers.labels import LabelSpace
    from meznet_helpers.predictions import Predictions

app = options.group()

DATA = "A folder of images for each label, called by its id or name; or tiny-imagenet-200."
ANNOTATIONS = "val/val_annotations.txt"  # of Tiny-ImageNet
MATRIX = "Write the whole confusion matrix, by label id."
TABLES = "Label tiny-imagenet-200 anew and compare with the bundled predictions."


@options.command(app)
def evaluate(
    data: Annotated[str, option("FOLDER", DATA)],
    model: options.Models = None,
    ensemble: options.Ensemble = None,
    download: options.Download = False,
    confusion: Annotated[str | None, option("FILE", MATRIX, callback=options.check_out)] = None,
    tables: Annotated[bool, options.flag("--tables", TABLES)] = False,
    out: options.Out = "-",
    as_json: options.Json = False,
) -> int:
    """Measure how often models are right.

    Accuracies go to --out, and what was mixed up to standard output.

    Examples
    --------
    meznet evaluate --data animals --model keras/MobileNet@tiny --confusion matrix.csv
    meznet evaluate --data tiny-imagenet-200 --model timm/regnetx_002@tiny --json
    """
    import pandas as pd
    from sklearn.metrics import confusion_matrix

    from meznet_helpers.measure import accuracy, mixed_up, rank_of_truth

    if tables:
        if model or ensemble or confusion:
            raise MeznetError("--tables compares what the repository holds; it takes --data alone.")
        return _tables(data, out, as_json)
    if confusion == "-":
        raise MeznetError("--confusion needs a file; standard output has the accuracies.")
    labelers = options.nets(model, ensemble, download)
    spaces = list(dict.fromkeys(net.labels for net in labelers))
    if confusion and len(spaces) > 1:
        raise MeznetError("--confusion: the models have different labels; write one file for each.")
    sets = {labels: labeled(data, labels) for labels in spaces}
    if not (Path(data) / ANNOTATIONS).is_file():
        options.say_left_aside(data)
    images, _ = sets[spaces[0]]  # the same ones for each label space
    options.complain(images.errors)
    if not len(images):
        return 2
    accuracies, pairs, matrices = [], [], []
    for net in labelers:
        _, truth = sets[net.labels]
        predictions = predict(net, images)
        guesses = predictions.probs[0].argmax(axis=1)
        counts = confusion_matrix(truth, guesses, labels=range(len(net.labels)))
        ranks = rank_of_truth(predictions.probs, truth)
        accuracies.append(accuracy(ranks, models=predictions.models))
        pairs.append(mixed_up(counts, net.labels).assign(model=net.name))
        matrix = pd.DataFrame(counts, columns=list(net.labels.ids))
        matrix.insert(0, "truth", net.labels.ids, allow_duplicates=True)
        if len(labelers) > 1:
            matrix.insert(0, "model", net.name, allow_duplicates=True)
        matrices.append(matrix)
    table = pd.concat(accuracies)
    mixed = pd.concat(pairs)[["model", "truth", "predicted", "count"]]
    if confusion:
        options.write(pd.concat(matrices), confusion)
    if as_json:
        both = {"accuracy": options.rows(table), "confusions": options.rows(mixed)}
        print(options.to_json(both, 1))
    else:
        options.write(table, out)
        print(end="\n" if out == "-" else "")
        options.write(mixed)
    return 1 if images.errors else 0


def predict(net: "Labeler", images: "Images") -> "Predictions":
    """Label images and free the memory for the next net."""
    try:
        return net.predict(images, progress=True)
    finally:
        net.release()


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

    if not (Path(folder) / ANNOTATIONS).is_file():
        tree = read_tree(folder, labels, progress=True)
        return tree.images, tree.truth
    images, truth = validation_set.read(folder)
    return images, labels.indices(np.array(tiny_imagenet().ids)[truth].tolist())


def _tables(data: str, out: str, as_json: bool) -> int:
    """Write whether the bundled predictions agree with those computed anew."""
    from meznet_helpers.book import validation_set

    images, _ = validation_set.read(data)
    table = validation_set.compare(images)
    options.write(table, out, as_json)
    lost = validation_set.absent()
    options.complain(f"{model} is not here and was not compared; meznet fetch." for model in lost)
    return 0 if table["agree"].all() else 1
