import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from restorekit.degrade import quantize

TONES = torch.arange(256).view(1, 1, 16, 16)


@pytest.mark.parametrize("level", [2, 3, 4, 6, 8, 10, 12, 16, 37, 128, 255, 256])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_8_bit_tone_by_whole_numbers(level, dtype):
    lower_edge = (TONES.numpy() * level // 256) * 256 / level / 255
    np.testing.assert_allclose(quantize((TONES / 255).to(dtype), level).numpy(), lower_edge, rtol=1e-6)


def test_256_levels_leave_8_bit_pictures():
    torch.testing.assert_close(quantize(TONES / 255, 256), TONES / 255)


@pytest.mark.parametrize("level", [2, 4, 8, 16, 64, 256])
def test_8_bit_tones_stay_on_their_side_of_a_threshold_in_half_precision(level):
    lower_edge = (TONES * level // 256) * 256 / level / 255
    assert torch.equal(quantize((TONES / 255).half(), level), lower_edge.half())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_level_of_each_picture_and_dtype(dtype):
    x = torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(0)).to(dtype)
    before = x.clone()
    out = quantize(x, torch.tensor([4, 9]))
    assert torch.equal(x, before)
    assert (out.shape, out.dtype) == (x.shape, dtype)
    for i, level in enumerate((4, 9)):
        assert torch.equal(out[i : i + 1], quantize(x[i : i + 1], level))


def test_any_number_of_threads():
    x = torch.rand(2, 3, 211, 307, generator=torch.Generator().manual_seed(0))
    outs = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            outs.append(quantize(x, torch.tensor([5, 11])))
    finally:
        torch.set_num_threads(1)
    assert torch.equal(outs[0], outs[1])
    assert torch.equal(outs[0][1:], quantize(x[1:], 11))


@given(level=st.integers(2, 256), size=st.tuples(*[st.integers(1, 6)] * 4), number=st.integers(0, 99))
def test_at_most_so_many_tones_never_brighter_and_twice_is_once(level, size, number):
    x = torch.rand(size, dtype=torch.float64, generator=torch.Generator().manual_seed(number))
    out = quantize(x, level)
    assert out.unique().numel() <= level
    assert ((x - out) > -256 / level / 255 / 4000).all()
    assert ((x - out) <= 256 / level / 255 + 1e-9).all()
    torch.testing.assert_close(quantize(out, level), out)


def test_outside_the_range_falls_to_the_ends():
    assert quantize(torch.tensor([[[[-0.5, 1.5]]]]), 2).mul(255).tolist() == [[[[0, 128]]]]


def test_no_graph():
    assert not quantize(torch.rand(1, 1, 2, 2, requires_grad=True), 4).requires_grad


@pytest.mark.parametrize("level", [1, 257, 2.5, float("nan"), torch.tensor([4, 1]), torch.tensor([4.0, 5.5])])
def test_bad_levels(level):
    with pytest.raises(ValueError, match=r"level must be .*\[2, 256\]"):
        quantize(torch.zeros(2, 3, 4, 4), level)


def test_other_bad_input():
    with pytest.raises(ValueError, match="one for each of the 2 pictures"):
        quantize(torch.zeros(2, 3, 4, 4), torch.tensor([4, 4, 4]))
    with pytest.raises(TypeError, match="level must be a number"):
        quantize(torch.zeros(2, 3, 4, 4), None)
    with pytest.raises(TypeError, match="floating-point"):
        quantize(torch.zeros(1, 3, 4, 4, dtype=torch.uint8), 4)
