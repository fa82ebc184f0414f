"""SRCNN: three convolutions on the bicubically enlarged picture."""

from collections.abc import Sequence
from os import PathLike
from typing import ClassVar, final

from torch import Tensor, nn

from restorekit._check import check_integer
from restorekit.models._layouts.layout import Layout
from restorekit.models._layouts.srcnn import SRCNN_LAYOUTS
from restorekit.models._named_weights import loaded
from restorekit.models.enlarged import EnlargedRestorer
from restorekit.models.network import record


@final
class SRCNN(EnlargedRestorer):
    """Patch extraction, non-linear mapping and reconstruction, one convolution each.

        bicubic -> entry 9x9 -> ReLU -> body 5x5 -> ReLU -> exit 5x5

    | published network           | in_channels | kernel_sizes | parameters |
    |-----------------------------|-------------|--------------|------------|
    | SRCNN 9-5-5 (luminance)     | 1           | (9, 5, 5)    | 57,281     |
    | SRCNN 9-5-5 (thesis, RGB)   | 3           | (9, 5, 5)    | 69,251     |
    | SRCNN 9-1-5 (luminance)     | 1           | (9, 1, 5)    | 8,129      |

    Args:
        scale: Enlargement factor 1, 2, 3, 4 or 8; 1 takes a picture that is enlarged already.
        in_channels: Channels of the picture: 1 for luminance, 3 for RGB.
        channels: Widths of the two feature maps.
        kernel_sizes: Odd sides of the three kernels.

    Raises:
        TypeError: A size that is no integer.
        ValueError: A scale that is not offered, a size below 1, an even kernel, or another number of them.

    Example:
        >>> import torch
        >>> SRCNN(scale=3, channels=(8, 4))(torch.rand(1, 1, 5, 7)).shape
        torch.Size([1, 1, 15, 21])

    Source:
        Dong, Loy, He and Tang, ECCV 2014 and TPAMI 2016 (arXiv:1501.00092): initial weights N(0, 0.001^2), biases zero.
        The paper's convolutions lose a border; here zeros around keep the size, as in the PyTorch ports.
    """

    layouts: ClassVar[tuple[Layout, ...]] = SRCNN_LAYOUTS

    def __init__(
        self,
        scale: int = 4,
        *,
        in_channels: int = 1,
        channels: Sequence[int] = (64, 32),
        kernel_sizes: Sequence[int] = (9, 5, 5),
    ) -> None:
        config = record(locals())
        _check_sizes(channels, kernel_sizes)
        super().__init__(scale, in_channels=in_channels, config=config)
        widths = (in_channels, *channels, in_channels)
        self.entry, self.body, self.exit = (
            nn.Conv2d(widths[i], widths[i + 1], kernel_size, padding=kernel_size // 2)
            for i, kernel_size in enumerate(kernel_sizes)
        )
        for parameter in self.parameters():
            nn.init.normal_(parameter, 0.0, 0.001 if parameter.ndim > 1 else 0.0)  # biases start at zero

    def refine(self, enlarged: Tensor) -> Tensor:
        """Restore pictures of full size; the result has the same shape."""
        out: Tensor = self.exit(self.body(self.entry(enlarged).relu()).relu())
        return out


def _check_sizes(channels: Sequence[int], kernel_sizes: Sequence[int]) -> None:
    for name, sizes, number in (("channels", channels, 2), ("kernel_sizes", kernel_sizes, 3)):
        if not isinstance(sizes, Sequence) or isinstance(sizes, str) or len(sizes) != number:
            raise ValueError(f"{name} must hold {number} sizes, got {sizes!r}")
        for size in sizes:
            check_integer(size, f"each of {name}", 1)
    if any(size % 2 == 0 for size in kernel_sizes):
        raise ValueError(f"kernel_sizes must be odd, got {tuple(kernel_sizes)}")


def srcnn(
    scale: int = 4,
    *,
    in_channels: int = 1,
    channels: Sequence[int] = (64, 32),
    kernel_sizes: Sequence[int] = (9, 5, 5),
    weights: str | PathLike[str] | None = None,
) -> SRCNN:
    """Build SRCNN 9-5-5, by default for luminance.

    Args:
        scale: 2, 3, 4 or 8; 1 takes a picture that is enlarged already.
        in_channels: 1 for luminance, 3 for RGB.
        channels: See ``SRCNN``.
        kernel_sizes: See ``SRCNN``.
        weights: Checkpoint file to read into it, see ``load_weights``; the published files fit any scale.

    Returns:
        The network, in training mode, on the CPU.

    Raises:
        TypeError: A size that is no integer.
        ValueError: A value that is not offered.

    Example:
        >>> sum(p.numel() for p in srcnn().parameters())
        57281

    Source:
        Dong et al., TPAMI 2016; thesis Table 2.4.
    """
    return loaded(SRCNN(scale, in_channels=in_channels, channels=channels, kernel_sizes=kernel_sizes), weights)
