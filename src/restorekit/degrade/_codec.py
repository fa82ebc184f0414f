"""JPEG without the file, in tensor operations: libjpeg's integer arithmetic, and the same with soft rounding.

Both forms are one sequence of steps; only what happens to a fraction differs. ``decoded_levels`` rounds wherever libjpeg
does and in its manner. It works on whole numbers in floating point: those of the colour steps stay below 2 ** 24 and are
exact in float32, those of the cosine transform below 2 ** 53 and are exact in float64. Exact sums do not depend on their
order, hence neither on the number of threads nor on the other pictures of a batch.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from restorekit.image.convert import levels

# How much smaller the chroma planes are: (rows, columns).
SUBSAMPLINGS = {"4:4:4": (1, 1), "4:2:2": (1, 2), "4:2:0": (2, 2)}

_LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMA = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8,) * 4,
)
# sqrt(8) times the orthonormal cosine transform in units of 2 ** -13, with the last digits of libjpeg's factorisation.
_COSINES = (
    (8192, 8192, 8192, 8192, 8192, 8192, 8192, 8192),
    (11363, 9633, 6437, 2260, -2260, -6437, -9633, -11363),
    (10703, 4433, -4433, -10703, -10703, -4433, 4433, 10703),
    (9633, -2259, -11362, -6436, 6436, 11362, 2259, -9633),
    (8192, -8192, -8192, 8192, 8192, -8192, -8192, 8192),
    (6437, -11362, 2261, 9633, -9633, -2261, 11362, -6437),
    (4433, -10704, 10704, -4433, -4433, 10704, -10704, 4433),
    (2260, -6436, 9633, -11363, 11363, -9633, 6436, -2260),
)
# Colour weights in units of 2 ** -16: rows Y, Cb, Cr of R, G, B; then rows R, G, B of Cb, Cr.
_TO_YCBCR = ((19595, 38470, 7471), (-11059, -21709, 32768), (32768, -27439, -5329))
_FROM_CHROMA = ((0, 91881), (-22554, -46802), (116130, 0))

_HALF = 0.5
_ALMOST_HALF = 0.5 - 2**-16  # libjpeg adds one unit less than a half to the chroma


def decoded_levels(x: Tensor, quality: Tensor, subsampling: str) -> Tensor:
    """The round trip of libjpeg: uint8 pictures for float ones (N, 1 or 3, H, W), at a quality for each (N,)."""
    wide = torch.promote_types(x.dtype, torch.float32)
    samples = levels(x.detach().to(wide, copy=True), torch.uint8).float()
    return _round_trip(samples, hard_tables(quality.detach()), subsampling, hard=True).to(torch.uint8)


def decoded_softly(x: Tensor, quality: Tensor, subsampling: str) -> Tensor:
    """The same with coefficients rounded by ``soft_round`` and nothing else rounded: floats in [0, 1]."""
    samples = x.to(quality.dtype).clamp(0, 1) * 255
    return _round_trip(samples, soft_tables(quality), subsampling, hard=False) / 255


def soft_round(x: Tensor) -> Tensor:
    """``x - sin(2 pi x) / (2 pi)``: smooth, never falling, flat at whole numbers, mean slope 1."""
    return x - torch.sin(2 * math.pi * x) / (2 * math.pi)


def hard_tables(quality: Tensor) -> Tensor:
    """Quantisation tables of luma and chroma (2, N, 8, 8), whole numbers in [1, 255], for qualities (N,)."""
    base, percent = _base_and_percent(quality)
    return ((base * percent.floor() + 50) / 100).floor().clamp(1, 255)


def soft_tables(quality: Tensor) -> Tensor:
    """The tables without rounding: ``clamp(base * percent / 100, 1, 255)``."""
    base, percent = _base_and_percent(quality)
    return (base * percent / 100).clamp(1, 255)


def _base_and_percent(quality: Tensor) -> tuple[Tensor, Tensor]:
    base = torch.tensor((_LUMA, _CHROMA), dtype=quality.dtype, device=quality.device)[:, None]
    percent = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)
    return base, percent[:, None, None]


def _round_trip(x: Tensor, tables: Tensor, subsampling: str, hard: bool) -> Tensor:
    """Samples (N, 1 or 3, H, W) in [0, 255] after coding and decoding."""
    height, width = x.shape[2:]
    if x.shape[1] == 1:
        return _coded(x, tables[0], (height, width), hard)
    rows, columns = factors = SUBSAMPLINGS[subsampling]
    luma, chroma = _to_ycbcr(x, hard)
    luma = _coded(luma, tables[0], (height, width), hard)
    chroma = _coded(_shrunk(chroma, factors, hard), tables[1], (-(-height // rows), -(-width // columns)), hard)
    return _to_rgb(luma, _enlarged(chroma, factors, hard)[..., :height, :width], hard)


def _floored(x: Tensor, bias: float | Tensor, hard: bool) -> Tensor:
    """``floor(x + bias)`` in the memory of ``x`` for the hard form, ``x`` itself for the soft one."""
    return x.add_(bias).floor_() if hard else x


def _weighted(planes: tuple[Tensor, ...], weights: tuple[int, ...]) -> Tensor:
    """Sum of planes in units of 2 ** -16; not a matrix product, which may run in reduced precision."""
    terms = [(plane, weight / 65536) for plane, weight in zip(planes, weights, strict=True) if weight]
    out = terms[0][0] * terms[0][1]
    for plane, weight in terms[1:]:
        out = out.add_(plane, alpha=weight)
    return out


def _to_ycbcr(x: Tensor, hard: bool) -> tuple[Tensor, Tensor]:
    """Luma (N, 1, H, W) in [0, 255] and chroma (N, 2, H, W) about 128."""
    planes = x.unbind(1)
    luma, blue, red = (_weighted(planes, weights) for weights in _TO_YCBCR)
    chroma = torch.stack((blue, red), 1)
    return _floored(luma[:, None], _HALF, hard), _floored(chroma, 128 + _ALMOST_HALF, hard) 


def _to_rgb(luma: Tensor, chroma: Tensor, hard: bool) -> Tensor:
    planes = (chroma - 128).unbind(1)
    shift = torch.stack([_weighted(planes, weights) for weights in _FROM_CHROMA], 1)
    return (_floored(shift, _HALF, hard) + luma).clamp(0, 255)


def _shrunk(chroma: Tensor, factors: tuple[int, int], hard: bool) -> Tensor:
    """Mean of 2 x 2, 1 x 2 or 1 x 1 samples; libjpeg's bias alternates along a row so that halves go either way."""
    rows, columns = factors
    if columns == 1:
        return chroma
    chroma = _repeated_edge(chroma, rows, 8 * columns)
    chroma = chroma[..., ::2] + chroma[..., 1::2]
    if rows == 2:
        chroma = chroma[..., ::2, :] + chroma[..., 1::2, :]
    bias = chroma.new_tensor((1.0, 2.0) if rows == 2 else (0.0, 1.0)).repeat(chroma.shape[-1] // 2)
    return _floored(chroma / (rows * columns), bias / (rows * columns), hard)


def _enlarged(chroma: Tensor, factors: tuple[int, int], hard: bool) -> Tensor:
    """Chroma at full size: a triangle, 3/4 of the nearer sample and 1/4 of the further one."""
    rows, columns = factors
    if columns == 1:
        return chroma
    width = chroma.shape[-1]
    if width <= 2:  # libjpeg's triangle starts at three samples
        return chroma.repeat_interleave(rows, -2).repeat_interleave(columns, -1)
    chroma = F.interpolate(chroma, scale_factor=factors, mode="bilinear")
    bias = chroma.new_tensor((8.0, 7.0) if rows == 2 else (4.0, 8.0)).repeat(width) / 16
    return _floored(chroma, bias, hard)


def _coded(planes: Tensor, table: Tensor, size: tuple[int, int], hard: bool) -> Tensor:
    """Samples (N, K, H, W) through transform, quantisation by ``table`` (N, 8, 8) and back, cut to ``size``."""
    planes = _repeated_edge(planes, 8, 8) - 128
    wide = planes.shape[-1]
    table = table.repeat(1, 1, wide // 8)[:, None, None]  # (N, 1, 1, 8, W): one row of blocks
    cosines = torch.tensor(_COSINES, dtype=torch.float64 if hard else planes.dtype, device=planes.device)
    blocks = F.linear(planes.reshape(-1, 8).to(cosines.dtype), cosines / 2**11)
    blocks = _floored(blocks, _HALF, hard).reshape(*planes.shape[:2], -1, 8, wide)
    blocks = _floored(cosines / 2**15 @ blocks, _HALF, hard)  # 8 times the orthonormal coefficients
    blocks = _quantised(blocks, table.to(blocks.dtype), hard)
    blocks = _floored(cosines.T / 2**11 @ blocks, _HALF, hard)
    samples = F.linear(blocks.reshape(-1, 8), cosines.T / 2**18).reshape(planes.shape)
    samples = samples + 128 if not hard else _floored(samples, 128 + _HALF, hard)
    return samples.clamp(0, 255).to(planes.dtype)[..., : size[0], : size[1]]


def _quantised(blocks: Tensor, table: Tensor, hard: bool) -> Tensor:
    if not hard:
        return soft_round(blocks / (8 * table)) * table
    # Halves go away from zero. The factor moves them there, and nothing else across a half: blocks are whole numbers
    # below 2 ** 15, so that other quotients lie further from one.
    return blocks.mul_((1 + 2**-18) / (8 * table)).round_().mul_(table)


def _repeated_edge(x: Tensor, rows: int, columns: int) -> Tensor:
    """``x`` with its last row and column repeated to multiples of ``rows`` and ``columns``."""
    below, right = -x.shape[-2] % rows, -x.shape[-1] % columns
    return F.pad(x, (0, right, 0, below), mode="replicate") if below or right else x
