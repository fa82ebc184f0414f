"""The small networks of SinGAN, trained on one picture: what the MDF loss looks through, and its training partner."""

from collections import OrderedDict
from typing import ClassVar, final

import torch.nn.functional as F
from torch import Tensor, nn

from restorekit._check import check_batch, check_integer
from restorekit.models.network import Network, record


class _Block(nn.Sequential):
    """Convolution without padding, BatchNorm, LeakyReLU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3)
        self.norm = nn.BatchNorm2d(out_channels)
        self.activation = nn.LeakyReLU(0.2)


class _Stack(Network):
    """Five convolutions, each of which takes a pixel off every side: head, three blocks of body, tail."""

    minimum_side: ClassVar[int] = 11

    def __init__(self, in_channels: int, channels: int, out_channels: int) -> None:
        check_integer(in_channels, "in_channels", 1)
        check_integer(channels, "channels", 1)
        super().__init__(record({"in_channels": in_channels, "channels": channels}))
        self.in_channels = in_channels
        self.head = _Block(in_channels, channels)
        self.body = nn.Sequential(OrderedDict((f"block{i}", _Block(channels, channels)) for i in (1, 2, 3)))
        self.tail = nn.Conv2d(channels, out_channels, 3)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights as DCGAN does: N(0, 0.02) for convolutions, N(1, 0.02) for norms."""
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, 0, 0.02)
            elif isinstance(layer, nn.BatchNorm2d):
                nn.init.normal_(layer.weight, 1, 0.02)

    def _check(self, x: Tensor) -> None:
        check_batch(x, channels=self.in_channels)
        if min(x.shape[-2:]) < self.minimum_side:
            side = self.minimum_side
            raise ValueError(f"x must be of at least {side}x{side} px, got shape {tuple(x.shape)}")


@final
class SinGANDiscriminator(_Stack):
    """Judge every 11x11 patch of a picture; the MDF loss compares what it sees on the way.

    | part | layer                       | size of its output |
    |------|-----------------------------|--------------------|
    | head | 3x3, BatchNorm, LeakyReLU   | H - 2, W - 2       |
    | body | three of the same           | H - 8, W - 8       |
    | tail | 3x3 to one channel          | H - 10, W - 10     |

    Nothing is padded, so that no border disturbs what is seen.

    Args:
        in_channels: Channels of the picture.
        channels: Width of the layers: 32 for the four coarsest scales of a picture, 64 for the next four.

    Attributes:
        minimum_side: Pixels that each side of a picture needs, 11.

    Raises:
        ValueError: A size below 1.

    Example:
        >>> import torch
        >>> SinGANDiscriminator(channels=4)(torch.rand(2, 3, 48, 40)).shape
        torch.Size([2, 1, 38, 30])

    Source:
        Shaham et al., ICCV 2019 (SinGAN), section 2.1 and code, with the names of the files that go with the MDF loss
        (Mustafa et al., WACV 2022), which it reads without renaming.
    """

    def __init__(self, in_channels: int = 3, *, channels: int = 32) -> None:
        super().__init__(in_channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map pictures (N, in_channels, H, W) in [0, 1] to scores (N, 1, H - 10, W - 10), higher where it looks real.

        Raises:
            TypeError: ``x`` is no floating-point tensor.
            ValueError: A wrong shape, or a side below 11 px.
        """
        self._check(x)
        out: Tensor = self.tail(self.body(self.head(x)))
        return out


@final
class SinGANGenerator(_Stack):
    """Add detail of one scale to a picture.

        y = x + tanh(tail(body(head(pad(x)))))

    The layers are those of ``SinGANDiscriminator`` but for the last, which makes a picture. The input is padded by 5
    zeros on every side first, so that the output has its size.

    Args:
        in_channels: Channels of the picture.
        channels: Width of the layers.

    Attributes:
        minimum_side: Pixels that each side of a picture needs, 1.

    Raises:
        ValueError: A size below 1.

    Example:
        >>> import torch
        >>> SinGANGenerator(channels=4)(torch.rand(2, 3, 48, 40)).shape
        torch.Size([2, 3, 48, 40])

    Source:
        Shaham et al., ICCV 2019 (SinGAN), section 2.1, equation 5. Pictures there are in [-1, 1], and so is the sum
        here if ``x`` is; the code pads the picture, not each layer.
    """

    minimum_side: ClassVar[int] = 1

    def __init__(self, in_channels: int = 3, *, channels: int = 32) -> None:
        super().__init__(in_channels, channels, in_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map pictures (N, in_channels, H, W) in [-1, 1] to pictures of the same shape, not clipped.

        Raises:
            TypeError: ``x`` is no floating-point tensor.
            ValueError: A wrong shape.
        """
        self._check(x)
        out: Tensor = x + F.tanh(self.tail(self.body(self.head(F.pad(x, (5, 5, 5, 5))))))
        return out
