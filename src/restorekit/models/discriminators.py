"""Discriminators for adversarial training: they tell restored pictures from real ones. All return logits."""

from collections.abc import Sequence
from typing import Any, ClassVar, final

import torch.nn.functional as F
from torch import Tensor, nn

from restorekit._check import check_batch, check_integer
from restorekit.models._layouts.discriminators import PATCH_DISCRIMINATOR_LAYOUTS
from restorekit.models._layouts.layout import Layout
from restorekit.models.network import Network, record

# Input and output width in multiples of ``channels``, kernel size, stride.
_PATCH = ((1, 1, 4, 2), (1, 2, 3, 1), (2, 2, 4, 2), (2, 4, 3, 1), (4, 4, 4, 2), (4, 8, 3, 1), (8, 8, 3, 1))
_VGG = ((1, 1, 3, 2), (1, 2, 3, 1), (2, 2, 3, 2), (2, 4, 3, 1), (4, 4, 3, 2), (4, 8, 3, 1), (8, 8, 3, 2))


class _Block(nn.Module):
    """Convolution, BatchNorm, LeakyReLU."""

    def __init__(self, inputs: int, outputs: int, kernel_size: int, stride: int, *, bias: bool, slope: float) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel_size, stride, padding=1, bias=bias)
        self.norm = nn.BatchNorm2d(outputs)
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.norm(self.conv(x)), self.slope)


