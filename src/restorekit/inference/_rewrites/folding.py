"""What a convolution can take over from its neighbours for nothing: normalisation, constants, factors."""

import torch
from torch import Tensor, fx, nn

from restorekit.inference._rewrites.convolution import FusedConv2d
from restorekit.inference._rewrites.graph import (
    call,
    constant_at,
    convolution_at,
    convolutions,
    is_addition,
    module_at,
    only_user,
    replace,
    source,
)
from restorekit.layers import SConv2d


def gather_convolutions(graph: fx.GraphModule) -> None:
    """Make every convolution a ``FusedConv2d``, one for each time that it runs: its neighbours differ, its kernel not.

    Kernels with weight norm or mixed from templates are computed here once.
    """
    known: dict[str, FusedConv2d | None] = {}
    for node in list(graph.graph.nodes):
        module = module_at(graph, node)
        if not isinstance(module, nn.Conv2d | SConv2d):
            continue
        name = str(node.target)
        if name not in known:
            known[name] = FusedConv2d.of(module)
        first = known[name]
        if first is not None:
            replace(node, call(graph, first.with_weights(first.weight, first.bias), *node.all_input_nodes, like=node))


def fold_batch_norm(graph: fx.GraphModule) -> None:
    """Merge a BatchNorm into the convolution before it: in evaluation it is a factor and a constant per channel."""
    for node in list(graph.graph.nodes):
        norm, before = module_at(graph, node), source(node)
        conv = convolution_at(graph, before)
        if isinstance(norm, nn.BatchNorm2d) and before is not None and conv is not None and only_user(before) == node:
            factor, constant = _affine(norm)
            bias = 0 if conv.bias is None else conv.bias.double()
            merged = conv.with_weights(_scaled(conv, factor), (bias * factor + constant).to(conv.weight.dtype))
            graph.set_submodule(str(before.target), merged)
            replace(node, before)


def fold_constants(graph: fx.GraphModule) -> None:
    """Move a constant that is added behind a convolution into its bias: the mean colour, put back at the end."""
    for node, conv in convolutions(graph):
        sum_ = only_user(node)
        plain = conv.activation.name == "none" and len(node.args) == 1
        if sum_ is None or not plain or not is_addition(sum_) or sum_.kwargs:
            continue
        constant = constant_at(graph, source(sum_, 1 if source(sum_) == node else 0))
        if constant is None or constant.numel() != conv.out_channels or constant.shape[-2:] != (1, 1):
            continue
        bias = constant.flatten().to(conv.weight) + (0 if conv.bias is None else conv.bias)
        graph.set_submodule(str(node.target), conv.with_weights(conv.weight, bias))
        replace(sum_, node)


def _affine(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Factor and constant of each channel, in float64."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    factor = 1 / (norm.running_var.double() + norm.eps).sqrt()
    if norm.affine:
        factor = factor * norm.weight.detach().double()
    constant = -norm.running_mean.double() * factor
    return factor, constant + norm.bias.detach().double() if norm.affine else constant


def _scaled(conv: FusedConv2d, factor: Tensor | float) -> Tensor:
    factor = torch.as_tensor(factor, dtype=torch.float64, device=conv.weight.device)
    return (conv.weight.double() * factor.view(-1, 1, 1, 1)).to(conv.weight.dtype)
