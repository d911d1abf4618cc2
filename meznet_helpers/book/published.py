"""What Keras publishes about its applications, as data."""

import io
from collections.abc import Sequence

import pandas as pd

from meznet_helpers.assets import profile
from meznet_helpers.errors import MeznetError

PAGE = "https://keras.io/api/applications/"
COLUMNS = ("model", "size_mb", "top1", "top5", "parameters", "depth", "ms_cpu", "ms_gpu")


def keras_applications() -> pd.DataFrame:
    """Return the table of Keras' applications that lies in the repository.

    Returns
    -------
    DataFrame
        One row per application: `model`; `size_mb` in MB; `top1` and `top5`, shares from 0 to 1;
        `parameters` in millions; `depth` in layers; `ms_cpu` and `ms_gpu`, milliseconds per step
        of 32 images. NaN stands where Keras prints a dash. ``data/published/README.md`` says
        where the figures come from and when they were read.

    Examples
    --------
    >>> table = keras_applications()
    >>> table.set_index("model").loc["MobileNetV2", ["size_mb", "top1"]].tolist()
    [14.0, 0.713]
    >>> int(table["ms_cpu"].isna().sum())
    12
    """
    path = profile.data() / "published" / "keras-applications.csv"
    return _numbers(pd.read_csv(path, dtype=str, encoding="utf-8"))


def best_below(table: pd.DataFrame, size_mb: float) -> pd.DataFrame:
    """Return the ten most accurate applications below a size.

    Parameters
    ----------
    table : DataFrame
        As `keras_applications` returns it.
    size_mb : float
        Upper bound of the weights file, MB, exclusive.

    Returns
    -------
    DataFrame
        By falling top-5 accuracy; an application without one comes last and is not dropped.

    Examples
    --------
    >>> best_below(keras_applications(), 100)["model"].tolist()
    ['EfficientNetV2S', 'EfficientNetB4', ...]
    """
    small = table[table["size_mb"] < size_mb]
    return small.sort_values("top5", ascending=False, kind="stable", na_position="last").head(10)


def rows(table: pd.DataFrame, models: Sequence[str]) -> pd.DataFrame:
    """Return the rows of certain models, in their order, those without a row included.

    Parameters
    ----------
    table : DataFrame
        As `keras_applications` returns it.
    models : sequence of str

    Returns
    -------
    DataFrame
        One row per model; NaN throughout where Keras has no row.

    Examples
    --------
    >>> rows(keras_applications(), ["MobileNetV3Small", "VGG16"])["size_mb"].tolist()
    [nan, 528.0]
    """
    return table.set_index("model").reindex(list(models)).reset_index()


def tiny_nets(*, every_tag: bool = False) -> pd.DataFrame:
    """Return what the cards of the project's own nets say.

    Parameters
    ----------
    every_tag : bool
        Also those kept for comparison, which have another tag than ``tiny``.

    Returns
    -------
    DataFrame
        One row per net of ``data/models``: `model`, `folder` there, `mode`, `size` (input side,
        pixels), `parameters` (millions), `epochs`, `n` (validation images), `hits1`, `hits5`, and
        the same images upright and upside down: `n_turned`, `hits1_upright`, `hits1_upside_down`.

    Examples
    --------
    >>> "keras/MobileNetV2@tiny" in set(tiny_nets()["model"])
    True
    """
    import json

    nets = []
    for path in sorted((profile.data() / "models").glob("*/net.json")):
        net = json.loads(path.read_text(encoding="utf-8"))
        net = {"framework": "keras", "tag": "tiny"} | net
        net["model"] = f"{net['framework']}/{net['application']}@{net['tag']}"
        net["parameters"] /= 1e6
        net["folder"] = path.parent.name
        if every_tag or net["tag"] == "tiny":
            nets.append(net)
    columns = ["model", "folder", "mode", "size", "parameters", "epochs", "n", "hits1", "hits5"]
    return pd.DataFrame(nets)[[*columns, "n_turned", "hits1_upright", "hits1_upside_down"]]


def refresh() -> pd.DataFrame:
    """Read the table from Keras' page, `PAGE`, anew. Nothing is written.

    Returns
    -------
    DataFrame
        As `keras_applications` returns it.

    Raises
    ------
    MeznetError
        If the network is off limits, the page can't be read, or it has no such table.
    """
    import requests

    end = "The table in data/published stays as it is."
    if profile.offline():
        raise MeznetError(f"MEZNET_OFFLINE is on, so {PAGE} was not read. {end}")
    try:
        reply = requests.get(PAGE, timeout=20)
        reply.raise_for_status()
        for table in pd.read_html(io.StringIO(reply.text), flavor="lxml"):
            if len(table.columns) == len(COLUMNS) and table.columns[0] == "Model":
                return _numbers(table.astype(str).set_axis(list(COLUMNS), axis=1))
    except (requests.RequestException, ValueError, SyntaxError) as error:  # lxml's: no text
        reason = type(error).__name__
        raise MeznetError(f"{PAGE} gave no table ({reason}). {end}") from error
    raise MeznetError(f"{PAGE} has no table of {len(COLUMNS)} columns any more. {end}")


def _numbers(table: pd.DataFrame) -> pd.DataFrame:
    """Turn ``"79.0%"``, ``"22.9M"`` and ``"-"`` into 0.79, 22.9 and NaN."""
    table = table.copy()
    for column in COLUMNS[1:]:
        text = table[column].str.strip().replace("-", None)
        values = pd.to_numeric(text.str.rstrip("%M"))
        table[column] = (values / 100).round(4) if column in ("top1", "top5") else values
    return table
