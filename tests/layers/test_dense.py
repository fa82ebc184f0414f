import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from restorekit.layers import DenseResidualBlock


def features(channels=3, height=5, width=7, dtype=torch.float64):
    return torch.randn(2, channels, height, width, generator=torch.Generator().manual_seed(0), dtype=dtype)


def test_is_its_equation():
    block, x = DenseResidualBlock(3, growth=2, layers=3).double(), features()
    parts = [x]
    for conv in block.convs:  # each part has kernels of its own
        kernels = conv.weight.split([part.shape[1] for part in parts], dim=1)
        total = sum(F.conv2d(part, kernel, padding=1) for part, kernel in zip(parts, kernels, strict=True))
        parts.append((total + conv.bias.view(1, -1, 1, 1)).clamp(min=0))
    kernels = block.fusion.weight[..., 0, 0].split([part.shape[1] for part in parts], dim=1)
    fused = sum(torch.einsum("oc,nchw->nohw", kernel, part) for part, kernel in zip(parts, kernels, strict=True))
    expected = fused + block.fusion.bias.view(1, -1, 1, 1) + x
    assert torch.allclose(block(x), expected, rtol=0, atol=1e-14)


def test_size_of_the_papers_block():
    count = sum(p.numel() for p in DenseResidualBlock(64, growth=64, layers=8).parameters())
    assert count == 9 * 64 * 64 * 36 + 8 * 64 + 9 * 64 * 64 + 64


@given(height=st.integers(1, 9), width=st.integers(1, 9))
def test_any_size_is_kept_and_the_input_left_alone(height, width):
    x = features(3, height, width, torch.float32)
    before = x.clone()
    assert DenseResidualBlock(3, growth=2, layers=2)(x).shape == x.shape
    assert torch.equal(x, before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_result_has_the_dtype_of_the_input(dtype):
    block = DenseResidualBlock(3, growth=2, layers=2).double()
    exact = block(features())
    out = block.to(dtype)(features().to(dtype))
    assert out.dtype == dtype
    assert torch.allclose(out.double(), exact, atol=0.05 if dtype == torch.bfloat16 else 1e-5)


def test_gradient():
    x = features(2, 3, 4).requires_grad_()
    assert torch.autograd.gradcheck(DenseResidualBlock(2, growth=1, layers=2).double(), (x,), fast_mode=True)


@pytest.mark.parametrize("name", ["channels", "growth", "layers"])
def test_refuses_what_is_no_size(name):
    sizes = {"channels": 4, "growth": 2, "layers": 2}
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        DenseResidualBlock(**{**sizes, name: 0})
    with pytest.raises(TypeError, match=f"{name} must be an integer"):
        DenseResidualBlock(**{**sizes, name: 2.0})
