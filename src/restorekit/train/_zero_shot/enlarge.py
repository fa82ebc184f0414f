"""The enlargement itself: all flips and rotations, each corrected by the picture, their median, corrected again."""

from collections.abc import Callable

import torch
from torch import Tensor

from restorekit.image import DIHEDRAL, dihedral, dihedral_inverse
from restorekit.train._zero_shot.rescaling import Rescaling


def back_projected(x: Tensor, lq: Tensor, rescaling: Rescaling, times: int) -> Tensor:
    """Add what ``lq`` has beyond the shrunk result, enlarged, and clip; again and again."""
    small, large = (lq.shape[-2], lq.shape[-1]), (x.shape[-2], x.shape[-1])
    for _ in range(times):
        x = (x + rescaling.up(lq - rescaling.down(x, small), large)).clamp(0, 1)
    return x


def enlarged(
    run: Callable[[Tensor], Tensor],
    lq: Tensor,
    rescaling: Rescaling,
    size: tuple[int, int],
    *,
    ensemble: bool,
    projections: int,
) -> Tensor:
    """What ``run``, which corrects enlarged pictures, makes of ``lq`` (1, C, h, w): (1, C, *size) in [0, 1].

    Where the factors of the axes differ, half turns alone take part.
    """
    square = rescaling.factors[0] == rescaling.factors[1]
    turns = DIHEDRAL[:: 1 if square else 2] if ensemble else DIHEDRAL[:1]
    outs = []
    for k in turns:
        turned = size[::-1] if k % 2 else size
        out = dihedral_inverse(run(rescaling.up(dihedral(lq, k), turned)).clamp(0, 1), k)
        outs.append(back_projected(out, lq, rescaling, projections))
    return back_projected(median(outs), lq, rescaling, projections)


def median(pictures: list[Tensor]) -> Tensor:
    """Pixel by pixel; of an even number, the mean of the two in the middle."""
    ordered = torch.stack(pictures).sort(dim=0).values
    upper = len(pictures) // 2
    return (ordered[(len(pictures) - 1) // 2] + ordered[upper]) / 2
