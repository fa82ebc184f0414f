import math

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate
from scipy.special import j1
from torch.autograd import gradcheck

from restorekit.degrade import sinc_blur


def pictures(n=2, channels=3, height=9, width=11, dtype=torch.float32):
    return torch.rand(n, channels, height, width, generator=torch.Generator().manual_seed(0)).to(dtype)


def on_threads(function):
    """What a function gives on one thread and on two."""
    before, out = torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            out.append(function())
    finally:
        torch.set_num_threads(before)
    return out


@pytest.mark.parametrize(("cutoff", "size"), [(1.0, 7), (math.pi / 3, 21), (math.pi, 13)])
def test_equals_scipy(cutoff, size):
    x = pictures(1, 1, 40, 33, torch.float64)
    rows, columns = np.mgrid[:size, :size] - size // 2
    distance = np.hypot(rows, columns) + 1e-12
    kernel = cutoff * j1(cutoff * distance) / (2 * np.pi * distance)
    expected = correlate(x[0, 0].numpy(), kernel / kernel.sum(), mode="mirror")
    out = sinc_blur(x, cutoff, kernel_size=size, clip=False)
    np.testing.assert_allclose(out[0, 0].numpy(), expected, atol=1e-6)  # torch gives J1 to 5e-7


def test_takes_high_frequencies_away_and_keeps_low_ones():
    place = torch.arange(64, dtype=torch.float64)
    low, high = ((place * f).cos().expand(1, 1, 64, 64) * 0.4 + 0.5 for f in (0.4, 2.4))
    inside = (..., slice(12, -12), slice(12, -12))
    assert (sinc_blur(low, 1.2) - low)[inside].abs().max() < 0.05
    assert (sinc_blur(high, 1.2) - 0.5)[inside].abs().max() < 0.05


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_batch_is_its_pictures(dtype):
    x = pictures(3, 3, 41, 37, dtype)
    before = x.clone()
    levels = torch.tensor([0.6, 1.5, 3.0])
    out = sinc_blur(x, levels, kernel_size=9)
    assert out.dtype == dtype
    assert torch.equal(x, before)
    for i in range(3):
        assert torch.equal(out[i : i + 1], sinc_blur(x[i : i + 1], levels[i].item(), kernel_size=9))


def test_threads_leave_no_trace():
    x = pictures(1, 3, 211, 307)
    one, two = on_threads(lambda: sinc_blur(x, 1.3))
    assert torch.equal(one, two)


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (2, 3)])
def test_smallest_pictures(size):
    x = pictures(1, 1, *size)
    assert sinc_blur(x, 1.0).shape == x.shape


def test_clip():
    x = torch.zeros(1, 1, 32, 32)
    x[..., 16:] = 1
    assert sinc_blur(x, 1.5, clip=False).max() > 1.04
    assert sinc_blur(x, 1.5).max() == 1


def test_gradient():
    x = pictures(1, 1, 3, 3, torch.float64).requires_grad_()
    assert gradcheck(lambda x: sinc_blur(x, 1.0, kernel_size=3, clip=False), (x,))


def test_bad_arguments():
    x = pictures()
    with pytest.raises(ValueError, match=r"\[0.05, 3.15\] radians per pixel"):
        sinc_blur(x, 4.0)
    with pytest.raises(ValueError, match="one for each of the 2"):
        sinc_blur(x, torch.ones(3))
    with pytest.raises(ValueError, match="odd"):
        sinc_blur(x, 1.0, kernel_size=4)
    with pytest.raises(ValueError, match="border must be one of reflect"):
        sinc_blur(x, 1.0, border="valid")
    with pytest.raises(TypeError, match="integer"):
        sinc_blur(x, 1.0, kernel_size=7.0)
    with pytest.raises(TypeError, match="floating-point"):
        sinc_blur(torch.zeros(1, 1, 4, 4, dtype=torch.uint8), 1.0)
