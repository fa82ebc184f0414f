"""RCAN: very deep residual channel attention network."""

from collections.abc import Sequence
from os import PathLike
from typing import ClassVar, Literal, final

from torch import Tensor, nn

from restorekit._check import check_integer
from restorekit.layers import ChannelAttention, Desubpixel, MeanShift, PixelShuffleUpsampler
from restorekit.models._arguments import check_head, check_scale, mean_for
from restorekit.models._layouts.layout import Layout
from restorekit.models._layouts.rcan import RCAN_LAYOUTS
from restorekit.models._named_weights import loaded
from restorekit.models.network import record
from restorekit.models.restorer import Restorer


class _AttentionBlock(nn.Module):
    """conv - ReLU - conv - channel attention, around a skip connection."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.attention = ChannelAttention(channels, reduction=reduction)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.attention(self.conv2(self.conv1(x).relu())) + x
        return out


class _Group(nn.Module):
    """A chain of attention blocks and a convolution, around a skip connection."""

    def __init__(self, channels: int, blocks: int, reduction: int) -> None:
        super().__init__()
        units = [_AttentionBlock(channels, reduction) for _ in range(blocks)]
        self.body = nn.Sequential(*units, nn.Conv2d(channels, channels, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(x) + x
        return out


@final
class RCAN(Restorer):
    """Residual groups of residual blocks with channel attention.

        entry 3x3 -> [groups of [attention blocks -> conv 3x3, + input] -> conv 3x3, + entry]
                  -> sub-pixel upsampler -> exit 3x3

    The mean colour is taken off in front and put back behind. Channel attention averages over the whole picture, so
    the network has no receptive radius and cannot be tiled exactly.

    | published network | scale      | head       |
    |-------------------|------------|------------|
    | RCAN              | 2, 3, 4, 8 | conv       |
    | CutBlur's RCAN    | 2, 3, 4    | desubpixel |
    | CutBlur's RCAN    | 1          | conv       |

    Args:
        scale: Enlargement factor 1, 2, 3, 4 or 8; with 1 there is no upsampler.
        channels: Width of all features, at least ``reduction``.
        residual_groups: Groups.
        blocks: Attention blocks in each group.
        reduction: Factor between the width and the middle of the attention, see ``layers.ChannelAttention``.
        head: "conv" takes the low-resolution picture. "desubpixel" takes a picture already enlarged by ``scale``
            (CutBlur's input) and folds it: then the network's own ``scale`` is 1 and its ``size_multiple`` the factor.
        in_channels: Channels of the picture, damaged and restored.
        mean: Mean colour in [0, 1]; DIV2K's if None, or zeros if the picture has not 3 channels.

    Raises:
        ValueError: A scale, head or size that is not offered, or a mean for another number of channels.

    Example:
        >>> import torch
        >>> RCAN(scale=3, channels=16, residual_groups=2, blocks=2)(torch.rand(1, 3, 5, 7)).shape
        torch.Size([1, 3, 15, 21])

    Source:
        Zhang et al., ECCV 2018 (arXiv:1807.02758); Yoo, Ahn and Sohn, CVPR 2020 (CutBlur). The authors' code takes a
        ``res_scale`` and ignores it, so there is none here. Their files take pictures in 0 to 255 and hold a mean
        shift that was trained: both are absorbed into the first and last convolution when a file is read.
    """

    layouts: ClassVar[tuple[Layout, ...]] = RCAN_LAYOUTS

    def __init__(
        self,
        scale: int = 4,
        *,
        channels: int = 64,
        residual_groups: int = 10,
        blocks: int = 20,
        reduction: int = 16,
        head: Literal["conv", "desubpixel"] = "conv",
        in_channels: int = 3,
        mean: Sequence[float] | None = None,
    ) -> None:
        config = record(locals())
        check_scale(scale)
        folded = check_head(head, [scale])
        sizes = {"channels": channels, "residual_groups": residual_groups, "blocks": blocks, "in_channels": in_channels}
        for name, value in sizes.items():
            check_integer(value, name, 1)
        config["mean"] = colour = mean_for(mean, in_channels)
        super().__init__([1 if folded > 1 else scale], size_multiple=folded, in_channels=in_channels, config=config)
        groups = [_Group(channels, blocks, reduction) for _ in range(residual_groups)]
        self.take_mean = MeanShift(colour, sign=-1)
        self.desubpixel = Desubpixel(folded)
        self.entry = nn.Conv2d(in_channels * folded**2, channels, 3, padding=1)
        self.body = nn.Sequential(*groups, nn.Conv2d(channels, channels, 3, padding=1))
        self.upsampler = PixelShuffleUpsampler(channels, scale, activation=False) if scale > 1 else nn.Identity()
        self.exit = nn.Conv2d(channels, in_channels, 3, padding=1)
        self.put_mean = MeanShift(colour, sign=1)

    def forward(self, x: Tensor, scale: int | None = None) -> Tensor:
        """Restore pictures (N, in_channels, H, W) in [0, 1].

        Args:
            x: Pictures of at least 1x1 px.
            scale: The network's scale, which may be left out.

        Returns:
            Restored pictures (N, in_channels, scale * H, scale * W), not clamped.

        Raises:
            TypeError: ``x`` is no floating-point tensor of the weights' dtype.
            ValueError: A wrong shape, or another scale.
        """
        self.check_input(x)
        self.pick_scale(scale)
        entry = self.entry(self.desubpixel(self.take_mean(self.pad(x))))
        features = self.upsampler(self.body(entry) + entry)
        return self.crop(self.put_mean(self.exit(features)), x)

    @property
    def receptive_radius(self) -> None:
        """None: the attention averages over the whole picture."""
        return None


def rcan(
    scale: int = 4,
    *,
    channels: int = 64,
    residual_groups: int = 10,
    blocks: int = 20,
    reduction: int = 16,
    head: Literal["conv", "desubpixel"] = "conv",
    in_channels: int = 3,
    mean: Sequence[float] | None = None,
    weights: str | PathLike[str] | None = None,
) -> RCAN:
    """Build RCAN as published: 10 groups of 20 blocks, 64 channels.

    Args:
        scale: Enlargement factor 1, 2, 3, 4 or 8.
        channels: See ``RCAN``.
        residual_groups: See ``RCAN``.
        blocks: See ``RCAN``.
        reduction: See ``RCAN``.
        head: See ``RCAN``.
        in_channels: See ``RCAN``.
        mean: See ``RCAN``.
        weights: Checkpoint file to read into it, see ``load_weights``.

    Returns:
        The network, in training mode, on the CPU.

    Raises:
        ValueError: A value that is not offered.

    Example:
        >>> sum(p.numel() for p in rcan(scale=4).parameters())
        15592355

    Source:
        Zhang et al., ECCV 2018.
    """
    model = RCAN(
        scale,
        channels=channels,
        residual_groups=residual_groups,
        blocks=blocks,
        reduction=reduction,
        head=head,
        in_channels=in_channels,
        mean=mean,
    )
    return loaded(model, weights)
