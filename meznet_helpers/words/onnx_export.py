"""CLIP labelers as ONNX, so that they run where torch is not: checked against torch, and timed."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from meznet_helpers.errors import MeznetError
from meznet_helpers.files import aside
from meznet_helpers.labelers.onnx import from_torch

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

    checkpoint = net.checkpoint
    example = torch.zeros(2, 3, checkpoint.size, checkpoint.size, device=_device(model))
    with aside(path) as part:
        from_torch(model, example, part, ["logits"])
        whole = onnx.load(part)
        onnx.helper.set_model_props(
            whole,
            {
                "labels": json.dumps(net.labels.ids),
                "size": str(checkpoint.size),
                "mean": json.dumps(list(checkpoint.processor.image_mean)),
                "deviation": json.dumps(list(checkpoint.processor.image_std)),
            },
        )
        onnx.save(whole, part)
        agreement = compare(net, part)
        if agreement["relative"] > TOLERANCE:
            raise MeznetError(
                f"{path} was not written: ONNX Runtime differs from torch by "
                f"{agreement['relative']:.1e} of the largest logit."
            )
    return {"file": str(path), "bytes": path.stat().st_size, **agreement}


def compare(net: "ClipLabeler", path: Path) -> dict[str, Any]:
    """Run torch and ONNX Runtime on the same images, drawings of Emoji Zoo.

    Parameters
    ----------
    net : ClipLabeler
    path : Path
        As `export` writes it.

    Returns
    -------
    dict
        `images`, `difference`, `relative` and `ratio`; see `export`.
    """
    model = net.model
    import onnxruntime
    import torch

    from meznet_helpers import emojizoo

    images = emojizoo.animal_or_not().images.arrays[:: 734 // IMAGES][:IMAGES]
    batch = np.stack([net.checkpoint.prepare(image) for image in images])
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    with torch.inference_mode():
        tensor = torch.from_numpy(batch).to(_device(model))
        wanted = model(tensor).cpu().numpy()
        (logits,) = session.run(["logits"], {"pixels": batch})
        times = {"torch": [], "onnx": []}
        for place in REPEATS * [*range(0, len(batch), 5)]:
            start = time.perf_counter()
            model(tensor[place : place + 1]).cpu()
            middle = time.perf_counter()
            session.run(["logits"], {"pixels": batch[place : place + 1]})
            times["torch"].append(middle - start)
            times["onnx"].append(time.perf_counter() - middle)
    difference = float(np.abs(wanted - logits).max())
    return {
        "images": len(batch),
        "difference": difference,
        "relative": difference / float(np.abs(wanted).max()),
        "ratio": float(np.median(times["torch"]) / np.median(times["onnx"])),
    }


def _device(model: Any) -> Any:
    return next(model.parameters()).device
