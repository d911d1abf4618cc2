"""Ten nets fine-tuned on one task with one recipe, each in a process of its own.

The nets are those of a document whose own table lies in ``data/published/fine-tuned.csv``. The task
is Emoji Zoo's 90 animals, half of the pictures to learn from and half to judge by.
"""

import dataclasses
import gzip
import hashlib
import io
import json
import os
import platform
import random
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from meznet_helpers import emojizoo, stored
from meznet_helpers.assets import profile, store
from meznet_helpers.errors import MeznetError, did_you_mean, reason
from meznet_helpers.files import aside
from meznet_helpers.finetune import Recipe, fit, nets, predict
from meznet_helpers.labelers import Served
from meznet_helpers.labelers.worker import Worker
from meznet_helpers.measure import proportion

#: Name -> net, and behind the @ the weights that it starts from.
NETS = {
    "MobileNetV3Small": "keras/MobileNetV3Small@tiny",
    "MobileNetV3Large": "keras/MobileNetV3Large@tiny",
    "MobileNetV2": "keras/MobileNetV2@tiny",
    "EfficientNetV2B0": "keras/EfficientNetV2B0@tiny",
    "EfficientNetV2S": "keras/EfficientNetV2S@random",
    "Xception": "keras/Xception@random",
    "InceptionV3": "keras/InceptionV3@random",
    "NASNetMobile": "keras/NASNetMobile@random",
    "ViT": "timm/vit_tiny_patch16_224@random",
    # Without its distillation token, a DeiT is a ViT, and both would start as the same random net.
    "DeiT": "timm/deit_tiny_distilled_patch16_224@random",
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

    table: pd.DataFrame
    history: pd.DataFrame
    predictions: pd.DataFrame


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
) -> pd.DataFrame:
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

    Returns
    -------
    DataFrame
        One row for each of `models`: `model`; `framework`; `weights` that it started from; `size`,
        input side in pixels; `n_train`; `n`, validation images; `loss`, mean cross entropy on
        them; `hits`, `accuracy`, `low`, `high` (95 % Wilson interval); `parameters` in millions,
        running statistics included; `size_mb`, MB of the weights file at 16 bits; `train_s` and
        `train_ms`, seconds in all and milliseconds for each step of `batch` images; `predict_s`
        and `predict_ms`, the same for the validation images; `batch`; `epochs`; `best`, the epoch
        that was kept; `seed`; `machine`; `versions`; `made_of`, a sha256 of recipe, seed, pictures
        and the weights that it started from.

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
            every = f": {', '.join(NETS)}."
            raise MeznetError(
                f'"{model}" is none of the ten nets' + did_you_mean(model, NETS, every)
            )
        _fits(model, size)
    done = results(out).table.to_dict("records") if (out / "benchmark.csv").exists() else []
    for row in done:
        row["images"] = row["n_train"] + row["n"]
        wanted = {"weights": _weights(row["model"]), "images": 90 * EACH}
        wanted |= {"size": size, "epochs": epochs, "seed": seed}
        wanted["made_of"] = _Training(row["model"], str(out), epochs, size, seed, EACH).made_of()
        for key, value in wanted.items():
            if row.get(key, value) != value and pd.notna(row[key]):  # old results don't say it
                raise MeznetError(
                    f"{out / 'benchmark.csv'} holds {row['model']} with {key} {row[key]} and not "
                    f"{value}; name another folder."
                )
    for model in models:
        if all(row["model"] != model for row in done):
            training = _Training(model, str(out), epochs, size, seed, EACH)
            _add(out, model, _in_a_process(training))
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
        If a file is missing, is no such table, or has rows that were damaged.
    """
    out = folder() if out is None else Path(out)
    for name in _FILES:
        if not (out / name).is_file():
            raise MeznetError(f"{out / name} is not there; meznet benchmark makes it.")
    with stored.telling(f"{out} holds no whole results of meznet benchmark"):
        tables = [_rows(out / name) for name in _FILES]
        for model, stated in zip(tables[0]["model"], tables[0].get("sha256", ""), strict=False):
            if stated and stated != _digest(model, tables):
                raise ValueError(f"rows of {model} were damaged or changed after they were written")
        texts = [table.drop(columns="sha256", errors="ignore").to_csv() for table in tables]
        return Results(*(pd.read_csv(io.StringIO(text), index_col=0) for text in texts))


def _rows(table: Path | io.StringIO) -> pd.DataFrame:
    """Read a table as it is written, each cell a text."""
    return pd.read_csv(table, dtype=str, keep_default_na=False, encoding="utf-8")


def _digest(model: str, tables: list[pd.DataFrame]) -> str:
    """Return the sha256 of a net's rows in all tables, which stands in the first."""
    digest = hashlib.sha256()
    for table in tables:
        rows = table[table["model"] == model].drop(columns="sha256", errors="ignore")
        digest.update(rows.to_csv(index=False).encode())
    return digest.hexdigest()


_PICTURES = ("emojizoo/artwork.zip", "emojizoo/emoji.csv", "emojizoo/styles.csv")
_FILES = ("benchmark.csv", "history.csv", "predictions.csv.gz")


def confusions(predictions: pd.DataFrame) -> dict[str, pd.DataFrame]:
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
    labels = list(dict.fromkeys(predictions["truth"]))
    return {
        model: pd.crosstab(part["truth"], part["label"]).reindex(
            labels, columns=labels, fill_value=0
        )
        for model, part in predictions.groupby("model", sort=False)
    }


def published() -> pd.DataFrame:
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
    return pd.read_csv(profile.data() / "published" / "fine-tuned.csv", encoding="utf-8")


