"""The registry: a backbone is a network with its own input size, interpolation and preprocessing.

The three travel together and nobody outside this module scales pixels. Feeding one network's
preprocessing to another is the mistake that the book's first chapter undoes.
"""

import functools
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields

import numpy as np
from PIL import Image

from meznet_helpers.assets import profile
from meznet_helpers.errors import MeznetError, did_you_mean

INTERPOLATIONS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}

THIN = 100
"""How many times as long as wide a picture may be before most of it is left out."""

_TORCH_MEAN, _TORCH_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_CAFFE_MEAN = (103.939, 116.779, 123.68)  # blue, green, red


def _tf(x: np.ndarray) -> np.ndarray:
    x /= 127.5
    x -= 1.0
    return x


def _torch(x: np.ndarray) -> np.ndarray:
    x /= 255.0
    for channel, (mean, std) in enumerate(zip(_TORCH_MEAN, _TORCH_STD, strict=True)):
        x[..., channel] -= mean
        x[..., channel] /= std
    return x


def _caffe(x: np.ndarray) -> np.ndarray:
    x = x[..., ::-1]
    for channel, mean in enumerate(_CAFFE_MEAN):
        x[..., channel] -= mean
    return x


def _lite(x: np.ndarray) -> np.ndarray:
    x -= 127.0
    x /= 128.0
    return x


MODES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "tf": _tf,
    "torch": _torch,
    "caffe": _caffe,
    "lite": _lite,
    "raw": lambda x: x,
}


def scale(pixels: np.ndarray, mode: str) -> np.ndarray:
    """Scale pixels the way one family of networks was trained with.

    The modes and their constants are those of Keras'
    ``keras.applications.imagenet_utils.preprocess_input``, bit for bit; ``lite`` is that of
    Google's EfficientNet-Lite.

    Parameters
    ----------
    pixels : ndarray, shape (..., 3)
        Red, green, blue from 0 to 255, any real dtype. It is not changed.
    mode : {"tf", "torch", "caffe", "lite", "raw"}
        ``tf``: to -1..1. ``torch``: to 0..1, then ImageNet's mean and deviation per channel.
        ``caffe``: blue, green, red in that order, ImageNet's mean taken off, no division.
        ``lite``: 127 taken off, then divided by 128. ``raw``: 0..255 as they are, for networks
        that scale inside.

    Returns
    -------
    ndarray, shape (..., 3), float32

    Raises
    ------
    MeznetError
        If the mode is none of these.

    Examples
    --------
    >>> white = np.full((1, 1, 3), 255, np.uint8)
    >>> scale(white, "tf").ravel().tolist()
    [1.0, 1.0, 1.0]
    >>> [round(float(value), 2) for value in scale(white, "caffe").ravel()]
    [151.06, 138.22, 131.32]
    """
    if mode not in MODES:
        raise MeznetError(f'"{mode}" is no preprocessing mode; choose from {", ".join(MODES)}.')
    return np.ascontiguousarray(MODES[mode](np.array(pixels, np.float32)))


def squeeze(image: np.ndarray, size: int, interpolation: str = "bilinear") -> np.ndarray:
    """Bring an image to a square.

    Parameters
    ----------
    image : ndarray, shape (height, width, 3), uint8
    size : int
        Height and width of the square, pixels.
    interpolation : {"nearest", "bilinear", "bicubic"}
        As Pillow has them: when an image shrinks, the latter two are means over what each new
        pixel stands for.

    Returns
    -------
    ndarray, shape (size, size, 3), uint8

    Examples
    --------
    >>> squeeze(np.zeros((300, 451, 3), np.uint8), 64).shape
    (64, 64, 3)
    """
    height, width = image.shape[:2]
    if (height, width) == (size, size):
        return image
    how, squeezed = INTERPOLATIONS[interpolation], Image.fromarray(image)
    if height > THIN * width:  # Pillow would bring all the rows to their width first
        squeezed = squeezed.resize((width, size), how)
    return np.asarray(squeezed.resize((size, size), how))


