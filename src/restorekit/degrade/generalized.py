"""Blurs whose kernels are more pointed, flatter or wider of foot than a Gaussian."""

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from restorekit._check import check_batch, check_interval
from restorekit.degrade._filtering import Border, check_border, check_kernel_size, filter_each
from restorekit.degrade._kernels import distances
from restorekit.degrade._level import finished, per_picture
from restorekit.degrade._pieces import in_pieces, total


def generalized_blur(
    x: Tensor,
    level: float | Sequence[float] | Tensor,
    *,
    beta: float = 1.0,
    plateau: bool = False,
    angle: float = 0.0,
    kernel_size: int = 21,
    border: Border = "reflect",
) -> Tensor:
    """Blur with a generalized Gaussian or a plateau-shaped kernel.

    With ``q = (along / level[0])^2 + (across / level[1])^2`` the kernel is ``exp(-q^beta / 2)``, or
    ``1 / (1 + q^beta)`` for a plateau, scaled to sum to 1.

    Args:
        x: Pictures (N, C, H, W) in [0, 1].
        level: Width sigma in px, in [0.01, 100]; a number, one for each picture (N,), or a pair (along, across).
        beta: Shape, in [0.1, 20]: 1 is the Gaussian, below 1 pointed with a wide foot, above 1 towards a disc.
        plateau: Take the plateau-shaped kernel.
        angle: Direction of the first width in radians, from the horizontal, counter-clockwise.
        kernel_size: Height and width of the kernel, odd.
        border: What lies beyond the edge, as in ``image.filter2d``.

    Returns:
        Pictures (N, C, H, W) of the dtype of ``x``.

    Raises:
        TypeError: ``x`` is not a floating-point tensor, or an argument not what its name says.
        ValueError: A number is outside its range, or a per-picture ``level`` has the wrong length.

    Example:
        >>> x = torch.rand(1, 3, 8, 8)
        >>> generalized_blur(x, (2.0, 0.7), beta=0.6, angle=0.3, kernel_size=7).shape
        torch.Size([1, 3, 8, 8])

    Source: Wang et al., "Real-ESRGAN", ICCVW 2021 (arXiv:2107.10833), section 3.2 and appendix; the exponents are those
        of the authors' code, where ``beta`` acts on the squared distance.
    """
    check_batch(x)
    check_interval(beta, "beta", 0.1, 20)
    check_interval(angle, "angle", -2 * math.pi, 2 * math.pi)
    check_kernel_size(kernel_size)
    check_border(border)
    pair: Sequence[float | Tensor]
    pair = level if isinstance(level, (tuple, list)) else (cast("float | Tensor", level),) * 2
    if len(pair) != 2:
        raise ValueError(f"level must be one number or a pair (along, across), got {level}")
    widths = torch.stack([per_picture(one, "level", x, 0.01, 100, unit="px").flatten() for one in pair], dim=1)
    kernels = (_kernel(each, beta, plateau, angle, kernel_size) for each in widths)
    return finished(filter_each(x, kernels, border), x, clip=False)


def _kernel(widths: Tensor, beta: float, plateau: bool, angle: float, kernel_size: int) -> Tensor:
    """The kernel (K, K) for ``widths`` (2,) along and across."""
    place = distances(kernel_size // 2, widths)
    up, right = -place[:, None], place[None, :]
    along, across = widths.double()
    q = ((math.cos(angle) * right + math.sin(angle) * up) / along) ** 2
    q = q + ((math.cos(angle) * up - math.sin(angle) * right) / across) ** 2
    weight = in_pieces(lambda q: _profile(q, beta, plateau), q[None])[0]
    return weight / total(weight)


def _profile(q: Tensor, beta: float, plateau: bool) -> Tensor:
    # The centre is left out of the power: its slope is infinite there for beta below 1, and its value is 1 anyhow.
    raised = torch.where(q > 0, q, 1.0) ** beta
    weight = 1 / (1 + raised) if plateau else torch.exp(-0.5 * raised)
    return torch.where(q > 0, weight, 1.0)
