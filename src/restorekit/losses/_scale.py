"""What is compared at one scale of the MDF loss."""

import copy
from typing import TypeGuard, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

M = TypeVar("M", bound=nn.Module)

LAYERS = ("head", "body", "tail")


class Scale(nn.Module):
    """A copy of a discriminator, as fast as it gets: pictures in, what it sees after each of its layers out.

    BatchNorm is folded into the convolution in front and LeakyReLU writes in place, wherever they follow each other in
    an ``nn.Sequential``; what else there is runs in evaluation, and nothing else in place: it might be compared.
    """

    def __init__(self, discriminator: nn.Module, depth: int) -> None:
        super().__init__()
        for layer in LAYERS[:depth]:
            part = copy.deepcopy(getattr(discriminator, layer)).eval()
            for module in part.modules():
                if getattr(module, "inplace", False):
                    module.inplace = False
            for sequence in [m for m in part.modules() if isinstance(m, nn.Sequential)]:
                if type(sequence).forward is nn.Sequential.forward:
                    _fold(sequence)
            # twice as fast on a CPU where weights are frozen, and what tensor cores want
            self.add_module(layer, part.to(memory_format=torch.channels_last))

    def forward(self, x: Tensor) -> list[Tensor]:
        x = x.to(next(self.parameters()).dtype, memory_format=torch.channels_last)
        maps = []
        for layer in self.children():
            x = layer(x)
            maps.append(x)
        return maps


def _fold(sequence: nn.Sequential) -> None:
    before, previous = "", nn.Module()
    # unlike named_children(), names a layer wherever it is used
    for name, layer in list(zip(sequence._modules, sequence, strict=True)):
        if _is_plain(previous, nn.Conv2d) and _is_plain(layer, nn.BatchNorm2d):
            # in float64, so that all there is is one rounding of each weight
            folded = fuse_conv_bn_eval(copy.deepcopy(previous).double(), copy.deepcopy(layer).double())
            previous = folded.to(previous.weight.dtype)
            sequence.add_module(before, previous)
            sequence.add_module(name, nn.Identity())
            continue
        if isinstance(previous, nn.Conv2d) and _is_plain(layer, nn.LeakyReLU):
            # a convolution does not need its output again; what else this layer may stand behind could be compared
            sequence.add_module(name, nn.LeakyReLU(layer.negative_slope, inplace=True))
        before, previous = name, layer


def _is_plain(layer: nn.Module, kind: type[M]) -> TypeGuard[M]:
    """Whether a layer does what its class does: spectral norm and its like make the weight anew at each call."""
    return type(layer) is kind and not layer._forward_pre_hooks and not layer._forward_hooks
