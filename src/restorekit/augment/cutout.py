"""Cutout: parts of the damaged picture that a network never sees."""

from dataclasses import dataclass
from typing import Literal, Unpack, get_args, overload

import torch
from torch import Tensor

from restorekit._check import check_interval
from restorekit.augment._pair import (
    Decisions,
    Options,
    Pair,
    Source,
    box_map,
    check_pair,
    enlarged,
    per_picture,
    replayed,
    scale_of,
    taken,
)

Shape = Literal["pixels", "rectangle"]

_PUBLISHED: dict[Shape, float] = {"pixels": 0.001, "rectangle": 0.5}


@dataclass(frozen=True, eq=False)
class CutoutParams(Decisions):
    """What one call of ``cutout`` decided.

    Args:
        keep: Which pixels of ``lq`` stay (N, 1, H, W): all of a picture that is not augmented.
    """

    keep: Tensor

    def apply(self, lq: Tensor, hq: Tensor, rows: Tensor | None = None) -> Pair:
        return torch.where(self.keep, taken(lq, rows), 0), hq

    def mask(self, lq: Tensor, hq: Tensor) -> Tensor:
        """Ones where the target counts, zeros where its pixel of ``lq`` was cut out (N, 1, s*H, s*W)."""
        return enlarged(self.keep.to(lq.dtype), scale_of(lq, hq))


def draw_cutout(source: Source, *, alpha: float | None = None, p: float = 1.0, shape: Shape = "pixels") -> CutoutParams:
    """Decide for each picture."""
    if shape not in get_args(Shape):
        raise ValueError(f"shape must be one of {', '.join(get_args(Shape))}, got {shape!r}")
    alpha = _PUBLISHED[shape] if alpha is None else alpha
    check_interval(alpha, "alpha", 0, 1)
    if shape == "pixels":
        drawn = source.uniform(1, *source.size)
        applied = source.applied(p, alpha)
        keep = drawn >= per_picture(applied * alpha)
    else:
        box = source.box(alpha, deviation=0)
        applied = source.applied(p, alpha)
        keep = box_map(box, source.size, 1, outside=1.0, step=-applied.float()).bool()
    return CutoutParams(applied, source.size, keep)


class _Keywords(Options[CutoutParams], total=False):
    alpha: float | None
    shape: Shape


@overload
def cutout(
    lq: Tensor,
    hq: Tensor,
    *,
    return_mask: Literal[False] = ...,
    return_params: Literal[False] = ...,
    **options: Unpack[_Keywords],
) -> Pair: ...
@overload
def cutout(
    lq: Tensor,
    hq: Tensor,
    *,
    return_mask: Literal[True],
    return_params: Literal[False] = ...,
    **options: Unpack[_Keywords],
) -> tuple[Tensor, Tensor, Tensor]: ...
@overload
def cutout(
    lq: Tensor,
    hq: Tensor,
    *,
    return_mask: Literal[False] = ...,
    return_params: Literal[True],
    **options: Unpack[_Keywords],
) -> tuple[Tensor, Tensor, CutoutParams]: ...
@overload
def cutout(
    lq: Tensor, hq: Tensor, *, return_mask: Literal[True], return_params: Literal[True], **options: Unpack[_Keywords]
) -> tuple[Tensor, Tensor, Tensor, CutoutParams]: ...
@overload
def cutout(
    lq: Tensor, hq: Tensor, *, return_mask: bool = ..., return_params: bool = ..., **options: Unpack[_Keywords]
) -> tuple[Tensor | CutoutParams, ...]: ...
def cutout(
    lq: Tensor,
    hq: Tensor,
    *,
    alpha: float | None = None,
    p: float = 1.0,
    shape: Shape = "pixels",
    same_on_batch: bool = False,
    generator: torch.Generator | None = None,
    return_mask: bool = False,
    return_params: bool = False,
    replay: CutoutParams | None = None,
) -> tuple[Tensor | CutoutParams, ...]:
    """Set some pixels of the damaged picture, or a rectangle, to zero; the target stays as it is.

    With ``return_mask=True`` comes the mask by which prediction and target are multiplied before the loss, so that
    what was cut out does not count.

    Args:
        lq: Damaged pictures (N, C, H, W), any float dtype.
        hq: Clean pictures (N, C, s*H, s*W) for an integer s >= 1; same dtype and device.
        alpha: For "pixels" the probability of each pixel of ``lq`` to be cut out, None being the published 0.001; for
            "rectangle" its side as a share of the picture's, None being 0.5. In [0, 1]; 0 switches it off.
        p: Probability that a picture is augmented, in [0, 1].
        shape: "pixels", or "rectangle": one, placed uniformly inside the picture.
        same_on_batch: Draw once for the whole batch instead of once for each picture.
        generator: Source of the draws. How many it gives depends on N and the size of ``lq`` alone.
        return_mask: Return the mask as well.
        return_params: Return the decisions as well.
        replay: Decisions of an earlier call for N pictures with an ``lq`` of the same height and width; they are
            repeated, and ``alpha``, ``p``, ``shape``, ``same_on_batch`` and ``generator`` are not used.

    Returns:
        ``lq`` in a new tensor, also where nothing changes, and ``hq`` itself; if asked for, the mask (N, 1, s*H, s*W)
        in the dtype of ``lq``, 1 for what was kept; then, if asked for, the decisions (``applied``, ``keep``).

    Raises:
        TypeError: ``lq`` or ``hq`` is not a real floating-point tensor, or an argument is not what its name says.
        ValueError: ``alpha`` or ``p`` is outside [0, 1], ``shape`` is unknown, ``replay`` is for another size, or the
            pair differs in batch, channels, dtype, device, or in size by anything but one integer factor.

    Example:
        >>> lq, hq, mask = cutout(torch.ones(1, 3, 8, 8), torch.ones(1, 3, 16, 16), alpha=0.5, return_mask=True)
        >>> mask.shape, torch.equal(lq[:, :1], mask[:, :, ::2, ::2])
        (torch.Size([1, 1, 16, 16]), True)

    Source: DeVries and Taylor, arXiv:1708.04552, whose rectangle may reach over the border. Pixels are those of Yoo,
        Ahn and Sohn, CVPR 2020 (arXiv:2004.00448), and Ahn's thesis, table 4.1; section 4.4.1 takes a quarter of the
        picture for the rectangle. The authors' code enlarges ``lq`` beforehand and so drops pixels of the size of the
        target's; the thesis' count, 2 or 3 pixels of 48 x 48, is that of ``lq``, as here.
    """
    check_pair(lq, hq)
    if replay is None:
        params = draw_cutout(Source(lq, same_on_batch, generator), alpha=alpha, p=p, shape=shape)
    else:
        params = replayed(replay, CutoutParams, lq)
    mask = (params.mask(lq, hq),) if return_mask else ()
    return *params.apply(lq, hq), *mask, *((params,) if return_params else ())
