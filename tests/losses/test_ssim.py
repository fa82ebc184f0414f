import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.metrics import structural_similarity
from torch.autograd import gradcheck

from restorekit.losses import MSSSIMLoss, SSIMLoss

BOTH = [(SSIMLoss, 16), (MSSSIMLoss, 176)]


def pictures(size, n=2, channels=3, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    target, noise = (torch.rand(n, channels, size, size, generator=generator) for _ in range(2))
    return (0.7 * target + 0.3 * noise).to(dtype), target.to(dtype)


def waves(size):
    """A picture and a damaged one that any library can make again."""
    y, x = np.mgrid[:size, :size]
    target = np.stack([0.5 + 0.4 * np.sin(x * y / (40.0 + 9 * c)) for c in range(3)])[None]
    return torch.from_numpy(target + 0.1 * np.cos(0.9 * x + 0.4 * y)), torch.from_numpy(target)


def test_ssim_equals_scikit_image():
    prediction, target = pictures(20)
    options = {"gaussian_weights": True, "use_sample_covariance": False, "data_range": 1.0, "channel_axis": 0}
    pairs = zip(prediction.numpy(), target.numpy(), strict=True)
    expected = [1 - structural_similarity(t, p, **options) for p, t in pairs]
    assert SSIMLoss(reduction="none")(prediction, target).numpy() == pytest.approx(expected, rel=1e-10)
    assert SSIMLoss()(prediction, target).item() == pytest.approx(np.mean(expected), rel=1e-10)
    assert SSIMLoss(reduction="sum")(prediction, target).item() == pytest.approx(np.sum(expected), rel=1e-10)


def test_ms_ssim_equals_pytorch_msssim():
    # 1 - ms_ssim(..., data_range=1.0) of pytorch-msssim 1.0.0 in float64, whose window is of float32
    assert MSSSIMLoss()(*waves(176)).item() == pytest.approx(0.2453887, abs=1e-5)


@given(st.floats(0, 1), st.floats(0, 1))
def test_constant_pictures_have_a_closed_form(a, b):
    luminance = (2 * a * b + 1e-4) / (a * a + b * b + 1e-4)
    small, large = ([torch.full((1, 1, size, size), v, dtype=torch.float64) for v in (a, b)] for size in (11, 176))
    assert SSIMLoss()(*small).item() == pytest.approx(1 - luminance, abs=1e-6)
    assert MSSSIMLoss()(*large).item() == pytest.approx(1 - luminance**0.1333, abs=1e-6)


@pytest.mark.parametrize(("loss", "size"), BOTH)
def test_reductions(loss, size):
    prediction, target = pictures(size, n=3)
    each = loss(reduction="none")(prediction, target)
    assert each.shape == (3,)
    torch.testing.assert_close(loss()(prediction, target), each.mean())
    torch.testing.assert_close(loss(reduction="sum")(prediction, target), each.sum())


@pytest.mark.parametrize(("loss", "size"), BOTH)
def test_options_reach_the_metric(loss, size):
    prediction, target = pictures(size, n=1)
    plain = loss()(prediction, target)
    torch.testing.assert_close(loss(data_range=255)(255 * prediction, 255 * target), plain)
    swapped = loss(y_channel=True)(prediction.flip(1), target.flip(1))
    assert abs(loss(y_channel=True)(prediction, target) - swapped) > 1e-6
    torch.testing.assert_close(loss()(prediction.flip(1), target.flip(1)), plain)


@pytest.mark.parametrize(("loss", "size"), BOTH)
def test_gradient(loss, size):
    pair = tuple(x.requires_grad_() for x in pictures(size, n=1, channels=1))
    assert gradcheck(loss(), pair, fast_mode=True)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize(("loss", "size"), BOTH)
def test_identical_pictures_cost_nothing_and_have_a_finite_gradient(loss, size, flat, dtype):
    prediction = pictures(size, n=1, dtype=dtype)[0]
    prediction = (torch.zeros_like(prediction) if flat else prediction).requires_grad_()
    value = loss()(prediction, prediction.detach())
    value.backward()
    assert value.item() == pytest.approx(0, abs=1e-5)
    assert prediction.grad.isfinite().all()
    assert prediction.grad.abs().max() < 1e-3


@pytest.mark.parametrize(("loss", "size"), BOTH)
def test_opposite_contrast_has_a_finite_gradient(loss, size):
    target = pictures(size, n=1)[1]
    prediction = (1 - target).requires_grad_()
    value = loss()(prediction, target)
    value.backward()
    assert value > 0.99
    assert prediction.grad.isfinite().all()


@pytest.mark.parametrize(("loss", "size"), BOTH)
def test_half_types_are_computed_in_float32(loss, size):
    prediction, target = pictures(size, dtype=torch.bfloat16)
    value = loss()(prediction, target)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss()(prediction.float(), target.float()), rtol=0, atol=0)


@pytest.mark.parametrize(("loss", "size"), BOTH)
def test_nan_is_seen(loss, size):
    prediction, target = pictures(size)
    prediction[0] = float("nan")
    assert loss(reduction="none")(prediction, target).isnan().tolist() == [True, False]


@pytest.mark.parametrize(("loss", "size"), BOTH)
def test_repr(loss, size):
    assert repr(loss()) == f"{loss.__name__}(y_channel=False, data_range=1.0, reduction='mean')"


@pytest.mark.parametrize(("loss", "size"), BOTH)
def test_bad_arguments(loss, size):
    with pytest.raises(ValueError, match="reduction must be one of mean, sum, none"):
        loss(reduction="median")
    prediction, target = pictures(size)
    with pytest.raises(ValueError, match="same shape"):
        loss()(prediction, target[:1])
    with pytest.raises(TypeError, match="floating-point"):
        loss()(prediction.int(), target.int())
    with pytest.raises(ValueError, match="needs at least"):
        loss()(prediction[..., :10], target[..., :10])
    with pytest.raises(ValueError, match="RGB"):
        loss(y_channel=True)(prediction[:, :1], target[:, :1])
    with pytest.raises(ValueError, match="data_range"):
        loss(data_range=0)(prediction, target)
