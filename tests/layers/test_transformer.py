import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from restorekit.layers import GatedFeedForward, LayerNorm2d, TransformerBlock, TransposedAttention

LAYERS = {
    "norm": LayerNorm2d,
    "norm without bias": lambda channels: LayerNorm2d(channels, bias=False),
    "attention": lambda channels: TransposedAttention(channels, heads=2),
    "feed-forward": GatedFeedForward,
    "block": lambda channels: TransformerBlock(channels, heads=2),
}


def features(channels, height=5, width=7, seed=0, dtype=torch.float64):
    return torch.randn(2, channels, height, width, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def randomized(layer):
    """A layer in double precision without a parameter at its initial value."""
    generator = torch.Generator().manual_seed(3)
    for parameter in layer.double().parameters():
        nn.init.normal_(parameter, 0.1, 0.5, generator=generator)
    return layer


@pytest.mark.parametrize("bias", [True, False])
def test_norm_is_its_equation_at_each_pixel(bias):
    layer, x = randomized(LayerNorm2d(6, bias=bias)), features(6) + 2
    out = layer(x)
    for n, i, j in [(0, 0, 0), (1, 4, 6), (0, 2, 3)]:
        pixel = x[n, :, i, j]
        mean = pixel.sum() / 6
        deviation = (((pixel - mean) ** 2).sum() / 6 + 1e-5) ** 0.5
        expected = (pixel - mean) / deviation * layer.weight + layer.bias if bias else pixel / deviation * layer.weight
        assert torch.allclose(out[n, :, i, j], expected, rtol=0, atol=1e-12)


def test_attention_is_its_equation_in_each_head():
    layer, x = randomized(TransposedAttention(6, heads=2)), features(6)
    rows = F.conv2d(F.conv2d(x, layer.qkv.weight), layer.qkv_local.weight, padding=1, groups=18)
    mixed = torch.zeros_like(x)
    for n in range(2):
        for head in range(2):
            q, k, v = (rows[n, start + 3 * head : start + 3 * head + 3].reshape(3, 35) for start in (0, 6, 12))
            scores = torch.empty(3, 3, dtype=torch.float64)
            for a in range(3):
                for b in range(3):
                    scores[a, b] = q[a] @ k[b] / (q[a].norm() * k[b].norm()) * layer.temperature[head, 0, 0]
            weights = scores.exp() / scores.exp().sum(dim=1, keepdim=True)
            mixed[n, 3 * head : 3 * head + 3] = (weights @ v).view(3, 5, 7)
    assert torch.allclose(layer(x), F.conv2d(mixed, layer.exit.weight), rtol=0, atol=1e-12)


def test_feed_forward_is_its_equation():
    layer, x = randomized(GatedFeedForward(5)), features(5)
    assert layer.exit.weight.shape == (5, 13, 1, 1)  # int(2.66 * 5)
    hidden = F.conv2d(F.conv2d(x, layer.entry.weight), layer.local.weight, padding=1, groups=26)
    gate, value = hidden[:, :13], hidden[:, 13:]
    opened = gate * 0.5 * (1 + torch.erf(gate / 2**0.5)) * value
    assert torch.allclose(layer(x), F.conv2d(opened, layer.exit.weight), rtol=0, atol=1e-12)


def test_block_adds_what_its_parts_find():
    block, x = randomized(TransformerBlock(4, heads=2, expansion=1.5, norm_bias=False)), features(4)
    assert block.norm1.bias is None
    assert block.feed_forward.exit.weight.shape[1] == 6
    between = x + block.attention(block.norm1(x))
    assert torch.allclose(block(x), between + block.feed_forward(block.norm2(between)), rtol=0, atol=1e-12)
    nn.init.zeros_(block.attention.exit.weight)
    nn.init.zeros_(block.feed_forward.exit.weight)
    assert torch.equal(block(x), x)


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
@given(height=st.integers(1, 6), width=st.integers(1, 6))
def test_any_size_is_kept_and_the_input_left_alone(layer, height, width):
    x = features(4, height, width, dtype=torch.float32)
    before = x.clone()
    assert layer(4)(x).shape == x.shape
    assert torch.equal(x, before)


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_result_has_the_dtype_of_the_input(layer, dtype):
    layer = randomized(layer(8))
    exact = layer(features(8))
    out = layer.to(dtype)(features(8).to(dtype))
    assert out.dtype == dtype
    error = (out.double() - exact).abs().max() / exact.abs().max()
    assert error < (0.05 if dtype == torch.bfloat16 else 1e-5)


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_gradient(layer):
    x = features(4, 3, 2, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(randomized(layer(4)), (x,), fast_mode=True)


def test_refuses_sizes_that_do_not_fit():
    with pytest.raises(ValueError, match="channels must be at least 1, got 0"):
        LayerNorm2d(0)
    with pytest.raises(ValueError, match="heads must divide channels, got 3 heads for 8 channels"):
        TransposedAttention(8, heads=3)
    with pytest.raises(TypeError, match="heads must be an integer"):
        TransposedAttention(8, heads=2.0)
    with pytest.raises(ValueError, match=r"expansion must leave at least one channel, got 0\.2 for 4 channels"):
        GatedFeedForward(4, expansion=0.2)
    with pytest.raises(TypeError, match="expansion must be a number"):
        GatedFeedForward(4, expansion="2")


def test_black_features_in_float16_are_no_division_by_zero():
    layer = TransposedAttention(4, heads=2).half()
    assert torch.equal(layer(torch.zeros(1, 4, 6, 5).half()), torch.zeros(1, 4, 6, 5).half())
