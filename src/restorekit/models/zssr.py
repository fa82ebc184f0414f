"""ZSSR: the small network that is trained on the one picture that it enlarges."""

import math
from os import PathLike
from typing import ClassVar, final

from torch import Tensor, nn

from restorekit._check import check_integer
from restorekit.models._arguments import check_flags
from restorekit.models._layouts.layout import Layout
from restorekit.models._layouts.zssr import ZSSR_LAYOUTS
from restorekit.models._named_weights import loaded
from restorekit.models.enlarged import EnlargedRestorer
from restorekit.models.network import record


@final
class ZSSR(EnlargedRestorer):
    """A chain of 3x3 convolutions that corrects the bicubically enlarged picture.

        x = bicubic(picture),   out = x + body[-1](relu(... relu(body[0](x))))

    Args:
        scale: Enlargement factor 1, 2, 3, 4 or 8; 1 takes a picture that is enlarged already.
        in_channels: Channels of the picture.
        channels: Width of all features.
        depth: Convolutions, the first and the last included; at least 2.
        bias: The convolutions have biases: the form that the thesis counts as 0.23M.

    Raises:
        TypeError: A size that is no integer.
        ValueError: A scale that is not offered, or a size below its minimum.

    Example:
        >>> import torch
        >>> ZSSR(scale=2, channels=8, depth=3)(torch.rand(1, 3, 5, 7)).shape
        torch.Size([1, 3, 10, 14])

    Source:
        Shocher, Cohen and Irani, CVPR 2018 (arXiv:1712.06087) and the authors' TensorFlow code: no biases, initial
        weights N(0, 0.1 / fan_in). Only the network; training on the picture itself is no part of it.
    """

    layouts: ClassVar[tuple[Layout, ...]] = ZSSR_LAYOUTS

    def __init__(
        self, scale: int = 4, *, in_channels: int = 3, channels: int = 64, depth: int = 8, bias: bool = False
    ) -> None:
        config = record(locals())
        check_flags(config, "bias")
        check_integer(channels, "channels", 1)
        check_integer(depth, "depth", 2)
        super().__init__(scale, in_channels=in_channels, config=config)
        widths = (in_channels, *[channels] * (depth - 1), in_channels)
        self.body = nn.ModuleList(nn.Conv2d(widths[i], widths[i + 1], 3, padding=1, bias=bias) for i in range(depth))
        for parameter in self.parameters():
            spread = math.sqrt(0.1 / parameter[0].numel()) if parameter.ndim > 1 else 0.0  # biases start at zero
            nn.init.normal_(parameter, 0.0, spread)

    def refine(self, enlarged: Tensor) -> Tensor:
        """Restore pictures of full size; the result has the same shape."""
        features = self.body[0](enlarged)
        for layer in self.body[1:]:
            features = layer(features.relu())
        out: Tensor = enlarged + features
        return out


def zssr(
    scale: int = 4,
    *,
    in_channels: int = 3,
    channels: int = 64,
    depth: int = 8,
    bias: bool = False,
    weights: str | PathLike[str] | None = None,
) -> ZSSR:
    """Build ZSSR's network as published: 8 convolutions of 64 channels without biases.

    Args:
        scale: 2, 3, 4 or 8; 1 takes a picture that is enlarged already.
        in_channels: See ``ZSSR``.
        channels: See ``ZSSR``.
        depth: See ``ZSSR``.
        bias: See ``ZSSR``.
        weights: Checkpoint file to read into it, see ``load_weights``.

    Returns:
        The network, in training mode, on the CPU.

    Raises:
        TypeError: A size that is no integer.
        ValueError: A value that is not offered.

    Example:
        >>> sum(p.numel() for p in zssr().parameters())
        224640

    Source:
        Shocher, Cohen and Irani, CVPR 2018; thesis Table 5.4.
    """
    return loaded(ZSSR(scale, in_channels=in_channels, channels=channels, depth=depth, bias=bias), weights)
