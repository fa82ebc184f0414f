import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck

from restorekit.degrade import resample


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


@pytest.mark.parametrize("kernel", ["area", "bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(5, 7), (20, 31), (12, 9)])
def test_equals_torch(kernel, size):
    x = pictures(2, 3, 12, 17, torch.float64)
    options = {} if kernel == "area" else {"align_corners": False}
    expected = F.interpolate(x, size=size, mode=kernel, **options)
    torch.testing.assert_close(resample(x, 1.0, kernel=kernel, size=size, clip=False), expected)


@given(st.integers(1, 20), st.integers(1, 20), st.floats(0.01, 3), st.sampled_from(["area", "bilinear", "bicubic"]))
def test_sizes(height, width, factor, kernel):
    x = pictures(1, 1, height, width)
    out = resample(x, factor, kernel=kernel)
    assert out.shape[-2:] == (max(1, int(height * factor)), max(1, int(width * factor)))
    assert out.min() >= 0
    assert out.max() <= 1


@pytest.mark.parametrize("kernel", ["area", "bilinear", "bicubic"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_batch_is_its_pictures(kernel, dtype):
    x = pictures(3, 3, 41, 37, dtype)
    before = x.clone()
    out = resample(x, 0.6, kernel=kernel)
    assert out.dtype == dtype
    assert torch.equal(x, before)
    for i in range(3):
        assert torch.equal(out[i : i + 1], resample(x[i : i + 1], 0.6, kernel=kernel))


@pytest.mark.parametrize("kernel", ["area", "bilinear", "bicubic"])
@pytest.mark.parametrize("factor", [0.61, 1.37])
def test_threads_leave_no_trace(kernel, factor):
    x = pictures(1, 3, 211, 307)
    one, two = on_threads(lambda: resample(x, factor, kernel=kernel))
    assert torch.equal(one, two)


@pytest.mark.parametrize("kernel", ["area", "bilinear", "bicubic"])
def test_gradient(kernel):
    x = pictures(1, 1, 4, 3, torch.float64).requires_grad_()
    assert gradcheck(lambda x: resample(x, 0.7, kernel=kernel, clip=False), (x,))


def test_clip():
    x = torch.zeros(1, 1, 8, 8)
    x[..., 4:] = 1
    assert resample(x, 2.0, clip=False).max() > 1
    assert resample(x, 2.0).max() == 1


def test_bad_arguments():
    x = pictures()
    with pytest.raises(ValueError, match=r"\[0.01, 100\]"):
        resample(x, 0.0)
    with pytest.raises(ValueError, match="area, bilinear, bicubic"):
        resample(x, 0.5, kernel="nearest")
    for size in [(3,), (0, 4), (2.5, 4), "ab", 7]:
        with pytest.raises(ValueError, match="two positive integers"):
            resample(x, 0.5, size=size)
    with pytest.raises(TypeError, match="level"):
        resample(x, torch.tensor([0.5, 0.5]))
    with pytest.raises(TypeError, match="floating-point"):
        resample(torch.zeros(1, 1, 4, 4, dtype=torch.uint8), 0.5)


def test_the_order_in_memory_does_not_matter():
    x = torch.rand(2, 4, 7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    strided = x.contiguous(memory_format=torch.channels_last)
    assert torch.equal(resample(strided, 0.5, kernel="area"), resample(x, 0.5, kernel="area"))
