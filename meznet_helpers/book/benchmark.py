"""Ten nets fine-tuned on one task with one recipe, each in a process of its own.

The nets are those of a document whose own table lies in ``data/published/fine-tuned.csv``. The task
is Emoji Zoo's 90 animals, half of the pictures to learn from and half to judge by.
"""

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from meznet_helpers.assets import profile
from meznet_helpers.errors import MeznetError
from meznet_helpers.finetune import Recipe, nets

if TYPE_CHECKING:
    import pandas as pd

NETS = {
    "MobileNetV3Small": "keras/MobileNetV3Small",
    "MobileNetV3Large": "keras/MobileNetV3Large",
    "MobileNetV2": "keras/MobileNetV2",
    "EfficientNetV2B0": "keras/EfficientNetV2B0",
    "EfficientNetV2S": "keras/EfficientNetV2S",
    "Xception": "keras/Xception",
    "InceptionV3": "keras/InceptionV3",
    "NASNetMobile": "keras/NASNetMobile",
    "ViT": "timm/vit_tiny_patch16_224",
    # Without its distillation token, a DeiT is a ViT, and both would start as the same random net.
    "DeiT": "timm/deit_tiny_distilled_patch16_224",
}
RECIPE = Recipe(rate=2e-3)
EACH = 60  # images of each animal
_LEAST = {"Xception": 71, "InceptionV3": 75}  # pixels; 32 for the others
_PATCH = 16  # the side of ViT's and DeiT's patches


class Results(NamedTuple):
    """What `run` has written.

    Attributes
    ----------
    table : DataFrame
        One row for each net: see `run`.
    history : DataFrame
        One row for each net and epoch: `model`, then what `meznet_helpers.finetune.fit` returns.
    predictions : DataFrame
        One row for each net and validation image: `model`, `image`, `truth`, the most probable
        `label` (both by id) and its probability, `score`.
    """

    table: "pd.DataFrame"
    history: "pd.DataFrame"
    predictions: "pd.DataFrame"


def folder() -> Path:
    """Return where the results of the repository lie."""
    return profile.data() / "results" / "benchmark"


def run(
    models: Sequence[str] = (),
    out: str | Path | None = None,
    *,
    epochs: int = RECIPE.epochs,
    size: int = RECIPE.size,
    seed: int = 0,
    each: int = EACH,
) -> "pd.DataFrame":
    """Fine-tune nets that are not fine-tuned yet, and write what came of it after each.

    Parameters
    ----------
    models : sequence of str, optional
        Keys of `NETS`; all by default.
    out : str or Path, optional
        Folder of the results, `folder` by default: ``benchmark.csv``, ``history.csv`` and
        ``predictions.csv.gz``, as `results` reads them. A net that stands in them is not trained
        again. One that was broken off goes on from its checkpoint there.
    epochs, size, seed : int
        Of the training: how long, on images of how many pixels a side, from which random numbers.
    each : int
        Images of each animal, half of them for training.

    Returns
    -------
    DataFrame
        One row for each of `models`: `model`; `framework`; `weights` that it started from; `size`,
        input side in pixels; `n_train`; `n`, validation images; `loss`, mean cross entropy on
        them; `hits`, `accuracy`, `low`, `high` (95 % Wilson interval); `parameters` in millions,
        running statistics included; `size_mb`, MB of the weights file at 16 bits; `train_s` and
        `train_ms`, seconds in all and milliseconds for each step of `batch` images; `predict_s`
        and `predict_ms`, the same for the validation images; `batch`; `epochs`; `best`, the epoch
        that was kept; `seed`; `machine`; `versions`.

    Raises
    ------
    MeznetError
        If a net is none of these or can't take the size, the folder holds results of other
        settings, or a training fails.

    Notes
    -----
    The epoch with the highest validation accuracy is kept, so the validation images have chosen a
    little. Where `best` is the last epoch, they have not.
    """
    out = folder() if out is None else Path(out)
    models = list(dict.fromkeys(models)) or list(NETS)
    dataclasses.replace(RECIPE, epochs=epochs, size=size)  # refuses what is out of range
    for model in models:
        if model not in NETS:
            raise MeznetError(f'"{model}" is none of the ten nets: {", ".join(NETS)}.')
        _fits(model, size)
    done = results(out).table if (out / "benchmark.csv").exists() else None
    for row in () if done is None else done.to_dict("records"):
        row["images"] = row["n_train"] + row["n"]
        wanted = {"weights": nets.weights_for(NETS[row["model"]]), "images": 90 * each}
        for key, value in (wanted | {"size": size, "epochs": epochs, "seed": seed}).items():
            if row[key] != value:
                raise MeznetError(
                    f"{out / 'benchmark.csv'} holds {row['model']} with {key} {row[key]} and not "
                    f"{value}; name another folder."
                )
    finished = set() if done is None else set(done["model"])
    for model in models:
        if model not in finished:
            spec = {"model": model, "out": str(out), "epochs": epochs, "size": size}
            _add(out, _in_a_process(spec | {"seed": seed, "each": each}))
    return results(out).table.set_index("model", drop=False).loc[models].reset_index(drop=True)


