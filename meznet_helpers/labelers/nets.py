"""From the name of a net of Keras, timm or torchvision to its labeler."""

import dataclasses

from meznet_helpers.errors import MeznetError
from meznet_helpers.labelers.backbones import (
    INTERPOLATIONS,
    MODES,
    Backbone,
    backbone,
    registry,
    tagged,
)
from meznet_helpers.labelers.keras import KerasLabeler
from meznet_helpers.labelers.network import NetworkLabeler
from meznet_helpers.labelers.timm import TimmLabeler, TrainedLabeler
from meznet_helpers.labelers.torchvision import TorchvisionLabeler

KINDS = ("keras", "timm", "torchvision")


def net(name: str, *, mode: str | None = None, interpolation: str | None = None) -> NetworkLabeler:
    """Make the labeler of one net by its name.

    Parameters
    ----------
    name : str
        A backbone of the registry, ``"keras/MobileNetV2@tiny"``; or a net of timm or torchvision
        with ImageNet's labels, ``"timm/resnet18@imagenet"``. A name without ``@tag`` stands
        for published weights.
    mode, interpolation : str, optional
        Put nets of the registry under another network's preprocessing.

    Returns
    -------
    NetworkLabeler

    Raises
    ------
    MeznetError
        If no net has that name, or the mode or interpolation is unknown.

    Examples
    --------
    >>> net("timm/regnetx_002@tiny").name
    'timm/regnetx_002@tiny'
    """
    changes = {"mode": mode, "interpolation": interpolation}
    changes = {key: value for key, value in changes.items() if value is not None}
    for key, value in changes.items():
        known = MODES if key == "mode" else INTERPOLATIONS
        if value not in known:
            raise MeznetError(f'{key} is "{value}"; choose from {", ".join(known)}.')
    if name.startswith(("timm/", "torchvision/")) and tagged(name) not in registry():
        return _published(tagged(name), changes)
    return of_backbone(dataclasses.replace(backbone(name), **changes))


def of_backbone(net: Backbone) -> NetworkLabeler:
    """Make the labeler of a backbone.

    Examples
    --------
    >>> of_backbone(backbone("keras/MobileNetV2@tiny")).name
    'keras/MobileNetV2@tiny'
    """
    return {"keras": KerasLabeler, "timm": TrainedLabeler}[net.framework](net)


def _published(name: str, changes: dict[str, str]) -> NetworkLabeler:
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
    return {"timm": TimmLabeler, "torchvision": TorchvisionLabeler}[kind](net)
