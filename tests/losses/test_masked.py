import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import nn
from torch.autograd import gradcheck
from torch.nn import functional as F

from restorekit.losses import MaskedLoss, masked_loss


def seed(number):
    return torch.Generator().manual_seed(number)


def pictures(n=2, channels=3, height=4, width=6, dtype=torch.float64):
    return tuple(torch.rand(n, channels, height, width, generator=seed(i)).to(dtype) for i in (0, 1))


def keep(n, height, width, share=0.6, number=2):
    return torch.rand(n, 1, height, width, generator=seed(number)) < share


@settings(max_examples=50, deadline=None)
@given(
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 5),
    st.integers(1, 5),
    st.integers(1, 3),
    st.sampled_from([torch.bool, torch.float32, torch.uint8]),
    st.integers(0, 99),
)
def test_both_means_equal_numpy(n, channels, height, width, scale, dtype, number):
    prediction, target = pictures(n, channels, height * scale, width * scale)
    mask = keep(n, height, width, number=number)
    large = np.kron(mask.numpy(), np.ones((1, 1, scale, scale)))
    error = np.abs(prediction.numpy() * large - target.numpy() * large)
    over_all = masked_loss(prediction, target, mask.to(dtype))
    assert over_all.item() == pytest.approx(error.mean())
    kept = masked_loss(prediction, target, mask.to(dtype), reduction="kept")
    assert kept.item() == pytest.approx(error.sum() / max(large.sum() * channels, 1))


@pytest.mark.parametrize("loss", [F.mse_loss, F.smooth_l1_loss])
@pytest.mark.parametrize("reduction", ["mean", "kept"])
def test_nothing_erased_is_the_loss_itself(loss, reduction):
    prediction, target = pictures()
    found = masked_loss(prediction, target, torch.ones(2, 1, 4, 6), loss=loss, reduction=reduction)
    torch.testing.assert_close(found, loss(prediction, target))


@pytest.mark.parametrize("reduction", ["mean", "kept"])
def test_everything_erased_is_0(reduction):
    prediction, target = pictures()
    prediction.requires_grad_()
    loss = masked_loss(prediction, target, torch.zeros(2, 1, 4, 6), reduction=reduction)
    assert loss.item() == 0
    loss.backward()
    assert not prediction.grad.any()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("reduction", ["mean", "kept"])
def test_what_is_under_the_mask_reaches_neither_loss_nor_gradient(value, reduction):
    prediction, target = pictures()
    mask = keep(2, 4, 6)
    clean = masked_loss(prediction, target, mask, reduction=reduction)
    spoilt = torch.where(mask, prediction, value).requires_grad_()
    loss = masked_loss(spoilt, torch.where(mask, target, -value), mask, reduction=reduction)
    assert loss == clean
    (gradient,) = torch.autograd.grad(loss, spoilt)
    assert gradient.isfinite().all()
    assert torch.equal(gradient.abs().amax(1, keepdim=True) > 0, mask)


def test_a_kept_nan_is_seen():
    prediction, target = pictures()
    prediction[0, 0, 0, 0] = float("nan")
    assert masked_loss(prediction, target, torch.ones(2, 1, 4, 6)).isnan()


def test_kept_leaves_out_what_a_loss_gives_for_two_zeros():
    def charbonnier(prediction, target, reduction="mean"):
        values = ((prediction - target) ** 2 + 1).sqrt()
        return values if reduction == "none" else values.mean()

    prediction, target = pictures()
    mask = keep(2, 4, 6)
    found = masked_loss(prediction, target, mask, loss=charbonnier, reduction="kept")
    expected = charbonnier(prediction, target, "none")[mask.expand_as(prediction)].mean()
    torch.testing.assert_close(found, expected)


def test_any_loss_will_do_for_the_mean():
    prediction, target = pictures()
    mask = keep(2, 4, 6)
    found = masked_loss(prediction, target, mask, loss=lambda a, b: (a.mean() - b.mean()).abs())
    torch.testing.assert_close(found, ((prediction * mask).mean() - (target * mask).mean()).abs())


@pytest.mark.parametrize("reduction", ["mean", "kept"])
def test_gradient(reduction):
    prediction, target = (x.requires_grad_() for x in pictures(2, 1, 2, 4))
    mask = keep(2, 1, 2)
    assert gradcheck(lambda a, b: masked_loss(a, b, mask, loss=F.mse_loss, reduction=reduction), (prediction, target))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("reduction", ["mean", "kept"])
