"""The colour mean that super-resolution networks take off their input and put back."""

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

DIV2K_MEAN = (0.4488, 0.4371, 0.4040)
"""Mean colour (R, G, B) of DIV2K in [0, 1], used by CARN, EDSR, RCAN and their relatives."""


def is_constant(mean: Sequence[float]) -> bool:
    """Whether a mean colour is known without its file: DIV2K's, none, or mid-grey."""
    return tuple(mean) == DIV2K_MEAN or set(mean) in ({0.0}, {0.5})


@final
class MeanShift(nn.Module):
    """Add ``sign * mean`` to each channel.

    The mean is a buffer that moves with the module. DIV2K's mean, zeros and halves are constants and not in the state
    dict; any other mean is, because it may have been trained with the weights beside it.

    Args:
        mean: One value per channel, in [0, 1].
        sign: -1 to take the mean off, 1 to put it back.

    Raises:
        ValueError: ``sign`` is neither 1 nor -1, or ``mean`` is empty.

    Example:
        >>> MeanShift([0.25], sign=-1)(torch.ones(1, 1, 1, 1)).item()
        0.75

    Source:
        The authors' networks hold a frozen 1x1 convolution with an identity matrix instead.
    """

    shift: Tensor

    def __init__(self, mean: Sequence[float] = DIV2K_MEAN, *, sign: int) -> None:
        super().__init__()
        if sign not in (-1, 1):
            raise ValueError(f"sign must be 1 or -1, got {sign!r}")
        if len(mean) == 0:
            raise ValueError("mean must hold at least one value, one per channel")
        self.sign = sign
        self.register_buffer("shift", torch.zeros(1, len(mean), 1, 1))
        self.set_mean(mean)

    def set_mean(self, mean: Sequence[float]) -> None:
        """Take another mean, one value for each channel, where the old one lives."""
        shift = (self.sign * torch.tensor(list(mean))).view_as(self.shift).to(self.shift)
        self.register_buffer("shift", shift, persistent=not is_constant(mean))

    def forward(self, x: Tensor) -> Tensor:
        """Map pictures (N, C, H, W) to shifted pictures of the same shape."""
        return x + self.shift

    def extra_repr(self) -> str:
        return ", ".join(f"{value:+.4f}" for value in self.shift.flatten().tolist())
