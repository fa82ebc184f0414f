"""EDSR: enhanced deep residual network for super-resolution and, without upsampler, for restoration."""

from collections.abc import Sequence
from os import PathLike
from typing import ClassVar, Literal, final

from torch import Tensor, nn

from restorekit._check import check_integer
from restorekit.layers import Desubpixel, MeanShift, PixelShuffleUpsampler, ResidualBlock
from restorekit.models._arguments import check_head, check_scale, mean_for
from restorekit.models._layouts.edsr import EDSR_LAYOUTS
from restorekit.models._layouts.layout import Layout
from restorekit.models._named_weights import loaded
from restorekit.models.network import record
from restorekit.models.restorer import Restorer


@final
class EDSR(Restorer):
    """Residual network without batch normalisation, in all its published forms.

        entry 3x3 -> [residual blocks -> conv 3x3, + entry] -> sub-pixel upsampler -> exit 3x3

    The mean colour is taken off in front and put back behind.

    | published network         | scale      | channels | blocks | res_scale | head       |
    |---------------------------|------------|----------|--------|-----------|------------|
    | EDSR baseline             | 2, 3, 4    | 64       | 16     | 1.0       | conv       |
    | EDSR                      | 2, 3, 4, 8 | 256      | 32     | 0.1       | conv       |
    | CutBlur's EDSR            | 2, 3, 4    | 256      | 32     | 0.1       | desubpixel |
    | restoration (thesis ch.4) | 1          | 256      | 32     | 0.1       | conv       |

    Args:
        scale: Enlargement factor 1, 2, 3, 4 or 8; with 1 there is no upsampler.
        channels: Width of all features.
        blocks: Residual blocks.
        res_scale: Factor on the branch of each residual block, in [0, 1].
        head: "conv" takes the low-resolution picture. "desubpixel" takes a picture already enlarged by ``scale``
            (CutBlur's input) and folds it: then the network's own ``scale`` is 1 and its ``size_multiple`` the factor.
        in_channels: Channels of the picture, damaged and restored.
        mean: Mean colour in [0, 1]; DIV2K's if None, or zeros if the picture has not 3 channels.

    Raises:
        ValueError: A scale, head, res_scale or size that is not offered, or a mean for another number of channels.

    Example:
        >>> import torch
        >>> EDSR(scale=3, channels=16, blocks=2)(torch.rand(1, 3, 5, 7)).shape
        torch.Size([1, 3, 15, 21])

    Source:
        Lim et al., CVPRW 2017 (arXiv:1707.02921); Yoo, Ahn and Sohn, CVPR 2020 (CutBlur); Ahn's thesis, chapter 4.
        The published networks take pictures in 0 to 255: their files are brought to [0, 1] when they are read. The
        restoration form keeps the mean shift and has no skip from picture to picture, as in CutBlur's code.
    """

    layouts: ClassVar[tuple[Layout, ...]] = EDSR_LAYOUTS

    def __init__(
        self,
        scale: int = 4,
        *,
        channels: int = 64,
        blocks: int = 16,
        res_scale: float = 1.0,
        head: Literal["conv", "desubpixel"] = "conv",
        in_channels: int = 3,
        mean: Sequence[float] | None = None,
    ) -> None:
        config = record(locals())
        check_scale(scale)
        folded = check_head(head, [scale])
        for name, value in (("channels", channels), ("blocks", blocks), ("in_channels", in_channels)):
            check_integer(value, name, 1)
        config["mean"] = colour = mean_for(mean, in_channels)
        super().__init__([1 if folded > 1 else scale], size_multiple=folded, in_channels=in_channels, config=config)
        units = [ResidualBlock(channels, activation=False, res_scale=res_scale) for _ in range(blocks)]
        self.take_mean = MeanShift(colour, sign=-1)
        self.desubpixel = Desubpixel(folded)
        self.entry = nn.Conv2d(in_channels * folded**2, channels, 3, padding=1)
        self.body = nn.Sequential(*units, nn.Conv2d(channels, channels, 3, padding=1))
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


def edsr(
    scale: int = 4,
    *,
    channels: int = 64,
    blocks: int = 16,
    res_scale: float = 1.0,
    head: Literal["conv", "desubpixel"] = "conv",
    in_channels: int = 3,
    mean: Sequence[float] | None = None,
    weights: str | PathLike[str] | None = None,
) -> EDSR:
    """Build EDSR, by default the baseline: 16 blocks of 64 channels.

    The full network is ``edsr(scale, channels=256, blocks=32, res_scale=0.1)``, the one for denoising and JPEG
    artefacts the same with ``scale=1``.

    Args:
        scale: Enlargement factor 1, 2, 3, 4 or 8.
        channels: See ``EDSR``.
        blocks: See ``EDSR``.
        res_scale: See ``EDSR``.
        head: See ``EDSR``.
        in_channels: See ``EDSR``.
        mean: See ``EDSR``.
        weights: Checkpoint file to read into it, see ``load_weights``; or "denoising" or "jpeg-artifact-removal", which
            come with the library for ``edsr(2, head="desubpixel")``.

    Returns:
        The network, in training mode, on the CPU.

    Raises:
        ValueError: A value that is not offered.

    Example:
        >>> sum(p.numel() for p in edsr(scale=4).parameters())
        1517571

    Source:
        Lim et al., CVPRW 2017.
    """
    model = EDSR(
        scale,
        channels=channels,
        blocks=blocks,
        res_scale=res_scale,
        head=head,
        in_channels=in_channels,
        mean=mean,
    )
    return loaded(model, weights)
