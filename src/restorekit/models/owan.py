"""OWAN: operation-wise attention network."""

from os import PathLike
from typing import ClassVar, final

import torch
from torch import Tensor, nn

from restorekit._check import check_integer
from restorekit.models._layouts.layout import Layout
from restorekit.models._layouts.owan import OWAN_LAYOUTS
from restorekit.models._named_weights import loaded
from restorekit.models.network import record
from restorekit.models.restorer import Restorer

OPERATIONS = 8


def _depthwise(channels: int, kernel_size: int, dilation: int = 1) -> nn.Conv2d:
    padding = kernel_size // 2 * dilation
    return nn.Conv2d(channels, channels, kernel_size, padding=padding, dilation=dilation, groups=channels, bias=False)


def _pointwise(in_channels: int, channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, channels, 1, bias=False)


def _separable(channels: int, kernel_size: int) -> nn.Sequential:
    first = (_depthwise(channels, kernel_size), _pointwise(channels, channels))
    return nn.Sequential(*first, nn.ReLU(), _depthwise(channels, kernel_size), _pointwise(channels, channels))


def _dilated(channels: int, kernel_size: int) -> nn.Sequential:
    return nn.Sequential(_depthwise(channels, kernel_size, dilation=2), _pointwise(channels, channels))


class _DepthwiseBlock(nn.Module):
    """y = relu(conv(relu(conv(x))) + x), each channel by itself."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = _depthwise(channels, 3)
        self.conv2 = _depthwise(channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = (self.conv2(self.conv1(x).relu()) + x).relu()
        return out


class _Attention(nn.Module):
    """From the channels' averages, the weights of the operations in every step: positive, summing to 1."""

    def __init__(self, channels: int, steps: int) -> None:
        super().__init__()
        weights = steps * OPERATIONS
        self.squeeze = nn.Linear(channels, 2 * weights)
        self.excite = nn.Linear(2 * weights, weights)

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, channels, H, W) to weights (N, steps, OPERATIONS)."""
        logits: Tensor = self.excite(self.squeeze(x.mean(dim=(2, 3))).relu())
        return logits.view(x.shape[0], -1, OPERATIONS).softmax(-1)


class _Step(nn.Module):
    """y = relu(relu(fusion([w_k * operation_k(x)])) + x)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.operations = nn.ModuleList(
            [
                *(_separable(channels, kernel_size) for kernel_size in (1, 3, 5, 7)),
                *(_dilated(channels, kernel_size) for kernel_size in (3, 5, 7)),
                nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False),
            ]
        )
        self.fusion = _pointwise(OPERATIONS * channels, channels)

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        """Map features (N, channels, H, W) and weights (N, OPERATIONS) to features of the same shape."""
        results = [operation(x) * weights[:, k].view(-1, 1, 1, 1) for k, operation in enumerate(self.operations)]
        out: Tensor = (self.fusion(torch.cat(results, dim=1)).relu() + x).relu()
        return out


class _Group(nn.Module):
    """Steps whose attention comes from the features in front of them all."""

    def __init__(self, channels: int, steps: int) -> None:
        super().__init__()
        self.attention = _Attention(channels, steps)
        self.entry = _pointwise(channels, channels)
        self.steps = nn.ModuleList(_Step(channels) for _ in range(steps))

    def forward(self, x: Tensor) -> Tensor:
        weights = self.attention(x)
        x = self.entry(x).relu()
        for k, step in enumerate(self.steps):
            x = step(x, weights[:, k])
        return x


@final
class OWAN(Restorer):
    """Operation-wise attention network: eight operations side by side, weighed by what the picture looks like.

        y = exit(groups in a row on features(entry(x)))

    The operations are separable convolutions of 1, 3, 5 and 7 px, dilated ones of 3, 5 and 7 px, and an average of 3x3
    px. There are no biases but the attention's, and the picture is not added to the output.

    Args:
        channels: Width of all features.
        blocks: Groups of steps, each with an attention of its own.
        steps: Layers of eight operations in each group.
        in_channels: Channels of the picture.

    Raises:
        ValueError: A size below 1.

    Example:
        >>> OWAN(channels=4, blocks=1, steps=2)(torch.rand(1, 3, 5, 7)).shape
        torch.Size([1, 3, 5, 7])

    Source:
        Suganuma, Liu and Okatani, CVPR 2019 (arXiv:1812.00733). Averages at the border leave the padding out, as in the
        authors' code. The network takes RGB: their test script brings the BGR pictures of its data set to RGB first,
        with height and width exchanged, which is a matter of that script.
    """

    layouts: ClassVar[tuple[Layout, ...]] = OWAN_LAYOUTS

    def __init__(self, *, channels: int = 16, blocks: int = 10, steps: int = 4, in_channels: int = 3) -> None:
        config = record(locals())
        for name, value in config.items():
            check_integer(value, name, 1)
        super().__init__([1], size_multiple=1, in_channels=in_channels, config=config)
        self.entry = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        self.features = nn.Sequential(*[_DepthwiseBlock(channels) for _ in range(4)])
        self.body = nn.Sequential(*[_Group(channels, steps) for _ in range(blocks)])
        self.exit = nn.Conv2d(channels, in_channels, 3, padding=1, bias=False)

    @property
    def receptive_radius(self) -> None:
        """None: the attention sees the whole picture."""
        return None

    def forward(self, x: Tensor, scale: int | None = None) -> Tensor:
        """Restore pictures (N, in_channels, H, W) in [0, 1].

        Args:
            x: Pictures of at least 1x1 px.
            scale: 1 or None.

        Returns:
            Pictures of the same shape, not clamped.

        Raises:
            TypeError: ``x`` is no floating-point tensor of the weights' dtype.
            ValueError: A wrong shape, or another scale.
        """
        self.check_input(x)
        self.pick_scale(scale)
        out: Tensor = self.exit(self.body(self.features(self.entry(x))))
        return out


def owan(
    *,
    channels: int = 16,
    blocks: int = 10,
    steps: int = 4,
    in_channels: int = 3,
    weights: str | PathLike[str] | None = None,
) -> OWAN:
    """Build OWAN as published: 10 groups of 4 steps, 16 channels.

    Args:
        channels: See ``OWAN``.
        blocks: See ``OWAN``.
        steps: See ``OWAN``.
        in_channels: See ``OWAN``.
        weights: Checkpoint file to read into it, see ``load_weights``.

    Returns:
        The network, in training mode, on the CPU.

    Raises:
        ValueError: A value that is not offered, or a file of another network.

    Example:
        >>> sum(p.numel() for p in owan().parameters())
        391456

    Source:
        Suganuma, Liu and Okatani, CVPR 2019 (arXiv:1812.00733).
    """
    return loaded(OWAN(channels=channels, blocks=blocks, steps=steps, in_channels=in_channels), weights)
