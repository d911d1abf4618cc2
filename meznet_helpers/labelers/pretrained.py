"""What all checkpoints of transformers share: found, loaded whole, and complained of briefly."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from meznet_helpers.assets import profile, store
from meznet_helpers.errors import MeznetError, reason
from meznet_helpers.labelers.backbones import bounded
from meznet_helpers.labelers.base import choices
from meznet_helpers.labelers.torch import TorchLabeler
from meznet_helpers.labels import LabelSpace, imagenet, tiny_imagenet


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A model in evaluation mode, and what must not be separated from it.

    Attributes
    ----------
    name : str
        As it was asked for.
    model : transformers.PreTrainedModel
    tokenizer, processor : of transformers
        What prepares texts and images for this model.
    """

    name: str
    model: Any
    tokenizer: Any
    processor: Any

    @classmethod
    def of(cls, kind: Any, source: Path | str, name: str) -> Self:
        """Load a model of a class of transformers, and what prepares its input; see `weights`."""
        from transformers import AutoImageProcessor, AutoTokenizer

        model, how = weights(kind, source, name), where(source)
        tokenizer = AutoTokenizer.from_pretrained(source, **how)
        processor = AutoImageProcessor.from_pretrained(source, backend="pil", **how)
        return cls(name, model, tokenizer, processor)

    def crop(self, image: np.ndarray) -> np.ndarray:
        """Bring an image to what the model sees of it.

        Parameters
        ----------
        image : ndarray, shape (height, width, 3), uint8

        Returns
        -------
        ndarray, shape (size, size, 3), uint8
        """
        square = self._processed(image, do_rescale=False, do_normalize=False)
        return square.transpose(1, 2, 0).astype(np.uint8)

    def prepare(self, image: np.ndarray) -> np.ndarray:
        """Turn an image into the model's input.

        Parameters
        ----------
        image : ndarray, shape (height, width, 3), uint8

        Returns
        -------
        ndarray, shape (3, size, size), float32
        """
        return self._processed(image).astype(np.float32)

    def _processed(self, image: np.ndarray, **settings: bool) -> np.ndarray:
        """Let the processor work on an image, which it takes for channels-first if it is thin."""
        size = self.processor.size
        cropped = bool(size.shortest_edge)
        image = bounded(image, size.shortest_edge or size.height, cropped=cropped)
        form = {"input_data_format": "channels_last", "return_tensors": "np"}
        return self.processor(image, **form, **settings)["pixel_values"][0]


class CheckpointLabeler(TorchLabeler):
    """A labeler that looks at images with a checkpoint.

    Attributes
    ----------
    source : str
        The checkpoint, as `load` takes it.
    bundled : dict of str to str
        What short names stand for, as `find` takes it.
    load : callable
        It keeps the last checkpoint in memory until its ``cache_clear()``.
    """

    source: str
    bundled: dict[str, str]
    load: Callable[[str], Checkpoint]

    @property
    def checkpoint(self) -> Checkpoint:
        """The loaded checkpoint."""
        return self.load(self.source)

    def here(self) -> bool:
        """Say whether the checkpoint is on this machine; see `NetworkLabeler.here`."""
        return here(find(self.source, self.bundled, "checkpoint"))

    def _preparation(self) -> Callable[[np.ndarray], np.ndarray]:
        """Return what the checkpoint's own processor does to an image."""
        return self.checkpoint.prepare

    def _seen(self, images: list[np.ndarray]) -> np.ndarray:
        """Return what the processor cuts out; see `NetworkLabeler.seen`."""
        return np.stack([self.checkpoint.crop(image) for image in images])

    def release(self) -> None:
        """Free the checkpoint, too; see `Labeler.release`."""
        super().release()
        self.load.cache_clear()


def labels_for(source: str, labels: LabelSpace | Sequence[str] | None) -> LabelSpace:
    """Return the labels to choose among; by default those that the checkpoint's photographs had.

    Examples
    --------
    >>> labels_for("tiny", None), labels_for("tiny", ["cat", "dog"]).ids
    (LabelSpace('tiny_imagenet', 200 labels), ('cat', 'dog'))
    """
    if labels is None:
        return tiny_imagenet() if source == "tiny" else imagenet()
    return choices(labels)


