"""Mean squared error and its root."""

import torch
from torch import Tensor
from torch.nn import functional as F

from restorekit.image._bands import eager_on_cpu
from restorekit.metrics._prepare import prepare
from restorekit.metrics._threads import share_out

_PIXELS = 2**18  # values of a strip of rows: its differences stay in cache
_SMALL = 2**20  # values of which a map costs nothing; sharing them out to threads would


def mse(
    prediction: Tensor,
    target: Tensor,
    *,
    crop_border: int = 0,
    y_channel: bool = False,
    data_range: float = 1.0,
) -> Tensor:
    """Mean squared error of each picture, in the pictures' own unit squared: not divided by ``data_range``.

    Half types are computed in float32, other types in their own. NaN anywhere in a picture makes its value NaN.

    Args:
        prediction: Pictures to judge, (N, C, H, W), in [0, data_range].
        target: The true pictures, of the same shape, dtype and device.
        crop_border: Pixels left out on every side; super-resolution papers take the scale.
        y_channel: Compare the BT.601 studio luma (16/255 to 235/255 of ``data_range``, unrounded) of RGB pictures.
        data_range: Largest value that a pixel can have; it matters for the luma only.

    Returns:
        One value per picture, 0 or above, (N,).

    Raises:
        TypeError: Either argument is no real floating-point tensor, or an option has the wrong type.
        ValueError: The batches differ, ``y_channel`` meets other than 3 channels, or the crop leaves nothing.

    Example:
        >>> dark, light = torch.zeros(2, 3, 8, 8), torch.full((2, 3, 8, 8), 0.5)
        >>> mse(dark, light).tolist()
        [0.25, 0.25]
    """
    first, second = prepare(prediction, target, crop_border=crop_border, y_channel=y_channel, data_range=data_range)
    recorded = torch.is_grad_enabled() and (first.requires_grad or second.requires_grad)
    if first.numel() > _SMALL and eager_on_cpu(first, second) and not recorded:
        return _strip_by_strip(first, second) / first[0].numel()
    # The gradient of a mean fills a map of its own before it meets that of the squares; that of a sum does not.
    return F.mse_loss(first, second, reduction="none").sum(dim=(1, 2, 3)) / first[0].numel()


def _strip_by_strip(first: Tensor, second: Tensor) -> Tensor:
    """Sum of squared errors of each picture, (N,), without a map of them as large as the picture."""
    count, channels, height, width = first.shape
    rows = max(1, _PIXELS // (channels * width))
    strips = [(i, slice(top, top + rows)) for i in range(count) for top in range(0, height, rows)]

    def error(strip: tuple[int, slice]) -> Tensor:
        i, place = strip
        return (first[i, :, place] - second[i, :, place]).square_().sum().double()

    errors = torch.stack(share_out(lambda: error, strips))
    return errors.view(count, -1).sum(dim=1).to(first.dtype)


def rmse(
    prediction: Tensor,
    target: Tensor,
    *,
    crop_border: int = 0,
    y_channel: bool = False,
    data_range: float = 1.0,
) -> Tensor:
    """Root of the mean squared error of each picture, in the pictures' own unit.

    Identical pictures give 0; of the slopes that the root has there, the gradient takes 0. NaN anywhere in a picture
    makes its value NaN.

    Args:
        prediction: Pictures to judge, (N, C, H, W), in [0, data_range].
        target: The true pictures, of the same shape, dtype and device.
        crop_border: Pixels left out on every side; super-resolution papers take the scale.
        y_channel: Compare the BT.601 studio luma (16/255 to 235/255 of ``data_range``, unrounded) of RGB pictures.
        data_range: Largest value that a pixel can have; it matters for the luma only.

    Returns:
        One value per picture, 0 or above, (N,).

    Raises:
        TypeError: Either argument is no real floating-point tensor, or an option has the wrong type.
        ValueError: The batches differ, ``y_channel`` meets other than 3 channels, or the crop leaves nothing.

    Example:
        >>> dark, light = torch.zeros(2, 3, 8, 8), torch.full((2, 3, 8, 8), 0.5)
        >>> rmse(dark, light).tolist()
        [0.5, 0.5]
    """
    error = mse(prediction, target, crop_border=crop_border, y_channel=y_channel, data_range=data_range)
    # The slope of the root at 0 is infinite, and infinity times the error's own slope, 0, would be NaN.
    exact = error == 0
    return torch.where(exact, 0, torch.where(exact, 1, error).sqrt())
