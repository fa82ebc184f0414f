"""RIDNet: real image denoising with feature attention."""

from collections.abc import Sequence
from os import PathLike
from typing import ClassVar, final

import torch
from torch import Tensor, nn

from restorekit._check import check_integer
from restorekit.layers import ChannelAttention, EResidualBlock, MeanShift, ResidualBlock
from restorekit.models._arguments import mean_for
from restorekit.models._layouts.layout import Layout
from restorekit.models._layouts.ridnet import RIDNET_LAYOUTS
from restorekit.models._named_weights import loaded
from restorekit.models.network import record
from restorekit.models.restorer import Restorer


class _Block(nn.Module):
    """Two dilated branches merged, two residual units, channel attention."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.near = _dilated(channels, 1, 2)
        self.far = _dilated(channels, 3, 4)
        self.merge = nn.Conv2d(2 * channels, channels, 3, padding=1)
        self.unit = ResidualBlock(channels)
        self.deep_unit = EResidualBlock(channels, groups=1)
        self.attention = ChannelAttention(channels, reduction=reduction)

    def forward(self, x: Tensor) -> Tensor:
        merged = self.merge(torch.cat([self.near(x), self.far(x)], dim=1)).relu() + x
        out: Tensor = self.attention(self.deep_unit(self.unit(merged)))
        return out


def _dilated(channels: int, *dilations: int) -> nn.Sequential:
    convs = [nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation) for dilation in dilations]
    return nn.Sequential(*[layer for conv in convs for layer in (conv, nn.ReLU())])


@final
class RIDNet(Restorer):
    """Real image denoising network: enhancement attention modules between two convolutions.

        y = x + mean + exit(blocks in a row on relu(entry(x - mean)))

    Args:
        channels: Width of all features, at least ``reduction``.
        blocks: Enhancement attention modules.
        reduction: Factor of the channel attention.
        mean: Mean colour in [0, 1]; None is DIV2K's.

    Raises:
        ValueError: A size below 1, fewer channels than ``reduction``, or a mean that is not for 3 channels.

    Example:
        >>> RIDNet(channels=8, blocks=1, reduction=4)(torch.rand(1, 3, 5, 7)).shape
        torch.Size([1, 3, 5, 7])

    Source:
        Anwar and Barnes, ICCV 2019 (arXiv:1904.07396). The authors add the mean to the residual and then the picture
        itself, as here: the last bias learns to make up for it. The 24 values of their mean shifts were meant to be
        frozen and are trained; a file's own are folded into ``entry`` and ``exit``.
    """

    layouts: ClassVar[tuple[Layout, ...]] = RIDNET_LAYOUTS

    def __init__(
        self, *, channels: int = 64, blocks: int = 4, reduction: int = 16, mean: Sequence[float] | None = None
    ) -> None:
        config = record(locals())
        config["mean"] = mean = mean_for(mean, 3)
        check_integer(channels, "channels", 1)
        check_integer(blocks, "blocks", 1)
        super().__init__([1], size_multiple=1, in_channels=3, config=config)
        self.take_mean = MeanShift(mean, sign=-1)
        self.entry = nn.Conv2d(3, channels, 3, padding=1)
        self.body = nn.Sequential(*[_Block(channels, reduction) for _ in range(blocks)])
        self.exit = nn.Conv2d(channels, 3, 3, padding=1)
        self.put_mean = MeanShift(mean, sign=1)

    @property
    def receptive_radius(self) -> None:
        """None: channel attention sees the whole picture."""
        return None

    def forward(self, x: Tensor, scale: int | None = None) -> Tensor:
        """Restore pictures (N, 3, H, W) in [0, 1].

        Args:
            x: Pictures of at least 1x1 px.
            scale: 1 or None.

        Returns:
            Pictures of the same shape, not clamped.

        Raises:
            TypeError: ``x`` is no floating-point tensor of the weights' dtype.
            ValueError: A wrong shape, or another scale.
        """
        self.check_input(x)
        self.pick_scale(scale)
        features = self.body(self.entry(self.take_mean(x)).relu())
        out: Tensor = self.put_mean(self.exit(features)) + x
        return out


def ridnet(
    *,
    channels: int = 64,
    blocks: int = 4,
    reduction: int = 16,
    mean: Sequence[float] | None = None,
    weights: str | PathLike[str] | None = None,
) -> RIDNet:
    """Build RIDNet as published: 4 modules, 64 channels.

    Args:
        channels: See ``RIDNet``.
        blocks: See ``RIDNet``.
        reduction: See ``RIDNet``.
        mean: See ``RIDNet``.
        weights: Checkpoint file to read into it, see ``load_weights``.

    Returns:
        The network, in training mode, on the CPU.

    Raises:
        ValueError: A value that is not offered, or a file of another network.

    Example:
        >>> sum(p.numel() for p in ridnet().parameters())
        1499347

    Source:
        Anwar and Barnes, ICCV 2019 (arXiv:1904.07396). The published 1,499,371 count the 24 values of the mean shifts,
        which are constants here.
    """
    return loaded(RIDNet(channels=channels, blocks=blocks, reduction=reduction, mean=mean), weights)
