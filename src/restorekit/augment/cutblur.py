"""CutBlur: clean boxes in the damaged picture, or damaged boxes in the clean one."""

import torch
from torch import Tensor

from restorekit._check import check_generator, check_interval
from restorekit._random import normal, uniform
from restorekit.augment._pair import box_mask, check_pair, where_enlarged


def cutblur(
    lq: Tensor,
    hq: Tensor,
    *,
    alpha: float = 0.7,
    p: float = 1.0,
    same_on_batch: bool = False,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Exchange a box of the damaged picture for the clean one, or everything but a box, so that "where" is learnt too.

    A box of ``rho = clamp(alpha + 0.01 * N(0, 1), 0, 1)`` of both sides is placed uniformly inside the picture; with
    probability 1/2 the clean box goes into ``lq``, otherwise ``lq`` keeps only the box. A smaller ``lq`` is first
    enlarged by nearest neighbour, and the box never cuts through one of its pixels. The target stays as it is.

    Args:
        lq: Damaged pictures (N, C, H, W), any float dtype.
        hq: Clean pictures (N, C, s*H, s*W) for an integer s >= 1; same dtype and device.
        alpha: Mean side of the box as a share of the picture's, in [0, 1]; 0 switches the augmentation off.
        p: Probability that a picture is augmented, in [0, 1].
        same_on_batch: Draw once for the whole batch instead of once for each picture.
        generator: Source of the draws. How many it gives depends on N alone (not at all with ``same_on_batch``).

    Returns:
        The augmented ``lq`` at the size of ``hq`` (also for ``p=0``), a new tensor, and ``hq`` itself.

    Raises:
        TypeError: ``lq`` or ``hq`` is not a real floating-point tensor, or an argument is not what its name says.
        ValueError: ``alpha`` or ``p`` is outside [0, 1], or the pair differs in batch, channels, dtype, device, or in
            size by anything but one integer factor.

    Example:
        >>> lq, hq = cutblur(torch.zeros(2, 3, 10, 10), torch.ones(2, 3, 40, 40), alpha=0.5)
        >>> lq.shape, sorted(set(lq.flatten().tolist()))
        (torch.Size([2, 3, 40, 40]), [0.0, 1.0])

    Source: Yoo, Ahn and Sohn, CVPR 2020 (arXiv:2004.00448). The authors' code draws one box for the whole batch, fails
        where rho exceeds 1, and enlarges ``lq`` beforehand, so its boxes may cut through an LR pixel.
    """
    scale = check_pair(lq, hq)
    check_interval(alpha, "alpha", 0, 1)
    check_interval(p, "p", 0, 1)
    check_generator(generator)
    n = 1 if same_on_batch else lq.shape[0]
    ratio = (normal((n,), device=lq.device, generator=generator) * 0.01 + alpha).clamp(0, 1)
    draws = uniform((n, 4), device=lq.device, generator=generator)
    inside = box_mask(ratio, draws[:, :2], lq.shape[-2], lq.shape[-1])
    augmented = draws[:, 2] < (p if alpha > 0 else 0)
    from_box = draws[:, 3] > 0.5
    mask = augmented.view(-1, 1, 1, 1) & (inside == from_box.view(-1, 1, 1, 1))
    return where_enlarged(mask, hq, lq, scale), hq
