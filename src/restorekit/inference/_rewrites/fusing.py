"""Activations and sums as parts of the convolution in front of them."""

import torch
import torch.nn.functional as F
from torch import fx, nn

from restorekit.inference._rewrites.convolution import Activation, FusedConv2d, does_as
from restorekit.inference._rewrites.graph import (
    call,
    called,
    convolution_at,
    convolutions,
    is_addition,
    module_at,
    only_user,
    replace,
    shape_at,
    shuffle_factor,
    source,
)
from restorekit.inference._rewrites.overwriting import makes_new
from restorekit.inference._rewrites.precision import is_picture

_RELU = {F.relu, F.relu_, torch.relu, torch.relu_, "relu", "relu_"}


def shuffle_last(graph: fx.GraphModule) -> None:
    """Put an activation in front of the pixel shuffle that feeds it: it does not care where a value stands."""
    for node in list(graph.graph.nodes):
        shuffle, before = source(node), source(source(node))
        if activation_at(graph, node) is None or not shuffle_factor(graph, shuffle):
            continue
        if shuffle is None or only_user(shuffle) is None or before is None or only_user(before) is None:
            continue  # others read what the activation would change
        if convolution_at(graph, before) is None:
            continue
        node.replace_all_uses_with(shuffle)
        node.replace_input_with(shuffle, before)
        shuffle.prepend(node)
        shuffle.replace_input_with(before, node)
        node.meta["shape"] = shape_at(before)


def fuse_activations(graph: fx.GraphModule) -> None:
    """Let a convolution apply the activation that alone reads it."""
    for node, conv in convolutions(graph):
        user = only_user(node)
        activation = None if user is None else activation_at(graph, user)
        if user is not None and activation is not None and conv.activation.name == "none":
            conv.activation = activation
            replace(user, node)


def fuse_sums(graph: fx.GraphModule) -> None:
    """Let a convolution add what is added to it alone; a factor on it goes into its kernel."""
    for node in list(graph.graph.nodes):
        for place in (0, 1) if is_addition(node) and len(node.args) == 2 else ():
            mine, other = source(node, place), source(node, 1 - place)
            conv, factor = convolution_at(graph, mine), _factor(node, place)
            if mine is None or other is None or conv is None or factor is None or only_user(mine) != node:
                continue
            if mine is other or not _fits(conv, mine, other):
                continue
            bias = None if conv.bias is None else conv.bias * factor
            weights = (conv.weight, conv.bias) if factor == 1 else (conv.weight * factor, bias)
            replace(node, call(graph, conv.with_weights(*weights), *mine.all_input_nodes, other, like=node))
            graph.graph.erase_node(mine)
            break


def overwrite_sums(graph: fx.GraphModule) -> None:
    """Let a sum be written into its other part where that is the result of a convolution and read for the last time."""
    order = {node: place for place, node in enumerate(graph.graph.nodes)}
    for node, conv in convolutions(graph):
        other = source(node, 1)
        if other is not None and convolution_at(graph, other) is not None and other is not source(node):
            conv.overwrites = all(
                user is node or (order[user] < order[node] and makes_new(graph, user)) for user in other.users
            )


def activation_at(graph: fx.GraphModule, node: fx.Node) -> Activation | None:
    """The scalar function that a node applies, of those that a convolution can take over; else None."""
    module = module_at(graph, node)
    if called(node, _RELU) or does_as(module, nn.ReLU):
        return Activation("relu")
    if called(node, {F.gelu}) and not node.kwargs and len(node.args) == 1:
        return Activation("gelu")
    if isinstance(module, nn.LeakyReLU) and does_as(module, nn.LeakyReLU):
        return Activation("leaky_relu", (module.negative_slope,))
    if isinstance(module, nn.PReLU) and does_as(module, nn.PReLU) and module.num_parameters == 1:
        return Activation("leaky_relu", (float(module.weight.detach()),))
    return None


def _factor(node: fx.Node, place: int) -> float | None:
    """What the sum multiplies the argument at a place with; None if that is no number."""
    alpha = node.kwargs.get("alpha", 1)
    if set(node.kwargs) - {"alpha"} or not isinstance(alpha, int | float):
        return None
    if alpha == 1:
        return 1
    return float(alpha) if place == 1 else None


def _fits(conv: FusedConv2d, mine: fx.Node, other: fx.Node) -> bool:
    """Whether a convolution that adds nothing yet can add ``other``: features of the same shape."""
    if len(mine.args) != 1 or conv.activation.name != "none" or is_picture(other):
        return False
    return shape_at(other) == shape_at(mine) != ()
