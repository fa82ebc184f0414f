"""Mixup: each pair blended with another pair of the batch."""

from dataclasses import dataclass
from typing import Literal, Unpack, overload

import torch
from torch import Tensor

from restorekit.augment._pair import Decisions, Pair, Source, Strength, check_pair, mixed, replayed


@dataclass(frozen=True, eq=False)
class MixupParams(Decisions):
    """What one call of ``mixup`` decided.

    Args:
        partner: Index of the other picture (N,).
        share: Weight of the picture itself (N,), in [0, 1].
    """

    partner: Tensor
    share: Tensor

    def apply(self, lq: Tensor, hq: Tensor, rows: Tensor | None = None) -> Pair:
        share = torch.where(self.applied, self.share, 1.0)
        return mixed(lq, self.partner, share, rows), mixed(hq, self.partner, share, rows)


def draw_mixup(source: Source, *, alpha: float = 1.2, p: float = 1.0) -> MixupParams:
    """Decide for each picture."""
    share = source.beta(alpha)
    applied = source.applied(p, alpha)
    return MixupParams(applied, None, source.partner(applied), share)


@overload
def mixup(
    lq: Tensor, hq: Tensor, *, return_params: Literal[False] = ..., **options: Unpack[Strength[MixupParams]]
) -> Pair: ...
@overload
def mixup(
    lq: Tensor, hq: Tensor, *, return_params: Literal[True], **options: Unpack[Strength[MixupParams]]
) -> tuple[Tensor, Tensor, MixupParams]: ...
@overload
def mixup(
    lq: Tensor, hq: Tensor, *, return_params: bool, **options: Unpack[Strength[MixupParams]]
) -> Pair | tuple[Tensor, Tensor, MixupParams]: ...
def mixup(
    lq: Tensor,
    hq: Tensor,
    *,
    alpha: float = 1.2,
    p: float = 1.0,
    same_on_batch: bool = False,
    generator: torch.Generator | None = None,
    return_params: bool = False,
    replay: MixupParams | None = None,
) -> Pair | tuple[Tensor, Tensor, MixupParams]:
    """Blend each pair with another one: ``lambda * x + (1 - lambda) * x[partner]``, ``lambda ~ Beta(alpha, alpha)``.

    Partners are a random permutation of the batch, so that a picture may be its own and a batch of one stays.

    Args:
        lq: Damaged pictures (N, C, H, W), any float dtype, finite.
        hq: Clean pictures (N, C, s*H, s*W) for an integer s >= 1; same dtype and device.
        alpha: In [0, 1000]: above 1 shares gather around 1/2, below 1 at 0 and 1; 0 switches the augmentation off.
        p: Probability that a picture is augmented, in [0, 1].
        same_on_batch: Draw one share for the whole batch, as published; partners differ all the same.
        generator: Source of the draws. How many it gives depends on N alone.
        return_params: Return the decisions as well.
        replay: Decisions of an earlier call for N pictures of any size; they are repeated, and ``alpha``, ``p``,
            ``same_on_batch`` and ``generator`` are not used.

    Returns:
        ``lq`` and ``hq`` blended alike, in new tensors, also where nothing changes; then the decisions (``applied``,
        ``partner``, ``share``) if asked for.

    Raises:
        TypeError: ``lq`` or ``hq`` is not a real floating-point tensor, or an argument is not what its name says.
        ValueError: ``alpha`` or ``p`` is outside its range, ``replay`` is for another batch size, or the pair differs
            in batch, channels, dtype, device, or in size by anything but one integer factor.

    Example:
        >>> lq, hq = mixup(torch.rand(2, 3, 10, 10), torch.rand(2, 3, 40, 40))
        >>> lq.shape, hq.shape
        (torch.Size([2, 3, 10, 10]), torch.Size([2, 3, 40, 40]))

    Source: Zhang et al., ICLR 2018; alpha from Ahn's thesis, table 4.1. The authors' code draws one share for the
        whole batch and, for scales above 1, enlarges ``lq`` beforehand.
    """
    check_pair(lq, hq)
    if replay is None:
        params = draw_mixup(Source(lq, same_on_batch, generator), alpha=alpha, p=p)
    else:
        params = replayed(replay, MixupParams, lq)
    pair = params.apply(lq, hq)
    return (*pair, params) if return_params else pair
