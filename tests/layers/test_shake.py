import math

import pytest
import torch
from torch.autograd import gradcheck

from restorekit.layers import ShakeDrop, ShakeShake, shake_drop, shake_shake


def seed(number):
    return torch.Generator().manual_seed(number)


def ones(n, dtype=torch.float64):
    return torch.ones(n, 2, 3, 4, dtype=dtype, requires_grad=True)


def factors(values):
    """The one factor of each picture out of what ones became."""
    flat = values.detach().flatten(1)
    assert torch.equal(flat, flat[:, :1].expand_as(flat))
    return flat[:, 0]


def drop_factors(n, **options):
    """Factors of n pictures, forth and back."""
    x = ones(n)
    out = shake_drop(x, **options)
    (gradient,) = torch.autograd.grad(out.sum(), x)
    return factors(out), factors(gradient)


def test_shake_shake_weighs_two_branches_with_shares_that_add_up_both_ways():
    a, b = ones(4000), ones(4000)
    out = shake_shake(a, 3 * b, generator=seed(0))
    forth = (3 - factors(out)) / 2  # w + 3 (1 - w)
    back, other = map(factors, torch.autograd.grad(out.sum(), (a, b)))
    assert torch.allclose(back + other / 3, torch.ones(4000, dtype=torch.float64))
    for share in (forth, back):
        assert share.min() > -1e-12
        assert share.max() < 1 + 1e-12
        assert abs(share.mean() - 0.5) < 4 * math.sqrt(1 / 12 / 4000)
        assert abs(share.std() - math.sqrt(1 / 12)) < 0.01
    assert abs(torch.corrcoef(torch.stack([forth, back]))[0, 1]) < 4 / math.sqrt(4000)


@pytest.mark.parametrize("keep", [0.0, 0.3, 1.0])
def test_shake_drop_keeps_as_often_as_it_should_and_shakes_otherwise(keep):
    n = 6000
    forth, back = drop_factors(n, keep=keep, generator=seed(1))
    kept = forth == 1
    assert torch.equal(kept, back == 1)
    assert abs(kept.double().mean() - keep) <= 4 * math.sqrt(keep * (1 - keep) / n)
    shaken = int((~kept).sum())
    if keep == 1:
        return
    for values, low, high in ((forth[~kept], -1, 1), (back[~kept], 0, 1)):
        assert values.min() >= low
        assert values.max() <= high
        assert abs(values.mean() - (low + high) / 2) < 4 * (high - low) / math.sqrt(12 * shaken)
        assert values.std() == pytest.approx((high - low) / math.sqrt(12), rel=0.05)
    assert abs(torch.corrcoef(torch.stack([forth[~kept], back[~kept]]))[0, 1]) < 4 / math.sqrt(shaken)


@pytest.mark.parametrize(("keep", "span"), [(0.5, (-1.0, 1.0)), (0.8, (0.0, 1.0)), (0.25, (-0.5, 0.1)), (0.5, (0, 0))])
def test_evaluation_is_the_expectation_of_training(keep, span):
    forth, _ = drop_factors(8000, keep=keep, forward_range=span, generator=seed(2))
    expected = shake_drop(ones(1), keep=keep, forward_range=span, training=False)
    assert abs(forth.mean() - factors(expected)[0]) < 4 / math.sqrt(8000)
    assert factors(expected).item() == pytest.approx(keep + (1 - keep) * sum(span) / 2)


def test_evaluation_of_two_branches_is_their_mean():
    a, b = torch.randn(2, 2, 3, 2, 2, generator=seed(3))
    assert torch.equal(ShakeShake().eval()(a, b), (a + b) / 2)
    drop = ShakeDrop(0.6, forward_range=(0.0, 0.5)).eval()
    assert torch.allclose(drop(a), a * 0.7)


def test_evaluation_has_the_gradient_of_what_it_computes():
    x = torch.randn(2, 1, 2, 2, dtype=torch.float64, generator=seed(4), requires_grad=True)
    assert gradcheck(ShakeDrop(0.6).eval(), (x,))
    assert gradcheck(ShakeShake().eval(), (x, x.detach().flip(0).requires_grad_()))


