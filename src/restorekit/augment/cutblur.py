"""CutBlur: clean boxes in the damaged picture, or damaged boxes in the clean one."""

from dataclasses import dataclass
from typing import Literal, Unpack, overload

import torch
from torch import Tensor

from restorekit.augment._pair import (
    Decisions,
    Pair,
    Source,
    Strength,
    box_map,
    check_pair,
    lerp_enlarged,
    replayed,
    scale_of,
    taken,
)


@dataclass(frozen=True, eq=False)
class CutBlurParams(Decisions):
    """What one call of ``cutblur`` decided.

    Args:
        box: Top, left, bottom and right in pixels of ``lq`` (N, 4); the last two lie behind the box.
        inside: Whether the box (true) or all but the box is taken from ``hq`` (N,).
    """

    box: Tensor
    inside: Tensor

    def apply(self, lq: Tensor, hq: Tensor, rows: Tensor | None = None) -> Pair:
        outside = self.applied & ~self.inside
        step = self.applied.float() - 2 * outside.float()
        share = box_map(self.box, (lq.shape[-2], lq.shape[-1]), 1, outside, step)
        return lerp_enlarged(taken(lq, rows), taken(hq, rows), share, scale_of(lq, hq)), hq


def draw_cutblur(source: Source, *, alpha: float = 0.7, p: float = 1.0) -> CutBlurParams:
    """Decide for each picture."""
    box = source.box(alpha)
    return CutBlurParams(source.applied(p, alpha), source.size, box, source.uniform() > 0.5)


@overload
def cutblur(
    lq: Tensor, hq: Tensor, *, return_params: Literal[False] = ..., **options: Unpack[Strength[CutBlurParams]]
) -> Pair: ...
@overload
def cutblur(
    lq: Tensor, hq: Tensor, *, return_params: Literal[True], **options: Unpack[Strength[CutBlurParams]]
) -> tuple[Tensor, Tensor, CutBlurParams]: ...
@overload
def cutblur(
    lq: Tensor, hq: Tensor, *, return_params: bool, **options: Unpack[Strength[CutBlurParams]]
) -> Pair | tuple[Tensor, Tensor, CutBlurParams]: ...
def cutblur(
    lq: Tensor,
    hq: Tensor,
    *,
    alpha: float = 0.7,
    p: float = 1.0,
    same_on_batch: bool = False,
    generator: torch.Generator | None = None,
    return_params: bool = False,
    replay: CutBlurParams | None = None,
) -> Pair | tuple[Tensor, Tensor, CutBlurParams]:
    """Exchange a box of the damaged picture for the clean one, or everything but a box, so that "where" is learnt too.

    A box of ``rho = clamp(alpha + 0.01 * N(0, 1), 0, 1)`` of both sides is placed uniformly inside the picture; with
    probability 1/2 the clean box goes into ``lq``, otherwise ``lq`` keeps only the box. A smaller ``lq`` is first
    enlarged by nearest neighbour, and the box never cuts through one of its pixels. The target stays as it is.

    Args:
        lq: Damaged pictures (N, C, H, W), any float dtype, finite.
        hq: Clean pictures (N, C, s*H, s*W) for an integer s >= 1; same dtype and device.
        alpha: Mean side of the box as a share of the picture's, in [0, 1]; 0 switches the augmentation off.
        p: Probability that a picture is augmented, in [0, 1].
        same_on_batch: Draw once for the whole batch instead of once for each picture.
        generator: Source of the draws. How many it gives depends on N alone (not at all with ``same_on_batch``).
        return_params: Return the decisions as well.
        replay: Decisions of an earlier call for N pictures with an ``lq`` of the same height and width; they are
            repeated, and ``alpha``, ``p``, ``same_on_batch`` and ``generator`` are not used.

    Returns:
        The augmented ``lq`` at the size of ``hq`` (also for ``p=0``), a new tensor, and ``hq`` itself; then the
        decisions (``applied``, ``box``, ``inside``) if asked for.

    Raises:
        TypeError: ``lq`` or ``hq`` is not a real floating-point tensor, or an argument is not what its name says.
        ValueError: ``alpha`` or ``p`` is outside [0, 1], ``replay`` is for another size, or the pair differs in batch,
            channels, dtype, device, or in size by anything but one integer factor.

    Example:
        >>> lq, hq = cutblur(torch.zeros(2, 3, 10, 10), torch.ones(2, 3, 40, 40), alpha=0.5)
        >>> lq.shape, sorted(set(lq.flatten().tolist()))
        (torch.Size([2, 3, 40, 40]), [0.0, 1.0])

    Source: Yoo, Ahn and Sohn, CVPR 2020 (arXiv:2004.00448). The authors' code draws one box for the whole batch, fails
        where rho exceeds 1, and enlarges ``lq`` beforehand, so its boxes may cut through an LR pixel.
    """
    check_pair(lq, hq)
    if replay is None:
        params = draw_cutblur(Source(lq, same_on_batch, generator), alpha=alpha, p=p)
    else:
        params = replayed(replay, CutBlurParams, lq)
    pair = params.apply(lq, hq)
    return (*pair, params) if return_params else pair
