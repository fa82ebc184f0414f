"""Peak signal-to-noise ratio."""

import math

import torch
from torch import Tensor

from restorekit.metrics.mse import mse


def psnr(
    prediction: Tensor,
    target: Tensor,
    *,
    crop_border: int = 0,
    y_channel: bool = False,
    data_range: float = 1.0,
) -> Tensor:
    """Peak signal-to-noise ratio of each picture, in dB.

        psnr = 10 log10(data_range^2 / mean((prediction - target)^2))

    Identical pictures give ``inf`` and, since no direction is better than another there, a gradient of 0. Nothing is
    clamped, rounded or kept away from zero. Half types are computed in float32, other types in their own. NaN anywhere
    in a picture makes its value NaN.

    Args:
        prediction: Pictures to judge, (N, C, H, W), in [0, data_range].
        target: The true pictures, of the same shape, dtype and device.
        crop_border: Pixels left out on every side; super-resolution papers take the scale.
        y_channel: Compare the BT.601 studio luma (16/255 to 235/255 of ``data_range``, unrounded) of RGB pictures,
            as super-resolution papers do; the peak stays ``data_range``.
        data_range: Largest value that a pixel can have.

    Returns:
        One value per picture, (N,).

    Raises:
        TypeError: Either argument is no real floating-point tensor, or an option has the wrong type.
        ValueError: The batches differ, ``y_channel`` meets other than 3 channels, or the crop leaves nothing.

    Example:
        >>> dark, light = torch.zeros(2, 3, 8, 8), torch.full((2, 3, 8, 8), 0.1)
        >>> psnr(dark, light).tolist()
        [20.0, 20.0]
    """
    error = mse(prediction, target, crop_border=crop_border, y_channel=y_channel, data_range=data_range)
    # The slope of the logarithm at 0 is infinite, and infinity times the error's own slope, 0, would be NaN.
    exact = error == 0
    level = torch.where(exact, -math.inf, torch.where(exact, 1, error).log10())
    return 20 * math.log10(data_range) - 10 * level
