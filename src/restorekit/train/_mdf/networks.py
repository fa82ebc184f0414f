"""A discriminator and a generator for each scale."""

import copy

import torch
from torch import nn

from restorekit._random import seeded
from restorekit.models import SinGANDiscriminator, SinGANGenerator

_INITIAL_TAG = 1  # keeps these draws apart from the others that start from the same seed


class Networks(nn.Module):
    """All networks of a run, coarse to fine. They exist from the start, so that every checkpoint has one layout."""

    def __init__(self, num_scales: int, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seeded(seed, _INITIAL_TAG).initial_seed())
            pairs = [_pair(_width(k)) for k in range(num_scales)]
        self.discriminators = nn.ModuleList(discriminator for discriminator, _ in pairs)
        self.generators = nn.ModuleList(generator for _, generator in pairs)

    def open(self, scale: int) -> None:
        """Take over what the scale before has learned, if it is as wide."""
        if scale > 0 and _width(scale) == _width(scale - 1):
            for networks in (self.discriminators, self.generators):
                networks[scale].load_state_dict(networks[scale - 1].state_dict())

    def train_only(self, scale: int) -> None:
        """Bring the networks of one scale into training mode; the others judge and restore as they are."""
        self.eval()
        self.discriminators[scale].train()
        self.generators[scale].train()


def _pair(channels: int) -> tuple[SinGANDiscriminator, SinGANGenerator]:
    return SinGANDiscriminator(channels=channels), SinGANGenerator(channels=channels)


def _width(scale: int) -> int:
    return min(32 << (scale // 4), 128)


def for_unit_range(discriminator: nn.Module) -> SinGANDiscriminator:
    """A frozen copy that takes pictures in [0, 1] instead of [-1, 1].

    The step 2 x - 1 goes into the first convolution: without padding, it makes W (2 x - 1) + b exactly 2 W x + (b - W
    1), with W 1 the sum of the kernel.
    """
    assert isinstance(discriminator, SinGANDiscriminator)
    out = copy.deepcopy(discriminator).eval().requires_grad_(False)
    convolution = out.head.conv
    assert convolution.bias is not None
    convolution.bias -= convolution.weight.sum(dim=(1, 2, 3))
    convolution.weight *= 2
    return out
