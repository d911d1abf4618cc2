"""Emoji Zoo: Unicode's animals, foods, vehicles and things in seven art styles, composed to images.

The drawings lie in ``data/emojizoo``; nothing is downloaded. The same arguments give the same
bytes on every machine.
"""

from meznet_helpers.emojizoo.artwork import drawing, styles, table
from meznet_helpers.emojizoo.composition import HARD, MILD, Variant, compose
from meznet_helpers.emojizoo.sets import animal_or_not, animals, faces, render
