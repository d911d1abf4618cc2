"""From any name to its labeler: the one place that knows all kinds."""

from typing import TYPE_CHECKING

from meznet_helpers.errors import MeznetError

if TYPE_CHECKING:
    from meznet_helpers.labelers import Labeler

#: The labeler that is taken where none is named: the quickest of the published ones. On photographs
#: of animals the larger ones are not better than chance allows; see ``data/calibration/README.md``.
MODEL = "keras/EfficientNetLite0@imagenet"


def labeler(name: str, *, download: bool = False, **preprocessing: str) -> "Labeler":
    """Make a labeler by name.

    Parameters
    ----------
    name : str
        A backbone of the registry, ``"keras/MobileNetV2@tiny"``; a net of timm or torchvision
        with ImageNet's labels, ``"timm/resnet18@imagenet"``, ``"torchvision/resnet18@imagenet"``;
        CLIP, ``"clip/zero-shot"`` or ``"clip/zero-shot@SOURCE"`` with the labels of
        `meznet_helpers.words.ZeroShotLabeler`, ``"clip/tuned@FOLDER"``; an index of
        prototypes, ``"prototypes/FILE"`` or ``"prototypes/animals@tiny"``; a captioner,
        ``"llm/captioner"`` or ``"llm/captioner@SOURCE"``; a judge of this repository's nets,
        ``"llm/judge@tiny"`` or ``"llm/judge@SOURCE"``; or an ensemble of such names,
        ``"ensemble/soft(keras/MobileNet@tiny, keras/MobileNetV2@tiny)"``. A name without ``@tag``
        stands for published weights, ``@tiny`` for those of this project.
    download : bool
        Let the network be downloaded that the file of an index or the folder of a tuned CLIP
        names. Those that you name yourself are downloaded when they are needed.
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
    name = name.strip()
    kind, _, rest = name.partition("/")
    if kind == "ensemble":
        from meznet_helpers.ensembles import EnsembleLabeler
        from meznet_helpers.ensembles.labeler import parse

        method, members = parse(name)
        parts = [labeler(member, download=download, **preprocessing) for member in members]
        return EnsembleLabeler(parts, method)
    others = {"clip": _clip, "llm": _llm, "prototypes": _prototypes}
    if kind not in others:
        from meznet_helpers.labelers import nets

        return nets.net(name, **preprocessing)
    for key in preprocessing:
        raise MeznetError(f"{key} is for nets of the registry, not for {name}.")
    return others[kind](name, *rest.partition("@")[::2], download)


def _clip(name: str, kind: str, source: str, download: bool) -> "Labeler":
    """Make a labeler of CLIP: with the default labels, or of a folder."""
    from meznet_helpers.words import TunedLabeler, ZeroShotLabeler

    if kind == "zero-shot":
        return ZeroShotLabeler(source or None)
    if kind == "tuned" and source:
        return TunedLabeler(source, download=download)
    raise MeznetError(
        f'No labeler is called "{name}"; those of CLIP are "clip/zero-shot", '
        '"clip/zero-shot@SOURCE", "clip/tuned@tiny" and "clip/tuned@FOLDER".'
    )


def _prototypes(name: str, _: str, __: str, download: bool) -> "Labeler":
    """Make a labeler of an index of prototypes."""
    from meznet_helpers.prototypes import PrototypeLabeler

    return PrototypeLabeler(name.removeprefix("prototypes/"), download=download)


def _llm(name: str, kind: str, source: str, _: bool) -> "Labeler":
    """Make a captioner, or a judge of all the nets of this repository."""
    from meznet_helpers.ensembles import EnsembleLabeler
    from meznet_helpers.llm import CaptionLabeler, LocalJudge

    if kind == "captioner":
        return CaptionLabeler(source or None)
    if kind == "judge" and source:
        from meznet_helpers.labelers import registry

        tiny = [labeler(net) for net in registry() if net.endswith("@tiny")]
        return EnsembleLabeler(tiny, LocalJudge(source))
    raise MeznetError(
        f'No labeler is called "{name}"; there are "llm/captioner", "llm/captioner@SOURCE", '
        '"llm/judge@tiny" and "llm/judge@SOURCE". Models behind a server: meznet llm label.'
    )
