"""The last convolution in front of the last pixel shuffle: it then reads wide features where they are small."""

import torch
from torch import Tensor, fx

from restorekit.inference._rewrites.convolution import FusedConv2d
from restorekit.inference._rewrites.graph import call, convolution_at, only_user, replace, shuffle_factor

_NARROW = 4  # output channels up to which a convolution is moved: the shuffle then moves little, too


def shuffle_behind(graph: fx.GraphModule) -> None:
    """Exchange a pixel shuffle and the narrow convolution that alone reads it."""
    for shuffle in list(graph.graph.nodes):
        factor, node = shuffle_factor(graph, shuffle), only_user(shuffle)
        conv = convolution_at(graph, node)
        if factor is None or node is None or conv is None or len(node.args) != 1 or not _moves(conv):
            continue
        bias = None if conv.bias is None else conv.bias.repeat_interleave(factor**2)
        weight = unshuffled(conv.weight, factor)
        moved = FusedConv2d(weight, bias, padding=(weight.shape[2] // 2, weight.shape[3] // 2))
        moved.activation = conv.activation
        before = call(graph, moved, shuffle.args[0], like=shuffle)
        count, channels, height, width = before.args[0].meta["shape"]
        before.meta["shape"] = (count, moved.out_channels, height, width)
        with graph.graph.inserting_before(node):
            after = graph.graph.node_copy(shuffle, lambda _, before=before: before)
        after.meta.update(node.meta)
        replace(node, after)
        graph.graph.erase_node(shuffle)


def unshuffled(weight: Tensor, factor: int) -> Tensor:
    """The kernel that does to features what ``weight`` (out, in, k, k) does to them after a pixel shuffle.

    Output pixel ``factor * q + r`` reads the shuffled pixels ``factor * q + r + i - k // 2``, which lie in the small
    pixels ``q + floor((r + i - k // 2) / factor)``: (out * factor^2, in * factor^2, k', k').
    """
    outputs, inputs, side = weight.shape[0], weight.shape[1], weight.shape[2]
    reach = side // 2
    small = -(-reach // factor)
    rows = weight.new_zeros(factor, factor, 2 * small + 1, side)  # (r, place in the small pixel, small pixel, tap)
    for r in range(factor):
        for tap in range(side):
            pixel, place = divmod(r + tap - reach, factor)
            rows[r, place, pixel + small, tap] = 1
    moved = torch.einsum("oiab,ryma,sxnb->orsiyxmn", weight, rows, rows)
    return moved.reshape(outputs * factor**2, inputs * factor**2, *moved.shape[-2:])


def _moves(conv: FusedConv2d) -> bool:
    height, width = conv.weight.shape[2:]
    plain = conv.stride == conv.dilation == (1, 1) and conv.groups == 1
    same = height == width and height % 2 == 1 and conv.padding == (height // 2, width // 2)
    return plain and same and conv.out_channels <= _NARROW
