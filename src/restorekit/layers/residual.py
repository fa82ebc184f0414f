"""Residual units of two convolutions, plain and efficient."""

from typing import final

import torch
from torch import Tensor, nn

from restorekit._check import check_integer, check_interval


@final
class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around a skip connection.

        y = f(res_scale * conv(relu(conv(x))) + x),   f = relu if ``activation`` else the identity

    Args:
        channels: Width of input and output, at least 1.
        activation: Apply a ReLU after the addition.
        res_scale: Factor on the branch in [0, 1]; wide networks train with a small one.

    Raises:
        ValueError: ``channels`` below 1, or ``res_scale`` outside [0, 1].

    Example:
        >>> import torch
        >>> ResidualBlock(8)(torch.rand(1, 8, 5, 7)).shape
        torch.Size([1, 8, 5, 7])

    Source:
        Ahn et al., ECCV 2018 (CARN, arXiv:1803.08664), whose units end in a ReLU. CutBlur's CARN has none there.
        Lim et al., CVPRW 2017 (EDSR, arXiv:1707.02921), section 3.3: no ReLU there and a factor of 0.1.
    """

    def __init__(self, channels: int, *, activation: bool = True, res_scale: float = 1.0) -> None:
        super().__init__()
        check_integer(channels, "channels", 1)
        check_interval(res_scale, "res_scale", 0, 1)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.activation = activation
        self.res_scale = res_scale

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, channels, H, W) to features of the same shape."""
        out = torch.add(x, self.conv2(self.conv1(x).relu()), alpha=self.res_scale)
        return out.relu_() if self.activation else out  # the sum is a new tensor that nobody else holds

    def extra_repr(self) -> str:
        return f"activation={self.activation}, res_scale={self.res_scale}"


@final
class EResidualBlock(nn.Module):
    """Efficient residual unit: two grouped 3x3 convolutions and a pointwise one around a skip connection.

        y = f(conv1x1(relu(gconv(relu(gconv(x))))) + x),   f = relu if ``activation`` else the identity

    Costs 1/G + 1/(2 * 3^2) of a ``ResidualBlock``.

    Args:
        channels: Width of input and output, a multiple of ``groups``.
        groups: Groups G of the two 3x3 convolutions.
        activation: Apply a ReLU after the addition.

    Raises:
        ValueError: A size below 1, or ``channels`` is no multiple of ``groups``.

    Example:
        >>> import torch
        >>> EResidualBlock(8, groups=4)(torch.rand(1, 8, 5, 7)).shape
        torch.Size([1, 8, 5, 7])

    Source:
        Ahn's thesis, section 2.3.3 and equation 2.10; CARN-M uses G = 4.
    """

    def __init__(self, channels: int, *, groups: int = 4, activation: bool = True) -> None:
        super().__init__()
        check_integer(channels, "channels", 1)
        check_integer(groups, "groups", 1)
        if channels % groups:
            raise ValueError(f"channels must be a multiple of groups, got {channels} channels and {groups} groups")
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, groups=groups)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, groups=groups)
        self.pointwise = nn.Conv2d(channels, channels, 1)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, channels, H, W) to features of the same shape."""
        out: Tensor = self.pointwise(self.conv2(self.conv1(x).relu()).relu()) + x
        return out.relu_() if self.activation else out

    def extra_repr(self) -> str:
        return f"activation={self.activation}"
