"""Nets of the registry by ONNX Runtime: exported once, then labeled with without their framework.

Exported files differ from machine to machine. So they are called by what they are made of, and
nothing else depends on them: the weights, and the net that these were put into.
"""

import contextlib
import functools
import hashlib
import io
import json
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from meznet_helpers import stored
from meznet_helpers.assets import package_photographs, store
from meznet_helpers.errors import MeznetError, reason
from meznet_helpers.files import aside
from meznet_helpers.images import read_many

if TYPE_CHECKING:
    from meznet_helpers.labelers.network import BackboneLabeler

TOLERANCE = 1e-4  # of probabilities, against the framework's own
_FORM = 1  # of the exported files; another number exports anew


class NotExportable(MeznetError):
    """A net that ONNX can't hold; it is used in its framework."""


def place(labeler: "BackboneLabeler") -> Path:
    """Return where a net's exported file lies or would lie, in the store.

    Parameters
    ----------
    labeler : BackboneLabeler

    Returns
    -------
    Path
        Called by a sha256 of the weights, the net and the precision.

    Raises
    ------
    MeznetError
        If the weights are not there.
    """
    net = labeler.backbone
    made_of = [_FORM, labeler.weights_digest(), net.size, net.options]
    if not net.asset:  # the published Lites are one net in two frameworks
        made_of += [net.framework, net.application]
    digest = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
    return store.cache() / "onnx" / f"{digest[:32]}{'-int8' if net.tag == 'int8' else ''}.onnx"


