import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from restorekit.layers import ChannelAttention


def features(channels, height=5, width=7, seed=0, dtype=torch.float64):
    return torch.randn(2, channels, height, width, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_is_its_equation():
    layer, x = ChannelAttention(8, reduction=2).double(), features(8) + 1
    squeeze, excite = layer.squeeze.weight[..., 0, 0], layer.excite.weight[..., 0, 0]
    inner = (x.sum(dim=(2, 3)) / 35 @ squeeze.T + layer.squeeze.bias).clamp(min=0)
    assert inner.any()
    factors = 1 / (1 + torch.exp(-(inner @ excite.T + layer.excite.bias)))
    assert torch.allclose(layer(x), x * factors.view(2, 8, 1, 1), rtol=0, atol=1e-14)


def test_each_channel_keeps_its_pattern():
    x = features(8)
    factors = ChannelAttention(8, reduction=4).double()(x) / x
    assert torch.allclose(factors, factors[..., :1, :1].expand_as(factors))
    assert factors.min() > 0
    assert factors.max() < 1


@pytest.mark.parametrize(("channels", "reduction", "inner"), [(64, 16, 4), (8, 1, 8), (10, 4, 2), (5, 5, 1)])
def test_width_between_the_two_convolutions(channels, reduction, inner):
    layer = ChannelAttention(channels, reduction=reduction)
    assert layer.squeeze.weight.shape == (inner, channels, 1, 1)
    assert layer.excite.weight.shape == (channels, inner, 1, 1)


@given(height=st.integers(1, 9), width=st.integers(1, 9))
def test_any_size_is_kept_and_the_input_left_alone(height, width):
    x = features(4, height, width, dtype=torch.float32)
    before = x.clone()
    assert ChannelAttention(4, reduction=2)(x).shape == x.shape
    assert torch.equal(x, before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_result_has_the_dtype_of_the_input(dtype):
    layer = ChannelAttention(8, reduction=2)
    exact = layer.double()(features(8))
    out = layer.to(dtype)(features(8).to(dtype))
    assert out.dtype == dtype
    assert torch.allclose(out.double(), exact, atol=0.05 if dtype == torch.bfloat16 else 1e-5)


def test_gradient():
    x = features(4, 3, 2, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(ChannelAttention(4, reduction=2).double(), (x,), fast_mode=True)


def test_refuses_sizes_that_leave_nothing():
    with pytest.raises(ValueError, match="channels must be at least 1, got 0"):
        ChannelAttention(0)
    with pytest.raises(ValueError, match="reduction must be at least 1, got 0"):
        ChannelAttention(8, reduction=0)
    with pytest.raises(ValueError, match="at least reduction, got 8 channels and reduction 16"):
        ChannelAttention(8)
    with pytest.raises(TypeError, match="reduction must be an integer"):
        ChannelAttention(8, reduction=2.0)
