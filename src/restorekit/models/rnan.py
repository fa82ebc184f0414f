"""RNAN: residual non-local attention network."""

from collections.abc import Callable, Sequence
from os import PathLike
from typing import ClassVar, final

import torch
from torch import Tensor, nn

from restorekit._check import check_integer
from restorekit.layers import MeanShift, NonLocalBlock, PixelShuffleUpsampler, ResidualBlock
from restorekit.models._arguments import check_scale, mean_for
from restorekit.models._layouts.layout import Layout
from restorekit.models._layouts.rnan import RNAN_LAYOUTS
from restorekit.models._named_weights import loaded
from restorekit.models.network import record
from restorekit.models.restorer import Restorer

SCALES = (1, 2, 3, 4)
MAX_PIXELS = 10_000  # sides up to 27 px are never divided: it must be more than their square
"""In evaluation, pictures of so many pixels and more are restored in parts."""


class _Mask(nn.Module):
    """How much of the trunk to take: a factor for every pixel and channel, made on a grid twice as coarse and back."""

    def __init__(self, channels: int, *, non_local: bool) -> None:
        super().__init__()
        self.non_local = NonLocalBlock(channels, inner_channels=channels // 2) if non_local else nn.Identity()
        self.before = ResidualBlock(channels, activation=False)
        self.down = nn.Conv2d(channels, channels, 3, stride=2, padding=1)
        self.inside = nn.Sequential(*[ResidualBlock(channels, activation=False) for _ in range(2)])
        self.up = nn.ConvTranspose2d(channels, channels, 6, stride=2, padding=2)
        self.after = ResidualBlock(channels, activation=False)
        self.pointwise = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, channels, H, W), H and W even, to factors of the same shape."""
        fine = self.before(self.non_local(x))
        coarse = self.up(self.inside(self.down(fine)))
        mask: Tensor = self.pointwise(self.after(fine + coarse)).sigmoid()
        return mask


class _Group(nn.Module):
    """y = conv(tail(trunk(h) * mask(h) + h)), h = head(x)."""

    def __init__(self, channels: int, *, non_local: bool) -> None:
        super().__init__()
        self.head = ResidualBlock(channels, activation=False)
        self.trunk = nn.Sequential(*[ResidualBlock(channels, activation=False) for _ in range(2)])
        self.mask = _Mask(channels, non_local=non_local)
        self.tail = nn.Sequential(*[ResidualBlock(channels, activation=False) for _ in range(2)])
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.head(x)
        out: Tensor = self.conv(self.tail(self.trunk(x) * self.mask(x) + x))
        return out


@final
class RNAN(Restorer):
    """Residual non-local attention network.

        scale 1:   y = exit(body(entry(x))) + x,   body = non-local group, ``blocks`` local groups, 3x3, non-local group
        scale > 1: y = exit(upsampler(body(f) + f)) + mean,   f = entry(x - mean)

    Each group multiplies a trunk of residual blocks by a mask in (0, 1); the mask of a non-local group sees the whole
    picture. In evaluation a picture of ``MAX_PIXELS`` px or more is restored in four overlapping quarters, and those
    likewise, which changes the result slightly: a pixel then sees its own part only. In training, and in programs of
    ``torch.export``, ``torch.compile`` and ``export_onnx``, every picture is taken whole, with memory that grows with
    the square of its pixels: keep to fewer than ``MAX_PIXELS`` there.

    | published network                         | scale   | in_channels |
    |-------------------------------------------|---------|-------------|
    | colour denoising, demosaicing (ICLR 2019) | 1       | 3           |
    | grey denoising, JPEG artefacts            | 1       | 1           |
    | super-resolution                          | 2, 3, 4 | 3           |

    Args:
        scale: Enlargement factor 1, 2, 3 or 4; 1 has no upsampler and adds the picture to the output.
        channels: Width of all features, at least 2.
        blocks: Local groups between the two non-local ones.
        in_channels: Channels of the picture.
        mean: Mean colour in [0, 1]; None is DIV2K's for colour super-resolution and zero otherwise.

    Raises:
        ValueError: A scale that is not offered, or a size too small.

    Example:
        >>> RNAN(channels=4, blocks=1)(torch.rand(1, 3, 5, 7)).shape
        torch.Size([1, 3, 5, 7])

    Source:
        Zhang et al., ICLR 2019 (arXiv:1903.10082). The softmax of the non-local block runs as in the authors' code, see
        ``layers.NonLocalBlock``. The parts are those of the authors' test code: quarters until one has fewer than
        10,000 px, each half a side cut to a multiple of 4 plus 12 px; theirs quarters small pictures once too.
    """

    layouts: ClassVar[tuple[Layout, ...]] = RNAN_LAYOUTS
    whole_pixels: int | None = MAX_PIXELS

    def __init__(
        self,
        scale: int = 1,
        *,
        channels: int = 64,
        blocks: int = 8,
        in_channels: int = 3,
        mean: Sequence[float] | None = None,
    ) -> None:
        config = record(locals())
        check_scale(scale, SCALES)
        for name, value, minimum in (("channels", channels, 2), ("blocks", blocks, 1), ("in_channels", in_channels, 1)):
            check_integer(value, name, minimum)
        plain = mean is None and scale == 1  # the authors' restoration networks shift no mean
        config["mean"] = mean = mean_for((0.0,) * in_channels if plain else mean, in_channels)
        super().__init__([scale], size_multiple=2, in_channels=in_channels, config=config)
        self.take_mean = MeanShift(mean, sign=-1)
        self.entry = nn.Conv2d(in_channels, channels, 3, padding=1)
        self.body = nn.Sequential(
            _Group(channels, non_local=True),
            *[_Group(channels, non_local=False) for _ in range(blocks)],
            nn.Conv2d(channels, channels, 3, padding=1),
            _Group(channels, non_local=True),
        )
        self.upsampler = PixelShuffleUpsampler(channels, scale, activation=False) if scale > 1 else nn.Identity()
        self.exit = nn.Conv2d(channels, in_channels, 3, padding=1)
        self.put_mean = MeanShift(mean, sign=1)

    @property
    def receptive_radius(self) -> None:
        """None: non-local attention sees the whole picture."""
        return None

    def forward(self, x: Tensor, scale: int | None = None) -> Tensor:
        """Restore pictures (N, in_channels, H, W) in [0, 1].

        Args:
            x: Pictures of at least 1x1 px.
            scale: The network's own factor, or None.

        Returns:
            Pictures (N, in_channels, scale * H, scale * W), not clamped.

        Raises:
            TypeError: ``x`` is no floating-point tensor of the weights' dtype.
            ValueError: A wrong shape, or another scale.
        """
        self.check_input(x)
        return self.in_parts(x, self.pick_scale(scale), self._whole)

    def unused_parameters(self, scale: int | None = None) -> list[str]:
        """The biases that cancel in the softmax of the non-local blocks; they are frozen."""
        return [name for name, _ in self.named_parameters() if name.endswith("non_local.theta.bias")]

    def in_parts(self, x: Tensor, scale: int, run: Callable[[Tensor, int], Tensor]) -> Tensor:
        """Run pictures of less than ``MAX_PIXELS`` whole, larger ones in overlapping quarters, again and again."""
        if self.training or torch.compiler.is_compiling() or x.shape[-2] * x.shape[-1] < MAX_PIXELS:
            return run(x, scale)
        strips = []
        for top, bottom, first_row, last_row in _halves(x.shape[-2]):
            pieces = []
            for left, right, first, last in _halves(x.shape[-1]):
                piece = self.in_parts(x[..., top:bottom, left:right], scale, run)
                piece = piece[..., (first_row - top) * scale : (last_row - top) * scale, :]
                pieces.append(piece[..., (first - left) * scale : (last - left) * scale])
            strips.append(torch.cat(pieces, dim=-1))
        return torch.cat(strips, dim=-2)

    def _whole(self, x: Tensor, scale: int) -> Tensor:
        picture = self.take_mean(self.pad(x))
        entry = self.entry(picture)
        features = self.body(entry)
        out = self.exit(features) + picture if scale == 1 else self.exit(self.upsampler(features + entry))
        return self.crop(self.put_mean(out), x, scale)


def _halves(length: int) -> list[tuple[int, int, int, int]]:
    """Two overlapping parts of a side: where each starts and ends, and what of it is kept."""
    half = length // 2
    part = half // 4 * 4 + 12
    if part >= length:
        return [(0, length, 0, length)]
    return [(0, part, 0, half), (length - part, length, half, length)]


def rnan(
    scale: int = 1,
    *,
    channels: int = 64,
    blocks: int = 8,
    in_channels: int = 3,
    mean: Sequence[float] | None = None,
    weights: str | PathLike[str] | None = None,
) -> RNAN:
    """Build RNAN as published: 8 local groups between 2 non-local ones, 64 channels.

    Args:
        scale: 1 for denoising and JPEG artefacts; 2, 3, 4 for super-resolution.
        channels: See ``RNAN``.
        blocks: See ``RNAN``.
        in_channels: See ``RNAN``.
        mean: See ``RNAN``.
        weights: Checkpoint file to read into it, see ``load_weights``.

    Returns:
        The network, in training mode, on the CPU.

    Raises:
        ValueError: A value that is not offered, or a file of another network.

    Example:
        >>> rnan(blocks=1, channels=8).receptive_radius is None
        True

    Source:
        Zhang et al., ICLR 2019 (arXiv:1903.10082).
    """
    return loaded(RNAN(scale, channels=channels, blocks=blocks, in_channels=in_channels, mean=mean), weights)
