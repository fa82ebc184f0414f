"""Augmentations of colour that both pictures of a pair undergo: permuted channels and a blended-in colour."""

from dataclasses import dataclass
from typing import Literal, Unpack, overload

import torch
from torch import Tensor

from restorekit._check import check_batch, check_interval
from restorekit.augment._pair import (
    Decisions,
    Options,
    Pair,
    Source,
    Strength,
    check_pair,
    lerp_share,
    replayed,
    taken,
    widened,
)


@dataclass(frozen=True, eq=False)
class PermuteRGBParams(Decisions):
    """What one call of ``permute_rgb`` decided.

    Args:
        permutation: Where each channel comes from (N, 3).
    """

    permutation: Tensor

    def apply(self, lq: Tensor, hq: Tensor, rows: Tensor | None = None) -> Pair:
        order = torch.arange(3, device=lq.device)
        order = torch.where(self.applied[:, None], self.permutation, order)
        first = torch.arange(len(order), device=lq.device) if rows is None else rows
        planes = (first[:, None] * 3 + order).flatten()  # whole planes are copied, much faster than by two indices
        return _planes(lq, planes), _planes(hq, planes)


def _planes(x: Tensor, planes: Tensor) -> Tensor:
    return x.flatten(0, 1).index_select(0, planes).reshape(-1, 3, *x.shape[-2:])


@dataclass(frozen=True, eq=False)
class BlendParams(Decisions):
    """What one call of ``blend`` decided.

    Args:
        colour: What is blended in (N, C), in [0, 1].
        share: Weight of the picture (N,), in [0, 1].
    """

    colour: Tensor
    share: Tensor

    def check(self, lq: Tensor) -> None:
        super().check(lq)
        if lq.shape[1] != self.colour.shape[1]:
            raise ValueError(f"replay holds colours of {self.colour.shape[1]} channels, got lq of {tuple(lq.shape)}")

    def apply(self, lq: Tensor, hq: Tensor, rows: Tensor | None = None) -> Pair:
        return self._blended(taken(lq, rows)), self._blended(taken(hq, rows))

    def _blended(self, x: Tensor) -> Tensor:
        wide = widened(x)
        weight = lerp_share(torch.where(self.applied, self.share, 1.0), wide)
        colour = self.colour.to(wide.dtype)[:, :, None, None].repeat(1, 1, 1, x.shape[-1])
        return torch.lerp(colour, wide, weight).to(x.dtype)


def draw_permute_rgb(source: Source, *, p: float = 1.0) -> PermuteRGBParams:
    """Decide for each picture."""
    check_batch(source.lq, "lq", channels=3)
    return PermuteRGBParams(source.applied(p), None, source.uniform(3).argsort(1))


def draw_blend(source: Source, *, alpha: float = 0.6, p: float = 1.0) -> BlendParams:
    """Decide for each picture."""
    check_interval(alpha, "alpha", 0, 1)
    colour, share = source.uniform(source.lq.shape[1]), source.uniform()
    return BlendParams(source.applied(p, alpha), None, colour, alpha + (1 - alpha) * share)


@overload
def permute_rgb(
    lq: Tensor, hq: Tensor, *, return_params: Literal[False] = ..., **options: Unpack[Options[PermuteRGBParams]]
) -> Pair: ...
@overload
def permute_rgb(
    lq: Tensor, hq: Tensor, *, return_params: Literal[True], **options: Unpack[Options[PermuteRGBParams]]
) -> tuple[Tensor, Tensor, PermuteRGBParams]: ...
@overload
def permute_rgb(
    lq: Tensor, hq: Tensor, *, return_params: bool, **options: Unpack[Options[PermuteRGBParams]]
) -> Pair | tuple[Tensor, Tensor, PermuteRGBParams]: ...
def permute_rgb(
    lq: Tensor,
    hq: Tensor,
    *,
    p: float = 1.0,
    same_on_batch: bool = False,
    generator: torch.Generator | None = None,
    return_params: bool = False,
    replay: PermuteRGBParams | None = None,
) -> Pair | tuple[Tensor, Tensor, PermuteRGBParams]:
    """Permute the channels of both pictures by one of the 6 orders, all equally likely; one of them changes nothing.

    Args:
        lq: Damaged pictures (N, 3, H, W), any float dtype.
        hq: Clean pictures (N, 3, s*H, s*W) for an integer s >= 1; same dtype and device.
        p: Probability that a picture is augmented, in [0, 1].
        same_on_batch: Draw one order for the whole batch, as published.
        generator: Source of the draws. How many it gives depends on N alone (not at all with ``same_on_batch``).
        return_params: Return the decisions as well.
        replay: Decisions of an earlier call for N pictures of any size; they are repeated, and ``p``,
            ``same_on_batch`` and ``generator`` are not used.

    Returns:
        ``lq`` and ``hq`` permuted alike, in new tensors, also where nothing changes; then the decisions (``applied``,
        ``permutation``) if asked for.

    Raises:
        TypeError: ``lq`` or ``hq`` is not a real floating-point tensor, or an argument is not what its name says.
        ValueError: ``p`` is outside [0, 1], the pictures have not 3 channels, ``replay`` is for another batch size, or
            the pair differs in batch, channels, dtype, device, or in size by anything but one integer factor.

    Example:
        >>> lq, hq = permute_rgb(torch.rand(2, 3, 10, 10), torch.rand(2, 3, 40, 40))
        >>> lq.shape, hq.shape
        (torch.Size([2, 3, 10, 10]), torch.Size([2, 3, 40, 40]))

    Source: Yoo, Ahn and Sohn, CVPR 2020 (arXiv:2004.00448); Ahn's thesis, table 4.1. The authors' code draws one order
        for the whole batch.
    """
    check_pair(lq, hq)
    check_batch(lq, "lq", channels=3)
    if replay is None:
        params = draw_permute_rgb(Source(lq, same_on_batch, generator), p=p)
    else:
        params = replayed(replay, PermuteRGBParams, lq)
    pair = params.apply(lq, hq)
    return (*pair, params) if return_params else pair