@final
class PatchDiscriminator(Network):
    """Judge every patch of a picture: a map of logits, positive where the patch looks real.

    | layer | kernel | stride | width      | behind it            |
    |-------|--------|--------|------------|----------------------|
    | 1     | 3      | 1      | 3 -> 64    | LeakyReLU            |
    | 2     | 4      | 2      | 64 -> 64   | BatchNorm, LeakyReLU |
    | 3     | 3      | 1      | 64 -> 128  | BatchNorm, LeakyReLU |
    | 4     | 4      | 2      | 128 -> 128 | BatchNorm, LeakyReLU |
    | 5     | 3      | 1      | 128 -> 256 | BatchNorm, LeakyReLU |
    | 6     | 4      | 2      | 256 -> 256 | BatchNorm, LeakyReLU |
    | 7     | 3      | 1      | 256 -> 512 | BatchNorm, LeakyReLU |
    | 8     | 3      | 1      | 512 -> 512 | BatchNorm, LeakyReLU |
    | 9     | 3      | 1      | 512 -> 1   |                      |

    Args:
        in_channels: Channels of the picture.
        channels: Width of the first layer, the 64 of the table; the others follow in proportion.

    Attributes:
        minimum_side: Pixels that each side of a picture needs, 8: three layers halve it.

    Raises:
        ValueError: A size below 1.

    Example:
        >>> import torch
        >>> PatchDiscriminator(channels=4)(torch.rand(2, 3, 48, 40)).shape
        torch.Size([2, 1, 6, 5])

    Source:
        Ahn's thesis, Figure 2.1, and PCARN's code, which has the LeakyReLU's slope, 0.01. The published network ends in
        a sigmoid; here that is left to the loss, which is more precise with logits.
    """

    layouts: ClassVar[tuple[Layout, ...]] = PATCH_DISCRIMINATOR_LAYOUTS
    minimum_side: ClassVar[int] = 8

    def __init__(self, in_channels: int = 3, *, channels: int = 64) -> None:
        config = record(locals())
        check_integer(in_channels, "in_channels", 1)
        check_integer(channels, "channels", 1)
        super().__init__(config)
        self.in_channels = in_channels
        self.entry = nn.Conv2d(in_channels, channels, 3, padding=1)
        self.body = nn.Sequential(
            *(_Block(a * channels, b * channels, k, stride, bias=True, slope=0.01) for a, b, k, stride in _PATCH)
        )
        self.exit = nn.Conv2d(8 * channels, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map pictures (N, in_channels, H, W) in [0, 1] to logits (N, 1, H // 8, W // 8).

        Raises:
            TypeError: ``x`` is no floating-point tensor.
            ValueError: A wrong shape, a side below 8 px, or one value per channel for BatchNorm to train on.
        """
        check_batch(x, channels=self.in_channels)
        _check_side(x, self.minimum_side)
        out: Tensor = self.exit(self.body(F.leaky_relu(self.entry(x), 0.01)))
        return out


@final
class MultiScaleDiscriminator(Network):
    """Judge a picture at several sizes: discriminator k sees it average-pooled by 2^k.

        logits_k = discriminator_k(avg_pool(x, 2^k)),   k = 0, 1, 2, ...

    Args:
        discriminators: One module for each size, the full size first, with weights of their own; three
            ``PatchDiscriminator`` if None.

    Attributes:
        minimum_side: Pixels that each side of a picture needs: 32 for three ``PatchDiscriminator``.

    Raises:
        TypeError: Something else than modules.
        ValueError: No module, or the same one twice.

    Example:
        >>> import torch
        >>> net = MultiScaleDiscriminator([PatchDiscriminator(channels=4) for _ in range(3)])
        >>> [tuple(logits.shape) for logits in net(torch.rand(1, 3, 64, 64))]
        [(1, 1, 8, 8), (1, 1, 4, 4), (1, 1, 2, 2)]

    Source:
        Ahn's thesis, section 2.3.2 and Figure 2.3. Three sizes, and pooling with equal kernel and stride, are from
        PCARN's code.
    """

    def __init__(self, discriminators: Sequence[nn.Module] | None = None) -> None:
        parts = [PatchDiscriminator() for _ in range(3)] if discriminators is None else list(discriminators)
        _check_parts(parts)
        super().__init__({"discriminators": [_describe(part) for part in parts]})
        self.discriminators = nn.ModuleList(parts)
        self.minimum_side = max(2**k * int(getattr(part, "minimum_side", 1)) for k, part in enumerate(parts))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map pictures (N, C, H, W) in [0, 1] to the logits of each discriminator, full size first.

        Raises:
            TypeError: ``x`` is no floating-point tensor.
            ValueError: A wrong shape, or a side below ``minimum_side``.
        """
        check_batch(x)
        _check_side(x, self.minimum_side)
        return [part(F.avg_pool2d(x, 2**k) if k else x) for k, part in enumerate(self.discriminators)]


@final
class VGGDiscriminator(Network):
    """Judge a picture as a whole: one logit, positive where it looks real.

    A 3x3 convolution of 64 channels, then pairs that halve the picture and double the width up to 512 (64 s2, 128,
    128 s2, 256, 256 s2, 512, 512 s2), each with BatchNorm but the first; dense layers to 1024 and to 1.

    Args:
        image_size: Height and width of the pictures: the first dense layer is made for it.
        in_channels: Channels of the picture.
        channels: Width of the first layer, 64 above; the others follow in proportion.

    Raises:
        ValueError: A size below 1.

    Example:
        >>> import torch
        >>> VGGDiscriminator(image_size=32, channels=4)(torch.rand(2, 3, 32, 32)).shape
        torch.Size([2, 1])

    Source:
        Ledig et al., CVPR 2017 (SRGAN), Figure 4, with 96x96 pictures and a LeakyReLU of slope 0.2. The published
        network ends in a sigmoid; here that is left to the loss. Convolutions in front of a BatchNorm have no bias, as
        it would take that off again; the paper does not say.
    """

    def __init__(self, image_size: int = 96, *, in_channels: int = 3, channels: int = 64) -> None:
        config = record(locals())
        for name, value in (("image_size", image_size), ("in_channels", in_channels), ("channels", channels)):
            check_integer(value, name, 1)
        super().__init__(config)
        self.image_size, self.in_channels = image_size, in_channels
        self.entry = nn.Conv2d(in_channels, channels, 3, padding=1)
        self.body = nn.Sequential(
            *(_Block(a * channels, b * channels, k, stride, bias=False, slope=0.2) for a, b, k, stride in _VGG)
        )
        side = -(-image_size // 16)  # four layers of stride 2, each of which rounds up
        self.dense = nn.Linear(8 * channels * side**2, 1024)
        self.exit = nn.Linear(1024, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map pictures (N, in_channels, image_size, image_size) in [0, 1] to logits (N, 1).

        Raises:
            TypeError: ``x`` is no floating-point tensor.
            ValueError: A wrong shape, or pictures of another size.
        """
        check_batch(x, channels=self.in_channels)
        if x.shape[-2:] != (self.image_size, self.image_size):
            raise ValueError(
                f"x must have the {self.image_size}x{self.image_size} px that the network is built for "
                f"(image_size), got shape {tuple(x.shape)}"
            )
        features = self.body(F.leaky_relu(self.entry(x), 0.2))
        out: Tensor = self.exit(F.leaky_relu(self.dense(features.flatten(1)), 0.2))
        return out


def _check_side(x: Tensor, minimum: int) -> None:
    if min(x.shape[-2:]) < minimum:
        raise ValueError(f"x must be of at least {minimum}x{minimum} px, got shape {tuple(x.shape)}")


def _check_parts(parts: Sequence[object]) -> None:
    for part in parts:
        if not isinstance(part, nn.Module):
            raise TypeError(f"discriminators must be modules, got {type(part).__name__}")
    if not parts or len(set(map(id, parts))) < len(parts):
        raise ValueError(f"discriminators must hold at least one module and none twice, got {len(parts)}")


def _describe(part: nn.Module) -> dict[str, Any]:
    """What tells two modules apart in a file; a module cannot be an argument there."""
    return {"name": type(part).__name__, "config": part.config if isinstance(part, Network) else {}}
