"""Space to depth in the channel order of the CutBlur networks."""

from typing import final

from einops import rearrange
from torch import Tensor, nn

from restorekit._check import check_integer


@final
class Desubpixel(nn.Module):
    """Fold every ``scale`` x ``scale`` square of pixels into channels: the inverse of sub-pixel enlargement.

        out[(dy * scale + dx) * C + c, y, x] = in[c, y * scale + dy, x * scale + dx]

    Args:
        scale: Side of the square, at least 1.

    Raises:
        ValueError: ``scale`` below 1.

    Example:
        >>> import torch
        >>> Desubpixel(2)(torch.rand(1, 3, 8, 6)).shape
        torch.Size([1, 12, 4, 3])

    Source:
        Yoo, Ahn and Sohn, CVPR 2020 (CutBlur). The colour runs fastest, unlike ``torch.nn.PixelUnshuffle``.
    """

    def __init__(self, scale: int) -> None:
        super().__init__()
        check_integer(scale, "scale", 1)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W), H and W multiples of ``scale``, to (N, C * scale^2, H / scale, W / scale)."""
        if self.scale == 1:
            return x
        height, width = x.shape[-2:]
        if height % self.scale or width % self.scale:
            raise ValueError(f"height and width must be multiples of {self.scale}, got {height}x{width}")
        return rearrange(x, "n c (h dy) (w dx) -> n (dy dx c) h w", dy=self.scale, dx=self.scale)

    def extra_repr(self) -> str:
        return f"scale={self.scale}"
