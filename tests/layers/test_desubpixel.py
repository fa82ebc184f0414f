import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from restorekit.layers import Desubpixel

SIZES = {"scale": st.integers(1, 4), "channels": st.integers(1, 4), "height": st.integers(1, 4),
         "width": st.integers(1, 4)}  # fmt: skip


def numbered(channels, height, width):
    return torch.arange(2.0 * channels * height * width).view(2, channels, height, width)


@given(**SIZES)
def test_each_pixel_goes_where_the_equation_says(scale, channels, height, width):
    x = numbered(channels, height * scale, width * scale)
    out = Desubpixel(scale)(x)
    assert out.shape == (2, channels * scale**2, height, width)
    for dy in range(scale):
        for dx in range(scale):
            start = (dy * scale + dx) * channels
            assert torch.equal(out[:, start : start + channels], x[..., dy::scale, dx::scale])


@given(**SIZES)
def test_pixel_shuffle_undoes_it_after_reordering_the_channels(scale, channels, height, width):
    x = numbered(channels, height * scale, width * scale)
    colour_first = Desubpixel(scale)(x).unflatten(1, (scale**2, channels)).transpose(1, 2).flatten(1, 2)
    assert torch.equal(colour_first, F.pixel_unshuffle(x, scale))
    assert torch.equal(F.pixel_shuffle(colour_first, scale), x)


def test_differs_from_pixel_unshuffle():
    x = numbered(3, 4, 4)
    assert not torch.equal(Desubpixel(2)(x), F.pixel_unshuffle(x, 2))


def test_gradient():
    x = torch.randn(1, 2, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(Desubpixel(2), (x,))


@pytest.mark.parametrize("scale", [0, -1])
def test_refuses_scales_below_one(scale):
    with pytest.raises(ValueError, match="scale must be at least 1"):
        Desubpixel(scale)


@pytest.mark.parametrize("scale", [2.0, "2", True, None])
def test_refuses_scales_that_are_no_integers(scale):
    with pytest.raises(TypeError, match="scale must be an integer"):
        Desubpixel(scale)


def test_refuses_sizes_that_are_no_multiples():
    with pytest.raises(ValueError, match="multiples of 2, got 5x4"):
        Desubpixel(2)(torch.zeros(1, 3, 5, 4))


def test_describes_itself():
    assert repr(Desubpixel(3)) == "Desubpixel(scale=3)"
