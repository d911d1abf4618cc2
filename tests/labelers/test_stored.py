"""Tests of meznet_helpers.labelers.packing: what is lost, and what is refused."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from meznet_helpers.errors import MeznetError
from meznet_helpers.labelers.packing import check, pack, read, unpack


def weights():
    rng = np.random.default_rng(0)
    spread = np.array([1e-3, 1, 50, 0], np.float32).reshape(4, 1, 1, 1)
    return {
        "conv.weight": rng.normal(size=(4, 3, 5, 5)).astype(np.float32) * spread,
        "fc.weight": rng.normal(size=(7, 9)).astype(np.float32),
        "bn.weight": rng.normal(size=8).astype(np.float32),
        "fc.bias": rng.normal(size=7).astype(np.float32),
        "attention_biases": rng.normal(size=(2, 16)).astype(np.float32),
        "bn.running_var": rng.uniform(0, 9, 8).astype(np.float32),
    }


def test_sixteen_bits_are_half_floats():
    packed = pack(weights(), 16)
    for name, values in weights().items():
        np.testing.assert_array_equal(packed[name], values.astype(np.float16))
        np.testing.assert_array_equal(unpack(packed)[name], values.astype(np.float16))
    assert packed.keys() == weights().keys()


def test_eight_bits_lose_half_a_step_of_each_output():
    given, packed = weights(), pack(weights(), 8)
    whole = {name for name, values in packed.items() if values.dtype == np.int8}
    assert whole == {"conv.weight", "fc.weight"}
    assert packed.keys() - given.keys() == {"conv.weight.scale", "fc.weight.scale"}
    assert packed["conv.weight.scale"].shape == (4, 1, 1, 1)
    assert {v.dtype for n, v in packed.items() if n not in whole} == {np.dtype(np.float16)}
    found = unpack(packed)
    assert found.keys() == given.keys()
    assert {values.dtype for values in found.values()} == {np.dtype(np.float32)}
    for name in whole:
        rows = given[name].reshape(len(given[name]), -1)
        lost = np.abs(found[name].reshape(rows.shape) - rows).max(1)
        step = np.abs(rows).max(1) / 127
        assert (lost <= 0.5 * step + np.abs(rows).max(1) * 2**-10 + 1e-9).all()
        assert (lost[step > 1e-4] > 0.2 * step[step > 1e-4]).all()  # and they do lose something
        assert np.abs(packed[name].reshape(rows.shape)).max(1)[step > 1e-4].min() >= 126
    assert (found["conv.weight"][3] == 0).all()  # an output without weights


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(("name", "value"), [("fc.bias", 7e4), ("fc.weight", 1e7)])
def test_too_large(bits, name, value):
    given = weights()
    given[name].flat[0] = value
    with pytest.raises(MeznetError, match=rf'weight "{name}.*" is too large for 16 bits\.'):
        pack(given, bits)


@pytest.mark.parametrize("bits", [8, 16])
def test_read(bits, tmp_path):
    packed = pack(weights(), bits)
    save_file(packed, tmp_path / "w")
    found = read(tmp_path / "w")
    for name, values in unpack(packed).items():
        np.testing.assert_array_equal(found[name], values)
    assert found.keys() == weights().keys()


def test_without_a_scale(tmp_path):
    packed = pack(weights(), 8)
    del packed["fc.weight.scale"]
    save_file(packed, tmp_path / "w")
    with pytest.raises(MeznetError, match=r"w lacks the tensor 'fc\.weight\.scale'\.$"):
        read(tmp_path / "w")


@pytest.mark.parametrize("content", [b"", b"not a safetensors file", None])
def test_unreadable(content, tmp_path):
    if content is not None:
        (tmp_path / "w").write_bytes(content)
    with pytest.raises(MeznetError, match="w is no readable safetensors file: "):
        read(tmp_path / "w")


@pytest.mark.parametrize("change", [{"fc.bias": np.zeros(8)}, {"more": np.zeros(1)}])
def test_check(change, tmp_path):
    wanted = {name: values.shape for name, values in weights().items()}
    check(tmp_path, "net", wanted, weights())
    (odd,) = change
    with pytest.raises(MeznetError, match=f'does not fit net: weight "{odd}" differs'):
        check(tmp_path, "net", wanted, weights() | change)
    with pytest.raises(MeznetError, match="differs"):
        check(tmp_path, "net", wanted | {odd: (8, 8)}, weights())
