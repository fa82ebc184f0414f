import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio

from restorekit.metrics import psnr

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def pair(shape, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    target = torch.rand(shape, generator=generator, dtype=torch.float64)
    noise = 0.2 * torch.rand(shape, generator=generator, dtype=torch.float64)
    return (0.8 * target + noise).to(dtype), target.to(dtype)


def reference(prediction, target, border=0):
    height, width = target.shape[-2:]
    inner = np.s_[..., border : height - border, border : width - border]
    return [
        peak_signal_noise_ratio(t[inner], p[inner], data_range=1.0) for p, t in zip(prediction, target, strict=True)
    ]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (3, 3, 7, 9), (2, 4, 5, 1)])
def test_equals_skimage_for_each_picture(shape, device):
    prediction, target = pair(shape)
    value = psnr(prediction.to(device), target.to(device))
    assert value.shape == shape[:1]
    assert value.cpu().numpy() == pytest.approx(reference(prediction.numpy(), target.numpy()), rel=1e-12)


def test_crop_leaves_the_border_out():
    prediction, target = pair((2, 3, 12, 10))
    expected = reference(prediction.numpy(), target.numpy(), border=4)
    assert psnr(prediction, target, crop_border=4).numpy() == pytest.approx(expected, rel=1e-12)


def test_luma_is_bt601_studio_unrounded():
    prediction, target = pair((2, 3, 9, 9))
    first, second = (rgb2ycbcr(x.numpy(), channel_axis=1)[:, 0] for x in (prediction, target))
    expected = [peak_signal_noise_ratio(t, p, data_range=255) for p, t in zip(first, second, strict=True)]
    assert psnr(prediction, target, y_channel=True).numpy() == pytest.approx(expected, rel=1e-9)


def test_crop_and_luma_work_together():
    prediction, target = pair((1, 3, 9, 8))
    first, second = (rgb2ycbcr(x.numpy(), channel_axis=1) / 255 for x in (prediction, target))
    expected = reference(first[:, :1], second[:, :1], border=2)
    assert psnr(prediction, target, crop_border=2, y_channel=True).numpy() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("y_channel", [False, True])
def test_identical_pictures_give_infinity(y_channel):
    prediction, target = pair((2, 3, 4, 4))
    prediction[1] = target[1]
    value = psnr(prediction, target, y_channel=y_channel)
    assert math.isfinite(value[0])
    assert value[1] == math.inf


def test_nothing_keeps_the_error_away_from_zero():
    target = torch.zeros(1, 1, 4, 4, dtype=torch.float64)
    assert psnr(target + 1e-9, target).item() == pytest.approx(180.0)


@given(shift=st.floats(1e-3, 1.0), level=st.floats(0.0, 1.0), seed=st.integers(0, 99))
def test_shift_law(shift, level, seed):
    target = level * pair((2, 3, 4, 5), seed)[1]
    assert psnr(target + shift, target).numpy() == pytest.approx([-20 * math.log10(shift)] * 2, rel=1e-9, abs=1e-9)


@given(seed=st.integers(0, 99), y_channel=st.booleans())
def test_symmetric(seed, y_channel):
    prediction, target = pair((2, 3, 4, 5), seed)
    assert torch.equal(psnr(prediction, target, y_channel=y_channel), psnr(target, prediction, y_channel=y_channel))


@given(order=st.permutations(range(4)), border=st.integers(0, 2))
def test_pictures_do_not_see_each_other(order, border):
    prediction, target = pair((4, 3, 6, 5))
    whole = psnr(prediction, target, crop_border=border)
    torch.testing.assert_close(psnr(prediction[order], target[order], crop_border=border), whole[order])


