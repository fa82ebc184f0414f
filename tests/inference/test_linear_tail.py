"""Linear ends of networks, merged: the results are those of the networks themselves, at the border and everywhere."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from restorekit.inference import optimize
from restorekit.inference._rewrites.convolution import FusedConv2d
from restorekit.inference._rewrites.linear_tail import LinearTail, merged, operations
from restorekit.models import Restorer, carn, carn_m, create_model, edsr

TINY: dict[str, dict[str, Any]] = {
    "edsr": {"channels": 8, "blocks": 1},
    "rcan": {"channels": 8, "blocks": 1, "residual_groups": 1, "reduction": 4},
    "rdn": {"channels": 8, "growth": 4, "blocks": 2, "layers": 2},
    "rnan": {"channels": 8, "blocks": 1},
    "carn": {"channels": 8, "upsampler_relu": False, "global_skip": True},
    "carn_m": {"channels": 8, "upsampler_relu": False},
}


def _network(name: str, scale: int, **options: Any) -> Restorer:
    torch.manual_seed(0)
    return create_model(name, scale=scale, **TINY[name], **options).eval().double()


def _tails(network: nn.Module) -> list[LinearTail]:
    return [module for module in network.modules() if isinstance(module, LinearTail)]


def _picture(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def _conv(inputs: int, outputs: int, side: int = 3, groups: int = 1) -> FusedConv2d:
    conv = nn.Conv2d(inputs, outputs, side, padding=side // 2, groups=groups, dtype=torch.float64)
    found = FusedConv2d.of(conv, Tensor.detach)
    assert found is not None
    return found


def _distance(network: Restorer, x: Tensor) -> float:
    with torch.no_grad():
        return (optimize(network)(x) - network(x)).abs().max().item()


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("name", TINY)
def test_networks_with_linear_ends_compute_the_same(name: str, scale: int) -> None:
    network = _network(name, scale)
    fast = optimize(network)
    (tail,) = _tails(fast)
    assert tail.factor == scale
    for size in [(1, 1), (2, 60), (40, 33)]:
        x = _picture(2, 3, *size)
        torch.testing.assert_close(fast(x), network(x).detach(), rtol=0, atol=1e-12)


@given(st.sampled_from([2, 3, 4, 8]), st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3]))
def test_pictures_of_all_sizes(scale: int, height: int, width: int, channels: int) -> None:
    network = _network("edsr", scale, in_channels=channels)
    assert _distance(network, _picture(1, channels, height, width)) < 1e-12


def test_folded_pictures_and_several_scales() -> None:
    assert _distance(_network("edsr", 4, head="desubpixel"), _picture(1, 3, 130, 90)) < 1e-12
    network = carn(scale=(2, 3, 4), channels=8, upsampler_relu=False).eval().double()
    assert [tail.factor for tail in _tails(optimize(network))] == [2, 3, 4]


@given(
    st.lists(st.tuples(st.sampled_from([1, 3, 5, 7]), st.sampled_from([1, 2, 3])), min_size=2, max_size=3),
    st.integers(0, 2),
    st.sampled_from([1, 2]),
)
def test_a_chain_of_any_steps_at_any_border(steps: list[tuple[int, int]], last: int, groups: int) -> None:
    chain: list[FusedConv2d | nn.PixelShuffle] = []
    for side, factor in steps:
        chain += [_conv(2, 2 * factor**2, side, groups), *([nn.PixelShuffle(factor)] if factor > 1 else [])]
    chain.append(_conv(2, 1, 2 * last + 1))
    tail, plain, x = LinearTail(chain), nn.Sequential(*chain), _picture(2, 2, 12, 15)
    tail.gain = 1e9  # run the merged kernel even where it saves nothing
    if tail.pays(12, 15):
        torch.testing.assert_close(tail(x), plain(x), rtol=0, atol=1e-12)


def test_the_kernel_of_the_published_edsr() -> None:
    chain = [_conv(64, 256), nn.PixelShuffle(2), _conv(64, 256), nn.PixelShuffle(2), _conv(64, 3)]
    weight, bias, factor = merged(chain)[0]
    assert weight.shape == (48, 64, 5, 5)
    assert bias.shape == (48,)
    assert factor == 4
    assert operations(chain) == 64 * 256 * 9 * (1 + 4) + 64 * 3 * 9 * 16
    tail = LinearTail(chain)
    assert (tail.border, tail.halo) == (1, 2)
    assert not tail.pays(8, 8)
    assert tail.pays(40, 40)


def test_strips_of_rows_make_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("restorekit.inference._rewrites.linear_tail.STRIP_MEMORY", 1)
    assert _distance(_network("edsr", 4), _picture(2, 3, 50, 40)) < 1e-12


def test_chains_with_activations_and_those_that_gain_little_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not _tails(optimize(carn_m(scale=4, channels=8)))
    assert not _tails(optimize(edsr(scale=1, channels=8, blocks=1)))
    monkeypatch.setattr("restorekit.inference._rewrites.linear_tail._LEAST_GAIN", 100)
    assert not _tails(optimize(edsr(scale=4, channels=8, blocks=1)))


def test_narrow_types_gain_digits() -> None:
    network = _network("edsr", 4).float()
    x = _picture(1, 3, 48, 48).float()
    exact = network.double()(x.double()).detach()
    network.float()
    fast = optimize(network, dtype=torch.bfloat16)
    near = (fast(x) - exact).square().mean()
    (tail,) = _tails(fast)
    tail.gain = 1.0  # never
    assert near <= (fast(x) - exact).square().mean() * 1.1


def test_exported_programs_take_any_size() -> None:
    network = _network("edsr", 4)
    graph = optimize(network).graphs["4"]
    height, width = torch.export.Dim("height", min=2, max=4096), torch.export.Dim("width", min=2, max=4096)
    program = torch.export.export(graph, (_picture(1, 3, 40, 40),), dynamic_shapes=({2: height, 3: width},))
    for size in [(2, 3), (50, 40)]:
        x = _picture(1, 3, *size)
        torch.testing.assert_close(program.module()(x), network(x).detach(), rtol=0, atol=1e-12)
