"""Words as labels: CLIP and its kin, zero-shot or with a classifier that was learned."""

from meznet_helpers.words.clip import ClipLabeler, TunedLabeler, ZeroShotLabeler
from meznet_helpers.words.prompts import DRAWINGS, PHOTO, PHOTOS, frame
