"""The end of a network, where features are widest, in strips of rows that stay in cache."""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple, final

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from restorekit.inference._rewrites.convolution import FusedConv2d, does_as
from restorekit.inference._rewrites.graph import (
    called,
    convolution_at,
    convolutions,
    is_addition,
    module_at,
    only_user,
    shape_at,
    shuffle_factor,
    source,
)

STRIP_MEMORY = 24 * 2**20
"""Bytes of the largest tensor of a strip: above 32 MB glibc maps memory anew for each tensor, which costs more than
the arithmetic."""

_MOST_HALO = 8  # rows: with more, strips would mostly compute what is thrown away
_LEAST_ROWS = 8
_EVERYWHERE = {"to", "relu", F.relu, torch.sub, "mul", "sub", F.leaky_relu}
_SCALAR_LAYERS = (nn.PReLU, nn.LeakyReLU, nn.ReLU)
_ENLARGED_BY_READING = {"nearest": 0, "bilinear": 1}  # rows to each side


class _Tail(NamedTuple):
    nodes: list[fx.Node]
    inputs: list[fx.Node]
    end: fx.Node
    halo: int


@final
class Strips(nn.Module):
    """Run the end of a network on strips of rows and put their results together; the result is that of one run.

    Args:
        tail: The end of the network, a function of features.
        halo: Rows of the first input to each side that a row of the result depends on.
        ratios: Rows of each input per row of the first.
        elements: Most values that one tensor within has per pixel of the first input.
        channels: Channels of the result.
        scale: Rows of the result per row of the first input.
        dtype: Type of the result.
    """

    def __init__(
        self,
        tail: nn.Module,
        *,
        halo: int,
        ratios: Sequence[int],
        elements: int,
        channels: int,
        scale: int,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        self.tail = tail
        self.halo, self.ratios, self.elements, self.channels, self.scale = halo, ratios, elements, channels, scale
        self.dtype = dtype

    def forward(self, *inputs: Tensor) -> Tensor:
        """Map features (N, C, H, W), and others of a multiple of its size, to (N, channels, scale * H, scale * W)."""
        first = inputs[0]
        count, _, height, width = first.shape
        if torch.compiler.is_compiling():  # how often a loop runs would depend on the size
            whole: Tensor = self.tail(*inputs)
            return whole
        out = first.new_empty(count, self.channels, height * self.scale, width * self.scale, dtype=self.dtype)
        if first.is_meta:  # of a dry run: what a strip takes does not grow with the picture
            return out
        rows = self.rows(count * width * first.element_size())
        for start in range(0, height, rows):
            stop = min(start + rows, height)
            top, bottom = max(0, start - self.halo), min(height, stop + self.halo)
            part = self.tail(*(x[:, :, top * r : bottom * r] for x, r in zip(inputs, self.ratios, strict=True)))
            inner = slice((start - top) * self.scale, (stop - top) * self.scale)
            out[:, :, start * self.scale : stop * self.scale] = part[:, :, inner]
        return out

    def rows(self, row_bytes: int) -> int:
        """Rows of a strip, without halo, for features whose rows have so many bytes in each channel."""
        return max(_LEAST_ROWS, STRIP_MEMORY // (self.elements * row_bytes) - 2 * self.halo)

    def extra_repr(self) -> str:
        return f"halo={self.halo}, scale={self.scale}"


def cut_into_strips(graph: fx.GraphModule, dtype: torch.dtype) -> None:
    """Replace the end of the graph, from where it widens for an enlargement, by ``Strips``, results in ``dtype``."""
    (output,) = (node for node in graph.graph.nodes if node.op == "output")
    for node in graph.graph.nodes:
        if _enlarges(node):
            tails = (_tail(graph, start, output) for start in _starts(graph, node))
            tail = next((tail for tail in tails if tail is not None), None)
            if tail is not None:
                _insert(graph, tail, output, dtype)
                return


def _enlarges(node: fx.Node) -> bool:
    own, before = shape_at(node), shape_at(source(node))
    return len(own) == len(before) == 4 and own[2] > before[2]


def _starts(graph: fx.GraphModule, node: fx.Node) -> list[fx.Node]:
    """Where strips for this enlargement may start, best first: the convolution that widens its features, the last one.

    Convolutions that narrow features may stand between the two. Without any it is the first node that nobody else uses.
    """
    last, before = None, source(node)
    while before is not None and only_user(before) is node and before.op != "placeholder":
        node = before
        before = source(node)
        conv = convolution_at(graph, node)
        if conv is None:
            continue
        last = last or node
        if conv.out_channels >= conv.in_channels:
            return [node, last] if conv.out_channels > conv.in_channels else [last]
    return [last or node]


def _tail(graph: fx.GraphModule, start: fx.Node, output: fx.Node) -> _Tail | None:
    """All that depends on ``start``, if strips of it can be computed each by itself."""
    nodes: list[fx.Node] = []
    for node in graph.graph.nodes:
        if node is start or (node is not output and any(earlier in nodes for earlier in node.all_input_nodes)):
            nodes.append(node)
    sources = dict.fromkeys(earlier for node in nodes for earlier in node.all_input_nodes if earlier not in nodes)
    inputs = [earlier for earlier in sources if earlier.op != "get_attr"]
    sizes = [shape_at(earlier)[2] if len(shape_at(earlier)) == 4 else 0 for earlier in inputs]
    end = source(output)
    if end not in nodes or not all(sizes) or any(size % sizes[0] for size in sizes):
        return None
    reach: dict[fx.Node, Fraction] = dict.fromkeys(sources, Fraction(0))
    for node in nodes:
        own, before = _reach(graph, node), shape_at(source(node))
        if own is None or len(before) != 4 or len(shape_at(node)) != 4 or shape_at(node)[2] % sizes[0]:
            return None
        reach[node] = max(reach[earlier] for earlier in node.all_input_nodes) + own * Fraction(sizes[0], before[2])
    halo = math.ceil(reach[end])
    return _Tail(nodes, inputs, end, halo) if halo <= _MOST_HALO else None


def _reach(graph: fx.GraphModule, node: fx.Node) -> int | None:
    """Rows of its input to each side that a node reads; None if it may read more."""
    module = module_at(graph, node)
    if isinstance(module, FusedConv2d):
        extent = (module.weight.shape[2] - 1) * module.dilation[0]
        return max(module.padding[0], extent - module.padding[0]) if module.stride == (1, 1) else None
    if isinstance(module, nn.ConvTranspose2d) and does_as(module, nn.ConvTranspose2d):
        return math.ceil(module.dilation[0] * module.kernel_size[0] / module.stride[0])
    if any(does_as(module, kind) for kind in _SCALAR_LAYERS) or shuffle_factor(graph, node):
        return 0
    if called(node, {F.interpolate}):
        return _interpolation_reach(node)
    return 0 if is_addition(node) or called(node, _EVERYWHERE) else None


def _interpolation_reach(node: fx.Node) -> int | None:
    """As ``_reach``, of an enlargement by a whole number that looks at nothing but its neighbours."""
    options = dict(node.kwargs)
    factor, mode = options.pop("scale_factor", None), options.pop("mode", "nearest")
    if len(node.args) != 1 or any(options.values()) or not isinstance(factor, int | float) or factor != int(factor):
        return None
    return _ENLARGED_BY_READING.get(str(mode))


def _insert(graph: fx.GraphModule, tail: _Tail, output: fx.Node, dtype: torch.dtype) -> None:
    for node, conv in convolutions(graph):
        if source(node, 1) in tail.inputs:
            conv.overwrites = False  # neighbouring strips read the same rows, after all that comes before them
    separate = fx.Graph()
    copies = {node: separate.placeholder(f"x{place}") for place, node in enumerate(tail.inputs)}

    def copied(node: fx.Node) -> fx.Node:
        if node not in copies:
            copies[node] = separate.node_copy(node, copied)
        return copies[node]

    separate.output(copied(tail.end))
    base, end = shape_at(tail.inputs[0]), shape_at(tail.end)
    strips = Strips(
        fx.GraphModule(graph, separate),
        halo=tail.halo,
        ratios=[shape_at(node)[2] // base[2] for node in tail.inputs],
        elements=max(math.prod(shape_at(node)[1:]) for node in tail.nodes) // math.prod(base[2:]),
        channels=end[1],
        scale=end[2] // base[2],
        dtype=dtype,
    )
    graph.add_submodule("strips", strips)
    with graph.graph.inserting_before(output):
        output.args = (graph.graph.call_module("strips", tuple(tail.inputs)),)
