import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance
from torch.autograd import gradcheck

from restorekit.losses import EMDLoss


def distributions(n=3, bins=10, number=0, dtype=torch.float64):
    return torch.rand(n, bins, generator=torch.Generator().manual_seed(number), dtype=dtype).softmax(1)


@given(st.integers(1, 4), st.integers(2, 10), st.integers(0, 99))
def test_exponent_1_is_the_way_that_earth_moves(n, bins, number):
    a, b = distributions(n, bins, number), distributions(n, bins, number + 100)
    ways = [
        wasserstein_distance(range(bins), range(bins), x.numpy(), y.numpy()) / bins for x, y in zip(a, b, strict=True)
    ]
    assert EMDLoss(exponent=1, reduction="sum")(a, b).item() == pytest.approx(sum(ways))


def test_the_root_is_taken_for_each_sample():
    # cdfs differ by 1 in one bin of four, and by 1 in three
    a = torch.tensor([[1.0, 0, 0, 0], [1.0, 0, 0, 0]])
    b = torch.tensor([[0, 1.0, 0, 0], [0, 0, 0, 1.0]])
    assert EMDLoss()(a, b).item() == pytest.approx((0.5 + 0.75**0.5) / 2)
    assert EMDLoss(reduction="none")(a, b).tolist() == pytest.approx([0.5, 0.75**0.5])
    assert EMDLoss(exponent=float("inf"))(a, b).item() == 1


def test_gradient_also_at_equal_distributions():
    assert gradcheck(EMDLoss(), (distributions().requires_grad_(), distributions(number=1).requires_grad_()))
    same = distributions().requires_grad_()
    EMDLoss()(same, distributions()).backward()
    assert not same.grad.any()


def test_dtype_and_nan():
    a, b = distributions(), distributions(number=1)
    found = EMDLoss()(a.bfloat16(), b.bfloat16())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), EMDLoss()(a, b), rtol=5e-2, atol=0)
    a[0, 0] = float("nan")
    assert EMDLoss()(a, b).isnan()


P = torch.ones(2, 10)


@pytest.mark.parametrize(
    ("prediction", "target", "error", "match"),
    [
        (P, P[:1], ValueError, r"one shape \(N, bins\), got \(2, 10\) and \(1, 10\)"),
        (P[0], P[0], ValueError, r"got \(10,\)"),
        (P[:0], P[:0], ValueError, r"got \(0, 10\)"),
        (P, P.double(), ValueError, "same dtype"),
        (P.long(), P, TypeError, r"prediction .* torch\.int64"),
        (P, None, TypeError, "target .* NoneType"),
    ],
)
def test_bad_input(prediction, target, error, match):
    with pytest.raises(error, match=match):
        EMDLoss()(prediction, target)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"exponent": 0.5}, ValueError, "exponent must be in"),
        ({"exponent": "2"}, TypeError, "exponent must be a number"),
        ({"reduction": "max"}, ValueError, "mean, sum, none, got 'max'"),
    ],
)
def test_bad_arguments(options, error, match):
    with pytest.raises(error, match=match):
        EMDLoss(**options)
