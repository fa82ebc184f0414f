import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from restorekit.layers import DropBlock, drop_block


def seed(number):
    return torch.Generator().manual_seed(number)


def dropped(n, channels, height, width, p, block_size, number=0):
    """Where features were lost, (N, C, H, W) of bool."""
    out = drop_block(torch.ones(n, channels, height, width), p, block_size=block_size, generator=seed(number))
    assert set(out.unique().tolist()) <= {0.0, float(torch.tensor(1 / (1 - p)))}
    return out == 0


@pytest.mark.parametrize("block_size", [1, 3, 4, 9, None])
@pytest.mark.parametrize("p", [0.1, 0.5])
def test_each_place_is_lost_with_probability_p_edges_and_corners_too(p, block_size):
    n = 20000
    lost = dropped(n, 1, 5, 4, p, block_size).double().mean(0)[0]
    assert (lost - p).abs().max() < 5 * math.sqrt(p * (1 - p) / n)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 5), st.integers(0, 999))
def test_what_is_lost_is_a_union_of_blocks(height, width, block_size, number):
    lost = dropped(2, 2, height, width, 0.4, block_size, number).float()
    # A union of blocks is what an opening by a block leaves as it is; beyond the edge anything may lie.
    border = [block_size - 1] * 4
    fits = -F.max_pool2d(-F.pad(lost, border, value=1.0), block_size, stride=1)
    assert torch.equal(F.max_pool2d(fits, block_size, stride=1), lost)


def test_blocks_of_one_pixel_are_independent():
    lost = dropped(4000, 1, 1, 2, 0.3, 1)[:, 0, 0].T.double()
    assert abs(torch.corrcoef(lost)[0, 1]) < 4 / math.sqrt(4000)


def test_neighbours_fall_together_as_often_as_their_blocks_overlap():
    p, b, n = 0.3, 3, 40000
    lost = dropped(n, 1, 1, 2, p, b)[:, 0, 0]
    both_kept = (1 - p) ** (12 / 9)  # of the 12 centres of which either is near one or the other place
    assert abs((~lost).all(1).double().mean() - both_kept) < 4 * math.sqrt(0.25 / n)


def test_maps_are_drawn_each_for_itself():
    lost = dropped(3000, 2, 2, 2, 0.5, None).flatten(2)
    assert torch.equal(lost, lost[..., :1].expand_as(lost))
    assert abs(torch.corrcoef(lost[:, :, 0].T.double())[0, 1]) < 4 / math.sqrt(3000)
    blocks = dropped(3000, 2, 1, 1, 0.5, 3)[:, :, 0, 0]
    assert abs(torch.corrcoef(blocks.T.double())[0, 1]) < 4 / math.sqrt(3000)


@pytest.mark.parametrize("block_size", [3, None])
def test_evaluation_is_the_identity(block_size):
    x = torch.randn(2, 3, 4, 5, generator=seed(1))
    layer = DropBlock(0.5, block_size=block_size)
    assert not torch.equal(layer(x), x)
    assert torch.equal(layer.eval()(x), x)
    assert torch.equal(drop_block(x, 0.0), x)


@pytest.mark.parametrize("block_size", [2, None])
def test_same_generator_same_result_and_the_global_stream_left_alone(block_size):
    x, state = torch.randn(2, 3, 8, 8, generator=seed(2)), torch.get_rng_state()
    layer = DropBlock(0.5, block_size=block_size)
    first, again, other = (layer(x, generator=seed(number)) for number in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(first, drop_block(x, 0.5, block_size=block_size, generator=seed(1)))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("block_size", [2, None])
def test_dtype_is_kept_and_what_stays_is_scaled(dtype, block_size):
    x = torch.randn(2, 3, 4, 5, generator=seed(3)).to(dtype)
    before = x.clone()
    out = drop_block(x, 0.5, block_size=block_size, generator=seed(4))
    assert out.dtype == dtype
    assert torch.equal(out[out != 0], 2 * x[out != 0])
    assert torch.equal(x, before)


def test_gradient():
    x = torch.randn(2, 2, 3, 3, generator=seed(5), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: drop_block(x, 0.4, block_size=2, generator=seed(6)), (x,))


def test_memory_format_is_kept():
    x = torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    assert drop_block(x, 0.5, block_size=2).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("make", [DropBlock, lambda *a, **k: drop_block(torch.rand(1, 1, 2, 2), *a, **k)])
def test_refuses_options_that_are_none(make):
    with pytest.raises(ValueError, match="p must be below 1"):
        make(1.0)
    with pytest.raises(ValueError, match=r"p must be in \[0, 1\]"):
        make(-0.1)
    with pytest.raises(ValueError, match="block_size must be at least 1, got 0"):
        make(block_size=0)
    with pytest.raises(TypeError, match="block_size must be an integer"):
        make(block_size=2.0)


def test_refuses_what_are_no_features():
    with pytest.raises(ValueError, match="x must have 4 dimensions"):
        drop_block(torch.rand(3, 4))
    with pytest.raises(TypeError, match="generator must be"):
        drop_block(torch.rand(1, 1, 2, 2), generator=3)


def test_says_in_its_description_what_it_drops():
    assert repr(DropBlock(0.2, block_size=None)) == "DropBlock(0.2, block_size=None)"
