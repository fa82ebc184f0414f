import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import convolve2d
from torch.autograd import gradcheck
from torch.nn import functional as F

from restorekit.losses import MixLoss, MSSSIMLoss, mix_loss


def pictures(n=2, channels=1, height=176, width=179, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    target, noise = (torch.rand(n, channels, height, width, generator=generator) for _ in range(2))
    return (0.7 * target + 0.3 * noise).to(dtype), target.to(dtype)


def slid(error, sigma, radius):
    """Mean over all the places where the published Gaussian, written out in full, fits into the plane."""
    distance = np.arange(-radius, radius + 1)
    window = np.exp(-(distance[:, None] ** 2 + distance**2) / (2 * sigma**2))
    return convolve2d(error, window / window.sum(), mode="valid").mean()


@pytest.mark.parametrize(("sigma", "radius"), [(8.0, 16), (1.3, 3), (0.5, 1)])
def test_a_gaussian_slides_over_the_difference(sigma, radius):
    prediction, target = pictures()
    error = np.abs((prediction - target).numpy()).mean(1)
    expected = [slid(plane, sigma, radius) for plane in error]
    found = mix_loss(prediction, target, alpha=0.0, sigma=sigma, reduction="none")
    assert found.numpy() == pytest.approx(expected, rel=1e-9)


def test_far_from_the_border_all_pixels_weigh_the_same():
    prediction, target = pictures(n=1)
    prediction.requires_grad_()
    mix_loss(prediction, target, alpha=0.0).backward()
    weights = prediction.grad.abs() * (176 - 32) * (179 - 32)  # 1 over the number of places each
    torch.testing.assert_close(weights[..., 32:-32, 32:-32], torch.ones(1, 1, 112, 115).double())
    assert weights[0, 0, 0, 0] < 1e-3
    assert weights.sum().item() == pytest.approx((176 - 32) * (179 - 32))


@pytest.mark.parametrize("alpha", [0.0, 0.84, 1.0])
def test_the_plain_form_is_the_sum_of_two_losses(alpha):
    prediction, target = pictures(channels=3)
    found = MixLoss(alpha=alpha, sigma=None)(prediction, target)
    torch.testing.assert_close(
        found, alpha * MSSSIMLoss()(prediction, target) + (1 - alpha) * F.l1_loss(prediction, target)
    )


@settings(max_examples=10, deadline=None)
@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.sampled_from([None, 1.0, 8.0]))
def test_constant_pictures_have_a_closed_form(a, b, alpha, sigma):
    first, second = (torch.full((1, 1, 176, 176), value, dtype=torch.float64) for value in (a, b))
    luminance = (2 * a * b + 1e-4) / (a * a + b * b + 1e-4)
    expected = alpha * (1 - luminance**0.1333) + (1 - alpha) * abs(a - b)
    assert mix_loss(first, second, alpha=alpha, sigma=sigma).item() == pytest.approx(expected, abs=1e-6)


def test_the_defaults_are_the_published_ones():
    assert repr(MixLoss()) == "MixLoss(alpha=0.84, sigma=8.0, data_range=1.0, reduction='mean')"
    prediction, target = pictures()
    structure = mix_loss(prediction, target, alpha=1.0)
    distance = mix_loss(prediction, target, alpha=0.0, sigma=8.0)
    torch.testing.assert_close(MixLoss()(prediction, target), 0.84 * structure + 0.16 * distance)


def test_reductions():
    prediction, target = pictures(n=3)
    each = MixLoss(reduction="none")(prediction, target)
    assert each.shape == (3,)
    torch.testing.assert_close(MixLoss()(prediction, target), each.mean())
    torch.testing.assert_close(MixLoss(reduction="sum")(prediction, target), each.sum())


def test_units_do_not_matter():
    prediction, target = pictures()
    found = MixLoss(data_range=255)(255 * prediction, 255 * target)
    torch.testing.assert_close(found, MixLoss()(prediction, target))


@pytest.mark.parametrize("sigma", [None, 8.0])
def test_gradient(sigma):
    pair = tuple(x.requires_grad_() for x in pictures(n=1))
    assert gradcheck(MixLoss(sigma=sigma), pair, fast_mode=True)


def test_identical_pictures_cost_nothing_and_have_a_finite_gradient():
    prediction = pictures()[0].requires_grad_()
    value = MixLoss()(prediction, prediction.detach())
    value.backward()
    assert value.item() == pytest.approx(0, abs=1e-6)
    assert prediction.grad.isfinite().all()


def test_half_types_are_computed_in_float32():
    prediction, target = pictures(dtype=torch.bfloat16)
    value = MixLoss()(prediction, target)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, MixLoss()(prediction.float(), target.float()), rtol=0, atol=0)


def test_nan_is_seen():
    prediction, target = pictures()
    prediction[1, 0, 0, 0] = float("nan")
    assert MixLoss(reduction="none")(prediction, target).isnan().tolist() == [False, True]


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"alpha": 1.5}, ValueError, r"alpha must be in \[0, 1\]"),
        ({"alpha": "most"}, TypeError, "alpha must be a number"),
        ({"sigma": 0.0}, ValueError, "sigma must be in"),
        ({"sigma": True}, TypeError, "sigma must be a number"),
        ({"reduction": "max"}, ValueError, "reduction must be one of"),
    ],
)
def test_bad_options(options, error, match):
    with pytest.raises(error, match=match):
        MixLoss(**options)
    with pytest.raises(error, match=match):
        mix_loss(*pictures(n=1), **options)


def test_bad_pictures():
    prediction, target = pictures(n=1)
    with pytest.raises(ValueError, match="same shape"):
        mix_loss(prediction, target[..., 1:])
    with pytest.raises(TypeError, match="floating-point"):
        mix_loss(prediction.int(), target.int())
    with pytest.raises(ValueError, match="needs at least"):
        mix_loss(prediction[..., :100], target[..., :100])
    with pytest.raises(ValueError, match=r"sigma=60\.0 needs pictures of at least 241x241 px, got 176x179"):
        mix_loss(prediction, target, sigma=60.0)


def test_mixed_precision_does_not_reach_the_weights():
    prediction, target = pictures(dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = MixLoss()(prediction, target)
    assert torch.equal(value, MixLoss()(prediction, target))
