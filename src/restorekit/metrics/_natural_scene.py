"""The 36 numbers that NIQE describes a block of a picture with, and how sharp the block is."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from scipy.special import gamma
from torch import Tensor

from restorekit._check import check_batch, check_integer
from restorekit.image import filter_separable, gaussian_kernel1d, resize, rgb_to_y

BLOCK = 96  # pixels along a side; 48 at half the size
FEATURES = 36
_SHIFTS = ((0, 1), (1, 0), (1, 1), (1, -1))  # rows and columns to the neighbour
# Grey levels. The smallest difference that the window makes of whole numbers is 1.6e-4, and of rounding below 1e-12.
_FLAT = 1e-9
# Half a level, and half of the smallest step that the luma of an 8-bit picture can make (3 / 255000 levels), so that
# rounding errors of float32 do not decide which way an exact half goes.
_HALF = 0.5 + 5e-6


class _Table(NamedTuple):
    """What follows from the shape of a generalised Gaussian, for the shapes 0.2, 0.201, ..., 10."""

    shape: Tensor
    ratio: Tensor  # mean(|v|)^2 / mean(v^2) = gamma(2/a)^2 / (gamma(1/a) gamma(3/a)), rising
    width: Tensor  # scale over standard deviation, sqrt(gamma(1/a) / gamma(3/a))
    centre: Tensor  # gamma(2/a) / gamma(1/a)


@lru_cache(maxsize=4)
def _table(device: torch.device) -> _Table:
    shape = 0.2 + 0.001 * np.arange(9801)
    first, second, third = (gamma(k / shape) for k in (1, 2, 3))
    columns = shape, second**2 / (first * third), np.sqrt(first / third), second / first
    return _Table(*(torch.from_numpy(column).to(device) for column in columns))


def check_picture(x: Tensor, crop_border: int = 0) -> None:
    """Require a batch of grey or RGB pictures that holds a whole block after the crop."""
    check_batch(x)
    check_integer(crop_border, "crop_border", 0)
    _, channels, height, width = x.shape
    if channels not in {1, 3}:
        raise ValueError(f"niqe takes grey or RGB pictures, 1 or 3 channels, got shape {tuple(x.shape)}")
    if min(height, width) - 2 * crop_border < BLOCK:
        raise ValueError(
            f"niqe needs at least one block of {BLOCK}x{BLOCK} pixels, got {height}x{width} "
            f"and crop_border={crop_border}"
        )


def block_count(x: Tensor, crop_border: int) -> int:
    """Number of whole blocks in each picture."""
    rows, columns = ((side - 2 * crop_border) // BLOCK for side in x.shape[-2:])
    return int(rows * columns)


def block_features(x: Tensor, crop_border: int = 0) -> tuple[Tensor, Tensor]:
    """Features (N, blocks, 36) and sharpness (N, blocks) of the blocks of each picture, row by row, in float64."""
    grey = _grey(x)
    rows, columns = ((side - 2 * crop_border) // BLOCK * BLOCK for side in grey.shape[-2:])
    grey = grey[..., crop_border : crop_border + rows, crop_border : crop_border + columns]
    normalised, deviation = _normalise(grey)
    half, _ = _normalise(resize(grey, 0.5))
    features = torch.cat([_features(_blocks(normalised, BLOCK)), _features(_blocks(half, BLOCK // 2))], dim=-1)
    return features, _blocks(deviation, BLOCK).mean((-2, -1))


def _grey(x: Tensor) -> Tensor:
    """Luma or grey in whole levels, 0 to 255; halves go up, as in MATLAB."""
    work = x.double()
    return torch.floor((rgb_to_y(work) if x.shape[1] == 3 else work) * 255 + _HALF)


def _normalise(grey: Tensor) -> tuple[Tensor, Tensor]:
    """Difference from the local mean in units of the local deviation plus 1, and that deviation."""
    kernel = gaussian_kernel1d(7, 7 / 6, dtype=grey.dtype, device=grey.device)
    mean, power = (filter_separable(v, kernel, kernel, border="replicate") for v in (grey, grey.square()))
    deviation = (power - mean.square()).abs().sqrt()
    difference = grey - mean
    # In a flat area the sign of the rounding error would decide: it is neither left nor right of the mean.
    difference = torch.where(difference.abs() < _FLAT, 0.0, difference)
    return difference / (deviation + 1), deviation


def _blocks(plane: Tensor, size: int) -> Tensor:
    """Cut (N, 1, H, W) into blocks (N, blocks, size, size)."""
    n, _, height, width = plane.shape
    grid = plane.reshape(n, height // size, size, width // size, size)
    return grid.transpose(2, 3).reshape(n, -1, size, size)


def _features(blocks: Tensor) -> Tensor:
    """The 18 features (N, blocks, 18) of one scale."""
    shape, left, right, _ = _fit(blocks)
    columns = [shape, (left + right) / 2]
    for shift in _SHIFTS:
        shape, left, right, centre = _fit(blocks * blocks.roll(shift, dims=(-2, -1)))
        columns += [shape, (right - left) * centre, left, right]
    return torch.stack(columns, dim=-1)


def _fit(values: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Fit an asymmetric generalised Gaussian to each block by its moments.

    Returns its shape, left and right scale, and its mean in units of their difference, each (N, blocks). A side
    without values has a scale of NaN, and the shape is then 0.2.
    """
    table = _table(values.device)
    square = values.square()
    left, right = (((square * side).sum((-2, -1)) / side.sum((-2, -1))).sqrt() for side in (values < 0, values > 0))
    skew = left / right
    ratio = values.abs().mean((-2, -1)).square() / square.mean((-2, -1))
    ratio = ratio * (skew**3 + 1) * (skew + 1) / (skew.square() + 1).square()
    place = _nearest(table.ratio, ratio)
    return table.shape[place], left * table.width[place], right * table.width[place], table.centre[place]


def _nearest(rising: Tensor, values: Tensor) -> Tensor:
    """Index of the nearest entry, the lower of two; 0 for NaN, as MATLAB's ``min`` has it."""
    above = torch.searchsorted(rising, values).clamp(1, len(rising) - 1)
    lower = values - rising[above - 1] <= rising[above] - values
    return torch.where(values.isnan(), 0, above - lower.long())
