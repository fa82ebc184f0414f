import math

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from torch.autograd import gradcheck, gradgradcheck

from restorekit.losses import CharbonnierLoss, MaskedLoss, charbonnier_loss, masked_loss

EPS = st.floats(1e-6, 10)


def pictures(shape=(2, 3, 4, 5), dtype=torch.float64):
    return tuple(torch.rand(shape, generator=torch.Generator().manual_seed(i)).to(dtype) for i in (0, 1))


@given(EPS, st.sampled_from(["mean", "sum", "none"]))
def test_equals_numpy(eps, reduction):
    prediction, target = pictures()
    values = np.sqrt((prediction.numpy() - target.numpy()) ** 2 + eps**2)
    expected = {"mean": values.mean(), "sum": values.sum(), "none": values}[reduction]
    found = charbonnier_loss(prediction, target, eps=eps, reduction=reduction)
    assert found.numpy() == pytest.approx(expected, rel=1e-12)
    assert torch.equal(CharbonnierLoss(eps=eps, reduction=reduction)(prediction, target), found)


@given(EPS, st.floats(-5, 5))
def test_lies_between_the_difference_and_eps_above_it(eps, difference):
    value = charbonnier_loss(torch.full((1, 1, 1, 1), difference).double(), torch.zeros(1, 1, 1, 1).double(), eps=eps)
    assert max(abs(np.float32(difference)), eps) * (1 - 1e-9) <= value.item()
    assert value.item() <= (abs(np.float32(difference)) + eps) * (1 + 1e-9)


def test_the_default_is_the_published_one():
    loss = CharbonnierLoss()
    assert repr(loss) == "CharbonnierLoss(eps=0.001, reduction='mean')"
    found = loss(torch.full((1, 1, 2, 2), 0.003), torch.zeros(1, 1, 2, 2))
    assert found.item() == pytest.approx(math.sqrt(9e-6 + 1e-6))


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_gradient(reduction):
    pair = tuple(x.requires_grad_() for x in pictures((1, 2, 2, 2)))
    assert gradcheck(lambda a, b: charbonnier_loss(a, b, eps=0.1, reduction=reduction), pair)
    assert gradgradcheck(lambda a, b: charbonnier_loss(a, b, eps=0.1, reduction=reduction), pair)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("eps", [1e-30, 1e-3])
def test_identical_pictures_cost_eps_and_have_no_gradient(eps, dtype):
    prediction = pictures(dtype=dtype)[0].requires_grad_()
    loss = charbonnier_loss(prediction, prediction.detach(), eps=eps)
    loss.backward()
    assert loss.item() == pytest.approx(eps)
    assert not prediction.grad.any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_are_computed_in_float32(dtype):
    prediction, target = pictures(dtype=dtype)
    before = prediction.clone(), target.clone()
    found = charbonnier_loss(prediction, target, reduction="none")
    assert found.dtype == torch.float32
    assert torch.equal(found, charbonnier_loss(prediction.float(), target.float(), reduction="none"))
    assert torch.equal(prediction, before[0])
    assert torch.equal(target, before[1])


def test_large_differences_do_not_overflow():
    huge = torch.full((1, 1, 1, 1), 1e30)
    assert charbonnier_loss(huge, -huge).item() == pytest.approx(2e30)


def test_nan_is_seen():
    prediction, target = pictures()
    prediction[0, 0, 0, 0] = float("nan")
    assert charbonnier_loss(prediction, target).isnan()


def test_leaves_erased_pixels_out():
    prediction, target = pictures()
    mask = torch.rand(2, 1, 4, 5, generator=torch.Generator().manual_seed(2)) < 0.5
    expected = charbonnier_loss(prediction, target, reduction="none")[mask.expand_as(prediction)].mean()
    torch.testing.assert_close(masked_loss(prediction, target, mask, loss=charbonnier_loss, reduction="kept"), expected)
    module = MaskedLoss(CharbonnierLoss(reduction="none"), reduction="kept")
    torch.testing.assert_close(module(prediction, target, mask), expected)


P = torch.zeros(1, 3, 4, 4)


@pytest.mark.parametrize(
    ("prediction", "target", "options", "error", "match"),
    [
        (P, P[..., :3], {}, ValueError, "same shape"),
        (P, P.double(), {}, ValueError, "same dtype"),
        (P.int(), P.int(), {}, TypeError, "floating-point"),
        (P, P, {"eps": 0.0}, ValueError, "eps must be in"),
        (P, P, {"eps": -1e-3}, ValueError, "eps must be in"),
        (P, P, {"eps": float("nan")}, ValueError, "eps must be in"),
        (P, P, {"eps": "small"}, TypeError, "eps must be a number"),
        (P, P, {"reduction": "average"}, ValueError, "reduction must be one of mean, sum, none, got 'average'"),
    ],
)
def test_bad_arguments(prediction, target, options, error, match):
    with pytest.raises(error, match=match):
        charbonnier_loss(prediction, target, **options)
    if options:
        with pytest.raises(error, match=match):
            CharbonnierLoss(**options)
