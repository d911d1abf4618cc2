"""Whether the network may be used, and where the repository and photographs lie."""

import importlib.util
import os
from pathlib import Path

from meznet_helpers.errors import MeznetError

_YES = frozenset({"1", "true", "yes", "on"})
_NO = frozenset({"", "0", "false", "no", "off"})

# Friendly name -> (installed package, path inside it). Drawings, charts and micrographs are left
# out, and so is everything that is not in color.
_PHOTOGRAPHS = {
    "cat": ("skimage", "data/chelsea.png"),
    "coffee": ("skimage", "data/coffee.png"),
    "rocket": ("skimage", "data/rocket.jpg"),
    "astronaut": ("skimage", "data/astronaut.png"),
    "motorcycle": ("skimage", "data/motorcycle_left.png"),
    "china": ("sklearn", "datasets/images/china.jpg"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
    "grace_hopper": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
}

# More, that the contact sheets leave out.
_MORE = {
    name: ("gradio", f"media_assets/images/{name}.jpg") for name in ("cheetah", "lion", "tower")
}


def offline() -> bool:
    """Say whether the network is off limits.

    The environment variable ``MEZNET_OFFLINE`` switches it: ``1``, ``true``, ``yes`` or ``on``
    means offline; unset, empty, ``0``, ``false``, ``no`` or ``off`` means online.

    Returns
    -------
    bool
        True where nothing may be downloaded.

    Raises
    ------
    MeznetError
        If ``MEZNET_OFFLINE`` holds anything else, so that a typing error never opens the network.

    Examples
    --------
    >>> import os
    >>> from unittest import mock
    >>> with mock.patch.dict(os.environ, {"MEZNET_OFFLINE": "yes"}):
    ...     offline()
    True
    """
    value = os.environ.get("MEZNET_OFFLINE", "").strip().lower()
    if value in _YES:
        return True
    if value in _NO:
        return False
    raise MeznetError(f'MEZNET_OFFLINE is "{value}"; it must be 1 (offline) or 0 (online).')


def root() -> Path:
    """Return the repository root: the folder that holds the package's folder.

    Returns
    -------
    Path
        An absolute path.

    Examples
    --------
    >>> (root() / "meznet_helpers" / "errors.py").is_file()
    True
    """
    return Path(__file__).resolve().parents[2]


def data() -> Path:
    """Return the repository's data folder, ``root() / "data"``.

    Returns
    -------
    Path
        An absolute path; the folder is there in a checkout of the repository.

    Examples
    --------
    >>> data().name
    'data'
    """
    return root() / "data"


def package_photographs(*, more: bool = False) -> dict[str, Path]:
    """Find the color photographs that come with scikit-image, scikit-learn and Matplotlib.

    The packages are located, not imported. A photograph that an installed version does not bring
    along is left out.

    Parameters
    ----------
    more : bool
        Also those that come with Gradio: ``"cheetah"``, ``"lion"``, ``"tower"``.

    Returns
    -------
    dict of str to Path
        Friendly name (``"cat"``, ``"coffee"``, ``"rocket"``, ``"astronaut"``, ``"motorcycle"``,
        ``"china"``, ``"flower"``, ``"grace_hopper"``) to an existing PNG or JPEG file.

    Examples
    --------
    >>> package_photographs()["cat"].name
    'chelsea.png'
    """
    files = _PHOTOGRAPHS | (_MORE if more else {})
    paths = {name: installed(*place) for name, place in files.items()}
    return {name: path for name, path in paths.items() if path}


def installed(package: str, inside: str) -> Path | None:
    """Return a file of an installed package, which is located and not imported.

    Parameters
    ----------
    package : str
    inside : str
        Where the file lies in it.

    Returns
    -------
    Path or None
        None if the package or the file is not there.

    Examples
    --------
    >>> installed("timm", "version.py").name, installed("timm", "nothing.txt")
    ('version.py', None)
    """
    spec = importlib.util.find_spec(package)
    folders = getattr(spec, "submodule_search_locations", None) or ()
    return next(filter(Path.is_file, (Path(folder, inside) for folder in folders)), None)
