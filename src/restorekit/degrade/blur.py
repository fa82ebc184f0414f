"""Blurs: Gaussian, by motion along a line, and out of focus."""

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from restorekit._check import check_batch
from restorekit.degrade._filtering import (
    Border,
    check_border,
    check_kernel_size,
    filter_each,
    filtered,
    filtered_separably,
)
from restorekit.degrade._kernels import disc, gaussian_taps, line, turned_gaussian
from restorekit.degrade._level import finished, per_picture
from restorekit.image._precision import full_precision

_TURN = 2 * math.pi


def gaussian_blur(
    x: Tensor,
    level: float | Sequence[float] | Tensor,
    *,
    angle: float | Tensor = 0.0,
    kernel_size: int | None = None,
    border: Border = "replicate",
) -> Tensor:
    """Blur with a Gaussian: round, or stretched and turned.

    Differentiable in the pictures, ``level`` and ``angle``.
    Reading a ``level`` from another device, for the radius, waits for it.

    Args:
        x: Pictures (N, C, H, W) in [0, 1].
        level: Standard deviation in pixels, in [0, 100]; 0 leaves the picture as it is. A number or one for each
            picture (N,); a pair, or (N, 2), stretches the kernel: along ``angle`` and across it.
        angle: Direction of the first axis in radians, from the horizontal, counter-clockwise as seen in the picture, in
            [-2 pi, 2 pi]; a number or one for each picture (N,).
        kernel_size: Taps on each axis, odd. None takes those within 4 standard deviations, for each picture its own.
        border: What lies beyond the edge, as in ``image.filter2d``, without "valid".

    Returns:
        Pictures (N, C, H, W) of the dtype of ``x``.

    Raises:
        TypeError: ``x`` is not a floating-point tensor, or another argument is not what its name says.
        ValueError: ``level`` or ``angle`` is outside its range or has the wrong length, ``kernel_size`` is even, or
            ``border`` is unknown.

    Example:
        >>> dot = torch.nn.functional.pad(torch.ones(1, 1, 1, 1), (1, 1, 1, 1))
        >>> [round(value, 3) for value in gaussian_blur(dot, 0.5)[0, 0, 1].tolist()]
        [0.084, 0.619, 0.084]

    Source: The default is ``skimage.filters.gaussian(mode="nearest", truncate=4)``, which Ahn's distortion generator
        calls with what the thesis (section 7.3) names a variance. ``kernel_size=21`` makes the kernel of RL-Restore.
    """
    check_batch(x)
    check_border(border)
    if kernel_size is not None:
        check_kernel_size(kernel_size)
    sigma = _sigmas(level, x)
    turn = per_picture(angle, "angle", x, -_TURN, _TURN, unit="radians").flatten()
    radius = None if kernel_size is None else kernel_size // 2
    with full_precision(x.device):
        out = [
            _gaussian(picture, widths, direction, radius, border)
            for picture, widths, direction in zip(x.to(sigma.dtype), sigma, turn, strict=True)
        ]
    return finished(torch.stack(out), x, clip=False)


def _sigmas(level: float | Sequence[float] | Tensor, x: Tensor) -> Tensor:
    """Standard deviations (N, 2), or (N, 1) if round."""
    if isinstance(level, (tuple, list)):
        widths: Sequence[float | Tensor] = level
    elif isinstance(level, Tensor) and level.ndim == 2:
        widths = level.unbind(1)
    else:
        return per_picture(cast("float | Tensor", level), "level", x, 0, 100, unit="px").flatten(1)
    if len(widths) != 2:
        raise ValueError(f"level must be one standard deviation or a pair, along and across, got {len(widths)} of them")
    return torch.cat([per_picture(width, "level", x, 0, 100, unit="px") for width in widths], dim=1).flatten(1)


