"""Values that are written into: which may be, and which rewriting needs as they were."""

import operator
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from restorekit.inference._rewrites.convolution import FusedConv2d, does_as
from restorekit.inference._rewrites.graph import called, module_at, only_user, shuffle_factor, source

_NEW_VALUES = {
    *(operator.add, operator.sub, operator.mul, operator.truediv, operator.neg),
    *(torch.add, torch.sub, torch.mul, torch.div, torch.cat, torch.concat, torch.relu, torch.sigmoid, torch.tanh),
    *(F.relu, F.leaky_relu, F.sigmoid, F.gelu, F.softmax, F.conv2d, F.linear, F.layer_norm, F.normalize),
    *("add", "sub", "mul", "div", "relu", "sigmoid", "tanh", "softmax", "mean", "sum", "clone"),
}
_NEW_LAYERS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.BatchNorm2d, nn.LayerNorm, nn.ReLU, nn.LeakyReLU, nn.PReLU)
_PLAIN: dict[Any, Any] = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
    F.relu_: F.relu,
    F.leaky_relu_: F.leaky_relu,
    torch.relu_: torch.relu,
}


def makes_new(graph: fx.GraphModule, node: fx.Node) -> bool:
    """Whether a node's result certainly shares no memory with what it reads."""
    if writes(graph, node):
        return False
    module = module_at(graph, node)
    if isinstance(module, FusedConv2d):
        return not module.overwrites
    if module is not None:
        return any(does_as(module, kind) for kind in _NEW_LAYERS) or (shuffle_factor(graph, node) or 1) > 1
    return called(node, _NEW_VALUES) or (shuffle_factor(graph, node) or 1) > 1


def writes(graph: fx.GraphModule, node: fx.Node) -> bool:
    """Whether a node writes its result into the first value that it reads."""
    if node.op == "call_module":
        return bool(getattr(module_at(graph, node), "inplace", False))
    if node.op not in {"call_function", "call_method"}:
        return False
    if node.kwargs.get("inplace") or node.target in _PLAIN:
        return True
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    return name.endswith("_") and not name.endswith("__") and getattr(node.target, "__module__", "") != "_operator"


def settle_overwriting(graph: fx.GraphModule) -> bool:
    """Let nothing be written into a value that is the picture, or read by others; False if that is not possible."""
    order = {node: place for place, node in enumerate(graph.graph.nodes)}
    for node in graph.graph.nodes:
        if "out" in node.kwargs:
            return False
        if not writes(graph, node):
            continue
        value = source(node)
        if value is None or any(order[user] > order[node] for user in value.users):
            return False
        others = [user for user in value.users if user is not node]
        if not all(makes_new(graph, user) for user in others) or not _is_own(graph, value):
            return False
        if (others or value.op in {"placeholder", "get_attr"}) and not _spare(graph, node):
            return False
    return True


def _is_own(graph: fx.GraphModule, value: fx.Node) -> bool:
    """Whether a value lies in memory that no other value lies in, except perhaps a picture or constant itself."""
    if value.op in {"placeholder", "get_attr"} or makes_new(graph, value):
        return True
    inputs = value.all_input_nodes
    return all(only_user(i) and i.op not in {"placeholder", "get_attr"} and _is_own(graph, i) for i in inputs)


def _spare(graph: fx.GraphModule, node: fx.Node) -> bool:
    """Let a node make a new value; False if it is not known how."""
    module = module_at(graph, node)
    if module is not None:
        module.inplace = False  # type: ignore[assignment]
    elif node.kwargs.get("inplace"):
        node.kwargs = {**node.kwargs, "inplace": False}
    elif node.op == "call_method":
        node.target = str(node.target).removesuffix("_")
    else:
        node.target = _PLAIN.get(node.target, node.target)
    return not writes(graph, node)
