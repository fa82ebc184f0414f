"""Products that are added to something, in one operation."""

import torch
from torch import Tensor, fx, nn

from restorekit.inference import optimize
from restorekit.inference._rewrites.graph import note_shapes
from restorekit.inference._rewrites.scaling import add_products
from restorekit.models import rcan


class _Sums(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        weights = x.mean(dim=(2, 3), keepdim=True)
        first = x * weights + x
        second = first + first * first
        kept = second * weights  # read twice
        return kept + second + kept * 2


def test_sums_of_products_are_one_operation() -> None:
    graph, x = fx.symbolic_trace(_Sums()), torch.rand(2, 4, 5, 7, dtype=torch.float64)
    note_shapes(graph, x)
    add_products(graph)
    graph.recompile()
    targets = [node.target for node in graph.graph.nodes]
    assert targets.count(torch.addcmul) == 2
    torch.testing.assert_close(graph(x), _Sums()(x), rtol=0, atol=1e-12)


def test_channel_attention_with_its_skip() -> None:
    network = rcan(scale=2, channels=8, residual_groups=1, blocks=3, reduction=4).eval()
    fast, x = optimize(network), torch.rand(2, 3, 9, 8)
    assert str(fast.graphs["2"].code).count("torch.addcmul(") == 3
    torch.testing.assert_close(fast(x), network(x).detach(), rtol=0, atol=1e-5)
