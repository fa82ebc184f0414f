"""Resizing as a distortion: to any factor or size, without a care for aliasing."""

import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch.nn.functional as F
from torch import Tensor

from restorekit._check import check_batch, check_interval
from restorekit.degrade._level import finished
from restorekit.image import resize

Kernel = Literal["area", "bilinear", "bicubic"]


def resample(
    x: Tensor,
    level: float,
    *,
    kernel: Kernel = "bicubic",
    size: Sequence[int] | None = None,
    clip: bool = True,
) -> Tensor:
    """Resize pictures as quick software does: the kernel is not widened when shrinking, so details alias.

    Args:
        x: Pictures (N, C, H, W) in [0, 1].
        level: Factor for both sides, in [0.01, 100]; one for the batch. The size is rounded down, to at least 1.
        kernel: "area" (mean of the pixels that an output pixel covers), "bilinear" or "bicubic" (a = -0.75).
        size: Exact (height, width) of the result; ``level`` then only tells how strong the step is.
        clip: Clamp the result to [0, 1], which a bicubic kernel leaves.

    Returns:
        Pictures (N, C, h, w) of the dtype of ``x``.

    Raises:
        TypeError: ``x`` is not a floating-point tensor, or ``level`` no number.
        ValueError: ``level`` is outside its range, ``size`` not two positive integers, or ``kernel`` unknown.

    Example:
        >>> import torch
        >>> x = torch.rand(1, 3, 9, 12)
        >>> resample(x, 0.5).shape, resample(x, 0.5, kernel="area", size=(4, 4)).shape
        (torch.Size([1, 3, 4, 6]), torch.Size([1, 3, 4, 4]))

    Source: the resizing of Real-ESRGAN (arXiv:2107.10833), ``torch.nn.functional.interpolate``; "bilinear" and
        "bicubic" agree with it to rounding but do not depend on the number of threads.
    """
    check_batch(x)
    if kernel not in get_args(Kernel):
        raise ValueError(f"kernel must be one of {', '.join(get_args(Kernel))}, got {kernel!r}")
    target = resampled_size((x.shape[-2], x.shape[-1]), level, size)
    if kernel == "area":
        work = x.double() if x.dtype.itemsize > 4 else x.float()
        return finished(F.interpolate(work.contiguous(), size=target, mode="area"), x, clip)
    return finished(resize(x, size=target, kernel=kernel, antialias=False, like="torch"), x, clip)


def resampled_size(shape: tuple[int, int], level: float, size: Sequence[int] | None = None) -> tuple[int, int]:
    """Height and width after ``resample``."""
    check_interval(level, "level", 0.01, 100)
    if size is None:
        return max(1, math.floor(shape[0] * level)), max(1, math.floor(shape[1] * level))
    if (
        isinstance(size, str)
        or not isinstance(size, Sequence)
        or len(size) != 2
        or any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in size)
    ):
        raise ValueError(f"size must be two positive integers (height, width), got {size!r}")
    return size[0], size[1]
