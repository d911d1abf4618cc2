"""Nets of timm as labelers: published ones as timm prepares them, and those of this project."""

import dataclasses
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from meznet_helpers.assets import profile
from meznet_helpers.errors import MeznetError, did_you_mean, reason
from meznet_helpers.labelers import lite, onnx, packing
from meznet_helpers.labelers.backbones import Backbone, bounded
from meznet_helpers.labelers.network import SPACES, BackboneLabeler
from meznet_helpers.labelers.pretrained import missing
from meznet_helpers.labelers.torch import TorchLabeler, unscaled
from meznet_helpers.labels import LabelSpace, imagenet


class _Timm(TorchLabeler):
    """What all nets of timm share."""

    def _pooled(self, batch: Any) -> Any:
        """Return what the classifier sees; see `TorchLabeler._pooled`."""
        return self.model.forward_head(self.model.forward_features(batch), pre_logits=True)


class TimmLabeler(_Timm):
    """A classification net of timm with its own preprocessing.

    The net is looked up and built at the first prediction. Weights come from the hub, or from
    its cache on this machine.

    Parameters
    ----------
    net : str
        A name of ``timm.list_models()``, with or without the tag of its weights:
        ``"resnet18"``, ``"resnet18.a1_in1k"``.
    labels : LabelSpace, optional
        What the outputs stand for: ImageNet's 1,000 labels, or those of weights of your own.
    name : str, optional
        How predictions call it; ``timm/NET@imagenet`` by default.
    **options
        Arguments of ``timm.create_model`` that JSON can carry, such as `pad_type`, `bn_eps` or
        `pretrained_cfg_overlay`, whose key ``file`` names weights on this machine (safetensors,
        or torch files without code).

    Examples
    --------
    >>> net = TimmLabeler("resnet18")
    >>> net.name, net.framework, net.labels
    ('timm/resnet18@imagenet', 'torch', LabelSpace('imagenet', 1000 labels))
    """

    def __init__(
        self, net: str, *, labels: LabelSpace | None = None, name: str | None = None, **options: Any
    ) -> None:
        """Keep the name; nothing is loaded yet."""
        self.net = net
        self.name = name or f"timm/{net}@imagenet"
        self.labels = imagenet() if labels is None else labels
        self.options = options

    def recipe(self) -> dict[str, Any]:
        """Return the arguments; see `Labeler.recipe`."""
        own = {"net": self.net, "name": self.name, "labels": dataclasses.asdict(self.labels)}
        return own | self.options

    def here(self) -> bool:
        """Say whether the weights are on this machine; see `NetworkLabeler.here`."""
        return bool(self._served(self._here))

    def _here(self) -> np.ndarray:
        """Look for the weights, in a process that may import timm: bool, shape ()."""
        config = _config(self.net) | (self.options.get("pretrained_cfg_overlay") or {})
        try:
            _located(self.net, config, local=True)
        except MeznetError:
            return np.array(False)
        return np.array(True)

    def _build(self) -> Any:
        """Build the net; see `build`."""
        return build(self.net, len(self.labels), self.options)

    def _preparation(self) -> Callable[[np.ndarray], np.ndarray]:
        """Return what timm does to an image before the net sees it."""
        model = self.model  # it is refused here before timm is imported
        import timm

        config = timm.data.resolve_model_data_config(model)
        transform = timm.data.create_transform(**config, is_training=False)
        how = {"size": config["input_size"][-1], "cropped": config["crop_mode"] == "center"}
        return lambda image: transform(Image.fromarray(bounded(image, **how))).numpy()

    def _seen(self, images: list[np.ndarray]) -> np.ndarray:
        """Return what timm leaves of images; see `NetworkLabeler.seen`."""
        prepare = self._preparation()
        import timm

        config = timm.data.resolve_model_data_config(self.model)
        prepared = np.stack([prepare(image) for image in images])
        return unscaled(prepared, config["mean"], config["std"])