def test_equal_factors_make_the_gradient_that_of_the_value():
    x = torch.randn(6, 1, 2, 2, dtype=torch.float64, generator=seed(5), requires_grad=True)
    assert gradcheck(
        lambda x: shake_drop(x, forward_range=(0.5, 0.5), backward_range=(0.5, 0.5), generator=seed(6)), (x,)
    )


def test_gradients_can_be_differentiated_again():
    x = ones(2)
    out = shake_drop(x**3, keep=0, generator=seed(7))
    (first,) = torch.autograd.grad(out.sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    assert torch.allclose(second, 2 * first)  # of 3 v x^2 at 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_dtype_and_shape_are_kept_and_inputs_left_alone(dtype):
    a, b = torch.randn(2, 3, 4, 5, 6, generator=seed(8)).to(dtype)
    before = a.clone(), b.clone()
    for out in (shake_shake(a, b, generator=seed(0)), shake_drop(a, generator=seed(0))):
        assert out.dtype == dtype
        assert out.shape == a.shape
    assert torch.equal(a, before[0])
    assert torch.equal(b, before[1])


@pytest.mark.parametrize("call", [shake_drop, ShakeDrop(), lambda x, **k: shake_shake(x, -x, **k)])
def test_same_generator_same_result_and_the_global_stream_left_alone(call):
    x, state = ones(8), torch.get_rng_state()
    first, again, other = (call(x, generator=seed(number)) for number in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)
    assert factors(first).unique().numel() > 2  # drawn for each picture


def test_modules_are_their_functions():
    a, b = torch.randn(2, 3, 4, 5, 6, generator=seed(9))
    assert torch.equal(ShakeShake()(a, b, generator=seed(1)), shake_shake(a, b, generator=seed(1)))
    options = {"keep": 0.2, "forward_range": (0.0, 0.5), "backward_range": (0.25, 1.0)}
    layer = ShakeDrop(**options)
    assert torch.equal(layer(a, generator=seed(1)), shake_drop(a, **options, generator=seed(1)))
    assert "0.2, forward_range=(0.0, 0.5), backward_range=(0.25, 1.0)" in repr(layer)


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch's compiler does it
def test_compiles_into_one_graph():
    # Two factors, so that a graph that took one for both would be found out.
    layer = ShakeDrop(0.0, forward_range=(-0.5, -0.5), backward_range=(0.25, 0.25))
    compiled, x = torch.compile(layer, backend="aot_eager", fullgraph=True), ones(3)
    out = compiled(x)
    assert torch.equal(factors(out), torch.full((3,), -0.5, dtype=torch.float64))
    (gradient,) = torch.autograd.grad(out.sum(), x)
    assert torch.equal(factors(gradient), torch.full((3,), 0.25, dtype=torch.float64))


def test_refuses_what_is_no_branch():
    with pytest.raises(ValueError, match="a and b must have the same shape"):
        shake_shake(torch.rand(1, 2, 3, 3), torch.rand(1, 2, 3, 4))
    with pytest.raises(ValueError, match="same dtype and device"):
        shake_shake(torch.rand(1, 2, 3, 3), torch.rand(1, 2, 3, 3).double())
    with pytest.raises(ValueError, match="x must have 4 dimensions"):
        shake_drop(torch.rand(2, 3))
    with pytest.raises(TypeError, match="generator must be"):
        shake_drop(torch.rand(1, 2, 3, 3), generator=0)


@pytest.mark.parametrize("make", [ShakeDrop, lambda **k: shake_drop(torch.rand(1, 1, 1, 1), **k)])
def test_refuses_options_that_are_none(make):
    with pytest.raises(ValueError, match=r"keep must be in \[0, 1\], got 1.5"):
        make(keep=1.5)
    with pytest.raises(ValueError, match=r"forward_range must be in \[-1, 1\], got -2"):
        make(forward_range=(-2, 1))
    with pytest.raises(ValueError, match="backward_range must begin with its least factor"):
        make(backward_range=(1.0, 0.0))
    for wrong in (1.0, (0.0,), [0.0, 1.0]):
        with pytest.raises(TypeError, match="backward_range must be two numbers"):
            make(backward_range=wrong)
