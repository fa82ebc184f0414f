"""Convolutions and pixel shuffles without activations: one convolution on the small grid and one shuffle."""

import math
from collections.abc import Sequence
from typing import NamedTuple, final

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from restorekit.inference._rewrites.convolution import FusedConv2d
from restorekit.inference._rewrites.graph import (
    call,
    convolution_at,
    only_user,
    replace,
    shuffle_factor,
    source,
)
from restorekit.inference._rewrites.shuffling import unshuffled
from restorekit.inference._rewrites.strips import STRIP_MEMORY

_LEAST_GAIN = 1.3
_LEAST_ROWS = 8
_Step = FusedConv2d | nn.PixelShuffle


class _Merged(NamedTuple):
    """The map of a chain: a kernel (out * factor^2, in, k, k) and bias on the small grid, shuffled by ``factor``."""

    weight: Tensor
    bias: Tensor
    factor: int


@final
class LinearTail(nn.Module):
    """A chain of convolutions and pixel shuffles by its merged kernel; the result is that of the chain.

    Each convolution pads with zeros what the one before has made, which the merged kernel knows nothing of. So along
    the border, where that is read, the chain itself runs, and everywhere in pictures so small that merging saves
    nothing, and in graphs that are exported or compiled, because how often a loop runs depends on the size.

    Args:
        steps: The chain: dense or grouped convolutions of odd size that keep the size, and at least one shuffle.
    """

    def __init__(self, steps: Sequence[_Step]) -> None:
        super().__init__()
        self.chain = nn.Sequential(*steps)
        weight, bias, self.factor = merged(steps)[0]
        like = next(self.chain.parameters())
        padding = (weight.shape[2] // 2, weight.shape[3] // 2)
        self.conv = FusedConv2d(weight.to(like), bias.to(like), padding=padding)
        first, reach = _reaches(steps)
        self.border, self.halo = math.ceil(reach - first), math.ceil(reach)
        self.gain = operations(steps) / weight.numel()

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, in, H, W) to (N, out, factor * H, factor * W)."""
        if torch.compiler.is_compiling() or not self.pays(*x.shape[2:]):
            whole: Tensor = self.chain(x)
            return whole
        count, _, height, width = x.shape
        channels = self.conv.out_channels // self.factor**2
        out = x.new_empty(count, channels, height * self.factor, width * self.factor)
        self._fill(x, out)
        self._fill_border(x, out)
        return out

    def pays(self, height: int, width: int) -> bool:
        """Whether the merged kernel on all of a picture and the chain along its border is less work than the chain."""
        bands = 2 * (self.border + self.halo) * (height + width) if self.border else 0
        return height * width * (1 - 1 / self.gain) > bands

    def _fill(self, x: Tensor, out: Tensor) -> None:
        count, channels, height, width = x.shape
        widest = max(channels, self.conv.out_channels) * count * width * x.element_size()
        rows, reach = max(_LEAST_ROWS, STRIP_MEMORY // widest), self.conv.padding[0]
        for start in range(0, height, rows):
            stop = min(start + rows, height)
            top, bottom = max(0, start - reach), min(height, stop + reach)
            part = self.conv(x[:, :, top:bottom])[:, :, start - top : stop - top]
            out[:, :, start * self.factor : stop * self.factor] = F.pixel_shuffle(part, self.factor)

    def _fill_border(self, x: Tensor, out: Tensor) -> None:
        kept, read = self.border * self.factor, self.border + self.halo
        if kept:
            out[:, :, :kept] = self.chain(x[:, :, :read])[:, :, :kept]
            out[:, :, -kept:] = self.chain(x[:, :, -read:])[:, :, -kept:]
            out[..., :kept] = self.chain(x[..., :read])[..., :kept]
            out[..., -kept:] = self.chain(x[..., -read:])[..., -kept:]

    def extra_repr(self) -> str:
        return f"factor={self.factor}, border={self.border}, gain={self.gain:.1f}"


def merge_linear_tails(graph: fx.GraphModule) -> None:
    """Give each chain of convolutions around pixel shuffles, with nothing between them, its merged kernel."""
    done: set[fx.Node] = set()
    for node in reversed(list(graph.graph.nodes)):
        chain = [] if node in done else _chain(graph, node)
        done.update(chain)
        chain = _best(graph, chain)
        if chain:
            tail, before = LinearTail([_step(graph, one) for one in chain]), source(chain[0])
            assert before is not None
            replace(node, call(graph, tail, before, like=node))
            for one in reversed(chain[:-1]):
                graph.graph.erase_node(one)


def merged(steps: Sequence[_Step]) -> list[_Merged]:
    """One map for the end of a chain from each step on, away from the border, in float64.

    They are made from the last step, which is narrow, to the first.
    """
    last = max(place for place, step in enumerate(steps) if isinstance(step, FusedConv2d))
    conv = steps[last]
    assert isinstance(conv, FusedConv2d)
    outputs = conv.out_channels // _area(steps[last:])
    weight = torch.eye(outputs, dtype=torch.float64, device=conv.weight.device)[..., None, None]
    maps = [_Merged(weight, weight.new_zeros(outputs), 1)]
    for step in reversed(steps):
        behind = maps[-1]
        maps.append(_behind_conv(behind, step) if isinstance(step, FusedConv2d) else _behind_shuffle(behind, step))
    return maps[:0:-1]


def operations(steps: Sequence[_Step]) -> int:
    """Multiplications for each pixel of the input."""
    places = enumerate(steps)
    return sum(_area(steps[:place]) * step.weight.numel() for place, step in places if isinstance(step, FusedConv2d))


def _area(steps: Sequence[_Step]) -> int:
    """Pixels behind the steps for each pixel in front."""
    return math.prod(step.upscale_factor**2 for step in steps if isinstance(step, nn.PixelShuffle))


def _behind_conv(total: _Merged, conv: FusedConv2d) -> _Merged:
    """The map with a convolution in front: kernels one after the other are convolved."""
    inner = _dense(conv)
    # (in, mid, k, k) as pictures, flipped kernels of all that follows: the full convolution of the two.
    side = total.weight.shape[-1]
    full = F.conv2d(inner.transpose(0, 1), total.weight.flip(2, 3), padding=side - 1).transpose(0, 1)
    bias = total.bias
    if conv.bias is not None:
        bias = bias + total.weight.sum((2, 3)) @ conv.bias.double()
    return _Merged(_trimmed(full), bias, total.factor)


def _behind_shuffle(total: _Merged, shuffle: nn.PixelShuffle) -> _Merged:
    """The map with a pixel shuffle in front, on the grid before it."""
    r, g = shuffle.upscale_factor, total.factor
    weight = unshuffled(total.weight, r)
    # Places of a result: first in the coarser pixel (r, r), then in the finer one (g, g).
    weight = weight.reshape(-1, g, g, r, r, *weight.shape[1:]).permute(0, 3, 1, 4, 2, 5, 6, 7).flatten(0, 4)
    bias = total.bias.reshape(-1, 1, g, 1, g).expand(-1, r, g, r, g).flatten()
    return _Merged(_trimmed(weight), bias, r * g)


def _dense(conv: FusedConv2d) -> Tensor:
    """The kernel (out, in, k, k) in float64, zero between groups."""
    if conv.groups == 1:
        return conv.weight.double()
    blocks = conv.weight.double().reshape(conv.groups, -1, *conv.weight.shape[1:])
    eye = torch.eye(conv.groups, dtype=torch.float64, device=blocks.device)
    return torch.einsum("gh,goiab->gohiab", eye, blocks).flatten(2, 3).flatten(0, 1)


def _trimmed(weight: Tensor) -> Tensor:
    """The kernel without rings of zeros around it."""
    while weight.shape[-1] > 1 and weight[..., 1:-1, 1:-1].count_nonzero() == weight.count_nonzero():
        weight = weight[..., 1:-1, 1:-1]
    return weight


def _reaches(steps: Sequence[_Step]) -> tuple[float, float]:
    """Pixels of the input to each side that the first step and that all steps read."""
    found, level = [], 1
    for step in steps:
        if isinstance(step, FusedConv2d):
            found.append(step.padding[0] / level)
        else:
            level *= step.upscale_factor
    return found[0], sum(found)


def _best(graph: fx.GraphModule, chain: list[fx.Node]) -> list[fx.Node]:
    """The end of a chain whose merging saves most; nothing if that is little, or there is nothing to merge."""
    steps = [_step(graph, node) for node in chain]
    convs = [place for place, step in enumerate(steps) if isinstance(step, FusedConv2d)]
    if len(convs) < 2:
        return []
    maps, best, least = merged(steps), len(chain), operations(steps)
    for start in convs[:-1]:
        before, after = operations(steps[start:]), maps[start].weight.numel()
        cost = operations(steps[:start]) + _area(steps[:start]) * after
        if before >= _LEAST_GAIN * after and cost < least:
            best, least = start, cost
    return chain[best:]


def _chain(graph: fx.GraphModule, node: fx.Node) -> list[fx.Node]:
    """The longest chain of linear steps that ends with ``node``."""
    chain: list[fx.Node] = []
    current: fx.Node | None = node
    while current is not None and _is_linear(graph, current) and (not chain or only_user(current) is chain[0]):
        chain.insert(0, current)
        current = source(current)
    return chain


def _is_linear(graph: fx.GraphModule, node: fx.Node) -> bool:
    if shuffle_factor(graph, node):
        return True
    conv = convolution_at(graph, node)
    if conv is None or len(node.args) != 1 or conv.activation.name != "none":
        return False
    height, width = conv.weight.shape[2:]
    plain = conv.stride == conv.dilation == (1, 1) and height == width and height % 2 == 1
    return plain and conv.padding == (height // 2, width // 2)


def _step(graph: fx.GraphModule, node: fx.Node) -> _Step:
    conv = convolution_at(graph, node)
    return nn.PixelShuffle(shuffle_factor(graph, node) or 1) if conv is None else conv
