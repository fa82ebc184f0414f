"""Restormer's two layers in the form that channels last runs fastest: attention of channels, and gates."""

import operator
from typing import final

import torch
from torch import Tensor, fx, nn

from restorekit.inference._rewrites.convolution import FusedConv2d
from restorekit.inference._rewrites.graph import call, called, convolution_at, module_at, only_user, replace, source
from restorekit.layers import TransposedAttention


@final
class ChannelMixing(nn.Module):
    """``TransposedAttention`` of pixels that lie one after the other, each with all of its channels.

    The lengths of q and k divide their products, a small matrix, where the layer divides q and k themselves; and the
    attention of each picture is multiplied into the kernel of the last convolution, another small matrix, so that v is
    read once.

    Args:
        layer: With the weights.
    """

    def __init__(self, layer: TransposedAttention) -> None:
        super().__init__()
        channels, self.heads = layer.exit.out_channels, layer.heads
        cut = 2 * channels
        self.qk, self.v = _rows(layer.qkv, 0, cut), _rows(layer.qkv, cut, None)
        self.qk_local, self.v_local = _rows(layer.qkv_local, 0, cut), _rows(layer.qkv_local, cut, None)
        self.temperature = nn.Parameter(layer.temperature.detach(), requires_grad=False)
        self.exit = nn.Parameter(layer.exit.weight.detach().reshape(channels, self.heads, -1), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, channels, H, W) to features of the same shape."""
        qk, v = _pixels(self.qk_local(self.qk(x))), _pixels(self.v_local(self.v(x)))
        count, pixels, channels = v.shape
        q, k = qk.reshape(count, pixels, 2, self.heads, -1).unbind(2)  # (N, HW, heads, channels of a head)
        eps = max(1e-12, torch.finfo(qk.dtype).tiny)
        lengths = (qk * qk).sum(1).sqrt().clamp(min=eps).reshape(count, 2, self.heads, -1, 1)
        products = q.permute(0, 2, 3, 1) @ k.permute(0, 2, 1, 3)
        weights = (products / lengths[:, 0] / lengths[:, 1].mT * self.temperature).softmax(dim=-1)
        kernels = torch.einsum("ohc,nhcd->nhdo", self.exit, weights).flatten(1, 2)
        out: Tensor = (v @ kernels).reshape(count, *x.shape[2:], channels).permute(0, 3, 1, 2)
        return out


def mix_channels(graph: fx.GraphModule) -> None:
    """Replace each ``TransposedAttention``."""
    for node in list(graph.graph.nodes):
        layer = module_at(graph, node)
        if isinstance(layer, TransposedAttention):
            replace(node, call(graph, ChannelMixing(layer), *node.all_input_nodes, like=node))


def split_gates(graph: fx.GraphModule) -> None:
    """Make the halves of features that open each other by convolutions of their own, and multiply them in place.

    Halves of one tensor lie apart in channels last, where torch's activations and products are several times slower.
    """
    for node in list(graph.graph.nodes):
        local, entry = source(node), source(source(node))
        halves = [user for user in node.users if called(user, {operator.getitem})]
        if not called(node, {"chunk", torch.chunk}) or len(halves) != len(node.users) or node.args[1:2] != (2,):
            continue
        if local is None or entry is None or node.kwargs.get("dim") != 1 or not _splits(graph, entry, local):
            continue
        for half in halves:
            _replace_half(graph, half, entry, local)
    for node in list(graph.graph.nodes):
        ends = node.all_input_nodes
        if called(node, {operator.mul, torch.mul, "mul"}) and len(ends) == 2 and all(_is_half(graph, e) for e in ends):
            with graph.graph.inserting_before(node):
                product = graph.graph.call_method("mul_", tuple(ends))
            product.meta.update(node.meta)
            replace(node, product)


def _is_half(graph: fx.GraphModule, node: fx.Node) -> bool:
    """Whether a node is a convolution whose result nothing reads but one product."""
    return convolution_at(graph, node) is not None and only_user(node) is not None


def _splits(graph: fx.GraphModule, entry: fx.Node, local: fx.Node) -> bool:
    """Whether a 1x1 and a depthwise convolution stand before, of which nothing else reads."""
    first, second = convolution_at(graph, entry), convolution_at(graph, local)
    if first is None or second is None or only_user(entry) is not local or only_user(local) is None:
        return False
    alone = len(entry.args) == len(local.args) == 1 and first.activation.name == second.activation.name == "none"
    depthwise = second.groups == second.out_channels == second.in_channels
    return alone and first.is_pointwise and depthwise and second.out_channels % 2 == 0


def _replace_half(graph: fx.GraphModule, half: fx.Node, entry: fx.Node, local: fx.Node) -> None:
    first, second, before = convolution_at(graph, entry), convolution_at(graph, local), source(entry)
    assert first is not None
    assert second is not None
    assert before is not None
    size, place = second.out_channels // 2, half.args[1]
    rows = slice(size, None) if place else slice(size)
    wide = call(graph, _of_rows(first, rows), before, like=half)
    own = _of_rows(second, rows)
    own.groups = size
    replace(half, call(graph, own, wide, like=half))


def _of_rows(conv: FusedConv2d, rows: slice) -> FusedConv2d:
    return conv.with_weights(conv.weight[rows], None if conv.bias is None else conv.bias[rows])


def _rows(conv: nn.Conv2d, start: int, stop: int | None) -> FusedConv2d:
    """The convolution to some of the channels; a depthwise one of those channels alone."""
    whole = FusedConv2d.of(conv, Tensor.detach)
    assert whole is not None
    part = _of_rows(whole, slice(start, stop))
    part.groups = 1 if conv.groups == 1 else part.out_channels
    return part


def _pixels(x: Tensor) -> Tensor:
    """Features (N, C, H, W) in channels last as (N, H * W, C)."""
    return x.permute(0, 2, 3, 1).flatten(1, 2)
