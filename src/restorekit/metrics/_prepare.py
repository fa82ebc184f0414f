"""What every metric does first: check the pair, choose the dtype, take the luma, cut the border."""

import math

import torch
from torch import Tensor

from restorekit._check import check_integer, check_pair
from restorekit.image import rgb_to_y


def prepare(
    prediction: Tensor,
    target: Tensor,
    *,
    crop_border: int,
    y_channel: bool,
    data_range: float,
    dtype: torch.dtype | None = None,
) -> tuple[Tensor, Tensor]:
    """The two batches as a metric compares them; half types become float32 unless ``dtype`` says otherwise."""
    _check(prediction, target, crop_border=crop_border, y_channel=y_channel, data_range=data_range)
    if dtype not in (None, torch.float32, torch.float64):
        raise ValueError(f"dtype must be torch.float32, torch.float64 or None, got {dtype}")
    if dtype is None:
        dtype = torch.promote_types(prediction.dtype, torch.float32)
    first, second = (_crop(x, crop_border).to(dtype) for x in (prediction, target))
    if y_channel:
        first, second = (_luma(x, data_range) for x in (first, second))
    return first, second


def _check(prediction: Tensor, target: Tensor, *, crop_border: int, y_channel: bool, data_range: float) -> None:
    check_pair(prediction, target)
    check_integer(crop_border, "crop_border", 0)
    if isinstance(data_range, bool) or not isinstance(data_range, (int, float)):
        raise TypeError(f"data_range must be a number, got {data_range!r}")
    if not 0 < data_range < math.inf:
        raise ValueError(f"data_range must be positive and finite, got {data_range}")
    channels, height, width = prediction.shape[1:]
    if y_channel and channels != 3:
        raise ValueError(f"y_channel=True needs RGB pictures, got {channels} channels; use y_channel=False")
    if 2 * crop_border >= min(height, width):
        raise ValueError(f"crop_border={crop_border} leaves nothing of pictures of {height}x{width} pixels")


def check_size(x: Tensor, smallest: int, name: str, reason: str, crop_border: int) -> None:
    """Require pictures of at least ``smallest`` pixels a side after the crop."""
    height, width = x.shape[-2:]
    if min(height, width) < smallest:
        raise ValueError(
            f"{name} needs at least {smallest}x{smallest} pixels, got {height}x{width} "
            f"({height + 2 * crop_border}x{width + 2 * crop_border} before crop_border={crop_border}): {reason}"
        )


def _crop(x: Tensor, border: int) -> Tensor:
    return x[..., border : x.shape[-2] - border, border : x.shape[-1] - border]


def _luma(x: Tensor, data_range: float) -> Tensor:
    # rgb_to_y adds 16/255, an offset that is right for pictures in [0, 1] only.
    return rgb_to_y(x / data_range) * data_range
