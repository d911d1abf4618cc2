"""CLIP labelers as ONNX, so that they run where torch is not: checked against torch, and timed."""

import contextlib
import json
import logging
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from meznet_helpers.errors import MeznetError

if TYPE_CHECKING:
    from meznet_helpers.words.clip import ClipLabeler

IMAGES = 100  # that both are compared on
TOLERANCE = 1e-4  # of logits, relative to the largest
REPEATS = 5


def export(net: "ClipLabeler", path: Path) -> dict[str, Any]:
    """Write a labeler as one ONNX file, and compare it with torch.

    Parameters
    ----------
    net : ClipLabeler
        Zero-shot or tuned; words have become weights of the classifier.
    path : Path
        Its input is called ``pixels``: float32 (images, 3, size, size), as
        ``net.checkpoint.prepare`` makes them. Its output is ``logits``, float32 (images, labels).
        The ids of the labels and the preparation are among its metadata.

    Returns
    -------
    dict
        `file`; `bytes`; `images` compared; `difference`, the largest one of a logit; `relative` to
        the largest logit; `ratio`: the time torch takes for one image by the time that ONNX Runtime
        takes, each the median over the images.

    Raises
    ------
    MeznetError
        If the file can't be written, or what it computes differs from torch by more than 0.0001 of
        the largest logit. No file is left then.
    """
    model = net.model
    import onnx
    import torch

    aside = path.with_name(f"{path.name}.part")
    example = torch.zeros(2, 3, net.checkpoint.size, net.checkpoint.size, device=_device(model))
    try:
        with _quiet():
            torch.onnx.export(
                model,
                (example,),
                str(aside),
                input_names=["pixels"],
                output_names=["logits"],
                dynamic_shapes=({0: torch.export.Dim("images")},),
                external_data=False,
                dynamo=True,
                verbose=False,
            )
        whole = onnx.load(aside)
        about = net.checkpoint.processor
        onnx.helper.set_model_props(
            whole,
            {
                "labels": json.dumps(net.labels.ids),
                "size": str(net.checkpoint.size),
                "mean": json.dumps(list(about.image_mean)),
                "deviation": json.dumps(list(about.image_std)),
            },
        )
        onnx.save(whole, aside)
        found = compare(net, aside)
        if found["relative"] > TOLERANCE:
            raise MeznetError(
                f"{path} was not written: ONNX Runtime differs from torch by "
                f"{found['relative']:.1e} of the largest logit."
            )
        aside.replace(path)
    except OSError as error:
        raise MeznetError(f"{path} can't be written ({error.strerror}).") from error
    finally:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
    return {"file": str(path), "bytes": path.stat().st_size, **found}


def compare(net: "ClipLabeler", path: Path, *, seed: int = 0) -> dict[str, Any]:
    """Run torch and ONNX Runtime on the same images.

    Parameters
    ----------
    net : ClipLabeler
    path : Path
        As `export` writes it.
    seed : int
        Of the pictures, drawings of Emoji Zoo.

    Returns
    -------
    dict
        `images`, `difference`, `relative` and `ratio`; see `export`.
    """
    model = net.model
    import onnxruntime
    import torch

    from meznet_helpers import emojizoo

    images = emojizoo.animal_or_not(seed=seed).images.arrays[:: 734 // IMAGES][:IMAGES]
    batch = np.stack([net.checkpoint.prepare(image) for image in images])
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    with torch.inference_mode():
        tensor = torch.from_numpy(batch).to(_device(model))
        wanted = model(tensor).cpu().numpy()
        (found,) = session.run(["logits"], {"pixels": batch})
        times = {"torch": [], "onnx": []}
        for at in [at for _ in range(REPEATS) for at in range(0, len(batch), 5)]:
            start = time.perf_counter()
            model(tensor[at : at + 1]).cpu()
            middle = time.perf_counter()
            session.run(["logits"], {"pixels": batch[at : at + 1]})
            times["torch"].append(middle - start)
            times["onnx"].append(time.perf_counter() - middle)
    difference = float(np.abs(wanted - found).max())
    return {
        "images": len(batch),
        "difference": difference,
        "relative": difference / float(np.abs(wanted).max()),
        "ratio": float(np.median(times["torch"]) / np.median(times["onnx"])),
    }


def _device(model: Any) -> Any:
    return next(model.parameters()).device


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's remarks away."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(None):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