def find(name: str, bundled: dict[str, str], what: str) -> Path | str:
    """Say where a checkpoint lies: a folder, or a name of the hub.

    Parameters
    ----------
    name : str
        A short name, a folder, or a name of the hub such as ``"openai/clip-vit-base-patch32"``.
    bundled : dict of str to str
        What short names stand for: under ``"tiny"`` an asset of this repository, else names of the
        hub.
    what : str
        What kind of checkpoint it must be, for the sentence.

    Raises
    ------
    MeznetError
        If the name is that of a folder that is not there, or no name.

    Examples
    --------
    >>> find("./nowhere", {"tiny": "models/clip/model.safetensors"}, "CLIP checkpoint")
    Traceback (most recent call last):
    meznet_helpers.errors.MeznetError: "./nowhere" is no CLIP checkpoint: neither tiny, nor a \
folder, nor a name of the hub such as "owner/name".
    """
    source = bundled.get(name, name)
    if name == "tiny":
        return store.resolve(source).parent
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder
    if source.count("/") != 1 or source.startswith((".", "~", "/")):
        known = next((hub for hub in bundled.values() if hub.count("/") == 1), "owner/name")
        raise MeznetError(
            f'"{name}" is no {what}: neither {" nor ".join(bundled)}, nor a folder, '
            f'nor a name of the hub such as "{known}".'
        )
    return source


def here(source: Path | str, file: str = "*.safetensors") -> bool:
    """Say whether the weights, or another file, of what `find` returns are on this machine.

    Examples
    --------
    >>> here(Path("my-clip")), here("nobody/nothing")
    (True, False)
    """
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE, f"models--{str(source).replace('/', '--')}")
    return isinstance(source, Path) or any(folder.glob(f"snapshots/*/{file}"))


def where(source: Path | str) -> dict[str, bool]:
    """Return the arguments of each ``from_pretrained``: whom it may ask, and to run no code."""
    local = profile.offline() or (here(source) and here(source, "tokenizer*.json"))
    return {"local_files_only": local, "trust_remote_code": False}


def weights(kind: Any, source: Path | str, name: str) -> Any:
    """Load a model whose weights are all there and of the right shape.

    Parameters
    ----------
    kind : type
        A class of transformers with ``from_pretrained``.
    source : Path or str
        From `find`.
    name : str
        As it was asked for.

    Returns
    -------
    transformers.PreTrainedModel
        32-bit floats, in evaluation mode, on a CUDA device where there is one; nothing learns.

    Raises
    ------
    MeznetError
        If a weight is missing, of another shape or not finite, or there is one too many.
    """
    import torch

    model, report = kind.from_pretrained(
        source,
        dtype=torch.float32,
        use_safetensors=True,
        ignore_mismatched_sizes=True,  # they are reported
        output_loading_info=True,
        **where(source),
    )
    for problem in ("missing_keys", "mismatched_keys", "unexpected_keys"):
        for key in sorted(key if isinstance(key, str) else key[0] for key in report[problem]):
            if not key.endswith("position_ids"):  # old files count places
                raise MeznetError(f"{name} does not fit its config.json: {key} is not as it says.")
    for key, weight in model.state_dict().items():
        if not torch.isfinite(weight).all():
            raise MeznetError(f"{name} is damaged: {key} holds what is no finite number.")
    model.requires_grad_(False)
    return model.eval().to("cuda" if torch.cuda.is_available() else "cpu")


@contextlib.contextmanager
def loading(name: str, bundled: dict[str, str], what: str) -> Iterator[Path | str]:
    """Find a checkpoint, and say in one sentence what goes wrong while it is loaded; see `find`."""
    source = find(name, bundled, what)
    try:
        with quiet():
            yield source
    except MeznetError:
        raise
    except Exception as error:  # transformers, and what checks its configs, raise many kinds
        if profile.offline() and not Path(name).is_dir():
            raise MeznetError(missing(name)) from error
        raise MeznetError(f"{name} can't be loaded: {reason(error)}.") from error


def missing(name: str) -> str:
    """Say that published weights would have to be downloaded and may not be."""
    return (
        f"The weights of {name} are not on this machine and MEZNET_OFFLINE is on; unset the "
        "variable to download them once."
    )


def allowed(file: Path | str, name: str, there: Callable[[], bool], download: bool) -> None:
    """Refuse to download what only a file names, for the file may be somebody else's.

    Parameters
    ----------
    file : Path or str
    name : str
        What it names.
    there : callable
        Says whether that is on this machine.
    download : bool
        Whether it may be downloaded all the same.

    Raises
    ------
    MeznetError
        If it would be downloaded. Offline nothing is, and loading says so.

    Examples
    --------
    >>> allowed("a.safetensors", "keras/ResNet50@imagenet", lambda: False, download=False)
    Traceback (most recent call last):
    meznet_helpers.errors.MeznetError: a.safetensors wants keras/ResNet50@imagenet, which is not \
on this machine; --download (in Python download=True) lets it be downloaded.
    """
    if not (download or profile.offline() or there()):
        raise MeznetError(
            f"{file} wants {name}, which is not on this machine; --download (in Python "
            "download=True) lets it be downloaded."
        )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' bars and remarks away."""
    from transformers.utils import logging

    before, shown = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if shown:
            logging.enable_progress_bar()