class TrainedLabeler(BackboneLabeler, _Timm):
    """A net of timm whose weights are an asset, with the preprocessing of its backbone.

    Parameters
    ----------
    backbone : Backbone
        Of framework ``"timm"``.

    Examples
    --------
    >>> net = TrainedLabeler(Backbone("resnet18", "own", 64, "torch", "tiny_imagenet"))
    >>> net.framework, net.labels
    ('torch', LabelSpace('tiny_imagenet', 200 labels))
    """

    def _build(self) -> Any:
        """Build the net and load its weights."""
        path, model = self.weights_file(), untrained(self.backbone)
        if self.backbone.asset:
            names = [name for name, x in model.state_dict().items() if x.is_floating_point()]
            values = dict(zip(names, lite.read(path), strict=False))
        else:
            values = packing.read(path)
        load_weights(model, values, path)
        return model

    def _preparation(self) -> Callable[[np.ndarray], np.ndarray]:
        """Return what `Backbone.prepare` does to one image, with the channels first."""
        prepared = super()._preparation()
        return lambda image: prepared(image).transpose(2, 0, 1)

    def _export(self, path: str) -> np.ndarray:
        """Write the net; see `BackboneLabeler._export`."""
        import torch

        class Net(torch.nn.Module):
            """Both outputs, of input with the channels last."""

            def __init__(self, model: torch.nn.Module) -> None:
                """Hold the net."""
                super().__init__()
                self.model = model

            def forward(self, batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
                """Return probabilities and features."""
                seen = self.model.forward_features(batch.permute(0, 3, 1, 2))
                scores = self.model.forward_head(seen)
                return scores.softmax(1), self.model.forward_head(seen, pre_logits=True)

        return onnx.write(Net(self._build()), self.backbone.size, Path(path))


def untrained(backbone: Backbone) -> Any:
    """Build a net of timm with random weights.

    Parameters
    ----------
    backbone : Backbone

    Returns
    -------
    torch.nn.Module
        In evaluation mode.
    """
    import timm

    outputs = len(SPACES[backbone.labels]())
    return timm.create_model(backbone.application, num_classes=outputs, **backbone.options).eval()


def load_weights(model: Any, weights: dict[str, np.ndarray], path: Path) -> None:
    """Fill a net of timm.

    Parameters
    ----------
    model : torch.nn.Module
    weights : dict of str to ndarray, float32
        One for each parameter and running statistic; counts and indices are the net's own.
    path : Path
        Where they come from, for the sentence.

    Raises
    ------
    MeznetError
        If names or shapes do not match the net.
    """
    import torch

    state = model.state_dict()
    wanted = {name: tuple(x.shape) for name, x in state.items() if x.is_floating_point()}
    packing.check(path, type(model).__name__, wanted, weights)
    model.load_state_dict(state | {name: torch.from_numpy(w) for name, w in weights.items()})


def build(net: str, outputs: int, options: dict[str, Any]) -> Any:
    """Build a net of timm and load its weights.

    Parameters
    ----------
    net : str
        A name of ``timm.list_models()``, with or without a tag.
    outputs : int
        Number of labels; other nets are refused before anything is downloaded.
    options : dict
        Further arguments of ``timm.create_model``.

    Returns
    -------
    torch.nn.Module
        In evaluation mode.

    Raises
    ------
    MeznetError
        If timm has no such net, it has other labels or no weights, or the weights can't be had.
    """
    import timm

    overlay = options.get("pretrained_cfg_overlay") or {}
    config = _config(net) | overlay
    if not any(config.get(key) for key in ("file", "hf_hub_id", "url")):
        raise MeznetError(f"timm has no weights for {net}; see timm.list_models(pretrained=True).")
    own = config.get("num_classes", outputs)
    if own != outputs:
        raise MeznetError(
            f"timm's {net} has {own} outputs and not one for each of the {outputs} labels; "
            "choose another net or tag."
        )
    try:
        options = options | {"pretrained_cfg_overlay": overlay | _located(net, config)}
        return timm.create_model(net, pretrained=True, num_classes=outputs, **options).eval()
    except MeznetError:
        raise
    except Exception as error:  # of the hub, the file, or the options, each of its own kind
        why = f"timm's {net} can't be built with its weights: {reason(error)}."
        raise MeznetError(why) from error


def _config(net: str) -> dict[str, Any]:
    """Return what timm says of a net's weights."""
    import timm

    architecture = net.partition(".")[0]
    if timm.is_model(architecture):
        known = {architecture, *timm.list_models(f"{architecture}.*", pretrained=True)}
        if net in known:
            config = timm.get_pretrained_cfg(net)
            return {} if config is None else vars(config).copy()
    else:
        known = {*timm.list_models(), *timm.list_models(pretrained=True)}
    raise MeznetError(f'timm has no net "{net}"' + did_you_mean(net, sorted(known)))


def _located(net: str, config: dict[str, Any], *, local: bool = False) -> dict[str, Any]:
    """Find a net's weights on this machine, or download those of the hub; say what is overlaid.

    timm itself can't be told to keep off the network.
    """
    import torch
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    local = local or profile.offline()
    if config.get("file"):
        return {}
    if not config.get("hf_hub_id"):
        name = PurePosixPath(urlsplit(config["url"]).path).name
        if local and not Path(torch.hub.get_dir(), "checkpoints", name).is_file():
            raise MeznetError(missing(net))
        return {}
    repository, _, revision = config["hf_hub_id"].partition("@")
    own = config.get("custom_load") == "hf"  # a file that only the net itself can read
    named = config.get("hf_hub_filename") or "pytorch_model.bin"
    safe = "model.safetensors" if named == "pytorch_model.bin" else f"{named[:-4]}.safetensors"
    for name in (safe, named) if named.endswith(".bin") else (named,):
        try:
            file = hf_hub_download(
                repository, name, revision=revision or None, local_files_only=local
            )
            return {"file": file, "custom_load": own}
        except EntryNotFoundError as error:
            problem = error
    raise MeznetError(missing(net)) if local else problem