def _fits(model: str, size: int) -> None:
    """Refuse a size that a net can't take, before another is trained for an hour."""
    least = _LEAST.get(model, 32)
    if size < least:
        raise MeznetError(f"{model} takes images of {least} pixels or more, not {size}.")
    if "patch" in NETS[model] and size % _PATCH:
        raise MeznetError(f"{model} takes images of a multiple of {_PATCH} pixels, not {size}.")


@dataclasses.dataclass
class _Training(Served):
    """The training of one net, which a process of its own makes of this and runs."""

    name: str
    out: str
    epochs: int
    size: int
    seed: int
    each: int

    def recipe(self) -> dict[str, Any]:
        """Return the fields."""
        return dataclasses.asdict(self)

    def made_of(self) -> str:
        """Return the sha256 of all that the results follow from."""
        recipe = dataclasses.asdict(RECIPE) | {"epochs": self.epochs, "size": self.size}
        used = (NETS[self.name], *_PICTURES)
        hashes = {name: asset.hash for name, asset in store.manifest().items() if name in used}
        made_of = json.dumps([self.name, hashes, recipe, self.seed, self.each], sort_keys=True)
        return hashlib.sha256(made_of.encode()).hexdigest()

    def train(self) -> np.ndarray:
        """Fine-tune the net, or go on with it; return its part of `_FILES` as JSON."""
        import torch
        from safetensors.torch import save

        os.environ["KERAS_BACKEND"] = "torch"  # before Keras is imported
        name, seed = NETS[self.name], self.seed
        recipe = dataclasses.replace(RECIPE, epochs=self.epochs, size=self.size)
        zoo = emojizoo.animals(each=self.each, size=recipe.size, seed=seed)
        train, valid = zoo.by_picture(seed=seed)
        random.seed(seed)  # of Keras' initializers
        torch.manual_seed(seed)
        net = nets.build(name, len(zoo.labels), recipe.size)
        path = _checkpoint(self.out, self.name)
        keeping = {"checkpoint": path, "source": self.made_of()}
        history = fit(net, train, valid, recipe, seed=seed, progress=True, **keeping)
        start = time.perf_counter()
        probs = predict(net, valid.images, recipe, progress=True)
        seconds = time.perf_counter() - start
        first, ids = probs.argmax(1), zoo.labels.ids
        hits = int((first == valid.truth).sum())
        best = history[history["best"]].iloc[0]
        steps = recipe.epochs * (len(train) // recipe.batch)
        tensors = net.state_dict().items()
        floats = {key: tensor for key, tensor in tensors if tensor.is_floating_point()}
        halves = {key: tensor.half().contiguous() for key, tensor in floats.items()}
        row = {
            "framework": name.partition("/")[0],
            "weights": _weights(self.name),
            "size": recipe.size,
            "n_train": len(train),
            "loss": float(best["valid_loss"]),
            **proportion(hits, len(valid)),
            "parameters": sum(tensor.numel() for tensor in floats.values()) / 1e6,
            "size_mb": len(save(halves)) / 1e6,
            "train_s": float(history["seconds"].sum()),
            "train_ms": 1000 * float(history["seconds"].sum()) / steps,
            "predict_s": seconds,
            "predict_ms": 1000 * seconds / -(-len(valid) // recipe.batch),
            "batch": recipe.batch,
            "epochs": recipe.epochs,
            "best": int(best["epoch"]),
            "seed": seed,
            "machine": _machine(),
            "versions": ", ".join(f"{name} {version(name)}" for name in ("torch", "keras", "timm")),
            "made_of": self.made_of(),
        }
        predictions = {
            "image": list(valid.images.names),
            "truth": [ids[label] for label in valid.truth],
            "label": [ids[label] for label in first],
            "score": [round(float(score), 4) for score in probs.max(1)],
        }
        return np.array(json.dumps([[row], history.to_dict("list"), predictions]))


def _weights(model: str) -> str:
    """Say which weights a net starts from."""
    return "random" if NETS[model].endswith("@random") else NETS[model]


def _machine() -> str:
    """Say what the net was trained on."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{platform.system()} {platform.machine()}, {torch.get_num_threads()} threads"


def _in_a_process(training: _Training) -> list[Any]:
    """Train one net in a process that ends when this one does."""
    worker = Worker(training)
    try:
        return json.loads(str(worker.call("train")))
    except MeznetError as error:
        raise MeznetError(f"{training.name} was not fine-tuned: {reason(error)}.") from error
    finally:
        worker.end()


def _add(out: Path, model: str, tables: list[Any]) -> None:
    """Put one net's results into the files, the table last: it says which nets are finished."""
    order, parts = list(NETS), []
    for table in tables:
        part = pd.DataFrame(table)
        part.insert(0, "model", model)
        parts.append(_rows(io.StringIO(part.to_csv(index=False, float_format="%.6g"))))
    parts[0]["sha256"] = _digest(model, parts)
    for name, new in zip(reversed(_FILES), reversed(parts), strict=True):
        if (out / name).exists():
            old = _rows(out / name)
            new = pd.concat([old[old["model"] != model], new]).fillna("")
        new = new.sort_values("model", key=lambda names: names.map(order.index), kind="stable")
        text = new.to_csv(index=False).encode("utf-8")
        with aside(out / name) as part:
            part.write_bytes(gzip.compress(text, mtime=0) if name.endswith(".gz") else text)
    _checkpoint(out, model).unlink(missing_ok=True)


def _checkpoint(out: str | Path, model: str) -> Path:
    """Return the file that keeps a training that is not finished."""
    return Path(out, f"{model}.safetensors")
