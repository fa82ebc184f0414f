"""Routes that restore features the way the physics of a degradation damaged the picture: sum, affine map, filter."""

from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restorekit._check import check_batch, check_integer
from restorekit.layers.initialization import initialize
from restorekit.layers.residual import ResidualBlock


def filter_per_pixel(x: Tensor, kernels: Tensor) -> Tensor:
    """Filter with a kernel of its own for each pixel and channel.

        y[c, i, j] = sum over (u, v) of kernels[c * K^2 + u * K + v, i, j] * x[c, i + u - K // 2, j + v - K // 2]

    Beyond the border the picture repeats its last row and column. Nothing is normalised.

    Args:
        x: Features (N, C, H, W).
        kernels: Kernels (N, C * K^2, H, W) with an odd K.

    Returns:
        Features (N, C, H, W).

    Raises:
        TypeError: A tensor of another kind.
        ValueError: Shapes that do not fit, or an even K.

    Example:
        >>> filter_per_pixel(torch.rand(1, 2, 5, 7), torch.rand(1, 18, 5, 7)).shape
        torch.Size([1, 2, 5, 7])

    Source:
        Zhang et al., CVPR 2023 (IDR), the convolutional route, with K = 5.
    """
    check_batch(x)
    check_batch(kernels, "kernels")
    batch, channels, height, width = x.shape
    side = round((kernels.shape[1] / channels) ** 0.5)
    if side % 2 == 0 or kernels.shape != (batch, channels * side**2, height, width):
        raise ValueError(
            f"kernels must be (N, C * K^2, H, W) with an odd K for x {tuple(x.shape)}, got {tuple(kernels.shape)}"
        )
    weights = kernels.reshape(batch, channels, side**2, height, width).unbind(2)
    padded = F.pad(x, (side // 2,) * 4, mode="replicate")
    out = torch.zeros_like(x)
    for k, weight in enumerate(weights):  # one shift at a time: unfolding would copy the features K^2 times
        top, left = divmod(k, side)
        out = out + weight * padded[..., top : top + height, left : left + width]
    return out


class _Evidence(nn.Sequential):
    """What a route learns about the degradation: conv 3x3, PReLU, two residual blocks."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        blocks = [ResidualBlock(out_channels, activation=False) for _ in range(2)]
        for block in blocks:
            initialize(block, "he-normal-0.1")
        super().__init__(nn.Conv2d(in_channels, out_channels, 3, padding=1), nn.PReLU(init=0.2), *blocks)


@final
class AdditiveRoute(nn.Module):
    """Take off what was added, such as noise and rain: y = x + r(guide).

    Args:
        channels: Width C of the features.

    Raises:
        ValueError: A width below 1.

    Example:
        >>> AdditiveRoute(4)(torch.rand(1, 4, 5, 7), torch.rand(1, 8, 5, 7)).shape
        torch.Size([1, 4, 5, 7])

    Source:
        Zhang et al., CVPR 2023 (IDR); depth and initial weights as in the authors' code.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        check_integer(channels, "channels", 1)
        self.evidence = _Evidence(2 * channels, channels)

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:
        """Restore features (N, C, H, W) with the help of features (N, 2C, H, W)."""
        out: Tensor = x + self.evidence(guide)
        return out


@final
class AffineRoute(nn.Module):
    """Undo a change of contrast and offset at each point, such as haze and low light: y = gamma * x + beta.

    gamma and beta are the halves of r(guide).

    Args:
        channels: Width C of the features.

    Raises:
        ValueError: A width below 1.

    Example:
        >>> AffineRoute(4)(torch.rand(1, 4, 5, 7), torch.rand(1, 8, 5, 7)).shape
        torch.Size([1, 4, 5, 7])

    Source:
        Zhang et al., CVPR 2023 (IDR); depth and initial weights as in the authors' code.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        check_integer(channels, "channels", 1)
        self.evidence = _Evidence(2 * channels, 2 * channels)

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:
        """Restore features (N, C, H, W) with the help of features (N, 2C, H, W)."""
        gamma, beta = self.evidence(guide).chunk(2, dim=1)
        out: Tensor = gamma * x + beta
        return out


@final
class KernelRoute(nn.Module):
    """Undo a filter that differs from place to place, such as blur: see ``filter_per_pixel``.

    Args:
        channels: Width C of the features.
        kernel_size: Side of the kernels, odd.

    Raises:
        ValueError: A width below 1, or an even kernel size.

    Example:
        >>> KernelRoute(4)(torch.rand(1, 4, 5, 7), torch.rand(1, 8, 5, 7)).shape
        torch.Size([1, 4, 5, 7])

    Source:
        Zhang et al., CVPR 2023 (IDR); depth, initial weights and the PReLU on the kernels as in the authors' code.
    """

    def __init__(self, channels: int, *, kernel_size: int = 5) -> None:
        super().__init__()
        check_integer(channels, "channels", 1)
        check_integer(kernel_size, "kernel_size", 1)
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, got {kernel_size}")
        self.evidence = _Evidence(2 * channels, channels)
        self.kernels = nn.Sequential(nn.Conv2d(channels, channels * kernel_size**2, 1), nn.PReLU(init=0.2))

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:
        """Restore features (N, C, H, W) with the help of features (N, 2C, H, W)."""
        return filter_per_pixel(x, self.kernels(self.evidence(guide)))
