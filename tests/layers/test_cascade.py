import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from restorekit.layers import Cascade, Chain, EResidualBlock, ResidualBlock


def features(channels=4, height=3, width=5, seed=0):
    return torch.randn(2, channels, height, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_hand(blocks, fusions, x, relu):
    """The published rule: raw block outputs are kept, fused ones only passed on."""
    raw, out = [x], x
    for block, fusion in zip(blocks, fusions, strict=True):
        raw.append(block(out))
        weight = fusion.weight[:, :, 0, 0].split(x.shape[1], dim=1)
        out = sum(torch.einsum("oc,nchw->nohw", w, part) for w, part in zip(weight, raw, strict=True))
        out = out + fusion.bias.view(1, -1, 1, 1)
        out = out.clamp(min=0) if relu else out
    return out


@given(count=st.integers(1, 5), shared=st.booleans(), relu=st.booleans(), seed=st.integers(0, 99))
def test_cascade_equals_the_loop_written_out(count, shared, relu, seed):
    torch.manual_seed(seed)
    blocks = [ResidualBlock(4)] * count if shared else [ResidualBlock(4) for _ in range(count)]
    cascade = Cascade(blocks, 4, fusion_relu=relu).double()
    x = features(seed=seed)
    expected = by_hand(blocks, cascade.fusions, x, relu)
    assert torch.allclose(cascade(x), expected, rtol=0, atol=1e-12)


def test_fusion_relu_changes_the_result():
    cascade, x = Cascade([ResidualBlock(4), ResidualBlock(4)], 4).double(), features()
    with_relu = cascade(x)
    cascade.fusion_relu = False
    assert with_relu.min() == 0
    assert cascade(x).min() < 0


@pytest.mark.parametrize("container", [Chain, lambda blocks: Cascade(blocks, 4)], ids=["chain", "cascade"])
def test_a_shared_block_is_stored_once_and_equals_copies_of_itself(container):
    block = EResidualBlock(4, groups=2)
    shared = container([block] * 3).double()
    copies = container([copy.deepcopy(block) for _ in range(3)]).double()
    with torch.no_grad():
        for own, other in zip(getattr(copies, "fusions", []), getattr(shared, "fusions", []), strict=True):
            own.load_state_dict(other.state_dict())
    assert torch.equal(shared(features()), copies(features()))
    per_block = sum(p.numel() for p in block.parameters())
    assert sum(p.numel() for p in copies.parameters()) - sum(p.numel() for p in shared.parameters()) == 2 * per_block
    keys = [key for key in shared.state_dict() if key.startswith("blocks.")]
    assert len(keys) == len(block.state_dict())


def test_a_shared_block_gathers_the_gradients_of_its_uses():
    block = nn.Conv2d(1, 1, 1, bias=False).double()
    nn.init.constant_(block.weight, 3.0)
    Chain([block, block])(torch.ones(1, 1, 1, 1, dtype=torch.float64)).backward()
    assert block.weight.grad.item() == 6.0  # d(w * w) / dw


def test_chain_runs_blocks_in_the_order_given():
    double, increment = nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1)
    with torch.no_grad():
        for conv, weight, bias in ((double, 2.0, 0.0), (increment, 1.0, 1.0)):
            conv.weight.fill_(weight)
            conv.bias.fill_(bias)
    one = torch.ones(1, 1, 1, 1)
    assert Chain([double, increment, double])(one).item() == 6
    assert Chain([increment, double, increment])(one).item() == 5


def test_cascades_nest():
    inner = [Cascade([ResidualBlock(4), ResidualBlock(4)], 4) for _ in range(2)]
    outer, x = Cascade(inner, 4).double(), features()
    first = by_hand(inner[0].blocks, inner[0].fusions, x, relu=True)
    out = (outer.fusions[0](torch.cat([x, first], 1))).relu()
    second = by_hand(inner[1].blocks, inner[1].fusions, out, relu=True)
    expected = outer.fusions[1](torch.cat([x, first, second], 1)).relu()
    assert torch.allclose(outer(x), expected, rtol=0, atol=1e-12)


def test_gradient():
    cascade = Cascade([ResidualBlock(2)] * 2, 2).double()
    assert torch.autograd.gradcheck(cascade, (features(2, 3, 3).requires_grad_(),), fast_mode=True)


@given(height=st.integers(1, 7), width=st.integers(1, 7))
def test_any_size_is_kept_and_the_input_left_alone(height, width):
    x = features(4, height, width)
    before = x.clone()
    assert Cascade([ResidualBlock(4)], 4).double()(x).shape == x.shape
    assert torch.equal(x, before)


def test_refuses_no_blocks():
    for container in (Chain, lambda blocks: Cascade(blocks, 4)):
        with pytest.raises(ValueError, match="at least one module, got none"):
            container([])


def test_refuses_channels_that_are_no_size():
    with pytest.raises(ValueError, match="channels must be at least 1, got 0"):
        Cascade([nn.Identity()], 0)
    with pytest.raises(TypeError, match="channels must be an integer"):
        Cascade([nn.Identity()], "4")


def test_describes_which_block_runs_when():
    first, second = nn.Identity(), nn.Identity()
    assert "steps=[0, 1, 0]" in repr(Chain([first, second, first]))
    assert "steps=[0, 0], fusion_relu=False" in repr(Cascade([first, first], 2, fusion_relu=False))