@overload
def blend(
    lq: Tensor, hq: Tensor, *, return_params: Literal[False] = ..., **options: Unpack[Strength[BlendParams]]
) -> Pair: ...
@overload
def blend(
    lq: Tensor, hq: Tensor, *, return_params: Literal[True], **options: Unpack[Strength[BlendParams]]
) -> tuple[Tensor, Tensor, BlendParams]: ...
@overload
def blend(
    lq: Tensor, hq: Tensor, *, return_params: bool, **options: Unpack[Strength[BlendParams]]
) -> Pair | tuple[Tensor, Tensor, BlendParams]: ...
def blend(
    lq: Tensor,
    hq: Tensor,
    *,
    alpha: float = 0.6,
    p: float = 1.0,
    same_on_batch: bool = False,
    generator: torch.Generator | None = None,
    return_params: bool = False,
    replay: BlendParams | None = None,
) -> Pair | tuple[Tensor, Tensor, BlendParams]:
    """Blend both pictures with one plain colour: ``v * x + (1 - v) * c``, ``v ~ U(alpha, 1)``, ``c ~ U(0, 1)^C``.

    Args:
        lq: Damaged pictures (N, C, H, W), any float dtype.
        hq: Clean pictures (N, C, s*H, s*W) for an integer s >= 1; same dtype and device.
        alpha: Smallest weight of the picture, in [0, 1]; 1 leaves pictures as they are, and so does 0, which switches
            the augmentation off as it does elsewhere.
        p: Probability that a picture is augmented, in [0, 1].
        same_on_batch: Draw one colour and weight for the whole batch.
        generator: Source of the draws. How many it gives depends on N and C alone (on C with ``same_on_batch``).
        return_params: Return the decisions as well.
        replay: Decisions of an earlier call for N pictures of C channels and any size; they are repeated, and
            ``alpha``, ``p``, ``same_on_batch`` and ``generator`` are not used.

    Returns:
        ``lq`` and ``hq`` blended alike, in new tensors, also where nothing changes; then the decisions (``applied``,
        ``colour``, ``share``) if asked for.

    Raises:
        TypeError: ``lq`` or ``hq`` is not a real floating-point tensor, or an argument is not what its name says.
        ValueError: ``alpha`` or ``p`` is outside [0, 1], ``replay`` is for another batch size or number of channels,
            or the pair differs in batch, channels, dtype, device, or in size by anything but one integer factor.

    Example:
        >>> lq, hq = blend(torch.rand(2, 3, 10, 10), torch.rand(2, 3, 40, 40))
        >>> lq.shape, hq.shape
        (torch.Size([2, 3, 10, 10]), torch.Size([2, 3, 40, 40]))

    Source: Yoo, Ahn and Sohn, CVPR 2020 (arXiv:2004.00448), as in the authors' code: a colour and one weight for all
        channels. Ahn's thesis, table 4.1, reads as if each channel had a weight of its own. The code draws the colour
        for each picture and the weight once for the whole batch.
    """
    check_pair(lq, hq)
    if replay is None:
        params = draw_blend(Source(lq, same_on_batch, generator), alpha=alpha, p=p)
    else:
        params = replayed(replay, BlendParams, lq)
    pair = params.apply(lq, hq)
    return (*pair, params) if return_params else pair
