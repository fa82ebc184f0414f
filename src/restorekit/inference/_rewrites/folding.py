"""What a convolution can take over from its neighbours for nothing: normalisation, constants, factors."""

from torch import Tensor, fx, nn

from restorekit.inference._rewrites.convolution import FusedConv2d, does_as
from restorekit.inference._rewrites.graph import (
    constant_at,
    convolution_at,
    convolutions,
    is_addition,
    module_at,
    only_user,
    replace,
    source,
)


def fold_batch_norm(graph: fx.GraphModule) -> None:
    """Merge a BatchNorm into the convolution before it: in evaluation it is a factor and a constant per channel."""
    for node in list(graph.graph.nodes):
        norm, before = module_at(graph, node), source(node)
        conv = convolution_at(graph, before)
        if not isinstance(norm, nn.BatchNorm2d) or norm.running_mean is None or not does_as(norm, nn.BatchNorm2d):
            continue  # without statistics it normalises by those of the picture
        if before is not None and conv is not None and only_user(before) == node:
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
        if (
            constant is None
            or constant.numel() != conv.out_channels
            or constant.shape[-3:] != (conv.out_channels, 1, 1)
        ):
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


def _scaled(conv: FusedConv2d, factor: Tensor) -> Tensor:
    return (conv.weight.double() * factor.view(-1, 1, 1, 1)).to(conv.weight.dtype)
