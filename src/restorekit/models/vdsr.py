"""VDSR: twenty convolutions that correct the bicubically enlarged picture."""

from os import PathLike
from typing import ClassVar, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restorekit._check import check_integer
from restorekit.models._layouts.layout import Layout
from restorekit.models._layouts.vdsr import VDSR_LAYOUTS
from restorekit.models._named_weights import loaded
from restorekit.models.enlarged import EnlargedRestorer
from restorekit.models.network import record


@final
class VDSR(EnlargedRestorer):
    """A deep chain of 3x3 convolutions without biases, which learns what bicubic enlargement misses.

        x = bicubic(picture),   out = x + exit(relu(body(... relu(entry(x)))))

    Args:
        scale: Enlargement factor 1, 2, 3, 4 or 8; 1 takes a picture that is enlarged already.
        in_channels: Channels of the picture: 1 for luminance, 3 for RGB.
        channels: Width of all features.
        depth: Convolutions, entry and exit included; at least 2.

    Raises:
        TypeError: A size that is no integer.
        ValueError: A scale that is not offered, or a size below its minimum.

    Example:
        >>> import torch
        >>> VDSR(scale=3, channels=8, depth=4)(torch.rand(1, 1, 5, 7)).shape
        torch.Size([1, 1, 15, 21])

    Source:
        Kim, Lee and Lee, CVPR 2016 (arXiv:1511.04587). No biases and initial weights N(0, 2 / fan_out), as in the
        PyTorch port whose files are read here; so the thesis counts 665K.
    """

    layouts: ClassVar[tuple[Layout, ...]] = VDSR_LAYOUTS

    def __init__(self, scale: int = 4, *, in_channels: int = 1, channels: int = 64, depth: int = 20) -> None:
        config = record(locals())
        check_integer(channels, "channels", 1)
        check_integer(depth, "depth", 2)
        super().__init__(scale, in_channels=in_channels, config=config)
        self.entry = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        self.body = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(depth - 2))
        self.exit = nn.Conv2d(channels, in_channels, 3, padding=1, bias=False)
        for layer in (self.entry, *self.body, self.exit):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def refine(self, enlarged: Tensor) -> Tensor:
        """Restore pictures of full size; the result has the same shape."""
        spare = not torch.is_grad_enabled()  # in place saves a full-size tensor; gradients need it
        features = F.relu(self.entry(enlarged), inplace=spare)
        for layer in self.body:
            features = F.relu(layer(features), inplace=spare)
        out: Tensor = enlarged + self.exit(features)
        return out


def vdsr(
    scale: int = 4,
    *,
    in_channels: int = 1,
    channels: int = 64,
    depth: int = 20,
    weights: str | PathLike[str] | None = None,
) -> VDSR:
    """Build VDSR as published: 20 convolutions of 64 channels, by default for luminance.

    Args:
        scale: 2, 3, 4 or 8; 1 takes a picture that is enlarged already.
        in_channels: 1 for luminance, 3 for RGB.
        channels: See ``VDSR``.
        depth: See ``VDSR``.
        weights: Checkpoint file to read into it, see ``load_weights``; one published file serves all scales.

    Returns:
        The network, in training mode, on the CPU.

    Raises:
        TypeError: A size that is no integer.
        ValueError: A value that is not offered.

    Example:
        >>> sum(p.numel() for p in vdsr().parameters())
        664704

    Source:
        Kim, Lee and Lee, CVPR 2016; thesis Table 2.4.
    """
    return loaded(VDSR(scale, in_channels=in_channels, channels=channels, depth=depth), weights)
