"""The transformer block of Restormer: its attention runs between channels, so that it is linear in the pixels."""

from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restorekit._check import check_integer, check_interval


@final
class LayerNorm2d(nn.Module):
    """Normalise the channels of each pixel.

        y = (x - mean) / sqrt(variance + 1e-5) * weight + bias

    Args:
        channels: Width C.
        bias: False is Restormer's bias-free form y = x / sqrt(variance + 1e-5) * weight, which keeps the mean.

    Raises:
        ValueError: A width below 1.

    Example:
        >>> LayerNorm2d(4)(torch.rand(1, 4, 5, 7)).shape
        torch.Size([1, 4, 5, 7])

    Source:
        Zamir et al., CVPR 2022 (Restormer): with bias for most tasks, without it for denoising.
    """

    def __init__(self, channels: int, *, bias: bool = True) -> None:
        super().__init__()
        check_integer(channels, "channels", 1)
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, channels, H, W) to features of the same shape."""
        if self.bias is None:
            deviation = (x.var(dim=1, correction=0, keepdim=True) + 1e-5).sqrt()
            return x / deviation * self.weight.view(-1, 1, 1)
        # Over the last axis it is one fused pass, several times as fast as the means over axis 1 written out.
        out = F.layer_norm(x.movedim(1, -1), self.weight.shape, self.weight, self.bias, eps=1e-5)
        return out.movedim(-1, 1)


@final
class TransposedAttention(nn.Module):
    """Attention of channels to channels ("multi-Dconv head transposed attention").

        softmax(temperature * q k^T) v

    Per head, q, k and v hold one row of H * W values for each channel, those of q and k of length 1; the matrix has
    (C / heads)^2 entries whatever the size of the picture. It sees the whole picture: networks that use it have no
    receptive radius.

    Args:
        channels: Width C of input and output, a multiple of ``heads``.
        heads: Groups of channels that attend among themselves.

    Raises:
        ValueError: A size below 1, or ``heads`` that do not divide the channels.

    Example:
        >>> TransposedAttention(8, heads=2)(torch.rand(1, 8, 5, 7)).shape
        torch.Size([1, 8, 5, 7])

    Source:
        Zamir et al., CVPR 2022 (Restormer), equation 1; the temperature multiplies, as in the authors' code, where the
        paper divides by it.
    """

    def __init__(self, channels: int, *, heads: int = 1) -> None:
        super().__init__()
        check_heads(channels, heads)
        self.heads = heads
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.qkv_local = nn.Conv2d(3 * channels, 3 * channels, 3, padding=1, groups=3 * channels, bias=False)
        self.exit = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, channels, H, W) to features of the same shape."""
        rows = self.qkv_local(self.qkv(x)).flatten(2)  # (N, 3C, HW)
        q, k, v = rows.unflatten(1, (3, self.heads, -1)).unbind(1)
        eps = max(1e-12, torch.finfo(q.dtype).tiny)  # float16 rounds 1e-12 to zero, and black is zeros
        weights = F.normalize(q, dim=-1, eps=eps) @ F.normalize(k, dim=-1, eps=eps).mT * self.temperature
        mixed = (weights.softmax(dim=-1) @ v).flatten(1, 2).unflatten(2, x.shape[2:])
        out: Tensor = self.exit(mixed)
        return out


@final
class GatedFeedForward(nn.Module):
    """Feed-forward layer whose one half opens the other ("gated-Dconv feed-forward network").

        y = exit(gelu(a) * b),  (a, b) = halves of depthwise 3x3 (1x1 (x))

    Args:
        channels: Width C of input and output.
        expansion: Width of each half in units of C, rounded down.

    Raises:
        ValueError: A width below 1, or an expansion that leaves no channel.

    Example:
        >>> GatedFeedForward(8)(torch.rand(1, 8, 5, 7)).shape
        torch.Size([1, 8, 5, 7])

    Source:
        Zamir et al., CVPR 2022 (Restormer), equation 2.
    """

    def __init__(self, channels: int, *, expansion: float = 2.66) -> None:
        super().__init__()
        hidden = hidden_channels(channels, expansion)
        self.entry = nn.Conv2d(channels, 2 * hidden, 1, bias=False)
        self.local = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden, bias=False)
        self.exit = nn.Conv2d(hidden, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, channels, H, W) to features of the same shape."""
        gate, value = self.local(self.entry(x)).chunk(2, dim=1)
        out: Tensor = self.exit(F.gelu(gate) * value)
        return out


@final
class TransformerBlock(nn.Module):
    """Transposed attention, then a gated feed-forward layer, each behind a norm and around a skip connection.

        x + attention(norm(x)), then x + feed_forward(norm(x))

    Args:
        channels: Width of input and output.
        heads: See ``TransposedAttention``.
        expansion: See ``GatedFeedForward``.
        norm_bias: See ``LayerNorm2d``.

    Raises:
        ValueError: A size that its parts refuse.

    Example:
        >>> TransformerBlock(8, heads=2)(torch.rand(1, 8, 5, 7)).shape
        torch.Size([1, 8, 5, 7])

    Source:
        Zamir et al., CVPR 2022 (Restormer), figure 2.
    """

    def __init__(self, channels: int, *, heads: int = 1, expansion: float = 2.66, norm_bias: bool = True) -> None:
        super().__init__()
        self.norm1 = LayerNorm2d(channels, bias=norm_bias)
        self.attention = TransposedAttention(channels, heads=heads)
        self.norm2 = LayerNorm2d(channels, bias=norm_bias)
        self.feed_forward = GatedFeedForward(channels, expansion=expansion)

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, channels, H, W) to features of the same shape."""
        x = x + self.attention(self.norm1(x))
        out: Tensor = x + self.feed_forward(self.norm2(x))
        return out


def check_heads(channels: int, heads: int) -> None:
    """Require heads that share the channels equally."""
    check_integer(channels, "channels", 1)
    check_integer(heads, "heads", 1)
    if channels % heads:
        raise ValueError(f"heads must divide channels, got {heads} heads for {channels} channels")


def hidden_channels(channels: int, expansion: float) -> int:
    """Width inside a feed-forward layer."""
    check_integer(channels, "channels", 1)
    check_interval(expansion, "expansion", 0, 64)
    hidden = int(channels * expansion)
    if hidden < 1:
        raise ValueError(f"expansion must leave at least one channel, got {expansion} for {channels} channels")
    return hidden
