"""Densely connected residual blocks."""

from typing import final

import torch
from torch import Tensor, nn

from restorekit._check import check_integer


@final
class DenseResidualBlock(nn.Module):
    """Convolutions that each see all before them, fused and added to the input.

        seen_0 = x,   seen_i = [seen_{i-1}, relu(conv3x3_i(seen_{i-1}))],   y = conv1x1(seen_layers) + x

    Args:
        channels: Width of input and output, at least 1.
        growth: Channels that each convolution adds.
        layers: Number of 3x3 convolutions.

    Raises:
        ValueError: A size below 1.

    Example:
        >>> DenseResidualBlock(8, growth=4, layers=3)(torch.rand(1, 8, 5, 7)).shape
        torch.Size([1, 8, 5, 7])

    Source:
        Zhang et al., CVPR 2018 (RDN, arXiv:1802.08797), equations 5 to 7.
    """

    def __init__(self, channels: int, *, growth: int, layers: int) -> None:
        super().__init__()
        for name, value in (("channels", channels), ("growth", growth), ("layers", layers)):
            check_integer(value, name, 1)
        self.convs = nn.ModuleList(nn.Conv2d(channels + i * growth, growth, 3, padding=1) for i in range(layers))
        self.fusion = nn.Conv2d(channels + layers * growth, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, channels, H, W) to features of the same shape."""
        seen = x
        for conv in self.convs:
            seen = torch.cat([seen, conv(seen).relu()], dim=1)
        out: Tensor = self.fusion(seen) + x
        return out
