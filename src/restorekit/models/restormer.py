"""Restormer: a U-shaped transformer whose attention runs between channels."""

from collections.abc import Callable, Sequence
from functools import partial
from os import PathLike
from typing import ClassVar, final

import torch
from torch import Tensor, nn

from restorekit._check import check_integer
from restorekit.layers import TransformerBlock
from restorekit.models._layouts.layout import Layout
from restorekit.models._layouts.restormer import RESTORMER_LAYOUTS
from restorekit.models._named_weights import loaded
from restorekit.models.network import record
from restorekit.models.restorer import Restorer

Visit = Callable[[str, Tensor], Tensor]


def _unvisited(position: str, features: Tensor) -> Tensor:
    return features


class RestormerTrunk(nn.Module):
    """Everything of Restormer but its last convolution: pictures to features of twice the width C.

        entry 3x3 -> 3 encoder levels of width C, 2C, 4C, each half the size of the one before -> latent of width 8C
                  -> 3 decoder levels of width 4C, 2C, 2C, each behind a skip connection -> refinement of width 2C

    Args:
        in_channels: Channels of the picture.
        channels: Width C.
        blocks: Transformer blocks of the three levels and the latent; the decoder's are those of the encoder.
        heads: Attention heads, likewise.
        refinement_blocks: Blocks of the refinement.
        expansion: See ``layers.GatedFeedForward``.
        norm_bias: See ``layers.LayerNorm2d``.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        blocks: Sequence[int],
        heads: Sequence[int],
        refinement_blocks: int,
        expansion: float,
        norm_bias: bool = True,
    ) -> None:
        super().__init__()
        _check_sizes(channels, blocks, heads, refinement_blocks)

        def level(width: int, depth: int, parts: int) -> nn.Sequential:
            block = partial(TransformerBlock, width, heads=parts, expansion=expansion, norm_bias=norm_bias)
            return nn.Sequential(*(block() for _ in range(depth)))

        widths = [channels, 2 * channels, 4 * channels, 8 * channels]
        *encoder, self.latent = (level(*sizes) for sizes in zip(widths, blocks, heads, strict=True))
        outputs = [2 * channels, *widths[1:3]]  # level 1 keeps the concatenated width
        self.entry = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        self.encoder = nn.ModuleList(encoder)
        self.downs = nn.ModuleList(_resampler(width, width // 2, nn.PixelUnshuffle(2)) for width in widths[:3])
        self.ups = nn.ModuleList(_resampler(width, 2 * width, nn.PixelShuffle(2)) for width in widths[1:])
        reduced = [nn.Conv2d(2 * width, width, 1, bias=False) for width in widths[1:3]]
        self.reductions = nn.ModuleList([nn.Identity(), *reduced])
        self.decoder = nn.ModuleList(level(*sizes) for sizes in zip(outputs, blocks[:3], heads[:3], strict=True))
        self.refinement = level(2 * channels, refinement_blocks, heads[0])

    def forward(self, x: Tensor, visit: Visit = _unvisited) -> Tensor:
        """Map pictures (N, in_channels, H, W), sides multiples of 8, to features (N, 2C, H, W).

        Args:
            x: Pictures.
            visit: Called with "encoder1" to "encoder3", "decoder3" to "decoder1" and the features behind that level;
                what it returns takes their place.

        Returns:
            Features.
        """
        skips = []
        x = self.entry(x)
        for k in range(3):
            x = visit(f"encoder{k + 1}", self.encoder[k](x))
            skips.append(x)
            x = self.downs[k](x)
        x = self.latent(x)
        for k in (2, 1, 0):
            x = self.reductions[k](torch.cat([self.ups[k](x), skips[k]], dim=1))
            x = visit(f"decoder{k + 1}", self.decoder[k](x))
        out: Tensor = self.refinement(x)
        return out


def _resampler(in_channels: int, out_channels: int, shuffle: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False), shuffle)


def _check_sizes(channels: int, blocks: Sequence[int], heads: Sequence[int], refinement_blocks: int) -> None:
    check_integer(channels, "channels", 1)
    check_integer(refinement_blocks, "refinement_blocks", 0)
    if channels % 2:
        raise ValueError(f"channels must be even, got {channels}: pixel unshuffling takes half of them times four")
    for name, values in (("blocks", blocks), ("heads", heads)):
        if not isinstance(values, Sequence) or len(values) != 4:
            raise ValueError(f"{name} must hold 4 numbers, for three levels and the latent, got {values!r}")
        for value in values:
            check_integer(value, name, 1)


@final
class Restormer(Restorer):
    """A U of transformer blocks with attention between channels, added to the picture.

        trunk (see ``RestormerTrunk``) -> exit 3x3, + picture

    Its attention sees the whole picture, so the network has no receptive radius and cannot be tiled exactly.

    | published network                | channels | blocks     | refinement_blocks | norm_bias |
    |----------------------------------|----------|------------|-------------------|-----------|
    | trimmed, the backbone of IDR     | 32       | 2, 3, 3, 4 | 2                 | True      |
    | Restormer                        | 48       | 4, 6, 6, 8 | 4                 | True      |
    | Restormer for denoising          | 48       | 4, 6, 6, 8 | 4                 | False     |

    Args:
        channels: Width of the first level, even.
        blocks: Transformer blocks of the three levels and the latent.
        heads: Attention heads of the same; they divide the width of their level.
        refinement_blocks: Blocks behind the U.
        expansion: See ``layers.GatedFeedForward``.
        norm_bias: See ``layers.LayerNorm2d``.
        in_channels: Channels of the picture, damaged and restored.

    Raises:
        ValueError: A size that is not offered.

    Example:
        >>> Restormer(8, blocks=(1, 1, 1, 1))(torch.rand(1, 3, 5, 7)).shape
        torch.Size([1, 3, 5, 7])

    Source:
        Zamir et al., CVPR 2022 (arXiv:2111.09881); trimmed as in Zhang et al., CVPR 2023 (IDR), supplement, section 3.
    """

    layouts: ClassVar[tuple[Layout, ...]] = RESTORMER_LAYOUTS

    def __init__(
        self,
        channels: int = 32,
        *,
        blocks: Sequence[int] = (2, 3, 3, 4),
        heads: Sequence[int] = (1, 2, 4, 8),
        refinement_blocks: int = 2,
        expansion: float = 2.66,
        norm_bias: bool = True,
        in_channels: int = 3,
    ) -> None:
        config = record(locals())
        check_integer(in_channels, "in_channels", 1)
        super().__init__([1], size_multiple=8, in_channels=in_channels, config=config)
        self.trunk = RestormerTrunk(
            in_channels,
            channels,
            blocks=blocks,
            heads=heads,
            refinement_blocks=refinement_blocks,
            expansion=expansion,
            norm_bias=norm_bias,
        )
        self.exit = nn.Conv2d(2 * channels, in_channels, 3, padding=1, bias=False)

    def forward(self, x: Tensor, scale: int | None = None) -> Tensor:
        """Restore pictures (N, in_channels, H, W) in [0, 1].

        Args:
            x: Pictures of at least 1x1 px.
            scale: 1, may be left out.

        Returns:
            Restored pictures of the same shape, not clamped.

        Raises:
            TypeError: ``x`` is no floating-point tensor of the weights' dtype.
            ValueError: A wrong shape, or another scale.
        """
        self.check_input(x)
        self.pick_scale(scale)
        return self.crop(self.exit(self.trunk(self.pad(x))), x) + x

    @property
    def receptive_radius(self) -> None:
        """None: the attention sees the whole picture."""
        return None


def restormer(
    channels: int = 32,
    *,
    blocks: Sequence[int] = (2, 3, 3, 4),
    heads: Sequence[int] = (1, 2, 4, 8),
    refinement_blocks: int = 2,
    expansion: float = 2.66,
    norm_bias: bool = True,
    in_channels: int = 3,
    weights: str | PathLike[str] | None = None,
) -> Restormer:
    """Build the trimmed Restormer that IDR is compared with: 6.7M parameters.

    Args:
        channels: See ``Restormer``.
        blocks: See ``Restormer``.
        heads: See ``Restormer``.
        refinement_blocks: See ``Restormer``.
        expansion: See ``Restormer``.
        norm_bias: See ``Restormer``.
        in_channels: See ``Restormer``.
        weights: Checkpoint file to read into it, see ``load_weights``.

    Returns:
        The network, in training mode, on the CPU.

    Raises:
        ValueError: A value that is not offered.

    Example:
        >>> sum(p.numel() for p in restormer().parameters())
        6714262

    Source:
        Zamir et al., CVPR 2022; Zhang et al., CVPR 2023.
    """
    model = Restormer(
        channels,
        blocks=blocks,
        heads=heads,
        refinement_blocks=refinement_blocks,
        expansion=expansion,
        norm_bias=norm_bias,
        in_channels=in_channels,
    )
    return loaded(model, weights)
