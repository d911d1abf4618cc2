"""From a name to its labeler."""

import dataclasses

from meznet_helpers import profile
from meznet_helpers.backbones import INTERPOLATIONS, MODES, Backbone, backbone, registry
from meznet_helpers.errors import MeznetError
from meznet_helpers.labelers.base import Labeler


def labeler(name: str, *, mode: str | None = None, interpolation: str | None = None) -> Labeler:
    """Make a labeler by name.

    Parameters
    ----------
    name : str
        A backbone of the registry, ``"keras/MobileNetV2@tiny"``; a net of timm or torchvision
        with ImageNet's labels, ``"timm/resnet18@imagenet"``, ``"torchvision/resnet18@imagenet"``;
        CLIP, ``"clip/zero-shot"`` or ``"clip/zero-shot@SOURCE"`` with the labels of
        `meznet_helpers.labelers.clip.ZeroShotLabeler`, ``"clip/tuned@FOLDER"``; an index of
        prototypes, ``"prototypes/FILE"`` or ``"prototypes/animals@tiny"``; a captioner,
        ``"llm/captioner"`` or ``"llm/captioner@SOURCE"``; a judge of this repository's nets,
        ``"llm/judge"`` or ``"llm/judge@SOURCE"``; or an ensemble of such names,
        ``"ensemble/soft(keras/MobileNet@tiny, keras/MobileNetV2@tiny)"``. Without ``@tag`` the
        profile chooses the weights.
    mode, interpolation : str, optional
        Put nets of the registry under another network's preprocessing. The book does so to show
        what it costs; leave both out to get the right ones.

    Returns
    -------
    Labeler

    Raises
    ------
    MeznetError
        If no labeler has that name, or the mode or interpolation is unknown. Names of timm's and
        torchvision's nets are looked up at the first prediction, in the process that they are
        imported in.

    Examples
    --------
    >>> import numpy as np
    >>> net = labeler("keras/MobileNetV2@tiny")
    >>> net.predict([np.zeros((64, 64, 3), np.uint8)]).probs.shape
    (1, 1, 200)
    """
    changes = {"mode": mode, "interpolation": interpolation}
    changes = {key: value for key, value in changes.items() if value is not None}
    for key, known in (("mode", MODES), ("interpolation", INTERPOLATIONS)):
        if key in changes and changes[key] not in known:
            raise MeznetError(f'{key} is "{changes[key]}"; choose from {", ".join(known)}.')
    name = name.strip()
    if name.startswith("ensemble/"):
        from meznet_helpers.labelers.ensemble import EnsembleLabeler, parse

        method, members = parse(name)
        return EnsembleLabeler([labeler(member, **changes) for member in members], method)
    if name.startswith("clip/"):
        return _clip(name, changes)
    if name.startswith("prototypes/"):
        return _prototypes(name, changes)
    if name.startswith("llm/"):
        return _llm(name, changes)
    if name.startswith(("timm/", "torchvision/")):
        tag = "" if "@" in name else "@tiny" if profile.active() == "tiny" else "@imagenet"
        if name + tag not in registry():
            return _published(name + tag, changes)
    return of_backbone(dataclasses.replace(backbone(name), **changes))


def of_backbone(net: Backbone) -> Labeler:
    """Make the labeler of a backbone.

    Examples
    --------
    >>> of_backbone(backbone("keras/MobileNetV2@tiny")).name
    'keras/MobileNetV2@tiny'
    """
    if net.framework == "timm":
        from meznet_helpers.labelers.timm import TrainedLabeler

        return TrainedLabeler(net)
    from meznet_helpers.labelers.keras import KerasLabeler

    return KerasLabeler(net)


def _clip(name: str, changes: dict[str, str]) -> Labeler:
    """Make a labeler of CLIP: with the default labels, or of a folder."""
    from meznet_helpers.labelers.clip import TunedLabeler, ZeroShotLabeler

    kind, _, source = name.removeprefix("clip/").partition("@")
    if kind not in ("zero-shot", "tuned"):
        raise MeznetError(
            f'No labeler is called "{name}"; those of CLIP are "clip/zero-shot", '
            '"clip/zero-shot@SOURCE", "clip/tuned" and "clip/tuned@FOLDER".'
        )
    for key in changes:
        raise MeznetError(f"{key} is for nets of the registry; CLIP prepares images its own way.")
    return (
        ZeroShotLabeler(source or None) if kind == "zero-shot" else TunedLabeler(source or "tiny")
    )


def _prototypes(name: str, changes: dict[str, str]) -> Labeler:
    """Make a labeler of an index of prototypes."""
    from meznet_helpers.labelers.prototypes import PrototypeLabeler

    for key in changes:
        raise MeznetError(f"{key} is for nets of the registry; {name} keeps that of its network.")
    return PrototypeLabeler(name.removeprefix("prototypes/"))


def _llm(name: str, changes: dict[str, str]) -> Labeler:
    """Make a captioner, or a judge of all the nets of this repository."""
    kind, _, source = name.removeprefix("llm/").partition("@")
    if kind not in ("captioner", "judge"):
        raise MeznetError(
            f'No labeler is called "{name}"; there are "llm/captioner", "llm/captioner@SOURCE", '
            '"llm/judge" and "llm/judge@SOURCE". Models behind a server: meznet llm label.'
        )
    for key in changes:
        raise MeznetError(f"{key} is for nets of the registry, not for {name}.")
    if kind == "captioner":
        from meznet_helpers.labelers.captioner import CaptionLabeler

        return CaptionLabeler(source or None)
    from meznet_helpers.labelers.ensemble import EnsembleLabeler
    from meznet_helpers.labelers.judge import LocalJudge
    from meznet_helpers.published import tiny_nets

    return EnsembleLabeler(tiny_nets()["model"].tolist(), LocalJudge(source or "tiny"))


def _published(name: str, changes: dict[str, str]) -> Labeler:
    """Make a labeler of a net whose names and weights timm or torchvision keeps."""
    kind, _, rest = name.partition("/")
    net, _, tag = rest.rpartition("@")
    if tag != "imagenet" or not net:
        raise MeznetError(
            f'No backbone is called "{name}"; {kind}\'s nets have names like '
            f'"{kind}/{net or "resnet18"}@imagenet".'
        )
    for key in changes:
        raise MeznetError(
            f"{key} is for nets of the registry; {name} keeps the preprocessing {kind} gives it."
        )
    if kind == "timm":
        from meznet_helpers.labelers.timm import TimmLabeler

        return TimmLabeler(net)
    from meznet_helpers.labelers.torchvision import TorchvisionLabeler

    return TorchvisionLabeler(net)
