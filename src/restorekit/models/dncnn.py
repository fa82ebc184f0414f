"""DnCNN: a chain of convolutions that predicts the noise."""

from os import PathLike
from typing import ClassVar, final

from torch import Tensor, nn

from restorekit._check import check_integer
from restorekit.layers import initialize
from restorekit.models._arguments import check_flags
from restorekit.models._layouts.dncnn import DNCNN_LAYOUTS
from restorekit.models._layouts.layout import Layout
from restorekit.models._named_weights import loaded
from restorekit.models.network import record
from restorekit.models.restorer import Restorer


class _Layer(nn.Module):
    """Convolution, BatchNorm if wanted, ReLU."""

    def __init__(self, channels: int, batch_norm: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels, eps=1e-4, momentum=0.9) if batch_norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.conv(x)).relu()
        return out


@final
class DnCNN(Restorer):
    """Residual denoiser: the picture less the noise that a plain chain of 3x3 convolutions sees in it.

        out = x - exit(layer(... layer(relu(entry(x))))),   layer = relu(norm(conv))

    | published network               | depth | in_channels | parameters (merged) |
    |---------------------------------|-------|-------------|---------------------|
    | DnCNN-S, grey, one noise level  | 17    | 1           | 557,057 (555,137)   |
    | DnCNN-B, grey, blind            | 20    | 1           | 668,225 (665,921)   |
    | CDnCNN-B, colour, blind         | 20    | 3           | 670,531 (668,227)   |

    Args:
        depth: Convolutions, entry and exit included; at least 3.
        in_channels: Channels of the picture: 1 for grey, 3 for RGB.
        channels: Width of all features.
        batch_norm: BatchNorm behind all convolutions but the first and the last: the form for training. The released
            weights have it merged into the convolutions, see ``merge_batch_norm``.

    Raises:
        TypeError: A size that is no integer.
        ValueError: A size below its minimum.

    Example:
        >>> import torch
        >>> DnCNN(depth=4, channels=8)(torch.rand(2, 1, 5, 7)).shape
        torch.Size([2, 1, 5, 7])

    Source:
        Zhang, Zuo, Chen, Meng and Zhang, TIP 2017 (arXiv:1608.03981), with the authors' PyTorch code: every convolution
        has a bias, BatchNorm has eps 1e-4 and takes 0.9 of each new batch. Initial weights are He-normal as in the
        paper; that code draws orthogonal ones.
    """

    layouts: ClassVar[tuple[Layout, ...]] = DNCNN_LAYOUTS

    def __init__(self, depth: int = 17, *, in_channels: int = 1, channels: int = 64, batch_norm: bool = True) -> None:
        config = record(locals())
        check_flags(config, "batch_norm")
        check_integer(depth, "depth", 3)
        check_integer(in_channels, "in_channels", 1)
        check_integer(channels, "channels", 1)
        super().__init__([1], size_multiple=1, in_channels=in_channels, config=config)
        self.entry = nn.Conv2d(in_channels, channels, 3, padding=1)
        self.body = nn.Sequential(*(_Layer(channels, batch_norm) for _ in range(depth - 2)))
        self.exit = nn.Conv2d(channels, in_channels, 3, padding=1)
        initialize(self, "he-normal")

    def forward(self, x: Tensor, scale: int | None = None) -> Tensor:
        """Take the noise off pictures (N, in_channels, H, W) in [0, 1].

        Args:
            x: Pictures of at least 1x1 px.
            scale: 1, which may be left out.

        Returns:
            Restored pictures of the same size, not clamped.

        Raises:
            TypeError: ``x`` is no floating-point tensor of the weights' dtype.
            ValueError: A wrong shape, or another scale.
        """
        self.check_input(x)
        self.pick_scale(scale)
        out: Tensor = x - self.exit(self.body(self.entry(x).relu()))
        return out


def dncnn(
    depth: int = 17,
    *,
    in_channels: int = 1,
    channels: int = 64,
    batch_norm: bool = True,
    weights: str | PathLike[str] | None = None,
) -> DnCNN:
    """Build DnCNN, by default the grey one of 17 convolutions.

    Args:
        depth: 17 for one noise level, 20 for blind denoising.
        in_channels: 1 for grey, 3 for RGB.
        channels: See ``DnCNN``.
        batch_norm: See ``DnCNN``; most released files need False.
        weights: Checkpoint file to read into it, see ``load_weights``.

    Returns:
        The network, in training mode, on the CPU.

    Raises:
        TypeError: A size that is no integer.
        ValueError: A size below its minimum.

    Example:
        >>> sum(p.numel() for p in dncnn().parameters())
        557057

    Source:
        Zhang et al., TIP 2017.
    """
    return loaded(DnCNN(depth, in_channels=in_channels, channels=channels, batch_norm=batch_norm), weights)
