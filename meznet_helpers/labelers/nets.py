"""From the name of a net of Keras, timm or torchvision to its labeler."""

import dataclasses

from meznet_helpers.assets import profile
from meznet_helpers.errors import MeznetError
from meznet_helpers.labelers.backbones import (
    INTERPOLATIONS,
    MODES,
    Backbone,
    backbone,
    registry,
)
from meznet_helpers.labelers.network import NetworkLabeler

KINDS = ("keras", "timm", "torchvision")


def net(name: str, *, mode: str | None = None, interpolation: str | None = None) -> NetworkLabeler:
    """Make the labeler of one net by its name.

    Parameters
    ----------
    name : str
        A backbone of the registry, ``"keras/MobileNetV2@tiny"``; or a net of timm or torchvision
        with ImageNet's labels, ``"timm/resnet18@imagenet"``. Without ``@tag`` the profile chooses
        the weights.
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
    for key, known in (("mode", MODES), ("interpolation", INTERPOLATIONS)):
        if key in changes and changes[key] not in known:
            raise MeznetError(f'{key} is "{changes[key]}"; choose from {", ".join(known)}.')
    if name.startswith(("timm/", "torchvision/")):
        tag = "" if "@" in name else "@tiny" if profile.active() == "tiny" else "@imagenet"
        if name + tag not in registry():
            return _published(name + tag, changes)
    return of_backbone(dataclasses.replace(backbone(name), **changes))


def of_backbone(net: Backbone) -> NetworkLabeler:
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
    if kind == "timm":
        from meznet_helpers.labelers.timm import TimmLabeler

        return TimmLabeler(net)
    from meznet_helpers.labelers.torchvision import TorchvisionLabeler

    return TorchvisionLabeler(net)