def session(labeler: "BackboneLabeler") -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Load a net into ONNX Runtime; export it first where that was not done yet.

    Parameters
    ----------
    labeler : BackboneLabeler

    Returns
    -------
    callable
        From input (images, size, size, 3) float32, as `Backbone.prepare` makes it, to
        probabilities (images, labels) and features (images, d), float32.

    Raises
    ------
    NotExportable
        If the net can't be exported, or the store can't be written.
    MeznetError
        If its weights are not there.
    """
    path = export(labeler)
    try:
        return _loaded(path)
    except Exception as error:  # ONNX Runtime's own errors have no common base
        raise NotExportable(f"{path} can't be loaded ({reason(error)}).") from error


def _loaded(path: Path) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Load an exported file.

    One image is worked on by all cores together, and of several each core takes one after another:
    that is quickest for both, and memory does not grow with the batch.
    """
    cores = int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
    together = _net(path, cores)
    alone = functools.cache(lambda: together if cores == 1 else _net(path, 1))
    pool = functools.cache(lambda: ThreadPoolExecutor(cores))

    def run(batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if len(batch) == 1:
            return tuple(together(batch))
        parts = pool().map(alone(), batch[:, None])
        return tuple(np.concatenate(part) for part in zip(*parts, strict=True))

    return run


def _net(path: Path, threads: int) -> Callable[[np.ndarray], list[np.ndarray]]:
    """Load an exported file to be run by this many threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # threads that wait by spinning would take the cores from those that decode
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    net = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda batch: net.run(["probabilities", "features"], {"pixels": batch})


def export(labeler: "BackboneLabeler") -> Path:
    """Export a net, unless that was done before.

    It is loaded in a process of its own, which may import its framework; 8 bits are made of the
    exported 32.

    Parameters
    ----------
    labeler : BackboneLabeler

    Returns
    -------
    Path
        As `place` returns it; the file is there.

    Raises
    ------
    NotExportable
        If the net can't be exported, or the store can't be written.
    MeznetError
        If its weights are not there.
    """
    from filelock import FileLock

    from meznet_helpers.labelers.worker import Worker

    path = place(labeler)
    if _whole(path):
        return path
    labeler.weights_file()  # says what is missing before anything is made
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            why_not = ""
            if _whole(path):
                return path
            if labeler.backbone.tag == "int8":
                quantize(labeler, export(labeler.in_float32()), path)
            else:
                worker = Worker(labeler, KERAS_BACKEND="torch")
                try:
                    why_not = str(worker.call("_export", path=str(path)))
                finally:
                    worker.end()
    except OSError as error:
        why_not = f"{path.parent} can't be written, {reason(error)}"
    if why_not:
        raise NotExportable(f"{labeler.name} can't be exported to ONNX ({why_not}).")
    with aside(_digest_of(path)) as part:
        part.write_text(stored.digest(path), encoding="utf-8")
    return path


def _whole(path: Path) -> bool:
    """Say whether an exported file is there, and as it was written."""
    with contextlib.suppress(OSError, UnicodeError):
        return _digest_of(path).read_text(encoding="utf-8") == stored.digest(path)
    return False


def _digest_of(path: Path) -> Path:
    """Return the file that holds an exported file's sha256."""
    return path.with_suffix(".sha256")


def write(model: Any, size: int, path: Path) -> np.ndarray:
    """Export a net of torch, and compare what ONNX Runtime computes with it.

    Parameters
    ----------
    model : torch.nn.Module
        From input (images, size, size, 3) to probabilities and features.
    size : int
        Side of the pictures, pixels.
    path : Path

    Returns
    -------
    ndarray of str, shape ()
        Why it can't be exported; empty if it was.
    """
    import torch

    given = torch.rand(2, size, size, 3, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = model(given)[0].numpy()
    try:
        with aside(path) as part:
            from_torch(model, given, part, ["probabilities", "features"])
            found = _loaded(part)(given.numpy())[0]
            if not np.allclose(found, expected, atol=TOLERANCE):
                raise NotExportable("ONNX Runtime computes other probabilities")
    except Exception as error:  # of the exporter, each of its own kind
        return np.array(reason(error))
    return np.array("")


def from_torch(model: Any, example: Any, path: Path, outputs: list[str]) -> None:
    """Write a net of torch as one ONNX file, for any number of images.

    Parameters
    ----------
    model : torch.nn.Module
    example : torch.Tensor, shape (2, ...)
        Its input, which the file calls ``pixels``.
    path : Path
    outputs : list of str
        What the file calls its outputs.
    """
    import torch

    with _quiet():
        torch.onnx.export(
            model,
            (example,),
            str(path),
            input_names=["pixels"],
            output_names=outputs,
            dynamic_shapes=({0: torch.export.Dim("images")},),
            external_data=False,
            dynamo=True,
            verbose=False,
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what the exporter says while it works."""
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def quantize(labeler: "BackboneLabeler", whole: Path, path: Path) -> None:
    """Write a net that computes in 8 bits.

    Static quantization with pairs of quantizing and dequantizing nodes, one scale for each output
    of a kernel (Jacob et al., 2018, arXiv:1712.05877), by ONNX Runtime. The ranges of what flows
    through the net come from photographs of installed packages and from drawn animals. The
    classifier at the end stays in 32 bits.

    Parameters
    ----------
    labeler : BackboneLabeler
        For its preprocessing.
    whole : Path
        The net in 32 bits.
    path : Path
    """
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Pictures(CalibrationDataReader):
        """Pictures, one by one."""

        def __init__(self) -> None:
            """Prepare none yet."""
            self.rest = iter(calibration_images())

        def get_next(self) -> dict[str, np.ndarray] | None:
            """Return the next one."""
            image = next(self.rest, None)
            return None if image is None else {"pixels": labeler.backbone.prepare([image])}

    with aside(path) as part, _quiet():
        quantize_static(
            str(whole),
            str(part),
            Pictures(),
            op_types_to_quantize=["Conv", "Clip", "Add"],  # the classifier stays as it is
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )


def calibration_images() -> list[np.ndarray]:
    """Return the pictures on which 8 bits are calibrated.

    Returns
    -------
    list of ndarray, each (height, width, 3), uint8
        Photographs of installed packages, then drawn animals.

    Examples
    --------
    >>> len(calibration_images()) > 90
    True
    """
    from meznet_helpers import emojizoo

    photographs = read_many(package_photographs(more=True).values()).arrays
    return [*photographs, *emojizoo.animals(each=1, size=256).images]
