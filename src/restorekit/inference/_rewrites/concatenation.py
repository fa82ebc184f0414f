"""Features side by side that a 1x1 convolution mixes: the sum of what it makes of each, without the copy."""

from torch import fx

from restorekit.inference._rewrites.convolution import Activation, FusedConv2d
from restorekit.inference._rewrites.graph import call, concatenated, convolution_at, replace, shape_at, source


def split_concatenations(graph: fx.GraphModule) -> None:
    """Give each part of a concatenation its own columns of the 1x1 convolutions that read it."""
    for node in reversed(list(graph.graph.nodes)):  # a concatenation of concatenations comes after them
        parts = concatenated(node)
        if not parts or not node.users or not all(_mixes(graph, user, node) for user in node.users):
            continue
        if all(shape_at(part) for part in parts):
            for user in list(node.users):
                _split(graph, user, parts)
            graph.graph.erase_node(node)


def _mixes(graph: fx.GraphModule, user: fx.Node, node: fx.Node) -> bool:
    """Whether a node is a 1x1 convolution of ``node``."""
    conv = convolution_at(graph, user)
    return conv is not None and conv.is_pointwise and source(user) is node


def _split(graph: fx.GraphModule, user: fx.Node, parts: list[fx.Node]) -> None:
    conv = convolution_at(graph, user)
    assert conv is not None
    total = source(user, 1)
    start = 0
    for place, part in enumerate(parts):
        stop = start + shape_at(part)[1]
        piece = _columns(conv, start, stop, first=place == 0, last=place == len(parts) - 1)
        total = call(graph, piece, *((part,) if total is None else (part, total)), like=user)
        start = stop
    assert total is not None
    replace(user, total)


def _columns(conv: FusedConv2d, start: int, stop: int, *, first: bool, last: bool) -> FusedConv2d:
    piece = conv.with_weights(conv.weight[:, start:stop], conv.bias if first else None)
    piece.activation = conv.activation if last else Activation()
    return piece
