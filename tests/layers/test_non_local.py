import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from restorekit.layers import NonLocalBlock, initialize, non_local
from restorekit.models._trace import trace


def features(channels=3, height=5, width=7, dtype=torch.float64):
    return torch.randn(2, channels, height, width, generator=torch.Generator().manual_seed(0), dtype=dtype)


def made(channels=3, inner_channels=2):
    """A block that does something."""
    torch.manual_seed(0)
    block = NonLocalBlock(channels, inner_channels=inner_channels).double()
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter)
    return block


@torch.no_grad()
def test_is_its_equation():
    """Pixel by pixel in plain Python: every pixel j spreads its g over all i, in shares that sum to 1."""
    block, x = made(), features(height=2, width=3)

    def through(conv, pixel):
        return conv.weight[..., 0, 0] @ pixel + conv.bias

    for picture, result in zip(x, block(x), strict=True):
        pixels = picture.flatten(1).T
        sums = [torch.zeros(2, dtype=torch.float64) for _ in pixels]
        for pixel in pixels:
            key = through(block.phi, pixel)
            likeness = [math.exp(through(block.theta, other) @ key) for other in pixels]
            for i, share in enumerate(likeness):
                sums[i] = sums[i] + share / sum(likeness) * through(block.g, pixel)
        expected = torch.stack([through(block.project, total) for total in sums], dim=1).view_as(picture) + picture
        assert torch.allclose(result, expected, rtol=0, atol=1e-12)


def test_starts_as_the_identity():
    x = features()
    assert torch.equal(NonLocalBlock(3, inner_channels=2).double()(x), x)


def test_the_bias_of_theta_cancels_and_is_frozen():
    block, x = made(), features()
    before = block(x)
    assert [name for name, p in block.named_parameters() if not p.requires_grad] == ["theta.bias"]
    with torch.no_grad():
        block.theta.bias.add_(3)
    assert torch.allclose(block(x), before, rtol=0, atol=1e-12)


def gradients(block, x):
    x = x.clone().requires_grad_()
    block.zero_grad()
    out = block(x)
    (out.square().sum()).backward()
    return [out.detach(), x.grad, *(p.grad.clone() for p in block.parameters() if p.requires_grad)]


@pytest.mark.parametrize("portion", [1, 4, 34])
def test_portions_give_the_same_result_and_gradients_as_all_at_once(portion, monkeypatch):
    block, x = made(), features()
    expected = gradients(block, x)
    monkeypatch.setattr(non_local, "KEYS_AT_ONCE", portion)
    found = gradients(block, x)
    with torch.no_grad():
        found.append(block(x))
    for value, wanted in zip(found, [*expected, expected[0]], strict=True):
        assert torch.allclose(value, wanted, rtol=1e-12, atol=1e-12)


def test_memory_of_evaluation_grows_with_the_pixels():
    block = NonLocalBlock(4, inner_channels=2)
    peak = {side: trace(block, in_channels=4, side=side, arguments={}).peak_bytes for side in (64, 128)}
    assert peak[128] == 4 * peak[64]


def test_memory_of_training_grows_with_the_pixels():
    def kept(side):
        """Bytes that the graph holds, each storage once."""
        storages = {}

        def note(tensor):
            storage = tensor.untyped_storage()
            storages[storage.data_ptr()] = (storage.nbytes(), tensor)  # the tensor keeps its address taken
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            NonLocalBlock(4, inner_channels=2)(torch.rand(1, 4, side, side, requires_grad=True))
        return sum(size for size, _ in storages.values())

    assert kept(64) < 4.1 * kept(32) < 64**2 * 512 * 4


def test_exports_for_any_size():
    block, free = made(), torch.export.Dim.DYNAMIC
    exported = torch.export.export(block, (features(),), dynamic_shapes=({0: free, 2: free, 3: free},)).module()
    for height, width in [(3, 4), (40, 30)]:  # the second is taken in portions by the block itself
        x = features(height=height, width=width)
        assert torch.allclose(exported(x), block(x), rtol=0, atol=1e-10)


@given(height=st.integers(1, 9), width=st.integers(1, 9))
def test_any_size_is_kept_and_the_input_left_alone(height, width):
    x = features(3, height, width)
    before = x.clone()
    assert made()(x).shape == x.shape
    assert torch.equal(x, before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_result_has_the_dtype_of_the_input(dtype):
    block = NonLocalBlock(3, inner_channels=2).double()
    initialize(block)
    exact = block(features())
    out = block.to(dtype)(features().to(dtype))
    assert out.dtype == dtype
    assert torch.allclose(out.double(), exact, atol=0.05 if dtype == torch.bfloat16 else 1e-5)


def test_gradient():
    x = features(2, 2, 3).requires_grad_()
    assert torch.autograd.gradcheck(made(2, 1), (x,), fast_mode=True)


@pytest.mark.parametrize("name", ["channels", "inner_channels"])
def test_refuses_what_is_no_size(name):
    sizes = {"channels": 4, "inner_channels": 2}
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        NonLocalBlock(**{**sizes, name: 0})
    with pytest.raises(TypeError, match=f"{name} must be an integer"):
        NonLocalBlock(**{**sizes, name: 2.0})
