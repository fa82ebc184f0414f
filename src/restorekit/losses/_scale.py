"""What is compared at one scale of the MDF loss."""

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

LAYERS = ("head", "body", "tail")


class Scale(nn.Module):
    """A copy of a discriminator, as fast as it gets: pictures in, what it sees after each of its layers out.

    BatchNorm is folded into the convolution in front and LeakyReLU writes in place, wherever they follow each other in
    an ``nn.Sequential``; what else there is stays as it is, in evaluation.
    """

    def __init__(self, discriminator: nn.Module, depth: int) -> None:
        super().__init__()
        for layer in LAYERS[:depth]:
            part = copy.deepcopy(getattr(discriminator, layer)).eval()
            for sequence in [m for m in part.modules() if isinstance(m, nn.Sequential)]:
                _fold(sequence)
            # twice as fast on a CPU where weights are frozen, and what tensor cores want
            self.add_module(layer, part.to(memory_format=torch.channels_last))

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for layer in self.children():
            x = layer(x)
            maps.append(x)
        return maps


def _fold(sequence: nn.Sequential) -> None:
    before, previous = "", nn.Module()
    for name, layer in list(sequence.named_children()):
        if isinstance(previous, nn.Conv2d) and isinstance(layer, nn.BatchNorm2d) and layer.running_mean is not None:
            # in float64, so that all there is is one rounding of each weight
            folded = fuse_conv_bn_eval(copy.deepcopy(previous).double(), copy.deepcopy(layer).double())
            previous = folded.to(previous.weight.dtype)
            sequence.add_module(before, previous)
            sequence.add_module(name, nn.Identity())
            continue
        if isinstance(previous, nn.Conv2d) and isinstance(layer, nn.LeakyReLU):
            layer.inplace = True  # a convolution does not need its output again; a map that is compared stays
        before, previous = name, layer
