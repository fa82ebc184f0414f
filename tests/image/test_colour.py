import hypothesis.strategies as st
import numpy as np
import pytest
import skimage.color
import skimage.data
import torch
from hypothesis import given, settings
from torch.autograd import gradcheck

from restorekit.image.colour import rgb_to_y, rgb_to_ycbcr, ycbcr_to_rgb

CONVERSIONS = [rgb_to_ycbcr, ycbcr_to_rgb, rgb_to_y]


def picture(height=5, width=7, n=2, dtype=torch.float32, seed=0):
    return torch.rand(n, 3, height, width, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def photograph(dtype=torch.float64):
    rgb = skimage.data.astronaut()[::8, ::8]
    return rgb, torch.from_numpy(rgb.copy()).permute(2, 0, 1).unsqueeze(0).to(dtype) / 255


def test_forward_equals_skimage():
    rgb, x = photograph()
    expected = torch.from_numpy(skimage.color.rgb2ycbcr(rgb)).permute(2, 0, 1) / 255
    torch.testing.assert_close(rgb_to_ycbcr(x)[0], expected, rtol=0, atol=1e-12)


def test_inverse_equals_skimage():
    rgb, x = photograph()
    ycbcr = skimage.color.rgb2ycbcr(rgb)
    expected = torch.from_numpy(skimage.color.ycbcr2rgb(ycbcr)).permute(2, 0, 1)
    result = ycbcr_to_rgb(torch.from_numpy(ycbcr).permute(2, 0, 1).unsqueeze(0) / 255)
    torch.testing.assert_close(result[0], expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(result, x, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("rgb", "ycbcr"),
    [
        ((0, 0, 0), (16, 128, 128)),
        ((1, 1, 1), (235, 128, 128)),
        ((0, 0, 1), (16 + 24.966, 240, 128 - 18.214)),
        ((1, 0, 0), (16 + 65.481, 128 - 37.797, 240)),
        ((1, 1, 0), (235 - 24.966, 16, 128 + 18.214)),
    ],
)
def test_corners_of_the_range(rgb, ycbcr):
    x = torch.tensor(rgb, dtype=torch.float64).view(1, 3, 1, 1)
    result = rgb_to_ycbcr(x).flatten() * 255
    torch.testing.assert_close(result, torch.tensor(ycbcr, dtype=torch.float64), rtol=0, atol=2e-3)


def test_y_is_the_first_channel_bit_for_bit():
    x = picture()
    assert torch.equal(rgb_to_y(x), rgb_to_ycbcr(x)[:, :1])


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 99), st.sampled_from([torch.float32, torch.float64]))
def test_round_trip(height, width, seed, dtype):
    x = picture(height, width, dtype=dtype, seed=seed)
    tolerance = 8 * torch.finfo(dtype).eps
    torch.testing.assert_close(ycbcr_to_rgb(rgb_to_ycbcr(x)), x, rtol=0, atol=tolerance)
    torch.testing.assert_close(rgb_to_ycbcr(ycbcr_to_rgb(x)), x, rtol=0, atol=tolerance)


def test_nothing_is_clamped():
    x = torch.tensor([2.0, -1.0, 3.0]).view(1, 3, 1, 1)
    torch.testing.assert_close(ycbcr_to_rgb(rgb_to_ycbcr(x)), x, rtol=0, atol=2e-6)
    assert rgb_to_y(3 * torch.ones(1, 3, 1, 1)).item() > 1


@pytest.mark.parametrize("convert", CONVERSIONS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precisions_are_rounded_once(convert, dtype):
    x = picture().to(dtype)
    result = convert(x)
    assert result.dtype == dtype
    assert torch.equal(result, convert(x.float()).to(dtype))


@pytest.mark.parametrize("convert", CONVERSIONS)
def test_gradient(convert):
    assert gradcheck(convert, (picture(2, 2, dtype=torch.float64).requires_grad_(),))


@pytest.mark.parametrize("convert", CONVERSIONS)
def test_input_is_unchanged_and_memory_layout_does_not_matter(convert):
    x = picture()
    before = x.clone()
    result = convert(x)
    assert torch.equal(x, before)
    assert torch.equal(result, convert(x.contiguous(memory_format=torch.channels_last)))
    assert torch.equal(result, torch.cat([convert(one) for one in x.split(1)]))


@pytest.mark.parametrize("convert", CONVERSIONS)
@pytest.mark.parametrize(
    ("bad", "error", "match"),
    [
        (np.zeros((1, 3, 2, 2)), TypeError, "torch.Tensor"),
        (torch.zeros(1, 3, 2, 2, dtype=torch.uint8), TypeError, "floating-point"),
        (torch.zeros(1, 3, 2, 2, dtype=torch.complex64), TypeError, "floating-point"),
        (torch.zeros(3, 2, 2), ValueError, "4 dimensions"),
        (torch.zeros(1, 1, 2, 2), ValueError, "3 channels"),
        (torch.zeros(1, 4, 2, 2), ValueError, "3 channels"),
        (torch.zeros(1, 3, 0, 2), ValueError, "empty"),
    ],
)
def test_bad_input(convert, bad, error, match):
    with pytest.raises(error, match=match):
        convert(bad)
