import numpy as np
import pytest
import scipy.ndimage
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from restorekit.metrics import ms_ssim

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def pattern(height, width):
    """Waves, and the same waves with others on top (first) or the wrong way round (second)."""
    y, x = torch.arange(height, dtype=torch.float64).view(-1, 1), torch.arange(width, dtype=torch.float64)
    c = torch.arange(3, dtype=torch.float64).view(3, 1, 1)
    target = 0.5 + 0.3 * torch.sin(0.11 * x + 0.07 * (c + 1) * y) + 0.2 * torch.cos(0.002 * x * y + c)
    prediction = target + 0.15 * torch.sin(0.9 * x - 0.5 * y + c) * torch.cos(0.01 * y)
    return torch.stack([prediction, target.flip(-1)]), torch.stack([target, target])


def noise(height, width, n=1, channels=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    target = torch.rand(n, channels, height, width, generator=generator, dtype=torch.float64)
    return 0.7 * target + 0.3 * torch.rand(target.shape, generator=generator, dtype=torch.float64), target


def reference(prediction, target):
    """One channel, written out: five local moments, and the two factors as published."""

    def blurred(x):
        offset = np.arange(-5, 6)
        weight = np.exp(-(offset**2) / (2 * 1.5**2))
        for axis in (0, 1):
            x = scipy.ndimage.correlate1d(x, weight / weight.sum(), axis=axis)
        return x[5:-5, 5:-5]

    def halved(x):
        x = np.pad(x, [(size % 2, 0) for size in x.shape])
        return x.reshape(x.shape[0] // 2, 2, x.shape[1] // 2, 2).mean(axis=(1, 3))

    value, p, t = 1.0, prediction, target
    for level, weight in enumerate(WEIGHTS):
        mean_p, mean_t = blurred(p), blurred(t)
        var_p, var_t = blurred(p * p) - mean_p**2, blurred(t * t) - mean_t**2
        index = (2 * (blurred(p * t) - mean_p * mean_t) + 9e-4) / (var_p + var_t + 9e-4)
        if level == 4:
            index = index * (2 * mean_p * mean_t + 1e-4) / (mean_p**2 + mean_t**2 + 1e-4)
        value *= max(index.mean(), 0.0) ** weight
        p, t = halved(p), halved(t)
    return value


# pytorch-msssim 1.0.0 with torch 2.15.0: ms_ssim(*pattern(height, width), data_range=1.0, size_average=False)
PEER = {
    (161, 161): (0.9241513924477034, 0.02513930829973111),
    (176, 192): (0.9359865423915014, 0.0),
    (163, 190): (0.9292140543518094, 0.0),
    (201, 177): (0.942422942445734, 0.006224083884263649),
}


@pytest.mark.parametrize("size", PEER)
def test_equals_pytorch_msssim(size):
    prediction, target = pattern(*size)
    assert ms_ssim(prediction, target).numpy() == pytest.approx(PEER[size], abs=1e-6)  # its window is float32
    single = ms_ssim(prediction.float(), target.float())
    assert single.dtype == torch.float32
    assert single.numpy() == pytest.approx(PEER[size], abs=1e-6)


@pytest.mark.parametrize("size", [(161, 161), (176, 176), (167, 182)])
def test_equals_the_formula_written_out(size):
    prediction, target = pattern(*size)
    expected = [
        np.mean([reference(*planes) for planes in zip(p.numpy(), t.numpy(), strict=True)])
        for p, t in zip(prediction, target, strict=True)
    ]
    assert ms_ssim(prediction, target).numpy() == pytest.approx(expected, rel=1e-10)


@settings(max_examples=8, deadline=None)
@given(st.integers(161, 180), st.integers(161, 180), st.integers(0, 9))
def test_symmetric_bounded_and_independent_of_the_unit(height, width, seed):
    prediction, target = noise(height, width, seed=seed)
    value = ms_ssim(prediction, target)
    assert 0 < value.item() < 1
    assert torch.equal(value, ms_ssim(target, prediction))
    torch.testing.assert_close(ms_ssim(255 * prediction, 255 * target, data_range=255.0), value)


def test_options_come_before_the_levels():
    prediction, target = noise(170, 168, channels=3)
    inner = ms_ssim(*(x[..., 3:-3, 3:-3] for x in (prediction, target)))
    torch.testing.assert_close(ms_ssim(prediction, target, crop_border=3), inner)
    weights = torch.tensor([65.481, 128.553, 24.966], dtype=torch.float64).view(3, 1, 1)
    luma = [(16 + (weights * x).sum(1, keepdim=True)) / 255 for x in (prediction, target)]
    torch.testing.assert_close(ms_ssim(prediction, target, y_channel=True), ms_ssim(*luma))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_are_computed_in_float32_or_as_asked(dtype):
    prediction, target = (x.to(dtype) for x in noise(161, 161))
    assert torch.equal(ms_ssim(prediction, target), ms_ssim(prediction.float(), target.float()))
    double = ms_ssim(prediction, target, dtype=torch.float64)
    assert torch.equal(double, ms_ssim(prediction.double(), target.double()))


@pytest.mark.parametrize("wanted", [(True, False), (False, True), (True, True)])
def test_gradient(wanted):
    pictures = [x.requires_grad_(want) for x, want in zip(noise(162, 161), wanted, strict=True)]
    assert torch.autograd.gradcheck(ms_ssim, pictures, fast_mode=True)


def test_second_gradient():
    prediction, target = noise(161, 162)
    assert torch.autograd.gradgradcheck(lambda x: ms_ssim(x, target), prediction.requires_grad_(), fast_mode=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_identical_pictures_give_exactly_1_and_a_gradient_of_0(dtype):
    target = pattern(163, 161)[1].to(dtype)
    prediction = target.clone().requires_grad_()
    value = ms_ssim(prediction, target)
    (gradient,) = torch.autograd.grad(value.sum(), prediction)
    assert torch.equal(value, torch.ones(2, dtype=dtype))
    assert not gradient.any()


def test_a_negative_level_gives_0_and_a_gradient_of_0():
    prediction, target = noise(161, 161, n=2)
    prediction[1] = 1 - target[1]
    value = ms_ssim(prediction.requires_grad_(), target)
    (gradient,) = torch.autograd.grad(value.sum(), prediction)
    assert value[0] > 0
    assert value[1] == 0
    assert bool(gradient.isfinite().all())
    assert bool(gradient[0].any())
    assert not gradient[1].any()


def test_nan_reaches_its_own_picture_only():
    prediction, target = noise(161, 161, n=2)
    prediction[1, 0, 80, 80] = float("nan")
    assert ms_ssim(prediction, target).isnan().tolist() == [False, True]


def test_arguments_stay_as_they_were():
    prediction, target = noise(161, 165)
    before = prediction.clone(), target.clone()
    ms_ssim(prediction.requires_grad_(), target).sum().backward()
    assert torch.equal(prediction, before[0])
    assert torch.equal(target, before[1])


@pytest.mark.parametrize(
    ("shape", "options", "error", "message"),
    [
        (
            (1, 1, 160, 200),
            {},
            ValueError,
            r"at least 161x161 pixels, got 160x200 .*: its window of 11 pixels must fit",
        ),
        ((1, 1, 168, 168), {"crop_border": 4}, ValueError, r"got 160x160 \(168x168 before crop_border=4\)"),
        ((1, 1, 161, 161), {"crop_border": 81}, ValueError, "leaves nothing"),
        ((1, 1, 161, 161), {"y_channel": True}, ValueError, "needs RGB pictures, got 1 channels"),
        ((1, 1, 161, 161), {"data_range": 0.0}, ValueError, "data_range must be positive"),
        ((1, 1, 161, 161), {"dtype": torch.int32}, ValueError, "torch.float32, torch.float64 or None"),
        ((1, 161, 161), {}, ValueError, "4 dimensions"),
    ],
)
def test_bad_options(shape, options, error, message):
    with pytest.raises(error, match=message):
        ms_ssim(torch.zeros(shape), torch.zeros(shape), **options)


def test_bad_pairs():
    x = torch.zeros(1, 1, 161, 161)
    with pytest.raises(ValueError, match="same shape"):
        ms_ssim(x, torch.zeros(1, 1, 161, 162))
    with pytest.raises(TypeError, match="floating-point"):
        ms_ssim(x.to(torch.uint8), x.to(torch.int16))
