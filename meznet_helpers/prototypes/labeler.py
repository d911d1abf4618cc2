"""An index of prototypes as a labeler: a network looks, the nearest prototypes answer."""

from pathlib import Path

import numpy as np

from meznet_helpers.assets import profile
from meznet_helpers.errors import MeznetError
from meznet_helpers.labelers import Labeler, NetworkLabeler, nets
from meznet_helpers.prototypes.index import PrototypeIndex
from meznet_helpers.prototypes.storage import load

TAG = "@tiny"


def find(file: str | Path) -> Path:
    """Return the file of an index; ``"animals@tiny"`` is one of this repository's.

    Examples
    --------
    >>> find("animals@tiny").name
    'animals.safetensors'
    """
    name = str(file)
    if name.endswith(TAG):
        folder = profile.data() / "models" / "prototypes"
        return folder / f"{name.removesuffix(TAG)}.safetensors"
    return Path(file).expanduser()


def network(index: PrototypeIndex, file: str | Path) -> NetworkLabeler:
    """Return the network that made an index's embeddings.

    Parameters
    ----------
    index : PrototypeIndex
    file : str or Path
        Where it lies, for the sentence.

    Returns
    -------
    NetworkLabeler

    Raises
    ------
    MeznetError
        If the index does not name its network, or the network has other weights or settings than
        it had then.

    Examples
    --------
    >>> network(load(find("animals@tiny")), "animals@tiny").name
    'timm/regnetx_002@tiny'
    """
    if not index.backbone:
        raise MeznetError(f"{file} does not say which network made its embeddings.")
    if index.backbone.partition("/")[0] not in nets.KINDS:
        raise MeznetError(f"{file} names {index.backbone} as its network, which has no features.")
    net = nets.net(index.backbone)
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

    def __init__(self, file: str | Path) -> None:
        """Read the index; the network is not loaded yet."""
        self.index = load(find(file))
        self.name = f"prototypes/{file}"
        if not len(self.index):
            raise MeznetError(f"{file} has no class yet; meznet index add adds one.")
        self.net = network(self.index, file)
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