def results(out: str | Path | None = None) -> Results:
    """Read what `run` has written.

    Parameters
    ----------
    out : str or Path, optional
        Folder of the results, `folder` by default.

    Returns
    -------
    Results
        Nets in the order of `NETS`.

    Raises
    ------
    MeznetError
        If a file is missing.
    """
    import pandas as pd

    out = folder() if out is None else Path(out)
    try:
        return Results(*(pd.read_csv(out / name, encoding="utf-8") for name in _FILES))
    except FileNotFoundError as error:
        raise MeznetError(f"{error.filename} is not there; meznet benchmark makes it.") from error


_FILES = ("benchmark.csv", "history.csv", "predictions.csv.gz")


def confusions(predictions: "pd.DataFrame") -> "dict[str, pd.DataFrame]":
    """Count how often each net gives each label for each right one.

    Parameters
    ----------
    predictions : DataFrame
        Of `Results`.

    Returns
    -------
    dict of str to DataFrame of int
        Model -> right labels by given labels, both in the order of the validation images.

    Examples
    --------
    >>> import pandas as pd
    >>> two = pd.DataFrame({"model": "net", "truth": ["ox", "cow"], "label": ["cow", "cow"]})
    >>> confusions(two)["net"].values.tolist()
    [[0, 1], [0, 1]]
    """
    import pandas as pd
    from sklearn.metrics import confusion_matrix

    labels = list(dict.fromkeys(predictions["truth"]))
    return {
        model: pd.DataFrame(
            confusion_matrix(part["truth"], part["label"], labels=labels),
            pd.Index(labels, name="truth"),
            pd.Index(labels, name="label"),
        )
        for model, part in predictions.groupby("model", sort=False)
    }


def published() -> "pd.DataFrame":
    """Return the document's own table.

    Returns
    -------
    DataFrame
        One row for each net: `model`, `loss`, `accuracy`, `size_mb`, `train_s`, `train_ms`,
        `predict_s`, `predict_ms`, as `run` has them. Its task, machine, input size and precision
        were others; ``data/published/README.md`` says what is known.

    Examples
    --------
    >>> published().set_index("model")["accuracy"].idxmax()
    'MobileNetV3Large'
    """
    import pandas as pd

    return pd.read_csv(profile.data() / "published" / "fine-tuned.csv", encoding="utf-8")


def _fits(model: str, size: int) -> None:
    """Refuse a size that a net can't take, before another is trained for an hour."""
    least = _LEAST.get(model, 32)
    if size < least:
        raise MeznetError(f"{model} takes images of {least} pixels or more, not {size}.")
    if "patch" in NETS[model] and size % _PATCH:
        raise MeznetError(f"{model} takes images of a multiple of {_PATCH} pixels, not {size}.")


def _in_a_process(spec: dict[str, Any]) -> dict[str, Any]:
    """Train one net in a process that ends when this one does."""
    with subprocess.Popen(
        [sys.executable, "-P", "-m", f"{__name__}_worker", json.dumps(spec)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl+C is for this process, which then ends the other
        env=os.environ | {"KERAS_BACKEND": "torch"},
        encoding="utf-8",
    ) as process:
        try:
            said = process.stdout.read()
        except BaseException:
            process.kill()
            raise
    answer = json.loads(said) if said else {}
    if "row" not in answer:
        why = answer.get("error", f"its process ended with status {process.returncode}")
        raise MeznetError(f"{spec['model']} was not fine-tuned: {why.rstrip('.')}.")
    return answer


def _add(out: Path, answer: dict[str, Any]) -> None:
    """Put one net's results into the files, the table last: it says which nets are finished."""
    import pandas as pd

    model, order = answer["row"]["model"], list(NETS)
    for name, key in zip(reversed(_FILES), ("predictions", "history", "row"), strict=True):
        new = pd.DataFrame([answer[key]] if key == "row" else answer[key])
        new.insert(0, "model", new.pop("model") if key == "row" else model)
        if (out / name).exists():
            old = pd.read_csv(out / name, encoding="utf-8")
            new = pd.concat([old[old["model"] != model], new])
        new = new.sort_values("model", key=lambda names: names.map(order.index), kind="stable")
        aside = out / f"{name}.part"
        packed = {"method": "gzip", "mtime": 0} if name.endswith(".gz") else None
        new.to_csv(aside, index=False, compression=packed, float_format="%.6g")
        aside.replace(out / name)
    (out / f"{model}.safetensors").unlink(missing_ok=True)
