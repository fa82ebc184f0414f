"""CutMix and CutMixup: boxes of other pairs of the batch, pasted as they are or blended in."""

from abc import abstractmethod
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
    mixed,
    replayed,
    scale_of,
)


@dataclass(frozen=True, eq=False)
class _BoxParams(Decisions):
    partner: Tensor
    box: Tensor

    def apply(self, lq: Tensor, hq: Tensor, rows: Tensor | None = None) -> Pair:
        size, scale = (lq.shape[-2], lq.shape[-1]), scale_of(lq, hq)
        outside, step = self._shares()
        share = box_map(self.box, size, 1, outside, step)
        share_hq = share if scale == 1 else box_map(self.box, size, scale, outside, step)
        return mixed(lq, self.partner, share, rows), mixed(hq, self.partner, share_hq, rows)

    @abstractmethod
    def _shares(self) -> tuple[Tensor | float, Tensor]:
        """How much of a picture is itself outside its box, and how much more inside."""


@dataclass(frozen=True, eq=False)
class CutMixParams(_BoxParams):
    """What one call of ``cutmix`` decided.

    Args:
        partner: Index of the other picture (N,).
        box: Top, left, bottom and right in pixels of ``lq`` (N, 4); the last two lie behind the box.
    """

    def _shares(self) -> tuple[Tensor | float, Tensor]:
        return 1.0, -self.applied.float()


@dataclass(frozen=True, eq=False)
class CutMixupParams(_BoxParams):
    """What one call of ``cutmixup`` decided.

    Args:
        partner: Index of the other picture (N,).
        box: Top, left, bottom and right in pixels of ``lq`` (N, 4); the last two lie behind the box.
        share: Weight of the picture itself where it is blended (N,), in [0, 1].
        inside: Whether the box (true) or all but the box is blended (N,).
    """

    share: Tensor
    inside: Tensor

    def _shares(self) -> tuple[Tensor | float, Tensor]:
        lost = torch.where(self.applied, 1 - self.share, 0.0)
        # share + (1 - share) is exactly 1 for floats in [0, 1]: what is not blended stays bit for bit.
        return torch.where(self.applied & ~self.inside, self.share, 1.0), torch.where(self.inside, -lost, lost)


def draw_cutmix(source: Source, *, alpha: float = 0.7, p: float = 1.0) -> CutMixParams:
    """Decide for each picture."""
    box = source.box(alpha)
    applied = source.applied(p, alpha)
    return CutMixParams(applied, source.size, source.partner(applied), box)


def draw_cutmixup(source: Source, *, alpha: float = 0.7, mixup_alpha: float = 1.2, p: float = 1.0) -> CutMixupParams:
    """Decide for each picture; without mixup the partner's own pixels are pasted."""
    box, share = source.box(alpha), source.beta(mixup_alpha, "mixup_alpha")
    if mixup_alpha == 0:
        share = torch.zeros_like(share)
    applied = source.applied(p, alpha)
    partner = source.partner(applied)
    return CutMixupParams(applied, source.size, partner, box, share, inside=source.uniform() < 0.5)


@overload
def cutmix(
    lq: Tensor, hq: Tensor, *, return_params: Literal[False] = ..., **options: Unpack[Strength[CutMixParams]]
) -> Pair: ...
@overload
def cutmix(
    lq: Tensor, hq: Tensor, *, return_params: Literal[True], **options: Unpack[Strength[CutMixParams]]
) -> tuple[Tensor, Tensor, CutMixParams]: ...
@overload
def cutmix(
    lq: Tensor, hq: Tensor, *, return_params: bool, **options: Unpack[Strength[CutMixParams]]
) -> Pair | tuple[Tensor, Tensor, CutMixParams]: ...
def cutmix(
    lq: Tensor,
    hq: Tensor,
    *,
    alpha: float = 0.7,
    p: float = 1.0,
    same_on_batch: bool = False,
    generator: torch.Generator | None = None,
    return_params: bool = False,
    replay: CutMixParams | None = None,
) -> Pair | tuple[Tensor, Tensor, CutMixParams]:
    """Replace a box of each pair by the same box of another one.

    A box of ``rho = clamp(alpha + 0.01 * N(0, 1), 0, 1)`` of both sides is placed uniformly inside ``lq``; that of
    ``hq`` covers the same part. Partners are a random permutation of the batch, so that a picture may be its own and a
    batch of one stays.

    Args:
        lq: Damaged pictures (N, C, H, W), any float dtype, finite.
        hq: Clean pictures (N, C, s*H, s*W) for an integer s >= 1; same dtype and device.
        alpha: Mean side of the box as a share of the picture's, in [0, 1]; 0 switches the augmentation off.
        p: Probability that a picture is augmented, in [0, 1].
        same_on_batch: Draw one box for the whole batch, as published; partners differ all the same.
        generator: Source of the draws. How many it gives depends on N alone.
        return_params: Return the decisions as well.
        replay: Decisions of an earlier call for N pictures with an ``lq`` of the same height and width; they are
            repeated, and ``alpha``, ``p``, ``same_on_batch`` and ``generator`` are not used.

    Returns:
        ``lq`` and ``hq``, in new tensors, also where nothing changes; then the decisions (``applied``, ``partner``,
        ``box``) if asked for.

    Raises:
        TypeError: ``lq`` or ``hq`` is not a real floating-point tensor, or an argument is not what its name says.
        ValueError: ``alpha`` or ``p`` is outside [0, 1], ``replay`` is for another size, or the pair differs in batch,
            channels, dtype, device, or in size by anything but one integer factor.

    Example:
        >>> lq, hq = cutmix(torch.rand(2, 3, 10, 10), torch.rand(2, 3, 40, 40), alpha=0.5)
        >>> lq.shape, hq.shape
        (torch.Size([2, 3, 10, 10]), torch.Size([2, 3, 40, 40]))

    Source: Yun et al., ICCV 2019, whose boxes reach over the border; geometry and alpha from Ahn's thesis, table 4.1.
        The thesis draws the two sides apart; as in the authors' code, one ratio serves both here. That code draws one
        box for the whole batch and, for scales above 1, enlarges ``lq`` beforehand.
    """
    check_pair(lq, hq)
    if replay is None:
        params = draw_cutmix(Source(lq, same_on_batch, generator), alpha=alpha, p=p)
    else:
        params = replayed(replay, CutMixParams, lq)
    pair = params.apply(lq, hq)
    return (*pair, params) if return_params else pair


