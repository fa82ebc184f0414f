import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.autograd import gradcheck
from torch.nn import functional as F

from restorekit.losses import CharbonnierLoss, GANLoss, MaskedLoss, WeightedSum, masked_loss

WEIGHT = st.floats(-100, 100)


def pictures(dtype=torch.float64):
    return tuple(torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(i)).to(dtype) for i in (0, 1))


def both(first=1.0, second=0.5):
    return WeightedSum({"pixel": (CharbonnierLoss(), first), "power": (F.mse_loss, second)})


@given(WEIGHT, WEIGHT)
def test_is_the_weighted_sum(first, second):
    prediction, target = pictures()
    absolute = ((prediction - target).numpy() ** 2 + 1e-6) ** 0.5
    square = (prediction - target).numpy() ** 2
    total, terms = both(first, second)(prediction, target, return_terms=True)
    assert total.item() == pytest.approx(first * absolute.mean() + second * square.mean(), abs=1e-9)
    assert list(terms) == ["pixel", "power"]
    assert [term.item() for term in terms.values()] == pytest.approx([absolute.mean(), square.mean()])


def test_terms_are_a_second_result_and_hold_no_graph():
    prediction, target = pictures()
    prediction.requires_grad_()
    total, terms = both()(prediction, target, return_terms=True)
    assert torch.equal(both()(prediction, target), total)
    assert total.requires_grad
    assert total.shape == ()
    assert not any(term.requires_grad for term in terms.values())


def test_gradient():
    pair = tuple(x[:1, :1, :2, :2].requires_grad_() for x in pictures())
    assert gradcheck(both(2.0, -3.0), pair)


def test_weights_may_change_in_the_course_of_a_training():
    prediction, target = pictures()
    loss = both(1.0, 1.0)
    loss.weights["power"] = 0.0
    torch.testing.assert_close(loss(prediction, target), CharbonnierLoss()(prediction, target))
    assert "power: 0.0" in repr(loss)
    assert copy.deepcopy(loss).weights == loss.weights


def test_modules_inside_are_moved_and_saved():
    class Learned(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(3.0))

        def forward(self, prediction, target):
            return self.scale * (prediction - target).mean()

    loss = WeightedSum({"learned": (Learned(), 1.0), "pixel": (F.l1_loss, 1.0)}).double()
    assert [name for name, _ in loss.named_parameters()] == ["losses.learned.scale"]
    assert loss.state_dict()["losses.learned.scale"].dtype == torch.float64


def test_half_types_do_not_round_the_sum():
    prediction, target = pictures(torch.bfloat16)
    loss = WeightedSum({"pixel": (CharbonnierLoss(), 1.0)})
    total = loss(prediction, target)
    assert total.dtype == torch.float32
    assert torch.equal(total, CharbonnierLoss()(prediction, target))


def test_fits_into_a_masked_loss():
    prediction, target = pictures()
    mask = torch.rand(2, 1, 4, 5, generator=torch.Generator().manual_seed(2)) < 0.5
    expected = masked_loss(prediction, target, mask, loss=CharbonnierLoss())
    expected = expected + 0.5 * masked_loss(prediction, target, mask, loss=F.mse_loss)
    torch.testing.assert_close(MaskedLoss(both())(prediction, target, mask), expected)


def test_nan_is_seen():
    prediction, target = pictures()
    prediction[0, 0, 0, 0] = float("nan")
    total, terms = both()(prediction, target, return_terms=True)
    assert total.isnan()
    assert all(term.isnan() for term in terms.values())


def test_the_mapping_is_not_kept():
    terms = {"pixel": (nn.L1Loss(), 1.0)}
    loss = WeightedSum(terms)
    loss.weights["pixel"] = 2.0
    assert terms["pixel"][1] == 1.0


@pytest.mark.parametrize(
    ("terms", "error", "match"),
    [
        ({}, ValueError, "at least one loss"),
        ([(nn.L1Loss(), 1.0)], TypeError, "terms must map names"),
        ({"pixel": nn.L1Loss()}, TypeError, "terms must map names"),
        ({"pixel": (1.0, nn.L1Loss())}, TypeError, "terms must map names"),
        ({"pixel": (nn.L1Loss(), 1.0, 2.0)}, TypeError, "terms must map names"),
        ({3: (nn.L1Loss(), 1.0)}, TypeError, "terms must map names"),
        ({"": (nn.L1Loss(), 1.0)}, ValueError, "names that a module can have"),
        ({"a.b": (nn.L1Loss(), 1.0)}, ValueError, "names that a module can have"),
        ({"keys": (nn.L1Loss(), 1.0)}, ValueError, "names that a module can have"),
        ({"pixel": (nn.L1Loss(), "1")}, TypeError, "must be a number"),
        ({"pixel": (nn.L1Loss(), True)}, TypeError, "must be a number"),
        ({"pixel": (nn.L1Loss(), float("inf"))}, ValueError, "must be finite"),
    ],
)
def test_bad_terms(terms, error, match):
    with pytest.raises(error, match=match):
        WeightedSum(terms)


def test_any_name_that_torch_takes_for_a_module_itself():
    """``ModuleDict`` has these as attributes of each object, not of the class."""
    for name in ("training", "_modules", "_parameters"):
        with pytest.raises(ValueError, match="names that a module can have"):
            WeightedSum({name: (nn.L1Loss(), 1.0)})


def test_a_class_in_place_of_a_loss():
    with pytest.raises(TypeError, match="terms must map names"):
        WeightedSum({"pixel": (nn.L1Loss, 1.0)})


def test_lists_of_maps_are_summed_as_well():
    maps = [torch.ones(2, 1, 4, 4), torch.ones(2, 1, 2, 2)]
    gan = GANLoss("wgan")
    total = WeightedSum({"gan": (gan.generator, 0.5)})(maps, maps)
    assert total == -1.0


def test_a_loss_that_is_no_tensor():
    with pytest.raises(TypeError, match=r'terms\["pixel"\] must give a tensor, got float'):
        WeightedSum({"pixel": (lambda prediction, target: 1.0, 1.0)})(*pictures())


def test_a_loss_that_is_no_scalar():
    with pytest.raises(ValueError, match=r'terms\["pixel"\] must give a scalar, got shape \(2, 3, 4, 5\)'):
        WeightedSum({"pixel": (nn.L1Loss(reduction="none"), 1.0)})(*pictures())
