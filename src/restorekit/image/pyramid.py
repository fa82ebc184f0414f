"""The Laplacian pyramid: a picture as band-pass pictures of halved sizes and what is left, and back."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from restorekit._check import check_batch, check_integer, check_same_kind
from restorekit.image.filters import filter_separable

_BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
_SHORTEST = 8  # by default a picture with a shorter side is not halved again


def laplacian_pyramid(x: Tensor, levels: int | None = None) -> list[Tensor]:
    """Split pictures into bands of about an octave each.

    Each step smooths, keeps every second row and column, and takes away from the picture what enlarging these gives.

    Args:
        x: Pictures (N, C, H, W), any size of at least 1 px; float16 and bfloat16 are filtered in float32.
        levels: How many times the picture is halved, at least 0; None: until its shorter side is below 8 pixels.
            A picture of one pixel stays one pixel, and its bands are 0.

    Returns:
        ``levels + 1`` tensors, the finest first: bands around 0 of (H, W), of half that size rounded up, and so on, and
        last the smallest picture itself. ``collapse_pyramid`` makes ``x`` of them again.

    Raises:
        TypeError: ``x`` is not a real floating-point tensor, or ``levels`` not an integer.
        ValueError: ``x`` has another rank or is empty, or ``levels`` is below 0.

    Example:
        >>> [tuple(band.shape[-2:]) for band in laplacian_pyramid(torch.rand(1, 3, 21, 30))]
        [(21, 30), (11, 15), (6, 8)]

    Source: Burt and Adelson, "The Laplacian pyramid as a compact image code", 1983, with the 5-tap binomial kernel
        (their a = 0.375) and pictures mirrored about their outermost pixels, for which the paper fixes nothing.
    """
    check_batch(x)
    if levels is None:
        levels = _default_levels(x)
    check_integer(levels, "levels", 0)
    bands = []
    for _ in range(levels):
        smaller = _halved(x)
        bands.append(x - _doubled(smaller, x.shape[-2], x.shape[-1]))
        x = smaller
    return [*bands, x.clone() if levels == 0 else x]


def collapse_pyramid(pyramid: Sequence[Tensor]) -> Tensor:
    """Put the bands of ``laplacian_pyramid`` together again: its exact inverse, up to rounding.

    Args:
        pyramid: Tensors (N, C, h, w), the finest first, each of half the size before it, rounded up; one is enough.

    Returns:
        Pictures (N, C, H, W) of the size and dtype of the first.

    Raises:
        TypeError: ``pyramid`` holds anything but real floating-point tensors.
        ValueError: ``pyramid`` is empty, or its tensors do not belong together: batch, channels, dtype, device, size.

    Example:
        >>> x = torch.rand(1, 3, 21, 30)
        >>> torch.allclose(collapse_pyramid(laplacian_pyramid(x)), x, atol=1e-6)
        True

    Source: Burt and Adelson, 1983, as in ``laplacian_pyramid``.
    """
    _check_pyramid(pyramid)
    x = pyramid[-1].clone()
    for band in reversed(pyramid[:-1]):
        x = band + _doubled(x, band.shape[-2], band.shape[-1])
    return x


def _default_levels(x: Tensor) -> int:
    """How often pictures are halved until their shorter side is below 8 pixels."""
    side, levels = min(x.shape[-2:]), 0
    while side >= _SHORTEST:
        side, levels = (side + 1) // 2, levels + 1
    return levels


def _halved(x: Tensor) -> Tensor:
    kernel = torch.tensor(_BINOMIAL, dtype=torch.float64, device=x.device)
    return filter_separable(x, kernel, kernel)[..., ::2, ::2].contiguous()


def _doubled(x: Tensor, height: int, width: int) -> Tensor:
    """Zeros between the pixels, then the kernel at twice its weight on each axis."""
    spread = x.new_zeros(*x.shape[:2], height, width)
    spread[..., ::2, ::2] = x
    twice = 2 * torch.tensor(_BINOMIAL, dtype=torch.float64, device=x.device)
    # Along an axis of one pixel nothing was put in between, and every tap would fall on that pixel.
    one = twice.new_ones(1)
    return filter_separable(spread, one if height == 1 else twice, one if width == 1 else twice)


def _check_pyramid(pyramid: Sequence[Tensor]) -> None:
    if not isinstance(pyramid, Sequence):
        raise TypeError(f"pyramid must be a sequence of tensors, the finest first, got {type(pyramid).__name__}")
    if not pyramid:
        raise ValueError("pyramid must hold at least one tensor, got none")
    for i, band in enumerate(pyramid):
        check_batch(band, f"pyramid[{i}]")
    for i, (band, smaller) in enumerate(pairwise(pyramid)):
        check_same_kind(band, smaller, (f"pyramid[{i}]", f"pyramid[{i + 1}]"))
        expected = (*band.shape[:2], (band.shape[-2] + 1) // 2, (band.shape[-1] + 1) // 2)
        if smaller.shape != expected:
            raise ValueError(
                f"pyramid[{i + 1}] must have the shape {expected}, half of the one before it, rounded up, "
                f"got {tuple(smaller.shape)}"
            )
