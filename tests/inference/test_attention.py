"""Restormer's layers in channels last: the results are those of the layers themselves."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from restorekit.inference import optimize
from restorekit.inference._rewrites.attention import ChannelMixing
from restorekit.layers import TransposedAttention
from restorekit.models import restormer


@given(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 2, 4]))
def test_attention_of_channels(count: int, height: int, width: int, heads: int) -> None:
    torch.manual_seed(0)
    layer = TransposedAttention(8, heads=heads).double()
    torch.nn.init.uniform_(layer.temperature)
    x = torch.randn(count, 8, height, width, dtype=torch.float64)
    for laid in (x, x.contiguous(memory_format=torch.channels_last)):
        torch.testing.assert_close(ChannelMixing(layer)(laid), layer(laid).detach(), rtol=0, atol=1e-12)


def test_black_features_stay_black() -> None:
    layer = TransposedAttention(8, heads=2)
    assert ChannelMixing(layer)(torch.zeros(1, 8, 5, 7)).count_nonzero() == 0


def test_blocks_become_convolutions_with_gates_of_their_own() -> None:
    network = restormer(8, blocks=(1, 1, 1, 1), heads=(1, 2, 2, 2), refinement_blocks=1).eval()
    fast = optimize(network)
    kinds = [type(module) for module in fast.modules()]
    assert kinds.count(ChannelMixing) == 8
    assert TransposedAttention not in kinds
    code = str(fast.graphs["1"].code)
    assert "chunk" not in code
    assert "gelu" not in code  # the convolution applies it
    x = torch.rand(2, 3, 21, 30)
    torch.testing.assert_close(fast(x), network(x).detach(), rtol=0, atol=1e-5)
    exact = network.double()
    wide = x.double()
    torch.testing.assert_close(optimize(exact)(wide), exact(wide).detach(), rtol=0, atol=1e-12)


def test_exported_attention_takes_any_size() -> None:
    graph = ChannelMixing(TransposedAttention(8, heads=2))
    sides = {2: torch.export.Dim("height", min=2, max=999), 3: torch.export.Dim("width", min=2, max=999)}
    program = torch.export.export(graph, (torch.rand(1, 8, 6, 7),), dynamic_shapes=(sides,))
    x = torch.rand(1, 8, 9, 4)
    torch.testing.assert_close(program.module()(x), graph(x), rtol=0, atol=1e-6)
