"""SRResNet: the paper's form with batch normalisation, and the widespread forms without."""

from os import PathLike
from typing import ClassVar, Literal, final, overload

import torch.nn.functional as F
from torch import Tensor, nn

from restorekit._check import check_integer, check_interval
from restorekit.layers import ResidualBlock, initialize
from restorekit.models._arguments import check_flags, check_scale
from restorekit.models._layouts.layout import Layout
from restorekit.models._layouts.srresnet import MSRRESNET_LAYOUTS
from restorekit.models._named_weights import loaded
from restorekit.models.network import record
from restorekit.models.restorer import Restorer

UPSAMPLERS = ("pixelshuffle", "nearest")
_STAGES = {1: (), 2: (2,), 3: (3,), 4: (2, 2), 8: (2, 2, 2)}


class _Block(nn.Module):
    """conv - norm - PReLU - conv - norm, around a skip connection."""

    def __init__(self, channels: int, batch_norm: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm1 = _norm(channels, batch_norm)
        self.activation = nn.PReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2 = _norm(channels, batch_norm)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.activation(self.norm1(self.conv1(x)))
        out: Tensor = self.norm2(self.conv2(inner)) + x
        return out


def _norm(channels: int, batch_norm: bool) -> nn.Module:
    return nn.BatchNorm2d(channels) if batch_norm else nn.Identity()


def _shuffled(channels: int, factor: int, activation: nn.Module) -> nn.Sequential:
    conv = nn.Conv2d(channels, channels * factor**2, 3, padding=1)
    return nn.Sequential(conv, nn.PixelShuffle(factor), activation)


def _nearest(channels: int, factor: int, activation: nn.Module) -> nn.Sequential:
    conv = nn.Conv2d(channels, channels, 3, padding=1)
    return nn.Sequential(nn.Upsample(scale_factor=factor, mode="nearest"), conv, activation)


@final
class SRResNet(Restorer):
    """Residual network with batch normalisation: the generator of SRGAN.

        entry 9x9 PReLU -> [blocks -> conv 3x3 BN, + entry] -> stages of conv 3x3, pixel shuffle, PReLU -> exit 9x9

    A block is conv - BN - PReLU - conv - BN around a skip connection. Each PReLU has one slope.

    Args:
        scale: Enlargement factor 1, 2, 3, 4 or 8; 4 and 8 are chains of factor-2 stages, with 1 there is none.
        channels: Width of all features.
        blocks: Residual blocks.
        in_channels: Channels of the picture, damaged and restored.
        batch_norm: Hold the normalisations; without them it is the network that they are merged into.

    Raises:
        ValueError: A scale or size that is not offered.

    Example:
        >>> import torch
        >>> SRResNet(scale=2, channels=8, blocks=2)(torch.rand(1, 3, 5, 7)).shape
        torch.Size([1, 3, 10, 14])

    Source:
        Ledig et al., CVPR 2017 (arXiv:1609.04802), Figure 4, which gives scale 4. The paper rescales its targets to
        [-1, 1]; here both pictures are in [0, 1]. No weights of its authors are public.
    """

    def __init__(
        self, scale: int = 4, *, channels: int = 64, blocks: int = 16, in_channels: int = 3, batch_norm: bool = True
    ) -> None:
        config = record(locals())
        _check_sizes(scale, channels, blocks, in_channels)
        check_flags(config, "batch_norm")
        super().__init__([scale], size_multiple=1, in_channels=in_channels, config=config)
        self.entry = nn.Conv2d(in_channels, channels, 9, padding=4)
        self.entry_activation = nn.PReLU()
        self.body = nn.Sequential(*(_Block(channels, batch_norm) for _ in range(blocks)))
        self.body_conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.body_norm = _norm(channels, batch_norm)
        self.upsampler = nn.Sequential(*(_shuffled(channels, factor, nn.PReLU()) for factor in _STAGES[scale]))
        self.exit = nn.Conv2d(channels, in_channels, 9, padding=4)

    def forward(self, x: Tensor, scale: int | None = None) -> Tensor:
        """Enlarge pictures (N, in_channels, H, W) in [0, 1] to (N, in_channels, scale * H, scale * W).

        Args:
            x: Pictures of at least 1x1 px; training needs more than one pixel in the batch.
            scale: The network's scale, which may be left out.

        Returns:
            Restored pictures, not clamped.

        Raises:
            TypeError: ``x`` is no floating-point tensor of the weights' dtype.
            ValueError: A wrong shape, or another scale.
        """
        self.check_input(x)
        self.pick_scale(scale)
        entry = self.entry_activation(self.entry(x))
        features = self.body_norm(self.body_conv(self.body(entry))) + entry
        out: Tensor = self.exit(self.upsampler(features))
        return out


@final
class MSRResNet(Restorer):
    """SRResNet without batch normalisation, in the forms that BasicSR and KAIR made common.

        entry 3x3 -> residual blocks -> stages of enlargement -> conv 3x3 -> exit 3x3, + bilinear enlargement of x

    A (leaky) ReLU follows every convolution outside the blocks but the last; the blocks have a plain ReLU inside.

    | published network        | slope | long_skip | upsampler    | exit_bias | image_skip |
    |--------------------------|-------|-----------|--------------|-----------|------------|
    | BasicSR's, KAIR's no. 1  | 0.1   | no        | pixelshuffle | yes       | yes        |
    | KAIR's no. 0             | 0     | yes       | either       | no        | no         |

    Args:
        scale: Enlargement factor 1, 2, 3, 4 or 8; 4 and 8 are chains of factor-2 stages, with 1 there is none.
        channels: Width of all features.
        blocks: Residual blocks.
        in_channels: Channels of the picture, damaged and restored.
        slope: Slope of the leaky ReLUs, in [0, 1]; 0 makes them ReLUs.
        long_skip: A convolution follows the blocks, the entry's features are added to its result, and neither has an
            activation.
        upsampler: A stage is "pixelshuffle" (convolution, pixel shuffle) or "nearest" (repeated pixels, convolution).
        exit_bias: The last convolution has a bias.
        image_skip: Add the bilinear enlargement of the picture to the result.

    Raises:
        ValueError: A scale, slope, upsampler or size that is not offered.

    Example:
        >>> import torch
        >>> MSRResNet(scale=2, channels=8, blocks=2)(torch.rand(1, 3, 5, 7)).shape
        torch.Size([1, 3, 10, 14])

    Source:
        Ledig et al., CVPR 2017, as changed in the code of ESRGAN's authors (BasicSR) and of KAIR; no paper gives the
        structure. Initial weights are BasicSR's for every form (He-normal times 0.1); KAIR starts from orthogonal ones.
    """

    layouts: ClassVar[tuple[Layout, ...]] = MSRRESNET_LAYOUTS

    def __init__(
        self,
        scale: int = 4,
        *,
        channels: int = 64,
        blocks: int = 16,
        in_channels: int = 3,
        slope: float = 0.1,
        long_skip: bool = False,
        upsampler: Literal["pixelshuffle", "nearest"] = "pixelshuffle",
        exit_bias: bool = True,
        image_skip: bool = True,
    ) -> None:
        config = record(locals())
        _check_sizes(scale, channels, blocks, in_channels)
        check_flags(config, "long_skip", "exit_bias", "image_skip")
        check_interval(slope, "slope", 0, 1)
        if upsampler not in UPSAMPLERS:
            raise ValueError(f"upsampler must be one of {', '.join(UPSAMPLERS)}, got {upsampler!r}")
        super().__init__([scale], size_multiple=1, in_channels=in_channels, config=config)
        self.long_skip, self.image_skip = long_skip, image_skip
        stage = _shuffled if upsampler == "pixelshuffle" else _nearest
        parts: list[nn.Module] = [ResidualBlock(channels, activation=False) for _ in range(blocks)]
        if long_skip:
            parts.append(nn.Conv2d(channels, channels, 3, padding=1))
        self.activation = nn.LeakyReLU(slope)
        self.entry = nn.Conv2d(in_channels, channels, 3, padding=1)
        self.body = nn.Sequential(*parts)
        self.upsampler = nn.Sequential(*(stage(channels, factor, self.activation) for factor in _STAGES[scale]))
        self.last = nn.Conv2d(channels, channels, 3, padding=1)
        self.exit = nn.Conv2d(channels, in_channels, 3, padding=1, bias=exit_bias)
        initialize(self, "he-normal-0.1")

    def forward(self, x: Tensor, scale: int | None = None) -> Tensor:
        """Enlarge pictures (N, in_channels, H, W) in [0, 1] to (N, in_channels, scale * H, scale * W).

        Args:
            x: Pictures of at least 1x1 px.
            scale: The network's scale, which may be left out.

        Returns:
            Restored pictures, not clamped.

        Raises:
            TypeError: ``x`` is no floating-point tensor of the weights' dtype.
            ValueError: A wrong shape, or another scale.
        """
        self.check_input(x)
        factor = self.pick_scale(scale)
        entry = self.entry(x)
        features = self.body(entry) + entry if self.long_skip else self.body(self.activation(entry))
        out: Tensor = self.exit(self.activation(self.last(self.upsampler(features))))
        if self.image_skip:
            out = out + F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
        return out


def _check_sizes(scale: int, channels: int, blocks: int, in_channels: int) -> None:
    check_scale(scale)
    for name, value in (("channels", channels), ("blocks", blocks), ("in_channels", in_channels)):
        check_integer(value, name, 1)


@overload
def srresnet(
    scale: int = 4,
    *,
    batch_norm: Literal[True] = True,
    channels: int = 64,
    blocks: int = 16,
    in_channels: int = 3,
    weights: str | PathLike[str] | None = None,
) -> SRResNet: ...
@overload
def srresnet(
    scale: int = 4,
    *,
    batch_norm: Literal[False],
    channels: int = 64,
    blocks: int = 16,
    in_channels: int = 3,
    weights: str | PathLike[str] | None = None,
) -> MSRResNet: ...
def srresnet(
    scale: int = 4,
    *,
    batch_norm: bool = True,
    channels: int = 64,
    blocks: int = 16,
    in_channels: int = 3,
    weights: str | PathLike[str] | None = None,
) -> SRResNet | MSRResNet:
    """Build SRResNet as in the paper, or its widespread form without batch normalisation.

    Args:
        scale: Enlargement factor 1, 2, 3, 4 or 8.
        batch_norm: True builds ``SRResNet``, False ``MSRResNet`` in BasicSR's form, the one with most public weights;
            its other forms are built by the class, or by ``load_checkpoint``.
        channels: See ``SRResNet``.
        blocks: See ``SRResNet``.
        in_channels: See ``SRResNet``.
        weights: Checkpoint file to read into it, see ``load_weights``.

    Returns:
        The network, in training mode, on the CPU.

    Raises:
        ValueError: A value that is not offered.

    Example:
        >>> sum(p.numel() for p in srresnet(scale=4).parameters())
        1549462

    Source:
        Ledig et al., CVPR 2017; the form without batch normalisation is of BasicSR's code.
    """
    if batch_norm:
        return loaded(SRResNet(scale, channels=channels, blocks=blocks, in_channels=in_channels), weights)
    return loaded(MSRResNet(scale, channels=channels, blocks=blocks, in_channels=in_channels), weights)
