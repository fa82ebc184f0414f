"""Structural similarity at several scales."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from restorekit.image._bands import eager_on_cpu
from restorekit.metrics._filtering import WINDOW
from restorekit.metrics._prepare import check_size, prepare
from restorekit.metrics._similarity import similarity

_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_SMALLEST = (WINDOW - 1) * 2 ** (len(_WEIGHTS) - 1) + 1  # 161


def ms_ssim(
    prediction: Tensor,
    target: Tensor,
    *,
    crop_border: int = 0,
    y_channel: bool = False,
    data_range: float = 1.0,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Multi-scale structural similarity of each picture, averaged over channels.

        ms_ssim = ssim_5^0.1333 cs_1^0.0448 cs_2^0.2856 cs_3^0.3001 cs_4^0.2363

    where ``ssim_5`` is ``ssim`` of the coarsest of five levels and ``cs_i`` is ``ssim`` of a finer one without its
    luminance factor, all per channel. A coarser level is the mean over 2x2 pixels. A level of a negative value counts
    as 0, and so then does the channel, with a gradient of 0. NaN anywhere in a picture makes its value NaN.
    Differentiable, as ``ssim`` is; identical pictures give exactly 1 and a gradient of exactly 0.

    Args:
        prediction: Pictures to judge, (N, C, H, W), in [0, data_range].
        target: The true pictures, of the same shape, dtype and device.
        crop_border: Pixels left out on every side before anything else; super-resolution papers take the scale.
        y_channel: Compare the BT.601 studio luma (16/255 to 235/255 of ``data_range``, unrounded) of RGB pictures.
        data_range: Largest value that a pixel can have.
        dtype: ``torch.float32`` or ``torch.float64`` to compute in. None keeps the pictures' own, with half types in
            float32.

    Returns:
        One value per picture in [0, 1], (N,).

    Raises:
        TypeError: Either argument is no real floating-point tensor, or an option has the wrong type.
        ValueError: The batches differ, ``y_channel`` meets other than 3 channels, another ``dtype`` is asked for, or
            a side is shorter than 161 pixels after the crop: of 160, four halvings leave 10, less than the window.

    Example:
        >>> black, white = torch.zeros(1, 1, 176, 176), torch.ones(1, 1, 176, 176)
        >>> [round(value.item(), 4) for value in (ms_ssim(white, white), ms_ssim(black, white))]
        [1.0, 0.293]

    Source:
        Wang, Simoncelli and Bovik, "Multi-scale structural similarity for image quality assessment", 2003, equation 7.
        What it leaves open is as in the package pytorch-msssim 1.0.0, whose values these are: a side of odd length gets
        a line of zeros before its first pixel, which counts in the mean, and the mean over channels comes last. The
        authors' own code repeats the last line instead.
    """
    first, second = prepare(
        prediction, target, crop_border=crop_border, y_channel=y_channel, data_range=data_range, dtype=dtype
    )
    reason = f"its window of {WINDOW} pixels must fit at the fifth level, after four halvings"
    check_size(first, _SMALLEST, "ms_ssim", reason, crop_border)
    value = first.new_ones(())
    for weight in _WEIGHTS[:-1]:
        value = value * _power(similarity(first, second, data_range, luminance=False), weight)
        first, second = _halve(first), _halve(second)
    return (value * _power(similarity(first, second, data_range), _WEIGHTS[-1])).mean(dim=1)


def _halve(x: Tensor) -> Tensor:
    """Means of 2x2 pixels; a side of odd length begins with a line of zeros."""
    odd = x.shape[-2] % 2, x.shape[-1] % 2
    if not eager_on_cpu(x):
        return F.avg_pool2d(x, 2, padding=odd)
    halved: Tensor = _Halve.apply(F.pad(x, (odd[1], 0, odd[0], 0)) if any(odd) else x)  # type: ignore[no-untyped-call]
    return halved


class _Halve(torch.autograd.Function):
    """Sums of slices, five times as quick as torch's pooling on a CPU; their own gradient would be slower than its."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        pairs = x[..., ::2, :] + x[..., 1::2, :]
        return torch.add(pairs[..., ::2], pairs[..., 1::2]).mul_(0.25)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return F.interpolate(grad / 4, scale_factor=2.0)


def _power(value: Tensor, exponent: float) -> Tensor:
    """Values of 0 and below to 0, where the slope of a root, infinite, must not reach the gradient; NaN stays."""
    low = value <= 0
    return torch.where(low, 0, torch.where(low, 1, value) ** exponent)