def bounded(image: np.ndarray, size: int, *, cropped: bool) -> np.ndarray:
    """Take away of a thin image what a network won't see, before it is resized.

    A line of 500,000 pixels would take gigabytes if its short side were brought to `size`.

    Parameters
    ----------
    image : ndarray, shape (height, width, 3), uint8
    size : int
        What it will be brought to, pixels.
    cropped : bool
        Whether a square will be cut out of the middle, or the whole be squeezed to one.

    Returns
    -------
    ndarray, shape (height, width, 3), uint8
        The image itself if no side is longer than `THIN` others; else its middle, in which nothing
        moves, or what `squeeze` makes of it.

    Examples
    --------
    >>> line = np.zeros((3, 5001, 3), np.uint8)
    >>> bounded(line, 64, cropped=True).shape, bounded(line, 64, cropped=False).shape
    ((3, 301, 3), (64, 64, 3))
    """
    most = THIN * min(image.shape[:2])
    if max(image.shape[:2]) <= most:
        return image
    if not cropped:
        return squeeze(image, size, "bicubic")
    top, left = (max(0, edge - most) // 2 for edge in image.shape[:2])
    return image[top : len(image) - top, left : image.shape[1] - left]


def crop(image: np.ndarray, size: int, margin: int, interpolation: str = "bicubic") -> np.ndarray:
    """Bring the short side of an image to ``size + margin``, and cut a square out of its middle.

    Parameters
    ----------
    image : ndarray, shape (height, width, 3), uint8
    size : int
        Height and width of the square, pixels.
    margin : int
        Pixels, half of which fall away on each side of the short side.
    interpolation : {"nearest", "bilinear", "bicubic"}
        As for `squeeze`.

    Returns
    -------
    ndarray, shape (size, size, 3), uint8
        Pixel for pixel what torchvision's ``Resize`` and ``CenterCrop`` leave of a Pillow image.

    Examples
    --------
    >>> crop(np.zeros((300, 451, 3), np.uint8), 224, 32).shape
    (224, 224, 3)
    """
    image = bounded(image, size, cropped=True)
    height, width = image.shape[:2]
    short = size + margin
    if height < width:
        height, width = short, int(short * width / height)
    else:
        height, width = int(short * height / width), short
    resized = Image.fromarray(image)
    if resized.size != (width, height):
        resized = resized.resize((width, height), INTERPOLATIONS[interpolation])
    left, top = round((width - size) / 2), round((height - size) / 2)
    return np.asarray(resized.crop((left, top, left + size, top + size)))


@dataclass(frozen=True)
class Backbone:
    """A pretrained network and everything that must not be separated from it.

    Attributes
    ----------
    application : str
        Name of the architecture, as its framework spells it: ``"MobileNetV2"``.
    tag : str
        Which weights: ``"imagenet"`` (published), ``"int8"`` (published, computed in 8 bits),
        ``"tiny"`` or another tag of this project's.
    size : int
        Height and width of the input, pixels.
    mode : str
        Preprocessing mode of `scale`. It belongs to the weights, not to the architecture.
    labels : str
        Name of the label space: ``"tiny_imagenet"`` or ``"imagenet"``.
    interpolation : str
        How images are brought to `size`.
    options : dict
        Arguments of the builder, such as the width ``alpha``.
    licence : str
        Licence of the weights.
    framework : str
        ``"keras"`` or ``"timm"``.
    detail : int, optional
        Height and width, pixels, to which images are squeezed before they are brought to `size`:
        that of the photographs the weights learned from, where those were smaller. A network that
        has only seen enlarged pictures is puzzled by sharp ones.
    margin : int, optional
        The short side is brought to this many pixels more than `size`, and a square of `size` is
        cut out of the middle; without it the whole picture is squeezed to a square.
    asset : str, optional
        The asset that holds published weights which no framework downloads by itself.

    Examples
    --------
    >>> net = backbone("keras/ResNet50@imagenet")
    >>> net.name, net.size, net.mode
    ('keras/ResNet50@imagenet', 224, 'caffe')
    >>> net.prepare([np.zeros((30, 40, 3), np.uint8)]).shape
    (1, 224, 224, 3)
    """

    application: str
    tag: str
    size: int
    mode: str
    labels: str
    interpolation: str = "bilinear"
    options: dict = field(default_factory=dict)
    licence: str = ""
    framework: str = "keras"
    detail: int | None = None
    margin: int | None = None
    asset: str | None = None

    @property
    def side(self) -> int:
        """The short side, in pixels, to which it brings pictures first."""
        return self.detail or self.size + (self.margin or 0)

    @property
    def name(self) -> str:
        """The name in the registry, such as ``keras/MobileNetV2@tiny``."""
        return f"{self.framework}/{self.application}@{self.tag}"

    def resize(self, image: np.ndarray) -> np.ndarray:
        """Bring one image to the input size.

        Parameters
        ----------
        image : ndarray, shape (height, width, 3), uint8

        Returns
        -------
        ndarray, shape (size, size, 3), uint8
            The whole picture, squeezed to a square, as Keras' own ``load_img`` does; with a
            `margin` the middle of the picture, see `crop`.
        """
        if self.margin is not None:
            return crop(image, self.size, self.margin, self.interpolation)
        if self.detail:
            image = squeeze(image, self.detail)
        return squeeze(image, self.size, self.interpolation)

    def prepare(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Turn images into the network's input: resized, then scaled.

        Parameters
        ----------
        images : sequence of ndarray, each (height, width, 3), uint8

        Returns
        -------
        ndarray, shape (images, size, size, 3), float32
        """
        if len(images) == 0:
            return np.zeros((0, self.size, self.size, 3), np.float32)
        if len(images) == 1:
            return scale(self.resize(images[0])[None], self.mode)
        with ThreadPoolExecutor() as pool:
            return scale(np.stack(list(pool.map(self.resize, images))), self.mode)


# Family of Keras applications: preprocessing mode, then input size of each member.
_KERAS = {
    "caffe": {"VGG16 VGG19 ResNet50 ResNet101 ResNet152": 224},
    "tf": {
        "MobileNet MobileNetV2 ResNet50V2 ResNet101V2 ResNet152V2 NASNetMobile": 224,
        "InceptionV3 InceptionResNetV2 Xception": 299,
        "NASNetLarge": 331,
    },
    "torch": {"DenseNet121 DenseNet169 DenseNet201": 224},
    "raw": {
        "MobileNetV3Small MobileNetV3Large EfficientNetB0 EfficientNetV2B0": 224,
        "ConvNeXtTiny ConvNeXtSmall ConvNeXtBase ConvNeXtLarge ConvNeXtXLarge": 224,
        "EfficientNetB1 EfficientNetV2B1": 240,
        "EfficientNetB2 EfficientNetV2B2": 260,
        "EfficientNetB3 EfficientNetV2B3": 300,
        "EfficientNetB4": 380,
        "EfficientNetV2S": 384,
        "EfficientNetB5": 456,
        "EfficientNetV2M EfficientNetV2L": 480,
        "EfficientNetB6": 528,
        "EfficientNetB7": 600,
    },
}


# EfficientNet-Lite in two frameworks; Google's weights are assets of this repository.
_LITE = {"keras": "EfficientNetLite{}", "timm": "tf_efficientnet_lite{}"}


@functools.cache
def registry() -> dict[str, Backbone]:
    """Every backbone by name: Keras' applications, then the nets trained by this project.

    Returns
    -------
    dict of str to Backbone

    Examples
    --------
    >>> registry()["keras/EfficientNetB3@imagenet"].size
    300
    """
    published = [
        Backbone(name, "imagenet", size, mode, "imagenet", licence="see keras.io/api/applications")
        for mode, families in _KERAS.items()
        for names, size in families.items()
        for name in names.split()
    ]
    published += [
        Backbone(
            application.format(number),
            tag,
            size,
            "lite",
            "imagenet",
            "bicubic",
            licence="Apache-2.0",
            framework=framework,
            margin=32,
            asset=f"efficientnet-lite{number}",
        )
        for number, size in enumerate((224, 240, 260))
        for framework, application in _LITE.items()
        for tag in ("imagenet", "int8")
    ]
    trained = []
    for path in sorted((profile.data() / "models").glob("*/net.json")):
        net = json.loads(path.read_text(encoding="utf-8"))
        keys = {field.name for field in fields(Backbone)} & net.keys()
        trained.append(Backbone(**{"tag": "tiny"} | {key: net[key] for key in keys}))
    return {net.name: net for net in published + trained}


def backbone(name: str) -> Backbone:
    """Look a backbone up by name.

    Parameters
    ----------
    name : str
        ``framework/application@tag``. Without a tag it is that of published weights,
        ``imagenet``.

    Returns
    -------
    Backbone

    Raises
    ------
    MeznetError
        If no such backbone is registered; the sentence lists near names.

    Examples
    --------
    >>> backbone("keras/DenseNet121@imagenet").mode
    'torch'
    """
    known, name = registry(), tagged(name)
    if name not in known:
        example = '; a name looks like "keras/MobileNetV2@tiny".'
        raise MeznetError(f'No backbone is called "{name}"' + did_you_mean(name, known, example))
    return known[name]


def tagged(name: str) -> str:
    """Give a name the tag of published weights, ``imagenet``, unless it has one.

    Examples
    --------
    >>> tagged("keras/ResNet50"), tagged("timm/regnetx_002@tiny")
    ('keras/ResNet50@imagenet', 'timm/regnetx_002@tiny')
    """
    return name if "@" in name else f"{name}@imagenet"
