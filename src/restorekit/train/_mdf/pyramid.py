"""One picture at several sizes, from coarse to fine, and a start one step below the coarsest."""

from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from restorekit.image import resize

Size = tuple[int, int]


@dataclass(frozen=True)
class Pyramid:
    """Pictures (1, 3, h, w) in [-1, 1]: the levels to be restored, and what the restoration of the first starts from.

    The start is not clipped: like whatever is resized on the way up from it, it may overshoot.
    """

    start: Tensor
    levels: tuple[Tensor, ...]


def make_pyramid(picture: Tensor, num_scales: int, max_side: int, min_side: int, name: str) -> Pyramid:
    """Shrink a picture (1, 3, H, W) in [0, 1] to ``num_scales`` sizes that grow by one factor."""
    below, *sizes = _sizes((picture.shape[-2], picture.shape[-1]), num_scales, max_side, min_side)
    short = [min(size) for size in sizes]
    if any(one >= other for one, other in pairwise(short)):
        raise ValueError(
            f"{name} is too small for {num_scales} scales that grow from a short side of {min_side} px: "
            f"{picture.shape[-2]}x{picture.shape[-1]} px, with at most {max_side} px to a side, would give the short "
            f"sides {short}; give a larger picture, less num_scales, a smaller min_side or a larger max_side"
        )
    levels = tuple(2 * resize(picture, size=size).clamp(0, 1) - 1 for size in sizes)
    return Pyramid(resize(levels[0], size=below), levels)


def _sizes(size: Size, num_scales: int, max_side: int, min_side: int) -> list[Size]:
    """Sizes from one step below the coarsest to the finest."""
    shrink = min(1.0, max_side / max(size))
    height, width = round(size[0] * shrink), round(size[1] * shrink)
    ratio = (min_side / min(height, width)) ** (1 / (num_scales - 1))
    factors = [ratio**exponent for exponent in range(num_scales, -1, -1)]
    return [(max(1, round(height * factor)), max(1, round(width * factor))) for factor in factors]
