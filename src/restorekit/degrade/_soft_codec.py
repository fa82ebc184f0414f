"""JPEG as a smooth function: the steps of the real codec on real numbers, a smooth staircase for its rounding."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from restorekit.degrade._codec import COSINES, FROM_CHROMA, SUBSAMPLINGS, TO_YCBCR, base_and_percent, repeated_edge

_MIDDLE = 128 / 255


def softly_decoded(x: Tensor, tables: Tensor, subsampling: str) -> Tensor:
    """Pictures in [0, 1] (N, 1 or 3, H, W), coded and decoded; ``tables`` are ``soft_tables``."""
    height, width = x.shape[2:]
    x = x.clamp(0, 1)
    if x.shape[1] == 1:
        return _recoded(x, tables[0], (1, 1)) + _MIDDLE
    factors = SUBSAMPLINGS[subsampling]
    planes = _mixed(x, TO_YCBCR)
    chroma = _recoded(planes[:, 1:], tables[1], factors, middle=0)
    chroma = _enlarged(chroma, factors)[..., :height, :width]
    luma = _recoded(planes[:, :1], tables[0], (1, 1)) + _MIDDLE
    return F.hardtanh(_mixed(chroma, FROM_CHROMA).add_(luma), 0, 1)


def soft_tables(quality: Tensor) -> Tensor:
    """Quantisation tables of luma and chroma (2, N, 8, 8), real numbers in [1, 255], for qualities (N,)."""
    base, percent = base_and_percent(quality)
    return (base * percent / 100).clamp(1, 255)


def _mixed(planes: Tensor, weights: tuple[tuple[int, ...], ...]) -> Tensor:
    """Weighted sums of planes (N, K, H, W)."""
    matrix = planes.new_tensor(weights).T / 65536
    return (matrix @ planes.flatten(2)).reshape(len(planes), -1, *planes.shape[2:])


def _recoded(planes: Tensor, table: Tensor, factors: tuple[int, int], middle: float = _MIDDLE) -> Tensor:
    """Planes (N, K, H, W) about ``middle``, shrunk, through transform and quantisation by ``table`` and back.

    Returns:
        Planes of the shrunk size about 0, clamped to 8 bits.
    """
    rows, columns = factors
    size = -(-planes.shape[2] // rows), -(-planes.shape[3] // columns)
    planes = _whole_blocks(planes, rows, columns)
    cosines = planes.new_tensor(COSINES) / 2**13
    # Taking a mean and then transforming is one product, of blocks of 16 samples.
    blocks = planes.reshape(-1, 8 * columns) @ _after_mean(cosines, columns).T
    blocks = _after_mean(cosines, rows) @ blocks.reshape(*planes.shape[:2], -1, 8 * rows, planes.shape[3] // columns)
    corner = planes.new_zeros(8, 8)
    corner[0, 0] = 64 * middle
    blocks = _stairs(blocks - corner.repeat(1, blocks.shape[-1] // 8), table)
    blocks = (cosines.T @ blocks).reshape(-1, 8) @ (cosines / 64)
    blocks = blocks.reshape(*planes.shape[:2], -1, planes.shape[3] // columns)
    return F.hardtanh(blocks, -_MIDDLE, 127 / 255)[..., : size[0], : size[1]]


def _stairs(blocks: Tensor, table: Tensor) -> Tensor:
    """Eight times the coefficients, in units of white, to ``table * staircase(coefficient / table)``, likewise.

    The staircase is ``u - sin(2 pi u) / (2 pi)``: smooth, never falling, flat at whole numbers, of mean slope 1.
    """
    table = table.repeat(1, 1, blocks.shape[-1] // 8)[:, None, None] * (8 / 255 / (2 * math.pi))
    turns = blocks / table
    return (turns - turns.sin()) * table


def _after_mean(cosines: Tensor, factor: int) -> Tensor:
    return cosines.repeat_interleave(factor, 1) / factor


def _whole_blocks(planes: Tensor, rows: int, columns: int) -> Tensor:
    """The edge repeated as the encoder does it: samples to the right, and below whole groups of ``rows``."""
    planes = repeated_edge(planes, rows, 8 * columns)
    missing = -planes.shape[2] % (8 * rows)
    return torch.cat((planes, planes[..., -rows:, :].repeat(1, 1, missing // rows, 1)), 2) if missing else planes


def _enlarged(chroma: Tensor, factors: tuple[int, int]) -> Tensor:
    """The decoder's triangle, or its box up to two columns."""
    rows, columns = factors
    if columns > 1 and chroma.shape[-1] <= 2:
        return chroma.repeat_interleave(rows, -2).repeat_interleave(columns, -1)
    return F.interpolate(chroma, scale_factor=factors, mode="bilinear") if columns > 1 else chroma