@overload
def cutmixup(
    lq: Tensor,
    hq: Tensor,
    *,
    mixup_alpha: float = ...,
    return_params: Literal[False] = ...,
    **options: Unpack[Strength[CutMixupParams]],
) -> Pair: ...
@overload
def cutmixup(
    lq: Tensor,
    hq: Tensor,
    *,
    mixup_alpha: float = ...,
    return_params: Literal[True],
    **options: Unpack[Strength[CutMixupParams]],
) -> tuple[Tensor, Tensor, CutMixupParams]: ...
@overload
def cutmixup(
    lq: Tensor,
    hq: Tensor,
    *,
    mixup_alpha: float = ...,
    return_params: bool,
    **options: Unpack[Strength[CutMixupParams]],
) -> Pair | tuple[Tensor, Tensor, CutMixupParams]: ...
def cutmixup(
    lq: Tensor,
    hq: Tensor,
    *,
    alpha: float = 0.7,
    mixup_alpha: float = 1.2,
    p: float = 1.0,
    same_on_batch: bool = False,
    generator: torch.Generator | None = None,
    return_params: bool = False,
    replay: CutMixupParams | None = None,
) -> Pair | tuple[Tensor, Tensor, CutMixupParams]:
    """Blend a box of each pair, or everything but a box, with another pair.

    The box is that of ``cutmix``, the blend ``lambda * x + (1 - lambda) * x[partner]`` that of ``mixup`` with
    ``lambda ~ Beta(mixup_alpha, mixup_alpha)``; with probability 1/2 it fills the box, otherwise all the rest.

    Args:
        lq: Damaged pictures (N, C, H, W), any float dtype, finite.
        hq: Clean pictures (N, C, s*H, s*W) for an integer s >= 1; same dtype and device.
        alpha: Mean side of the box as a share of the picture's, in [0, 1]; 0 switches the augmentation off.
        mixup_alpha: Of the shares, in [0, 1000]; 0 switches blending off, and the partner's pixels come unblended.
        p: Probability that a picture is augmented, in [0, 1].
        same_on_batch: Draw one box and share for the whole batch, as published; partners differ all the same.
        generator: Source of the draws. How many it gives depends on N alone.
        return_params: Return the decisions as well.
        replay: Decisions of an earlier call for N pictures with an ``lq`` of the same height and width; they are
            repeated, and ``alpha``, ``mixup_alpha``, ``p``, ``same_on_batch`` and ``generator`` are not used.

    Returns:
        ``lq`` and ``hq``, in new tensors, also where nothing changes; then the decisions (``applied``, ``partner``,
        ``box``, ``share``, ``inside``) if asked for.

    Raises:
        TypeError: ``lq`` or ``hq`` is not a real floating-point tensor, or an argument is not what its name says.
        ValueError: ``alpha``, ``mixup_alpha`` or ``p`` is outside its range, ``replay`` is for another size, or the
            pair differs in batch, channels, dtype, device, or in size by anything but one integer factor.

    Example:
        >>> lq, hq = cutmixup(torch.rand(2, 3, 10, 10), torch.rand(2, 3, 40, 40), alpha=0.5)
        >>> lq.shape, hq.shape
        (torch.Size([2, 3, 10, 10]), torch.Size([2, 3, 40, 40]))

    Source: Yoo, Ahn and Sohn, CVPR 2020 (arXiv:2004.00448); Ahn's thesis, table 4.1. The choice between box and rest
        is the authors' code's. That code draws one box, share and choice for the whole batch and, for scales above 1,
        enlarges ``lq`` beforehand.
    """
    check_pair(lq, hq)
    if replay is None:
        source = Source(lq, same_on_batch, generator)
        params = draw_cutmixup(source, alpha=alpha, mixup_alpha=mixup_alpha, p=p)
    else:
        params = replayed(replay, CutMixupParams, lq)
    pair = params.apply(lq, hq)
    return (*pair, params) if return_params else pair
