"""An index of prototypes as a labeler: a network looks, the nearest prototypes answer."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from meznet_helpers.assets import profile
from meznet_helpers.errors import MeznetError
from meznet_helpers.labelers import NetworkLabeler, nets
from meznet_helpers.prototypes.index import PrototypeIndex, probabilities
from meznet_helpers.prototypes.storage import load

KIND = "prototypes/"
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


class PrototypeLabeler(NetworkLabeler):
    """Labels by the nearest prototypes of an index.

    Probabilities are ``softmax(scale * score)`` over all classes of the index. They sum to one
    whatever the picture shows; `meznet_helpers.prototypes.PrototypeIndex.search` is what says
    "none of these".

    Parameters
    ----------
    file : str or Path
        An index, or ``"animals@tiny"`` or ``"photographs@tiny"``, the repository's own.
    name : str, optional
        How predictions call it; ``prototypes/FILE`` by default.

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
    >>> net.name, net.framework, len(net.labels), net.net.name
    ('prototypes/animals@tiny', 'torch', 90, 'timm/regnetx_002@tiny')
    """

    def __init__(self, file: str | Path, *, name: str | None = None) -> None:
        """Read the index; the network is not loaded yet."""
        self.file = str(file)
        self.index = load(find(file))
        self.name = name or f"{KIND}{file}"
        if not len(self.index):
            raise MeznetError(f"{file} has no class yet; meznet index add adds one.")
        self.net = network(self.index, file)
        self.framework, self.labels = self.net.framework, self.index.labels

    def recipe(self) -> dict[str, Any]:
        """Return the arguments; see `Labeler.recipe`."""
        return {"file": self.file, "name": self.name}

    def probabilities(self, images: list[np.ndarray]) -> np.ndarray:
        """Label one batch; see `Labeler.probabilities`."""
        if not images:
            return np.zeros((0, len(self.labels)), np.float32)
        return probabilities(self.index, self.net.features(images))

    def preparation(self) -> Callable[[np.ndarray], np.ndarray]:
        """Return the network's own; see `NetworkLabeler.preparation`."""
        return self.net.preparation()

    def seen(self, images: list[np.ndarray]) -> np.ndarray:
        """Return what the network sees; see `NetworkLabeler.seen`."""
        return self.net.seen(images)

    def encoder(self, half: bool) -> Callable[[np.ndarray], np.ndarray]:
        """Return the network's own; see `NetworkLabeler.encoder`."""
        return self.net.encoder(half)

    def tensors(self) -> Iterable[np.ndarray]:
        """Yield the network's weights; see `NetworkLabeler.tensors`."""
        return self.net.tensors()

    def release(self) -> None:
        """Free the network, too; see `Labeler.release`."""
        self.net.release()
        super().release()