def test_dtype_stays_and_arguments_too(dtype, reduction):
    prediction, target = pictures(dtype=dtype)
    before = prediction.clone(), target.clone()
    mask = keep(2, 2, 3)
    found = masked_loss(prediction, target, mask, reduction=reduction)
    assert found.dtype == dtype
    torch.testing.assert_close(
        found.double(), masked_loss(prediction.double(), target.double(), mask, reduction=reduction), rtol=1e-2, atol=0
    )
    assert torch.equal(prediction, before[0])
    assert torch.equal(target, before[1])


def test_a_large_picture_fits_in_float16():
    ones = torch.ones(1, 3, 256, 256, dtype=torch.float16)
    assert masked_loss(ones, ones * 0, torch.ones(1, 1, 1, 1), reduction="kept") == 1


P = torch.zeros(2, 3, 4, 6)


@pytest.mark.parametrize(
    ("mask", "options", "error", "match"),
    [
        (torch.ones(2, 3, 4, 6), {}, ValueError, r"shape \(2, 1, h, w\)"),
        (torch.ones(1, 1, 4, 6), {}, ValueError, r"shape \(2, 1, h, w\)"),
        (torch.ones(4, 6), {}, ValueError, r"shape \(2, 1, h, w\)"),
        (torch.ones(2, 1, 4, 5), {}, ValueError, "one integer on both axes"),
        (torch.ones(2, 1, 2, 6), {}, ValueError, "one integer on both axes"),
        (torch.ones(2, 1, 8, 12), {}, ValueError, "one integer on both axes"),
        (torch.ones(2, 1, 0, 6), {}, ValueError, "shape"),
        (torch.ones(2, 1, 4, 6, device="meta"), {}, ValueError, "device"),
        (torch.ones(2, 1, 4, 6, dtype=torch.complex64), {}, TypeError, "complex64"),
        ([[1]], {}, TypeError, "list"),
        (torch.ones(2, 1, 4, 6), {"reduction": "sum"}, ValueError, "reduction must be one of mean, kept"),
        (torch.ones(2, 1, 4, 6), {"loss": "l1"}, TypeError, "loss must be a function"),
        (
            torch.ones(2, 1, 4, 6),
            {"reduction": "kept", "loss": lambda a, b, reduction: (a - b).mean()},
            ValueError,
            "value for each element",
        ),
    ],
)
def test_bad_arguments(mask, options, error, match):
    with pytest.raises(error, match=match):
        masked_loss(P, P, mask, **options)


def test_bad_pair():
    with pytest.raises(ValueError, match="same shape"):
        masked_loss(P, P[:1], torch.ones(2, 1, 4, 6))
    with pytest.raises(TypeError, match="floating-point"):
        masked_loss(P.int(), P.int(), torch.ones(2, 1, 4, 6))


@pytest.mark.parametrize(
    ("loss", "reduction", "module"),
    [
        (F.mse_loss, "mean", MaskedLoss(F.mse_loss)),
        (F.mse_loss, "kept", MaskedLoss(F.mse_loss, reduction="kept")),
        (F.mse_loss, "mean", MaskedLoss(nn.MSELoss())),
        (F.mse_loss, "kept", MaskedLoss(nn.MSELoss(reduction="none"), reduction="kept")),
        (F.l1_loss, "mean", MaskedLoss()),
        (lambda a, b: (a - b).square().sum(), "mean", MaskedLoss(nn.MSELoss(reduction="sum"))),
    ],
)
def test_the_module_is_the_function(loss, reduction, module):
    prediction, target = pictures()
    mask = keep(2, 2, 3)
    found = module(prediction, target, mask)
    assert found.shape == ()
    torch.testing.assert_close(found, masked_loss(prediction, target, mask, loss=loss, reduction=reduction))


def test_the_module_says_what_it_holds():
    assert repr(MaskedLoss()) == "MaskedLoss(l1_loss, reduction='mean')"
    assert "MSELoss()" in repr(MaskedLoss(nn.MSELoss()))


@pytest.mark.parametrize(
    ("loss", "options", "error", "match"),
    [
        ("l1", {}, TypeError, "loss must be a function"),
        (F.l1_loss, {"reduction": "sum"}, ValueError, "reduction must be one of mean, kept"),
        (nn.L1Loss(), {"reduction": "kept"}, ValueError, "L1Loss with reduction='mean'; construct it"),
        (nn.Identity(), {"reduction": "kept"}, ValueError, "Identity with reduction=None"),
    ],
)
def test_bad_modules(loss, options, error, match):
    with pytest.raises(error, match=match):
        MaskedLoss(loss, **options)
