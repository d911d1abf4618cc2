"""The private parts of libraries that can't be done without; tests say what changed in one."""

from collections.abc import Callable
from functools import partial


def nasnet_mobile() -> Callable:
    """Return what builds NASNetMobile on any of Keras' backends.

    ``keras.applications.NASNetMobile`` refuses torch; what it builds gives the same numbers there
    as on TensorFlow.
    """
    from keras.src.applications.nasnet import NASNet

    return partial(
        NASNet,
        penultimate_filters=1056,
        num_blocks=4,
        stem_block_filters=32,
        skip_reduction=False,
        filter_multiplier=2,
        default_size=224,
        name="nasnet_mobile",
    )
