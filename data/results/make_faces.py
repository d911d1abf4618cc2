"""Write animal-faces.csv: the lecture's experiment of chapter 3, on its own photographs.

    python data/results/make_faces.py --images animal-faces

`--images` has the folders `train` and `valid`, each with a folder of photographs for `cat`, `dog`
and `wild`: the subset of AFHQ (Choi et al. 2020) that the lecture uses. The photographs are not
part of this repository.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from meznet_helpers.features import embed, probing
from meznet_helpers.images import read_tree

NET = "keras/MobileNetV2@imagenet"
SIDE = 200  # pixels to which the lecture resizes


def measure(folder: Path) -> pd.DataFrame:
    """Count right answers of logistic regression, by features, split and class.

    Parameters
    ----------
    folder : Path
        With the folders `train` and `valid`.

    Returns
    -------
    DataFrame
        Columns `features`, `split`, `class` (``"all"`` or one of them), `n`, `hits`.
    """
    parts = [read_tree(folder / name) for name in ("train", "valid")]
    truth = np.concatenate([part.truth for part in parts])
    rows = {
        "gray pixels": lambda part: probing.flatten(part, SIDE, gray=True),
        "MobileNetV2": lambda part: embed(part, NET),
    }
    lecture = np.split(np.arange(len(truth)), [len(parts[0])])
    anew = train_test_split(
        np.arange(len(truth)), test_size=len(parts[1]), stratify=truth, random_state=0
    )
    table = []
    for features, describe in rows.items():
        x = np.concatenate([describe(part) for part in parts])
        for split, (train, valid) in {"as in the lecture": lecture, "anew": anew}.items():
            model = probing.classifiers()["logistic regression"].fit(x[train], truth[train])
            right = model.predict(x[valid]) == truth[valid]
            table.append([features, split, "all", len(valid), right.sum()])
            for label, name in enumerate(parts[0].labels.ids):
                some = right[truth[valid] == label]
                table.append([features, split, name, len(some), some.sum()])
    return pd.DataFrame(table, columns=["features", "split", "class", "n", "hits"])


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, required=True, help="the folder animal-faces")
    target = Path(__file__).with_name("animal-faces.csv")
    measure(parser.parse_args().images).to_csv(target, index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
