"""What all pictures share."""

import re

WIDTH = 8.0  # inches; the text column of the page
MARKERS = "os^Dv<>PX*"  # one for each class or net, so that color is not all that tells them apart


def short(name: str) -> str:
    """Leave framework and tag out of a backbone's name, for an axis or a table.

    Examples
    --------
    >>> short("keras/MobileNetV2@tiny"), short("clip/zero-shot@tiny")
    ('MobileNetV2', 'clip/zero-shot')
    """
    return re.sub(r"^(keras|timm|torchvision)/|@\w+$", "", name)
