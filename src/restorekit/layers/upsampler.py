"""Learned enlargement by sub-pixel convolution."""

from typing import final

from torch import Tensor, nn
from torch.nn import functional as F

from restorekit._check import check_integer

_STAGES = {2: (2,), 3: (3,), 4: (2, 2), 8: (2, 2, 2)}


@final
class PixelShuffleUpsampler(nn.Module):
    """Enlarge features by convolutions that make r^2 channels and shuffle them into r x r pixels.

    Scales 4 and 8 are chains of two and three factor-2 stages with weights of their own.

    Args:
        channels: Width of input and output, a multiple of ``groups``.
        scale: 2, 3, 4 or 8.
        groups: Groups of each convolution.
        activation: Apply a ReLU between convolution and shuffle.

    Raises:
        ValueError: Another scale, a size below 1, or ``channels`` is no multiple of ``groups``.

    Example:
        >>> import torch
        >>> PixelShuffleUpsampler(8, 4, groups=2)(torch.rand(1, 8, 5, 7)).shape
        torch.Size([1, 8, 20, 28])

    Source:
        Shi et al., CVPR 2016. CARN puts the ReLU before the shuffle and CARN-M groups these convolutions too; EDSR
        and CutBlur's CARN have no ReLU.
    """

    def __init__(self, channels: int, scale: int, *, groups: int = 1, activation: bool = True) -> None:
        super().__init__()
        if not isinstance(scale, int) or scale not in _STAGES:
            raise ValueError(f"scale must be one of {', '.join(map(str, _STAGES))}, got {scale!r}")
        check_integer(channels, "channels", 1)
        check_integer(groups, "groups", 1)
        if channels % groups:
            raise ValueError(f"channels must be a multiple of groups, got {channels} channels and {groups} groups")
        self.scale = scale
        self.activation = activation
        self.convs = nn.ModuleList(
            nn.Conv2d(channels, channels * r * r, 3, padding=1, groups=groups) for r in _STAGES[scale]
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, channels, H, W) to (N, channels, scale * H, scale * W)."""
        for conv, r in zip(self.convs, _STAGES[self.scale], strict=True):
            x = F.pixel_shuffle(conv(x), r)
            if self.activation:
                x = F.relu(x, inplace=True)  # a ReLU may come behind: the shuffle's copy is free to be overwritten
        return x

    def extra_repr(self) -> str:
        return f"scale={self.scale}, activation={self.activation}"
