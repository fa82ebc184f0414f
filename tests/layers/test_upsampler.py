import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from restorekit.layers import PixelShuffleUpsampler

FACTORS = {2: [2], 3: [3], 4: [2, 2], 8: [2, 2, 2]}


def features(channels=4, height=3, width=5, seed=0):
    return torch.randn(2, channels, height, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def shuffled(x, r):
    """Sub-pixel (dy, dx) of channel c lies in channel c * r^2 + dy * r + dx."""
    n, channels, height, width = x.shape
    out = x.new_zeros(n, channels // r**2, height * r, width * r)
    for dy in range(r):
        for dx in range(r):
            out[..., dy::r, dx::r] = x[:, dy * r + dx :: r * r]
    return out


@pytest.mark.parametrize("scale", FACTORS)
@given(groups=st.sampled_from([1, 2, 4]), activation=st.booleans(), seed=st.integers(0, 99))
def test_is_convolution_relu_shuffle_stage_by_stage(scale, groups, activation, seed):
    torch.manual_seed(seed)
    upsampler = PixelShuffleUpsampler(4, scale, groups=groups, activation=activation).double()
    expected = x = features(seed=seed)
    before = x.clone()
    assert [conv.out_channels for conv in upsampler.convs] == [4 * r * r for r in FACTORS[scale]]
    for conv, r in zip(upsampler.convs, FACTORS[scale], strict=True):
        expected = F.conv2d(expected, conv.weight, conv.bias, padding=1, groups=groups)
        expected = shuffled(expected.clamp(min=0) if activation else expected, r)
    out = upsampler(x)
    assert out.shape == (2, 4, 3 * scale, 5 * scale)
    assert torch.allclose(out, expected, rtol=0, atol=1e-12)
    assert (out.min() >= 0) == activation
    assert torch.equal(x, before)


def test_stages_and_groups_set_the_number_of_weights():
    count = {scale: sum(p.numel() for p in PixelShuffleUpsampler(8, scale, groups=2).parameters()) for scale in FACTORS}
    one = 9 * 4 * 32 + 32  # 8/2 inputs to each of 8 * 2^2 outputs, and biases
    assert count == {2: one, 3: 9 * 4 * 72 + 72, 4: 2 * one, 8: 3 * one}


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_gradient(scale):
    upsampler = PixelShuffleUpsampler(2, scale).double()
    assert torch.autograd.gradcheck(upsampler, (features(2, 2, 3).requires_grad_(),), fast_mode=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_lower_precision_stays_close(dtype):
    upsampler = PixelShuffleUpsampler(4, 3).double()
    exact = upsampler(features())
    out = upsampler.to(dtype)(features().to(dtype))
    assert out.dtype == dtype
    assert torch.allclose(out.double(), exact, atol=0.05 if dtype == torch.bfloat16 else 1e-5)


@pytest.mark.parametrize("scale", [0, 1, 5, 16, -2, 2.5])
def test_refuses_other_scales_and_lists_the_known(scale):
    with pytest.raises(ValueError, match=f"scale must be one of 2, 3, 4, 8, got {scale}"):
        PixelShuffleUpsampler(4, scale)


@pytest.mark.parametrize("scale", ["2", 2.0, True, None, [2], (2, 3)])
def test_refuses_scales_that_are_no_integers(scale):
    with pytest.raises(ValueError, match="scale must be one of 2, 3, 4, 8, got"):
        PixelShuffleUpsampler(4, scale)


def test_refuses_sizes_that_do_not_fit():
    with pytest.raises(ValueError, match="multiple of groups, got 6 channels and 4 groups"):
        PixelShuffleUpsampler(6, 2, groups=4)
    with pytest.raises(ValueError, match="channels must be at least 1, got 0"):
        PixelShuffleUpsampler(0, 2)
    with pytest.raises(TypeError, match="groups must be an integer"):
        PixelShuffleUpsampler(4, 2, groups="2")


def test_describes_itself():
    assert "scale=4, activation=False" in repr(PixelShuffleUpsampler(2, 4, activation=False))


def test_hooks_on_the_convolutions_may_watch_gradients():
    upsampler = PixelShuffleUpsampler(4, 4)
    seen = []
    for conv in upsampler.convs:
        conv.register_full_backward_hook(lambda module, inputs, outputs: seen.append(outputs[0].shape))
    upsampler(torch.rand(1, 4, 3, 3, requires_grad=True)).sum().backward()
    assert seen == [(1, 16, 6, 6), (1, 16, 3, 3)]


def test_hooks_on_the_convolutions_see_what_they_made():
    upsampler, kept = PixelShuffleUpsampler(4, 2), []
    upsampler.convs[0].register_forward_hook(lambda module, inputs, output: kept.append((output, output.clone())))
    with torch.no_grad():
        assert upsampler(features().float()).min() >= 0
    assert kept[0][1].min() < 0
    assert torch.equal(*kept[0])