def _gaussian(picture: Tensor, widths: Tensor, angle: Tensor, radius: int | None, border: Border) -> Tensor:
    """Blur one picture (C, H, W) by ``widths`` (1,) or (2,) at ``angle`` ()."""
    radii = [int(4 * sigma + 0.5) if radius is None else radius for sigma in widths.tolist()]
    if not _is_separable(widths, angle):
        return filtered(picture, turned_gaussian(widths, angle, max(radii)), border)
    taps = [gaussian_taps(width, reach) for width, reach in zip(widths, radii, strict=True)]
    is_level = abs(math.cos(angle.item())) > 0.5
    down, along = (taps[-1], taps[0]) if is_level else (taps[0], taps[-1])
    return filtered_separably(picture, down, along, border)


def _is_separable(widths: Tensor, angle: Tensor) -> bool:
    if len(widths) == 1 or (not widths.requires_grad and bool(widths[0] == widths[1])):
        return True
    # pi / 2 in float32 is off by 4e-8.
    return not angle.requires_grad and abs(math.sin(2 * angle.item())) < 1e-6


def motion_blur(
    x: Tensor, level: float | Tensor, *, angle: float | Tensor = 0.0, border: Border = "replicate"
) -> Tensor:
    """Blur as if the camera had moved evenly along a straight line.

    Each pixel of the kernel weighs what part of the line lies in it: an odd ``level`` along an axis makes a box.
    Differentiable in the pictures and in ``level``. Reading either from another device waits for it.

    Args:
        x: Pictures (N, C, H, W) in [0, 1].
        level: Length of the line in pixels, in [1, 255], not necessarily whole; 1 leaves the picture as it is. A number
            or one for each picture (N,).
        angle: Direction in radians, from the horizontal, counter-clockwise as seen in the picture, in [-2 pi, 2 pi]; a
            number or one for each picture (N,).
        border: What lies beyond the edge, as in ``image.filter2d``, without "valid".

    Returns:
        Pictures (N, C, H, W) of the dtype of ``x``.

    Raises:
        TypeError: ``x`` is not a floating-point tensor, or ``level`` or ``angle`` no number.
        ValueError: ``level`` or ``angle`` is outside its range or has the wrong length, or ``border`` is unknown.

    Example:
        >>> x = torch.tensor([[[[0.0, 0.0, 0.75, 0.0, 0.0]]]])
        >>> [round(value, 3) for value in motion_blur(x, 3).flatten().tolist()]
        [0.0, 0.25, 0.25, 0.25, 0.0]
    """
    check_batch(x)
    check_border(border)
    lengths = per_picture(level, "level", x, 1, 255, unit="px").flatten()
    turns = per_picture(angle, "angle", x, -_TURN, _TURN, unit="radians").flatten()
    kernels = (line(length, turn) for length, turn in zip(lengths, turns, strict=True))
    return finished(filter_each(x, kernels, border), x, clip=False)


def defocus_blur(x: Tensor, level: float | Tensor, *, border: Border = "replicate") -> Tensor:
    """Blur as an open lens out of focus does: the mean over a disc.

    Each pixel of the kernel weighs what part of the disc lies in it, taken in closed form. Differentiable in the
    pictures and in ``level``. Reading ``level`` from another device waits for it.

    Args:
        x: Pictures (N, C, H, W) in [0, 1].
        level: Radius of the disc in pixels, in [0, 100]; up to 0.5 leaves the picture as it is. A number or one for
            each picture (N,).
        border: What lies beyond the edge, as in ``image.filter2d``, without "valid".

    Returns:
        Pictures (N, C, H, W) of the dtype of ``x``.

    Raises:
        TypeError: ``x`` is not a floating-point tensor, or ``level`` no number.
        ValueError: ``level`` is outside its range or has the wrong length, or ``border`` is unknown.

    Example:
        >>> dot = torch.nn.functional.pad(torch.ones(1, 1, 1, 1), (1, 1, 1, 1))
        >>> [round(value, 3) for value in defocus_blur(dot, 1.0)[0, 0, 1].tolist()]
        [0.145, 0.318, 0.145]
    """
    check_batch(x)
    check_border(border)
    radii = per_picture(level, "level", x, 0, 100, unit="px").flatten()
    return finished(filter_each(x, map(disc, radii), border), x, clip=False)
