"""Flips and rotations of pairs."""

from dataclasses import dataclass
from typing import Literal, Unpack, overload

import torch
from torch import Tensor

from restorekit.augment._pair import Options, Pair, Record, Source, check_pair, check_size, replayed, taken


@dataclass(frozen=True, eq=False)
class FlipRotateParams(Record):
    """What ``flip_rotate`` decided.

    Args:
        k: Which of the eight each picture went through, (N,) int64, numbered as in ``image.dihedral``.
    """

    k: Tensor

    def check(self, lq: Tensor) -> None:
        check_size(lq, len(self.k), None)
        self._turned(lq)

    def apply(self, lq: Tensor, hq: Tensor, rows: Tensor | None = None) -> Pair:
        turned = self._turned(lq)
        return _moved(taken(lq, rows), self.k, turned), _moved(taken(hq, rows), self.k, turned)

    def _turned(self, lq: Tensor) -> bool:
        """Whether the result has another shape, which takes the same for all; only then is ``k`` read here and now."""
        if lq.shape[-2] == lq.shape[-1]:
            return False
        odd = self.k % 2 == 1
        if bool(odd.any()) != bool(odd.all()):
            raise ValueError(
                "replay turns some pictures and not others, which takes square pictures; replay it on those"
            )
        return bool(odd.all())


def draw_flip_rotate(source: Source, *, p: float = 1.0) -> FlipRotateParams:
    """Decide for each picture."""
    draws = source.uniform()
    all_eight = source.size[0] == source.size[1] or source.same_on_batch
    # Even numbers keep the shape. A draw is at most 1 - 2^-24, so that 8 is never reached.
    k = (draws * 8).long() if all_eight else (draws * 4).long() * 2
    return FlipRotateParams(torch.where(source.applied(p), k, 0))


@overload
def flip_rotate(
    lq: Tensor, hq: Tensor, *, return_params: Literal[False] = ..., **options: Unpack[Options[FlipRotateParams]]
) -> Pair: ...
@overload
def flip_rotate(
    lq: Tensor, hq: Tensor, *, return_params: Literal[True], **options: Unpack[Options[FlipRotateParams]]
) -> tuple[Tensor, Tensor, FlipRotateParams]: ...
@overload
def flip_rotate(
    lq: Tensor, hq: Tensor, *, return_params: bool, **options: Unpack[Options[FlipRotateParams]]
) -> Pair | tuple[Tensor, Tensor, FlipRotateParams]: ...
def flip_rotate(
    lq: Tensor,
    hq: Tensor,
    *,
    p: float = 1.0,
    same_on_batch: bool = False,
    generator: torch.Generator | None = None,
    return_params: bool = False,
    replay: FlipRotateParams | None = None,
) -> Pair | tuple[Tensor, Tensor, FlipRotateParams]:
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
    if replay is None:
        params = draw_flip_rotate(Source(lq, same_on_batch, generator), p=p)
    else:
        params = replayed(replay, FlipRotateParams, lq)
    pair = params.apply(lq, hq)
    return (*pair, params) if return_params else pair


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
