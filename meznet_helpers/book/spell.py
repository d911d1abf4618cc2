"""The spell: what happens to networks that are fed another network's preprocessing.

The exhibit in ``data/exhibit`` fed five nets with one preprocessing, right for one of them alone,
and enlarged 64-pixel images by repeating pixels. `CONDITIONS` takes that apart in steps.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from meznet_helpers import labels
from meznet_helpers.assets import profile
from meznet_helpers.errors import MeznetError
from meznet_helpers.images import Images, read_many
from meznet_helpers.labelers import Labeler, readable, squeeze
from meznet_helpers.labels import join
from meznet_helpers.measure import proportion
from meznet_helpers.names import labeler
from meznet_helpers.predictions import Predictions

#: Condition -> what a labeler must be told to be under it.
CONDITIONS: dict[str, dict[str, str]] = {
    "caffe, nearest": {"mode": "caffe", "interpolation": "nearest"},
    "own, nearest": {"interpolation": "nearest"},
    "own, bilinear": {},
}


def under(condition: str, names: Iterable[str]) -> list[Labeler]:
    """Make labelers under a condition.

    Parameters
    ----------
    condition : str
        A key of `CONDITIONS`.
    names : iterable of str
        Names of backbones.

    Returns
    -------
    list of Labeler

    Raises
    ------
    MeznetError
        If there is no such condition or backbone.

    Examples
    --------
    >>> [net.backbone.mode for net in under("caffe, nearest", ["keras/DenseNet121@imagenet"])]
    ['caffe']
    """
    if condition not in CONDITIONS:
        raise MeznetError(f'No condition "{condition}"; choose from {"; ".join(CONDITIONS)}.')
    return [labeler(name, **CONDITIONS[condition]) for name in names]


def predict(condition: str, names: Iterable[str], images: Any) -> Predictions:
    """Let several nets label the same images under one condition.

    Parameters
    ----------
    condition : str
        A key of `CONDITIONS`.
    names : iterable of str
        Names of backbones that share a label space.
    images : Images, or anything `meznet_helpers.images.as_images` takes

    Returns
    -------
    Predictions
        One model per name, in that order.

    Raises
    ------
    MeznetError
        If there is no such condition or backbone, or no name at all.
    """
    nets = under(condition, names)
    if not nets:
        raise MeznetError("names is empty; name at least one backbone.")
    images = readable(images)
    first, *others = [net.predict(images) for net in nets]
    return first.join(*others)


def exhibit_images() -> pd.DataFrame:
    """Return the exhibit's validation table: its 20 images, joined with their words by id.

    Returns
    -------
    DataFrame
        Columns `image`, `label_id` (WordNet), `words`; 20 rows.

    Examples
    --------
    >>> exhibit_images().loc[5].tolist()
    ['val_384.JPEG', 'n01910747', 'jellyfish']
    """
    path = profile.data() / "exhibit" / "images.csv"
    return join(pd.read_csv(path, encoding="utf-8"), labels.tiny_imagenet())


def small(images: Images) -> Images:
    """Squeeze images to 64 x 64 pixels, the size of Tiny-ImageNet's.

    Parameters
    ----------
    images : Images

    Returns
    -------
    Images
        Under the same names. Each new pixel is a mean of those it stands for.

    Examples
    --------
    >>> small(Images([np.zeros((300, 451, 3), np.uint8)], ["cat"]))[0].shape
    (64, 64, 3)
    """
    return Images([squeeze(image, 64) for image in images], images.names, images.errors)


def pictures() -> Images:
    """Return pictures to show the spell on, for the exhibit's own may not be shipped.

    Returns
    -------
    Images
        Photographs that come with the dependencies, 64 x 64 pixels each.

    Examples
    --------
    >>> pictures().names[:2]
    ('chelsea.png', 'coffee.png')
    """
    return small(read_many(profile.package_photographs().values()))


def exhibit_hits() -> pd.DataFrame:
    """Return the exhibit's own counts: `model`, `hits` among the top ten of 20 images.

    Examples
    --------
    >>> exhibit_hits()["hits"].tolist()
    [20, 3, 3, 1, 1]
    """
    return pd.read_csv(profile.data() / "exhibit" / "hits.csv", encoding="utf-8")


def reference() -> pd.DataFrame:
    """Return hits of the real MobileNetV2 1.0, step by step out of the spell.

    Returns
    -------
    DataFrame
        As `summary` returns it; on the exhibit's 20 images and on 500.

    Examples
    --------
    >>> reference().query("n == 500 and k == 1")["hits"].tolist()
    [2, 10, 135]
    """
    table = pd.read_csv(profile.data() / "exhibit" / "measured.csv", encoding="utf-8")
    long = table.melt(["condition", "n"], var_name="k", value_name="hits")
    long["k"] = long["k"].str.removeprefix("hits").astype(int)
    return _with_interval(long.assign(model="MobileNetV2 1.0"))


def ranks() -> pd.DataFrame:
    """Return where each net put the right label of each Tiny-ImageNet validation image.

    ``data/results/make_spell.py`` writes the table where the photographs are present.

    Returns
    -------
    DataFrame
        Index `image` (10,000 names); columns (condition, model); values from 1 to 200, uint8:
        1 where the right label came first.

    Examples
    --------
    >>> table = ranks()
    >>> table.shape[0], sorted(set(table.columns.get_level_values("condition")))
    (10000, ['caffe, nearest', 'own, bilinear', 'own, nearest'])
    """
    path = profile.data() / "results" / "spell-ranks.csv.gz"
    return pd.read_csv(path, header=[0, 1], index_col=0, encoding="utf-8").astype(np.uint8)


def summary(ranks: pd.DataFrame, k: Sequence[int] = (1, 10)) -> pd.DataFrame:
    """Count hits per condition and net, with intervals.

    Parameters
    ----------
    ranks : DataFrame
        As `ranks` returns it, or some of its rows.
    k : sequence of int
        A hit is a right label among the first k.

    Returns
    -------
    DataFrame
        Columns `condition`, `model`, `k`, `n`, `hits`, `accuracy`, `low`, `high`; the last two
        are the 95 % Wilson interval.

    Examples
    --------
    >>> import pandas as pd
    >>> toy = pd.DataFrame({("own, bilinear", "net"): [1, 4, 11]})
    >>> summary(toy)["hits"].tolist()
    [1, 2]
    """
    rows = [
        [condition, model, first, len(ranks), (column <= first).sum()]
        for (condition, model), column in ranks.items()
        for first in k
    ]
    return _with_interval(pd.DataFrame(rows, columns=["condition", "model", "k", "n", "hits"]))


def _with_interval(table: pd.DataFrame) -> pd.DataFrame:
    table = table.assign(**proportion(table["hits"].to_numpy(), table["n"].to_numpy()))
    return table[["condition", "model", "k", "n", "hits", "accuracy", "low", "high"]]
