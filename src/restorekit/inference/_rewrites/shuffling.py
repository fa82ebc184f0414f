"""Enlargements as plain convolutions on the small grid, with a pixel shuffle as the last step of all."""

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from restorekit.inference._rewrites.convolution import FusedConv2d, does_as
from restorekit.inference._rewrites.graph import (
    call,
    convolution_at,
    module_at,
    only_user,
    replace,
    shape_at,
    shuffle_factor,
    source,
)

_NARROW = 4  # output channels up to which a convolution is moved: the shuffle then moves little, too


def shuffle_transposed(graph: fx.GraphModule) -> None:
    """Make a transposed convolution a convolution to ``stride^2`` times the channels, and a pixel shuffle."""
    for node in list(graph.graph.nodes):
        conv, before = module_at(graph, node), source(node)
        if not isinstance(conv, nn.ConvTranspose2d) or not _enlarges_exactly(conv) or before is None:
            continue
        stride = conv.stride[0]
        bias = None if conv.bias is None else conv.bias.repeat_interleave(stride**2)
        weight = phases(conv.weight, stride, int(conv.padding[0]))
        plain = FusedConv2d(weight, bias, padding=(weight.shape[2] // 2, weight.shape[3] // 2))
        small = call(graph, plain, before, like=node)
        small.meta["shape"] = _with_channels(before, plain.out_channels)
        with graph.graph.inserting_before(node):
            shuffled = graph.graph.call_function(F.pixel_shuffle, (small, stride))
        shuffled.meta.update(node.meta)
        replace(node, shuffled)


def phases(weight: Tensor, stride: int, padding: int) -> Tensor:
    """The kernel (out * stride^2, in, k', k') of the convolution before the shuffle, from a transposed one's.

    Output pixel ``stride * q + r`` reads tap ``a`` of ``weight`` (in, out, k, k) from the small pixel
    ``q + (r + padding - a) / stride``, where that is whole.
    """
    inputs, outputs, side = weight.shape[0], weight.shape[1], weight.shape[2]
    steps = [(r, tap, *divmod(r + padding - tap, stride)) for r in range(stride) for tap in range(side)]
    reach = max(abs(pixel) for _, _, pixel, rest in steps if rest == 0)
    rows = weight.new_zeros(stride, 2 * reach + 1, side)  # (r, small pixel, tap)
    for r, tap, pixel, rest in steps:
        if rest == 0:
            rows[r, pixel + reach, tap] = 1
    found = torch.einsum("ioab,rma,snb->orsimn", weight, rows, rows)
    return found.reshape(outputs * stride**2, inputs, *found.shape[-2:])


def _enlarges_exactly(conv: nn.ConvTranspose2d) -> bool:
    """Whether a transposed convolution is of one size on both axes and makes exactly ``stride`` times the pixels."""
    options = (conv.kernel_size, conv.stride, conv.padding, conv.output_padding, conv.dilation)
    if (
        not does_as(conv, nn.ConvTranspose2d)
        or any(len(set(option)) != 1 for option in options)
        or conv.groups != 1
        or conv.dilation != (1, 1)
    ):
        return False
    return conv.kernel_size[0] - 2 * int(conv.padding[0]) + conv.output_padding[0] == conv.stride[0]


def shuffle_behind(graph: fx.GraphModule) -> None:
    """Exchange a pixel shuffle and the narrow convolution that alone reads it."""
    for shuffle in list(graph.graph.nodes):
        factor, node, before = shuffle_factor(graph, shuffle), only_user(shuffle), source(shuffle)
        conv = convolution_at(graph, node)
        if factor is None or node is None or before is None or conv is None or len(node.args) != 1 or not _moves(conv):
            continue
        bias = None if conv.bias is None else conv.bias.repeat_interleave(factor**2)
        weight = unshuffled(conv.weight, factor)
        moved = FusedConv2d(weight, bias, padding=(weight.shape[2] // 2, weight.shape[3] // 2))
        moved.activation = conv.activation
        small = call(graph, moved, before, like=shuffle)
        small.meta["shape"] = _with_channels(before, moved.out_channels)
        shuffle.replace_input_with(before, small)
        shuffle.meta["shape"] = shape_at(node)
        replace(node, shuffle)


def _with_channels(node: fx.Node, channels: int) -> tuple[int, ...]:
    count, _, *size = shape_at(node)
    return count, channels, *size


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
