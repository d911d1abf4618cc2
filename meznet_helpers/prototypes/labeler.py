"""An index of prototypes as a labeler: a network looks, the nearest prototypes answer."""

from pathlib import Path

import numpy as np

from meznet_helpers.assets import profile
from meznet_helpers.errors import MeznetError
from meznet_helpers.labelers import Labeler, NetworkLabeler, nets, pretrained
from meznet_helpers.prototypes.index import PrototypeIndex
from meznet_helpers.prototypes.storage import load

TAG = "@tiny"


def find(file: str | Path) -> Path:
    """Return the file of an index; ``"animals@tiny"`` is one of this repository's.

    Raises
    ------
    MeznetError
        If it is called like one of this repository's, without the tag.

    Examples
    --------
    >>> find("animals@tiny").name
    'animals.safetensors'
    """
    name, path = str(file), Path(file).expanduser()
    own = profile.data() / "models" / "prototypes" / f"{name.removesuffix(TAG)}.safetensors"
    if name.endswith(TAG):
        return own
    if own.is_file() and not path.exists():
        raise MeznetError(
            f'No index "{name}" is published; name prototypes/{name}{TAG}, or the file of an index.'
        )
    return path


def network(index: PrototypeIndex, file: str | Path, *, download: bool = False) -> NetworkLabeler:
    """Return the network that made an index's embeddings.

    Parameters
    ----------
    index : PrototypeIndex
    file : str or Path
        Where it lies, for the sentence.
    download : bool
        Whether the network may be downloaded.

    Returns
    -------
    NetworkLabeler

    Raises
    ------
    MeznetError
        If the index does not name its network or the weights of it, the network is not on this
        machine and may not be downloaded, or has other weights or settings than it had then.

    Examples
    --------
    >>> network(load(find("animals@tiny")), "animals@tiny").name
    'timm/regnetx_002@tiny'
    """
    if not index.backbone:
        raise MeznetError(f"{file} does not say which network made its embeddings.")
    if index.backbone.partition("/")[0] not in nets.KINDS:
        raise MeznetError(f"{file} names {index.backbone} as its network, which has no features.")
    if "@" not in index.backbone:
        raise MeznetError(
            f"{file} names {index.backbone} as its network and not which weights; build it anew "
            f"with {index.backbone}@imagenet (published) or {index.backbone}@tiny."
        )
    net = nets.net(index.backbone)
    pretrained.allowed(file, net.name, net.here, download)
    if index.digest and net.digest() != index.digest:
        raise MeznetError(
            f"{file} was made with {index.backbone} of digest {index.digest[:12]}, and that "
            f"network has the digest {net.digest()[:12]} now; build the index again."
        )
    return net


class PrototypeLabeler(Labeler):
    """Labels by the nearest prototypes of an index.

    Probabilities are ``softmax(scale * score)`` over all classes of the index. They sum to one
    whatever the picture shows; `meznet_helpers.prototypes.PrototypeIndex.search` is what says
    "none of these".

    Parameters
    ----------
    file : str or Path
        An index, or ``"animals@tiny"`` or ``"photographs@tiny"``, the repository's own.
    download : bool
        Whether the network that the index names may be downloaded.

    Attributes
    ----------
    index : PrototypeIndex
    net : NetworkLabeler
        The network that made the index's embeddings.

    Raises
    ------
    MeznetError
        If the index has no class, or `network` finds something wrong.

    Examples
    --------
    >>> net = PrototypeLabeler("animals@tiny")
    >>> net.name, len(net.labels), net.net.name
    ('prototypes/animals@tiny', 90, 'timm/regnetx_002@tiny')
    """

    def __init__(self, file: str | Path, *, download: bool = False) -> None:
        """Read the index; the network is not loaded yet."""
        self.index = load(find(file))
        self.name = f"prototypes/{file}"
        if not len(self.index):
            raise MeznetError(f"{file} has no class yet; meznet index add adds one.")
        self.net = network(self.index, file, download=download)
        self.labels = self.index.labels
        self.side = self.net.side

    def _probabilities(self, images: list[np.ndarray]) -> np.ndarray:
        """Label one batch; see `Labeler.probabilities`."""
        if not images:
            return np.zeros((0, len(self.labels)), np.float32)
        return self.index.probabilities(self.net.features(images))

    def seen(self, images: list[np.ndarray]) -> np.ndarray:
        """Return what the network sees; see `NetworkLabeler.seen`."""
        return self.net.seen(images)

    def release(self) -> None:
        """Free the network; see `Labeler.release`."""
        self.net.release()
