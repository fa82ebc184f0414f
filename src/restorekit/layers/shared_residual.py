"""Residual blocks of convolutions that share one bank of templates, alone and in chains."""

from typing import final

import torch
from torch import Tensor, nn

from restorekit._check import check_integer
from restorekit.layers.template import SConv2d, TemplateBank, check_bank, check_coefficients


@final
class SResidualBlock(nn.Module):
    """Two ``SConv2d`` layers around a skip connection.

        y = sconv(relu(sconv(x))) + x

    Args:
        bank: Templates of as many input as output channels and of odd size; the network must hold it too.
        coefficients: Initial coefficients (2, K) of the two layers; see ``SConv2d`` if None.

    Raises:
        TypeError: ``bank`` is no ``TemplateBank``.
        ValueError: A bank or coefficients of another shape.

    Example:
        >>> SResidualBlock(TemplateBank(4, 8, 8, 3))(torch.rand(1, 8, 5, 7)).shape
        torch.Size([1, 8, 5, 7])

    Source:
        Ahn's thesis, section 7.4.2 and Figure 7.4 (SResidual).
    """

    def __init__(self, bank: TemplateBank, *, coefficients: Tensor | None = None) -> None:
        super().__init__()
        count, height, width = _check_keeps_shape(bank)
        if coefficients is not None:
            check_coefficients(coefficients, (2, count))
        first, second = (None, None) if coefficients is None else coefficients
        self.conv1 = SConv2d(bank, padding=(height // 2, width // 2), coefficients=first)
        self.conv2 = SConv2d(bank, padding=(height // 2, width // 2), coefficients=second)

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, channels, H, W) to features of the same shape."""
        out: Tensor = self.conv2(self.conv1(x).relu()) + x
        return out


@final
class SharedResidualInResidual(nn.Module):
    """A chain of ``SResidualBlock`` around one more skip connection (SRIR).

    Args:
        bank: Templates of as many input as output channels and of odd size; the network must hold it too.
        blocks: Length of the chain.
        coefficients: Initial coefficients (2 * blocks, K) of the layers in their order; see ``SConv2d`` if None.

    Raises:
        TypeError: ``bank`` is no ``TemplateBank``.
        ValueError: No block, or a bank or coefficients of another shape.

    Example:
        >>> SharedResidualInResidual(TemplateBank(4, 8, 8, 3), blocks=2)(torch.rand(1, 8, 5, 7)).shape
        torch.Size([1, 8, 5, 7])

    Source:
        Ahn's thesis, section 7.4.2 and Figure 7.4 (SRIR), which has 12 blocks.
    """

    def __init__(self, bank: TemplateBank, blocks: int = 12, *, coefficients: Tensor | None = None) -> None:
        super().__init__()
        check_integer(blocks, "blocks", 1)
        count, _, _ = _check_keeps_shape(bank)
        if coefficients is not None:
            check_coefficients(coefficients, (2 * blocks, count))
        pairs = [None] * blocks if coefficients is None else torch.split(coefficients, 2)
        self.body = nn.Sequential(*(SResidualBlock(bank, coefficients=pair) for pair in pairs))

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, channels, H, W) to features of the same shape."""
        out: Tensor = self.body(x) + x
        return out


def _check_keeps_shape(bank: TemplateBank) -> tuple[int, int, int]:
    """Number and size of templates that can map features to features of the same shape."""
    check_bank(bank)
    count, out_channels, in_channels, height, width = bank.templates.shape
    if out_channels != in_channels or height % 2 == 0 or width % 2 == 0:
        raise ValueError(
            "bank must have as many output as input channels and kernels of odd size for a skip connection, "
            f"got {in_channels} to {out_channels} channels and {height}x{width}"
        )
    return count, height, width
