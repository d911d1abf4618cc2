"""Tests of meznet_helpers.labelers.private: does a library still have the part that we borrow?"""

from meznet_helpers.labelers import private


def test_nasnet_is_what_keras_builds():
    """If this fails, Keras has changed NASNetMobile: `private.nasnet_mobile` must follow it.

    Look at ``keras/src/applications/nasnet.py``. If ``keras.applications.NASNetMobile`` no longer
    refuses torch, delete `nasnet_mobile`, and let `finetune.nets` call that.
    """
    import keras

    options = {"input_shape": (32, 32, 3), "include_top": False, "weights": None, "pooling": "avg"}
    keras.utils.clear_session()
    theirs = keras.applications.NASNetMobile(**options)
    keras.utils.clear_session()
    ours = private.nasnet_mobile()(**options)
    keras.utils.clear_session()
    assert ours.get_config() == theirs.get_config(), "Keras builds another NASNetMobile now"