@given(data_range=st.floats(0.01, 1000.0), y_channel=st.booleans())
def test_units_do_not_matter(data_range, y_channel):
    prediction, target = pair((1, 3, 4, 5))
    value = psnr(data_range * prediction, data_range * target, data_range=data_range, y_channel=y_channel)
    torch.testing.assert_close(value, psnr(prediction, target, y_channel=y_channel))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_are_computed_in_float32(dtype):
    prediction, target = pair((2, 3, 8, 8), dtype=dtype)
    value = psnr(prediction, target, crop_border=1, y_channel=True)
    assert value.dtype == torch.float32
    assert torch.equal(value, psnr(prediction.float(), target.float(), crop_border=1, y_channel=True))


def test_float32_stays_float32():
    prediction, target = pair((2, 3, 8, 8), dtype=torch.float32)
    value = psnr(prediction, target)
    assert value.dtype == torch.float32
    assert value.numpy() == pytest.approx(reference(prediction.double().numpy(), target.double().numpy()), rel=1e-5)


@pytest.mark.parametrize("options", [{}, {"crop_border": 1, "y_channel": True, "data_range": 2.0}])
def test_gradient(options):
    prediction, target = (x.requires_grad_() for x in pair((2, 3, 4, 5)))
    assert torch.autograd.gradcheck(lambda a, b: psnr(a, b, **options), (prediction, target))


def test_arguments_stay_as_they_were():
    prediction, target = pair((1, 3, 6, 6))
    before = prediction.clone(), target.clone()
    psnr(prediction, target, crop_border=1, y_channel=True)
    assert torch.equal(prediction, before[0])
    assert torch.equal(target, before[1])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"crop_border": 4}, ValueError, "crop_border=4 leaves nothing of pictures of 8x9"),
        ({"crop_border": -1}, ValueError, "crop_border must be at least 0"),
        ({"crop_border": 1.0}, TypeError, "crop_border must be an integer"),
        ({"data_range": 0.0}, ValueError, "data_range must be positive"),
        ({"data_range": math.nan}, ValueError, "data_range must be positive"),
        ({"data_range": math.inf}, ValueError, "data_range must be positive and finite"),
        ({"data_range": "255"}, TypeError, "data_range must be a number"),
    ],
)
def test_bad_options(options, error, message):
    with pytest.raises(error, match=message):
        psnr(*pair((1, 3, 8, 9)), **options)


def test_luma_needs_three_channels():
    with pytest.raises(ValueError, match="needs RGB pictures, got 1 channels"):
        psnr(*pair((1, 1, 8, 8)), y_channel=True)


@pytest.mark.parametrize(
    ("prediction", "target", "error"),
    [
        (torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 9), ValueError),
        (torch.zeros(1, 3, 8, 8), torch.zeros(2, 3, 8, 8), ValueError),
        (torch.zeros(3, 8, 8), torch.zeros(3, 8, 8), ValueError),
        (torch.zeros(1, 3, 0, 8), torch.zeros(1, 3, 0, 8), ValueError),
        (torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8, dtype=torch.float64), ValueError),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), torch.zeros(1, 3, 8, 8, dtype=torch.uint8), TypeError),
        (torch.zeros(1, 3, 8, 8, dtype=torch.complex64), torch.zeros(1, 3, 8, 8, dtype=torch.complex64), TypeError),
        (np.zeros((1, 3, 8, 8)), torch.zeros(1, 3, 8, 8), TypeError),
    ],
)
def test_bad_pictures(prediction, target, error):
    with pytest.raises(error, match="prediction"):
        psnr(prediction, target)


def test_identical_pictures_have_no_gradient_and_leave_the_others_theirs():
    target = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    prediction = target.clone()
    prediction[1] += 0.1
    value = psnr(prediction.requires_grad_(), target)
    assert value[0] == math.inf
    (gradient,) = torch.autograd.grad(value.sum(), prediction)
    assert not gradient[0].any()
    slope = -20 / math.log(10) * 0.1 / (0.01 * 192)
    torch.testing.assert_close(gradient[1], torch.full_like(gradient[1], slope))
