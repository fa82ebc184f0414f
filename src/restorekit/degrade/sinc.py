"""The sinc filter: an ideal low-pass that rings, as sharpening and codecs do."""

import torch
from torch import Tensor

from restorekit._check import check_batch
from restorekit.degrade._filtering import Border, check_border, check_kernel_size, filter_each
from restorekit.degrade._kernels import distances
from restorekit.degrade._level import finished, per_picture
from restorekit.degrade._pieces import total


def sinc_blur(
    x: Tensor, level: float | Tensor, *, kernel_size: int = 21, border: Border = "reflect", clip: bool = True
) -> Tensor:
    """Cut all frequencies above a radius off, with a window short enough to leave ringing at edges.

    The kernel is ``level * J1(level * r) / (2 pi r)`` at distance r, cut to ``kernel_size`` and scaled to sum to 1.

    Args:
        x: Pictures (N, C, H, W) in [0, 1].
        level: Cutoff frequency in radians per pixel, in [0.05, 3.15]; smaller is blurrier, and pi takes away little. A
            number or one for each picture (N,).
        kernel_size: Height and width of the kernel, odd.
        border: What lies beyond the edge, as in ``image.filter2d``.
        clip: Clamp the result to [0, 1].

    Returns:
        Pictures (N, C, H, W) of the dtype of ``x``, differentiable with respect to ``x``, not to ``level``.

    Raises:
        TypeError: ``x`` is not a floating-point tensor, or an argument not what its name says.
        ValueError: ``level`` is outside its range or has the wrong length, or ``kernel_size`` or ``border`` is wrong.

    Example:
        >>> x = torch.zeros(1, 1, 9, 9)
        >>> x[..., 5:] = 0.5
        >>> bool(sinc_blur(x, 1.5, kernel_size=9).max() > 0.52)  # it rings
        True

    Source: Wang et al., "Real-ESRGAN", ICCVW 2021 (arXiv:2107.10833), section 3.4.
    """
    check_batch(x)
    check_kernel_size(kernel_size)
    check_border(border)
    cutoffs = per_picture(level, "level", x, 0.05, 3.15, unit="radians per pixel").flatten()
    kernels = (_sinc_kernel(cutoff, kernel_size) for cutoff in cutoffs)
    return finished(filter_each(x, kernels, border, mean=False), x, clip)


@torch.no_grad()
def _sinc_kernel(cutoff: Tensor, kernel_size: int) -> Tensor:
    """The kernel (K, K) for a cutoff ()."""
    place = distances(kernel_size // 2, cutoff)
    distance = torch.hypot(place[:, None], place[None, :])
    # At the centre J1(c r) / r tends to c / 2.
    ring = torch.where(distance > 0, torch.special.bessel_j1(cutoff.double() * distance) / distance, cutoff / 2)
    return ring / total(ring)
