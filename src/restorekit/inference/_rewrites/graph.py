"""Reading and changing a graph: the few words that all rewrites are written in."""

import operator
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from restorekit.inference._rewrites.convolution import FusedConv2d, does_as
from restorekit.layers._skeleton import skeleton

_ADD = {operator.add, operator.iadd, torch.add, "add", "add_"}
_CAT = {torch.cat, torch.concat}
_SHUFFLE = {F.pixel_shuffle, torch.pixel_shuffle}
_SAME_SHAPE = {F.relu, F.relu_, torch.relu, torch.relu_, "relu", "relu_"}


def module_at(graph: fx.GraphModule, node: fx.Node | None) -> nn.Module | None:
    """The module that a node calls; None if it calls none."""
    return graph.get_submodule(str(node.target)) if node is not None and node.op == "call_module" else None


def convolution_at(graph: fx.GraphModule, node: fx.Node | None) -> FusedConv2d | None:
    """The convolution that a node calls; None if it is anything else."""
    module = module_at(graph, node)
    return module if isinstance(module, FusedConv2d) else None


def convolutions(graph: fx.GraphModule) -> Iterator[tuple[fx.Node, FusedConv2d]]:
    """All convolutions in the order in which they run."""
    for node in list(graph.graph.nodes):
        conv = convolution_at(graph, node)
        if conv is not None:
            yield node, conv


def called(node: fx.Node, among: set[Any]) -> bool:
    """Whether a node calls one of these functions or methods."""
    return node.op in {"call_function", "call_method"} and node.target in among


def is_addition(node: fx.Node) -> bool:
    """Whether a node adds two things, perhaps times ``alpha``."""
    return called(node, _ADD)


def concatenated(node: fx.Node) -> list[fx.Node]:
    """What a node puts side by side in the channels, those of nested concatenations in their order; else nothing."""
    axis = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else 0)
    if not called(node, _CAT) or axis != 1:
        return []
    parts = node.kwargs.get("tensors", node.args[0] if node.args else None)
    if not isinstance(parts, list | tuple):
        return []
    nodes = [part for part in parts if isinstance(part, fx.Node)]  # one may occur twice
    return [inner for part in nodes for inner in concatenated(part) or [part]]


def shuffle_factor(graph: fx.GraphModule, node: fx.Node | None) -> int | None:
    """The factor of a pixel shuffle; None if the node is anything else."""
    if node is None:
        return None
    module = module_at(graph, node)
    if isinstance(module, nn.PixelShuffle) and does_as(module, nn.PixelShuffle):
        return module.upscale_factor
    if called(node, _SHUFFLE):
        return int(node.kwargs.get("upscale_factor", node.args[-1]))  # type: ignore[arg-type]
    return None


def constant_at(graph: fx.GraphModule, node: fx.Node | None) -> Tensor | None:
    """The tensor of the network that a node fetches; None if it is anything else."""
    if node is None or node.op != "get_attr":
        return None
    owner, _, name = str(node.target).rpartition(".")
    value = getattr(graph.get_submodule(owner), name)
    return value if isinstance(value, Tensor) else None


def source(node: fx.Node | None, place: int = 0) -> fx.Node | None:
    """The node that a node reads at this place of its arguments; None if there is something else, or nothing."""
    if node is None or len(node.args) <= place:
        return None
    found = node.args[place]
    return found if isinstance(found, fx.Node) else None


def only_user(node: fx.Node | None) -> fx.Node | None:
    """The one node that reads this one; None if there are more or none."""
    return next(iter(node.users)) if node is not None and len(node.users) == 1 else None


def call(graph: fx.GraphModule, module: nn.Module, *args: fx.Node, like: fx.Node) -> fx.Node:
    """A node in front of ``like`` that calls a new module and makes a result of the same shape."""
    name = f"rewritten_{len(graph.graph.nodes)}"
    while hasattr(graph, name):
        name += "_"
    graph.add_submodule(name, module)
    with graph.graph.inserting_before(like):
        node = graph.graph.call_module(name, args)
    node.meta.update(like.meta)
    return node


def replace(node: fx.Node, by: fx.Node) -> None:
    """Let every reader of ``node`` read ``by`` instead, and drop it."""
    node.replace_all_uses_with(by)
    node.graph.erase_node(node)


def clean(graph: fx.GraphModule) -> None:
    """Drop what nobody reads."""
    graph.graph.eliminate_dead_code()
    graph.delete_all_unused_submodules()
    graph.recompile()


class _DryRun(fx.Interpreter):
    """Runs a graph without memory, and keeps the shapes of all floating-point results."""

    def run_node(self, n: fx.Node) -> Any:
        out = super().run_node(n)
        if isinstance(out, Tensor) and out.is_floating_point():
            n.meta["shape"] = tuple(out.shape)
        return out

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        found = super().get_attr(target, args, kwargs)
        return found.to("meta") if isinstance(found, Tensor) else found

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        module = self.fetch_attr(target)
        if isinstance(module, FusedConv2d):  # by far the most, and a copy of each takes longer than the rest
            if any(arg.dtype != module.weight.dtype for arg in args):
                raise TypeError(f"{target} takes {module.weight.dtype}")
            return args[0].new_empty(module.shape_of(args[0].shape))
        return skeleton(module)(*args, **kwargs)

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        if target in _SAME_SHAPE or (target in _ADD and _alike(args)):
            return args[0]
        return super().call_function(target, args, kwargs)

    def call_method(self, target: Any, args: Any, kwargs: Any) -> Any:
        return args[0] if target in _SAME_SHAPE else super().call_method(target, args, kwargs)


def _alike(args: Any) -> bool:
    return len({(arg.shape, arg.dtype) if isinstance(arg, Tensor) else None for arg in args}) == 1


def note_shapes(graph: fx.GraphModule, x: Tensor) -> bool:
    """Give each node that makes features the ``shape`` that it has for a picture like ``x``, found by a dry run.

    False if the graph does not get through it, because a layer looks at values or is given types that do not go
    together, or ends in another type than that of ``x``.
    """
    try:
        out = _DryRun(graph).run(x.to("meta"))
    except Exception:  # whatever an operation raises that misses values, or meets another type
        return False
    return isinstance(out, Tensor) and out.dtype == x.dtype


def shape_at(node: fx.Node | None) -> tuple[int, ...]:
    """The noted shape; empty if the node makes no tensor, or none is known."""
    shape: tuple[int, ...] = node.meta.get("shape", ()) if node is not None else ()
    return shape
