"""The parts of a data set: to learn from, to choose the epoch by, and perhaps to judge."""

from pathlib import Path

from meznet_helpers.errors import MeznetError
from meznet_helpers.images import Dataset, read_tree

VALID = 0.2  # what is held out of a tree that has no folder valid


def read_parts(folder: str, seed: int) -> tuple[Dataset, dict[str, Dataset]]:
    """Read a tree of images to tune on.

    Parameters
    ----------
    folder : str
        Holds ``train`` and ``valid``, and perhaps ``test``, each with one folder for each label;
        or the folders of labels themselves, of which a fifth is held out.
    seed : int
        Of that split.

    Returns
    -------
    train : Dataset
    judged : dict of str to Dataset
        ``valid``, and perhaps ``test``.

    Raises
    ------
    MeznetError
        If the tree can't be learned from.
    """
    root = Path(folder).expanduser()
    parts = [name for name in ("train", "valid", "test") if (root / name).is_dir()]
    if "train" not in parts:
        train, valid = read_tree(root, progress=True).by_picture(valid=VALID, seed=seed)
        return train, {"valid": valid}
    if "valid" not in parts:
        raise MeznetError(f"{root} has a folder train, but none called valid beside it.")
    train = read_tree(root / "train", progress=True)
    judged = {name: read_tree(root / name, train.labels, progress=True) for name in parts[1:]}
    for name, data in (("train", train), *judged.items()):
        missing = data.counts().loc[lambda counts: counts == 0]
        if len(missing):
            raise MeznetError(
                f'{root / name} has no readable image of "{missing.index[0]}"; each label of '
                f"{root / 'train'} needs one."
            )
    return train, judged
