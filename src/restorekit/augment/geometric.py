"""Flips and rotations of pairs."""

from dataclasses import dataclass
from typing import Literal, overload

import torch
from torch import Tensor

from restorekit._check import check_generator, check_interval
from restorekit._random import uniform
from restorekit.augment._pair import check_pair


@dataclass(frozen=True, eq=False)
class FlipRotateParams:
    """What ``flip_rotate`` decided.

    Args:
        k: Which of the eight each picture went through, (N,) int64, numbered as in ``image.dihedral``.
    """

    k: Tensor


@overload
def flip_rotate(
    lq: Tensor,
    hq: Tensor,
    *,
    p: float = 1.0,
    same_on_batch: bool = False,
    generator: torch.Generator | None = None,
    return_params: Literal[False] = False,
    replay: FlipRotateParams | None = None,
) -> tuple[Tensor, Tensor]: ...
@overload
def flip_rotate(
    lq: Tensor,
    hq: Tensor,
    *,
    p: float = 1.0,
    same_on_batch: bool = False,
    generator: torch.Generator | None = None,
    return_params: Literal[True],
    replay: FlipRotateParams | None = None,
) -> tuple[Tensor, Tensor, FlipRotateParams]: ...
def flip_rotate(
    lq: Tensor,
    hq: Tensor,
    *,
    p: float = 1.0,
    same_on_batch: bool = False,
    generator: torch.Generator | None = None,
    return_params: bool = False,
    replay: FlipRotateParams | None = None,
) -> tuple[Tensor, Tensor] | tuple[Tensor, Tensor, FlipRotateParams]:
    """Flip and turn both pictures of a pair alike, by one of the 8 ways that a square fits onto itself.

    Each way is as likely as the others, leaving the picture as it is among them. A quarter turn exchanges height and
    width. In a batch of pictures that are not square each picture therefore draws from the 4 ways that keep its shape:
    as it is, turned by half, and mirrored left-right or upside down. With ``same_on_batch`` the whole batch goes one
    way, any of the 8, and half of the time (N, C, H, W) comes back as (N, C, W, H).

    Args:
        lq: Damaged pictures (N, C, H, W), any float dtype.
        hq: Clean pictures (N, C, s*H, s*W) for an integer s >= 1; same dtype and device.
        p: Probability that a picture takes part, in [0, 1]; one that does still keeps its place 1 time in 8 (or 4).
        same_on_batch: Draw once for the whole batch instead of once for each picture.
        generator: Source of the draws. How many it gives depends on N alone (not at all with ``same_on_batch``).
        return_params: Return what was decided, too.
        replay: Do what an earlier call decided, for as many pictures of any size. Nothing is drawn, and ``p`` and
            ``same_on_batch`` are not looked at.

    Returns:
        ``lq`` and ``hq``, flipped and turned, new tensors; then, if asked for, what was decided (``k``, (N,)
        int64, numbered as in ``image.dihedral``).

    Raises:
        TypeError: ``lq`` or ``hq`` is not a real floating-point tensor, or an argument is not what its name says.
        ValueError: ``p`` is outside [0, 1]; the pair differs in batch, channels, dtype, device, or in size by anything
            but one integer factor; or ``replay`` is for another number of pictures, or turns some of a batch that is
            not square and leaves others.

    Example:
        >>> pair = torch.arange(4.0).view(1, 1, 2, 2)
        >>> lq, hq, params = flip_rotate(pair, pair, return_params=True)
        >>> torch.equal(lq, hq), sorted(lq.flatten().tolist()), params.k.shape
        (True, [0.0, 1.0, 2.0, 3.0], torch.Size([1]))

    Source: the usual augmentation of restoration networks. Published code often draws each mirror and the turn once for
        a batch or crop, which gives the same 8 ways.
    """
    check_pair(lq, hq)
    check_interval(p, "p", 0, 1)
    check_generator(generator)
    square = lq.shape[-2] == lq.shape[-1]
    all_eight = square or same_on_batch
    k = _drawn(lq, p, same_on_batch, all_eight, generator) if replay is None else _replayed(replay, lq)
    # Where the size of the result depends on the numbers, and only there, they are needed here and now.
    turned = not square and (same_on_batch or replay is not None) and _turned(k)
    out = _moved(lq, k, turned), _moved(hq, k, turned)
    return (*out, FlipRotateParams(k)) if return_params else out


def _drawn(lq: Tensor, p: float, same_on_batch: bool, all_eight: bool, generator: torch.Generator | None) -> Tensor:
    n = lq.shape[0]
    draws = uniform((1 if same_on_batch else n, 2), device=lq.device, generator=generator)
    # Even numbers keep the shape. A draw is at most 1 - 2^-24, so that 8 is never reached.
    k = (draws[:, 0] * 8).long() if all_eight else (draws[:, 0] * 4).long() * 2
    return torch.where(draws[:, 1] < p, k, 0).expand(n)


def _replayed(replay: FlipRotateParams, lq: Tensor) -> Tensor:
    if not isinstance(replay, FlipRotateParams):
        raise TypeError(f"replay must be the FlipRotateParams of an earlier call, got {type(replay).__name__}")
    if replay.k.shape != lq.shape[:1]:
        raise ValueError(f"replay is for {len(replay.k)} pictures, got {lq.shape[0]}")
    return replay.k.to(lq.device)


def _turned(k: Tensor) -> bool:
    """Whether height and width are exchanged in all pictures (True) or in none (False)."""
    odd = k % 2 == 1
    if bool(odd.any()) != bool(odd.all()):
        raise ValueError("replay turns some pictures and not others, which takes square pictures; replay it on those")
    return bool(odd[0])


def _moved(x: Tensor, k: Tensor, turned: bool) -> Tensor:
    """``image.dihedral(x[i], k[i])`` for each i, as one gather: no number is read back from a device.

    Pixel (r, c) of the result is pixel ``start + down * r + right * c`` of the picture.
    """
    n, channels, height, width = x.shape
    down = torch.where(k % 2 == 1, 1, width)  # a step along the first axis of the result, before any mirror
    right = torch.where(k % 2 == 1, width, 1)
    rows, columns = (width, height) if turned else (height, width)
    upset = (k + 1) // 2 % 2 == 1  # 1, 2, 5, 6: mirrored upside down after the axes are exchanged
    mirrored = (k >= 2) & (k < 6)
    start = upset * down * (rows - 1) + mirrored * right * (columns - 1)
    down, right = torch.where(upset, -down, down), torch.where(mirrored, -right, right)
    row, column = torch.arange(rows, device=x.device), torch.arange(columns, device=x.device)
    place = (start[:, None] + down[:, None] * row).unsqueeze(2) + (right[:, None] * column).unsqueeze(1)
    source = place.view(n, 1, rows * columns).expand(-1, channels, -1)
    return x.flatten(2).gather(2, source).view(n, channels, rows, columns)
