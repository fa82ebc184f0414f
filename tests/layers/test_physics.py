import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from restorekit.layers import AdditiveRoute, AffineRoute, KernelRoute, filter_per_pixel

ROUTES = [AdditiveRoute, AffineRoute, KernelRoute]


def features(channels, height=5, width=7, seed=0, dtype=torch.float64):
    return torch.randn(2, channels, height, width, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def randomized(layer):
    generator = torch.Generator().manual_seed(3)
    for parameter in layer.double().parameters():
        nn.init.normal_(parameter, 0.05, 0.3, generator=generator)
    return layer


def evidence(layer, guide):
    """What a route learns about the degradation, written out."""
    entry, slope, *blocks = layer.evidence
    out = F.conv2d(guide, entry.weight, entry.bias, padding=1)
    out = torch.where(out > 0, out, out * slope.weight)
    for block in blocks:
        inner = F.conv2d(out, block.conv1.weight, block.conv1.bias, padding=1).clamp(min=0)
        out = out + F.conv2d(inner, block.conv2.weight, block.conv2.bias, padding=1)
    return out


@pytest.mark.parametrize("side", [1, 3, 5])
def test_filter_is_its_equation(side):
    x, kernels = features(2), features(2 * side**2, seed=1)
    out = filter_per_pixel(x, kernels)
    for n, c, i, j in [(0, 0, 0, 0), (1, 1, 4, 6), (0, 1, 2, 3), (1, 0, 4, 0)]:
        expected = 0.0
        for u in range(side):
            for v in range(side):
                row, column = min(max(i + u - side // 2, 0), 4), min(max(j + v - side // 2, 0), 6)
                expected += kernels[n, c * side**2 + u * side + v, i, j].item() * x[n, c, row, column].item()
        assert out[n, c, i, j].item() == pytest.approx(expected, abs=1e-12)


def test_the_same_kernel_everywhere_is_a_convolution():
    x, kernel = features(3), features(1, 3, 3, seed=1)[0, 0]
    expected = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), kernel.expand(3, 1, 3, 3), groups=3)
    out = filter_per_pixel(x, kernel.reshape(1, 9, 1, 1).repeat(2, 3, 5, 7))
    assert torch.allclose(out, expected, rtol=0, atol=1e-12)


@given(height=st.integers(1, 6), width=st.integers(1, 6))
def test_a_kernel_that_is_one_in_its_middle_changes_nothing(height, width):
    x = features(2, height, width)
    kernels = torch.zeros(2, 2, 25, height, width, dtype=torch.float64)
    kernels[:, :, 12] = 1
    assert torch.equal(filter_per_pixel(x, kernels.flatten(1, 2)), x)


def test_filter_gradient():
    x, kernels = features(2, 3, 2).requires_grad_(), features(18, 3, 2, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(filter_per_pixel, (x, kernels), fast_mode=True)


@pytest.mark.parametrize("shape", [(2, 8, 5, 7), (2, 18, 5, 6), (1, 18, 5, 7), (2, 17, 5, 7), (2, 1, 5, 7)])
def test_filter_refuses_kernels_that_do_not_fit(shape):
    with pytest.raises(ValueError, match=r"kernels must be \(N, C \* K\^2, H, W\) with an odd K"):
        filter_per_pixel(features(2), torch.zeros(shape))


def test_routes_are_their_equations():
    x, guide = features(4), features(8, seed=1)
    additive, affine, kernel = (randomized(route(4)) for route in ROUTES)
    assert torch.allclose(additive(x, guide), x + evidence(additive, guide), rtol=0, atol=1e-10)
    found = evidence(affine, guide)
    assert torch.allclose(affine(x, guide), found[:, :4] * x + found[:, 4:], rtol=0, atol=1e-10)
    last, slope = kernel.kernels
    kernels = F.conv2d(evidence(kernel, guide), last.weight, last.bias)
    assert (kernels < 0).any()
    kernels = torch.where(kernels > 0, kernels, kernels * slope.weight)
    assert kernels.shape[1] == 100
    assert torch.allclose(kernel(x, guide), filter_per_pixel(x, kernels), rtol=0, atol=1e-10)


@pytest.mark.parametrize("route", ROUTES)
def test_initial_residual_blocks_are_small(route):
    torch.manual_seed(0)
    *_, block = route(32).evidence
    fan_in = block.conv1.weight[0].numel()
    assert block.conv1.weight.std().item() == pytest.approx(0.1 * (2 / fan_in) ** 0.5, rel=0.05)
    assert not block.conv1.bias.any()


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_result_has_the_dtype_of_the_input(route, dtype):
    torch.manual_seed(0)
    layer = route(4).double()
    x, guide = features(4), features(8, seed=1)
    exact = layer(x, guide)
    out = layer.to(dtype)(x.to(dtype), guide.to(dtype))
    assert out.dtype == dtype
    assert (out.double() - exact).abs().max() < (0.05 if dtype == torch.bfloat16 else 1e-5) * exact.abs().max()


@pytest.mark.parametrize("route", ROUTES)
def test_gradient(route):
    x, guide = features(2, 3, 2).requires_grad_(), features(4, 3, 2, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(randomized(route(2)), (x, guide), fast_mode=True)


def test_refuses_sizes_that_do_not_fit():
    for route in ROUTES:
        with pytest.raises(ValueError, match="channels must be at least 1, got 0"):
            route(0)
    with pytest.raises(ValueError, match="kernel_size must be odd, got 4"):
        KernelRoute(4, kernel_size=4)
