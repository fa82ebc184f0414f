"""RGB to and from YCbCr, BT.601 studio range, in [0, 1] units."""

import numpy as np
import torch
from torch import Tensor

from restorekit._check import check_batch

# Rows give Y, Cb, Cr of an RGB picture in [0, 1], in steps of 1/255; MATLAB's rgb2ycbcr uses the same numbers.
_FORWARD = ((65.481, 128.553, 24.966), (-37.797, -74.203, 112.0), (112.0, -93.786, -18.214))
_OFFSET = (16.0, 128.0, 128.0)

_INVERSE: list[list[float]] = np.linalg.inv(np.array(_FORWARD)).tolist()


def _weighted(x: Tensor, weights: tuple[float, ...] | list[float], offset: float) -> Tensor:
    """``sum_c weights[c] * x[:, c] + offset``, (N, C, H, W) to (N, H, W); plain numbers never make the device wait."""
    first, second, third = x.unbind(1)
    out = first * weights[0]
    return out.add_(second, alpha=weights[1]).add_(third, alpha=weights[2]).add_(offset)


def _luma(x: Tensor) -> Tensor:
    return _weighted(x, [w / 255 for w in _FORWARD[0]], _OFFSET[0] / 255)


def _working(x: Tensor) -> Tensor:
    """Half precisions are computed in float32: one rounding, at the end."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def rgb_to_ycbcr(x: Tensor) -> Tensor:
    """Convert RGB to YCbCr (BT.601, studio range); nothing is clamped.

    Args:
        x: RGB pictures (N, 3, H, W) in [0, 1]; float16 and bfloat16 are computed in float32 and rounded once.

    Returns:
        Y, Cb, Cr stacked as (N, 3, H, W): Y in [16/255, 235/255], Cb and Cr in [16/255, 240/255].

    Raises:
        TypeError: ``x`` is not a real floating-point tensor.
        ValueError: ``x`` is not a non-empty (N, 3, H, W).

    Example:
        >>> white = torch.ones(1, 3, 1, 1)
        >>> [round(value) for value in (rgb_to_ycbcr(white) * 255).flatten().tolist()]
        [235, 128, 128]

    Source: ITU-R BT.601 with the rounded coefficients of MATLAB's ``rgb2ycbcr``, which SR papers use.
    """
    check_batch(x, channels=3)
    work = _working(x)
    chroma = [
        _weighted(work, [w / 255 for w in row], offset / 255)
        for row, offset in zip(_FORWARD[1:], _OFFSET[1:], strict=True)
    ]
    return torch.stack([_luma(work), *chroma], dim=1).to(x.dtype)


def ycbcr_to_rgb(x: Tensor) -> Tensor:
    """Convert YCbCr (BT.601, studio range) to RGB: the exact inverse of ``rgb_to_ycbcr``; nothing is clamped.

    Args:
        x: Y, Cb, Cr stacked as (N, 3, H, W), Y in [16/255, 235/255], Cb and Cr in [16/255, 240/255]; float16 and
            bfloat16 are computed in float32 and rounded once.

    Returns:
        RGB pictures (N, 3, H, W), in [0, 1] when ``x`` came from RGB in [0, 1].

    Raises:
        TypeError: ``x`` is not a real floating-point tensor.
        ValueError: ``x`` is not a non-empty (N, 3, H, W).

    Example:
        >>> x = torch.rand(1, 3, 2, 2)
        >>> torch.allclose(ycbcr_to_rgb(rgb_to_ycbcr(x)), x, atol=1e-6)
        True

    Source: the inverse of the matrix in ``rgb_to_ycbcr``, in float64; not the rounded 1.164, 1.596, ... of tables.
    """
    check_batch(x, channels=3)
    work = _working(x)
    planes = [
        _weighted(work, [w * 255 for w in row], -sum(w * offset for w, offset in zip(row, _OFFSET, strict=True)))
        for row in _INVERSE
    ]
    return torch.stack(planes, dim=1).to(x.dtype)


def rgb_to_y(x: Tensor) -> Tensor:
    """Luma of RGB pictures (BT.601, studio range): the first channel of ``rgb_to_ycbcr``, and only that is computed.

    Args:
        x: RGB pictures (N, 3, H, W) in [0, 1]; float16 and bfloat16 are computed in float32 and rounded once.

    Returns:
        Y as (N, 1, H, W) in [16/255, 235/255].

    Raises:
        TypeError: ``x`` is not a real floating-point tensor.
        ValueError: ``x`` is not a non-empty (N, 3, H, W).

    Example:
        >>> (rgb_to_y(torch.zeros(1, 3, 1, 1)) * 255).round().item()
        16.0

    Source: ITU-R BT.601 with the rounded coefficients of MATLAB's ``rgb2ycbcr``.
    """
    check_batch(x, channels=3)
    return _luma(_working(x)).unsqueeze(1).to(x.dtype)
