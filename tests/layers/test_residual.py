import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from restorekit.layers import EResidualBlock, ResidualBlock


def features(channels, height=5, width=7, seed=0, dtype=torch.float64):
    return torch.randn(2, channels, height, width, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("activation", [True, False])
def test_plain_unit_is_its_equation(activation):
    block, x = ResidualBlock(6, activation=activation).double(), features(6)
    inner = F.conv2d(x, block.conv1.weight, block.conv1.bias, padding=1).clamp(min=0)
    expected = F.conv2d(inner, block.conv2.weight, block.conv2.bias, padding=1) + x
    assert expected.min() < 0
    assert torch.allclose(block(x), expected.clamp(min=0) if activation else expected, rtol=0, atol=1e-14)


def test_branch_is_scaled_before_the_addition():
    block, x = ResidualBlock(6, activation=False, res_scale=0.1).double(), features(6)
    branch = block.conv2(block.conv1(x).clamp(min=0))
    assert torch.allclose(block(x), 0.1 * branch + x, rtol=0, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_a_scale_of_one_changes_no_bit(dtype):
    block, x = ResidualBlock(6).to(dtype), features(6, dtype=dtype)
    assert torch.equal(block(x), (block.conv2(block.conv1(x).relu()) + x).relu())


def test_refuses_a_scale_outside_the_unit_interval():
    for wrong in (-0.1, 1.5, float("nan")):
        with pytest.raises(ValueError, match="res_scale must be in"):
            ResidualBlock(2, res_scale=wrong)
    with pytest.raises(TypeError, match="res_scale must be a number"):
        ResidualBlock(2, res_scale="0.1")


@pytest.mark.parametrize("activation", [True, False])
def test_efficient_unit_is_its_equation(activation):
    block, x = EResidualBlock(8, groups=4, activation=activation).double(), features(8)

    def grouped(y, conv):  # each quarter of the channels sees itself alone
        parts = zip(y.chunk(4, 1), conv.weight.chunk(4), conv.bias.chunk(4), strict=True)
        return torch.cat([F.conv2d(part, weight, bias, padding=1) for part, weight, bias in parts], 1)

    inner = grouped(grouped(x, block.conv1).clamp(min=0), block.conv2).clamp(min=0)
    mixed = torch.einsum("oc,nchw->nohw", block.pointwise.weight[..., 0, 0], inner)
    expected = mixed + block.pointwise.bias.view(1, -1, 1, 1) + x
    assert expected.min() < 0
    assert torch.allclose(block(x), expected.clamp(min=0) if activation else expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("groups", [1, 2, 4, 8])
def test_efficient_unit_costs_what_equation_2_10_says(groups):
    channels = 16
    plain = sum(p.numel() for p in ResidualBlock(channels).parameters() if p.ndim == 4)
    efficient = sum(p.numel() for p in EResidualBlock(channels, groups=groups).parameters() if p.ndim == 4)
    assert efficient / plain == pytest.approx(1 / groups + 1 / (2 * 3**2), rel=1e-12)


@given(height=st.integers(1, 9), width=st.integers(1, 9), efficient=st.booleans())
def test_any_size_is_kept_and_the_input_left_alone(height, width, efficient):
    block = EResidualBlock(4, groups=2) if efficient else ResidualBlock(4)
    x = features(4, height, width, dtype=torch.float32)
    before = x.clone()
    assert block(x).shape == x.shape
    assert torch.equal(x, before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("block", [ResidualBlock(4), EResidualBlock(4, groups=2)], ids=["plain", "efficient"])
def test_result_has_the_dtype_of_the_input(block, dtype):
    exact = block.double()(features(4))
    out = block.to(dtype)(features(4).to(dtype))
    assert out.dtype == dtype
    assert torch.allclose(out.double(), exact, atol=0.05 if dtype == torch.bfloat16 else 1e-5)


@pytest.mark.parametrize("block", [ResidualBlock(2), EResidualBlock(2, groups=2)], ids=["plain", "efficient"])
def test_gradient(block):
    x = features(2, 3, 4, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(block.double(), (x,), fast_mode=True)


@pytest.mark.parametrize("make", [ResidualBlock, EResidualBlock])
def test_refuses_channels_that_are_no_size(make):
    with pytest.raises(ValueError, match="channels must be at least 1, got 0"):
        make(0)
    for wrong in (2.0, "8", True, None):
        with pytest.raises(TypeError, match="channels must be an integer"):
            make(wrong)


def test_refuses_groups_that_do_not_divide():
    with pytest.raises(ValueError, match="multiple of groups, got 6 channels and 4 groups"):
        EResidualBlock(6, groups=4)
    with pytest.raises(ValueError, match="groups must be at least 1, got 0"):
        EResidualBlock(6, groups=0)
    with pytest.raises(TypeError, match="groups must be an integer"):
        EResidualBlock(6, groups=2.0)


def test_says_in_its_description_whether_it_ends_in_a_relu():
    assert "activation=False" in repr(ResidualBlock(2, activation=False))
    assert "activation=True" in repr(EResidualBlock(2, groups=1))
