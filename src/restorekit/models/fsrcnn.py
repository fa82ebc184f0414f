"""FSRCNN: a narrow network on the small picture, enlarged by a transposed convolution."""

from os import PathLike
from typing import ClassVar, final

from torch import Tensor, nn

from restorekit._check import check_integer
from restorekit.layers import initialize
from restorekit.models._arguments import check_scale
from restorekit.models._layouts.fsrcnn import FSRCNN_LAYOUTS
from restorekit.models._layouts.layout import Layout
from restorekit.models._named_weights import loaded
from restorekit.models.network import record
from restorekit.models.restorer import Restorer

SCALES = (2, 3, 4, 8)


class _Layer(nn.Module):
    """A convolution and a PReLU with a slope for each channel."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2)
        self.activation = nn.PReLU(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.activation(self.conv(x))
        return out


@final
class FSRCNN(Restorer):
    """Feature extraction, shrinking, mapping, expanding, and enlargement at the very end.

        entry 5x5 -> shrink 1x1 -> m mapping layers 3x3 -> expand 1x1 -> transposed convolution 9x9

    A PReLU follows every convolution but the last.

    Args:
        scale: Enlargement factor 2, 3, 4 or 8.
        in_channels: Channels of the picture: 1 for luminance, 3 for RGB.
        channels: Width d of the first and last feature maps.
        shrunk_channels: Width s of the mapping layers.
        blocks: Mapping layers m, at least 1.

    Raises:
        TypeError: A size that is no integer.
        ValueError: A scale that is not offered, or a size below 1.

    Example:
        >>> import torch
        >>> FSRCNN(scale=3, channels=8, shrunk_channels=4)(torch.rand(1, 1, 5, 7)).shape
        torch.Size([1, 1, 15, 21])

    Source:
        Dong, Loy and Tang, ECCV 2016 (arXiv:1608.00367): FSRCNN(56, 12, 4); the transposed convolution starts at
        N(0, 0.001^2), the others He-normal. The published 6.0, 5.0 and 4.6 G multiply-adds charge it at every output
        pixel, scale^2 times what it takes, and ``trace`` counts so too. The paper has no factor 8.
    """

    layouts: ClassVar[tuple[Layout, ...]] = FSRCNN_LAYOUTS

    def __init__(
        self,
        scale: int = 4,
        *,
        in_channels: int = 1,
        channels: int = 56,
        shrunk_channels: int = 12,
        blocks: int = 4,
    ) -> None:
        config = record(locals())
        check_scale(scale, SCALES)
        sizes = {"channels": channels, "shrunk_channels": shrunk_channels, "blocks": blocks}
        for name, value in {"in_channels": in_channels, **sizes}.items():
            check_integer(value, name, 1)
        super().__init__([scale], size_multiple=1, in_channels=in_channels, config=config)
        self.entry = _Layer(in_channels, channels, 5)
        self.shrink = _Layer(channels, shrunk_channels, 1)
        self.body = nn.Sequential(*(_Layer(shrunk_channels, shrunk_channels, 3) for _ in range(blocks)))
        self.expand = _Layer(shrunk_channels, channels, 1)
        self.exit = nn.ConvTranspose2d(channels, in_channels, 9, stride=scale, padding=4, output_padding=scale - 1)
        initialize(self, "he-normal")
        for parameter in self.exit.parameters():
            nn.init.normal_(parameter, 0.0, 0.001 if parameter.ndim > 1 else 0.0)  # the bias starts at zero

    def forward(self, x: Tensor, scale: int | None = None) -> Tensor:
        """Enlarge pictures (N, in_channels, H, W) in [0, 1] to (N, in_channels, scale * H, scale * W).

        Args:
            x: Pictures of at least 1x1 px.
            scale: The network's factor, which may be left out.

        Returns:
            Restored pictures, not clamped.

        Raises:
            TypeError: ``x`` is no floating-point tensor of the weights' dtype.
            ValueError: A wrong shape, or another scale.
        """
        self.check_input(x)
        self.pick_scale(scale)
        features = self.body(self.shrink(self.entry(x)))
        out: Tensor = self.exit(self.expand(features))
        return out


def fsrcnn(
    scale: int = 4,
    *,
    in_channels: int = 1,
    channels: int = 56,
    shrunk_channels: int = 12,
    blocks: int = 4,
    weights: str | PathLike[str] | None = None,
) -> FSRCNN:
    """Build FSRCNN(56, 12, 4), by default for luminance.

    Args:
        scale: 2, 3, 4 or 8.
        in_channels: 1 for luminance, 3 for RGB.
        channels: See ``FSRCNN``.
        shrunk_channels: See ``FSRCNN``.
        blocks: See ``FSRCNN``.
        weights: Checkpoint file to read into it, see ``load_weights``. A published file does not tell its scale: give
            the one that it was trained for.

    Returns:
        The network, in training mode, on the CPU.

    Raises:
        TypeError: A size that is no integer.
        ValueError: A value that is not offered.

    Example:
        >>> sum(p.numel() for p in fsrcnn().parameters())
        12809

    Source:
        Dong, Loy and Tang, ECCV 2016; thesis Table 2.4.
    """
    model = FSRCNN(scale, in_channels=in_channels, channels=channels, shrunk_channels=shrunk_channels, blocks=blocks)
    return loaded(model, weights)
