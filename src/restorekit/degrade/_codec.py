"""libjpeg without the file, in tensor operations: its integer arithmetic on whole numbers in floating point.

The numbers of the colour steps stay below 2 ** 24 and are exact in float32, those of the cosine transform below 2 ** 53
and are exact in float64. Exact sums do not depend on their order, hence neither on the number of threads nor on the
other pictures of a batch. Divisions by powers of two are exact too: "shift right by n" is ``floor(x / 2 ** n)``.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

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
COSINES = (
    (8192, 8192, 8192, 8192, 8192, 8192, 8192, 8192),
    (11363, 9633, 6437, 2260, -2260, -6437, -9633, -11363),
    (10703, 4433, -4433, -10703, -10703, -4433, 4433, 10703),
    (9633, -2259, -11362, -6436, 6436, 11362, 2259, -9633),
    (8192, -8192, -8192, 8192, 8192, -8192, -8192, 8192),
    (6437, -11362, 2261, 9633, -9633, -2261, 11362, -6437),
    (4433, -10704, 10704, -4433, -4433, 10704, -10704, 4433),
    (2260, -6436, 9633, -11363, 11363, -9633, 6436, -2260),
)
# Colour weights in units of 2 ** -16: what each of R, G, B adds to Y, Cb, Cr; each of Cb, Cr to R, G, B.
TO_YCBCR = ((19595, -11059, 32768), (38470, -21709, -27439), (7471, 32768, -5329))
FROM_CHROMA = ((0, -22554, 116130), (91881, -46802, 0))


def decoded(samples: Tensor, tables: Tensor, subsampling: str) -> Tensor:
    """Whole samples in [0, 255], float32 (N, 1 or 3, H, W), coded and decoded; ``tables`` are ``hard_tables``."""
    height, width = samples.shape[2:]
    if samples.shape[1] == 1:
        return _recoded(samples, tables[0], (height, width), 128)
    rows, columns = factors = SUBSAMPLINGS[subsampling]
    planes = _ycbcr(samples)
    luma = _recoded(planes[:, :1], tables[0], (height, width), 128)
    chroma = _recoded(_shrunk(planes[:, 1:], factors), tables[1], (-(-height // rows), -(-width // columns)), 0)
    chroma = _enlarged(chroma, factors)[..., :height, :width]
    return weighted(chroma, FROM_CHROMA).add_(0.5).floor_().add_(luma).clamp_(0, 255)


def hard_tables(quality: Tensor) -> Tensor:
    """Quantisation tables of luma and chroma (2, N, 8, 8), whole numbers in [1, 255], for qualities (N,)."""
    base, percent = base_and_percent(quality)
    return ((base * percent.floor() + 50) / 100).floor().clamp(1, 255)


def base_and_percent(quality: Tensor) -> tuple[Tensor, Tensor]:
    """The two tables of quality 50 (2, 1, 8, 8), and what each quality makes of them, in percent (N, 1, 1)."""
    base = torch.tensor((_LUMA, _CHROMA), dtype=quality.dtype, device=quality.device)[:, None]
    percent = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)
    return base, percent[:, None, None]


def weighted(planes: Tensor, weights: tuple[tuple[int, ...], ...]) -> Tensor:
    """Weighted sums of planes (N, K, H, W). Not a matrix product: that may run in reduced precision."""
    factors = planes.new_tensor(weights)[:, :, None, None] / 65536
    out = planes[:, :1] * factors[0]
    for i in range(1, len(factors)):
        out = out.addcmul_(planes[:, i : i + 1], factors[i])
    return out


def repeated_edge(x: Tensor, rows: int, columns: int) -> Tensor:
    """``x`` with its last row and column repeated to multiples of ``rows`` and ``columns``."""
    below, right = -x.shape[-2] % rows, -x.shape[-1] % columns
    return F.pad(x, (0, right, 0, below), mode="replicate") if below or right else x


def _ycbcr(samples: Tensor) -> Tensor:
    """Y, and Cb and Cr about 128, where libjpeg adds one unit less than a half."""
    bias = samples.new_tensor((0.5, 128.5 - 2**-16, 128.5 - 2**-16))[:, None, None]
    return weighted(samples, TO_YCBCR).add_(bias).floor_()


def _shrunk(chroma: Tensor, factors: tuple[int, int]) -> Tensor:
    """Mean of 2 x 2, 1 x 2 or 1 x 1 samples; the bias alternates along a row, so that halves go either way."""
    rows, columns = factors
    if columns == 1:
        return chroma
    # Columns are repeated to whole blocks before the mean, rows only to whole pairs: below, the last mean is repeated.
    chroma = repeated_edge(chroma, rows, 8 * columns)
    if rows == 2:
        chroma = chroma[..., ::2, :] + chroma[..., 1::2, :]
    chroma = chroma[..., ::2] + chroma[..., 1::2]
    bias = _alternating(chroma, (1.0, 2.0) if rows == 2 else (0.0, 1.0))
    return chroma.add_(bias).div_(rows * columns).floor_()


def _enlarged(chroma: Tensor, factors: tuple[int, int]) -> Tensor:
    """Chroma at full size: a triangle, 3/4 of the nearer sample and 1/4 of the further one; a box up to two columns."""
    rows, columns = factors
    if columns == 1:
        return chroma
    if chroma.shape[-1] <= 2:
        return chroma.repeat_interleave(rows, -2).repeat_interleave(columns, -1)
    chroma = F.interpolate(chroma, scale_factor=factors, mode="bilinear")  # exact: sixteenths
    return chroma.add_(_alternating(chroma, (8 / 16, 7 / 16) if rows == 2 else (1 / 4, 2 / 4))).floor_()


def _alternating(like: Tensor, pair: tuple[float, float]) -> Tensor:
    return like.new_tensor(pair).repeat(like.shape[-1] // 2)


def _recoded(planes: Tensor, table: Tensor, size: tuple[int, int], middle: int) -> Tensor:
    """Samples (N, K, H, W) about 128 through transform, quantisation by ``table`` (N, 8, 8) and back.

    Returns:
        Samples about ``middle``, cut to ``size``.
    """
    planes = repeated_edge(planes, 8, 8).double()
    cosines = torch.tensor(COSINES, dtype=planes.dtype, device=planes.device)
    rows = planes.reshape(-1, 8) @ (cosines.T / 2**11)
    blocks = rows.add_(0.5).floor_().reshape(*planes.shape[:2], -1, 8, planes.shape[-1])
    blocks = cosines / 2**15 @ blocks  # 8 times the orthonormal coefficients
    blocks.add_(_tiled(_first(planes, 0.5 - 64 * 128, 0.5, 0.5), blocks)).floor_()
    blocks = _requantised(blocks, table.to(planes.dtype), middle)
    blocks = (cosines.T / 2**11 @ blocks).floor_()
    samples = (blocks.reshape(-1, 8) @ (cosines / 2**18)).floor_().clamp_(middle - 128, middle + 127)
    return samples.reshape(planes.shape)[..., : size[0], : size[1]].float()


def _requantised(blocks: Tensor, table: Tensor, middle: int) -> Tensor:
    """Eight times the coefficients to coefficients, rounded to multiples of ``table``, plus what the way back needs."""
    # Halves go away from zero. The factor moves them there, and nothing else across a half: blocks are whole numbers
    # below 2 ** 15, so that other quotients lie further from one.
    blocks.mul_(_tiled((1 + 2**-18) / (8 * table)[:, None], blocks)).round_()
    # The way back rounds twice. 1/8 in the first row of a block adds 1/2 to every sum over columns; in the first entry,
    # 4 adds 1/2, and 8 * middle adds the middle, to every sum over rows after that.
    offset = _first(blocks, 8 * middle + 4 + 1 / 8, 1 / 8, 0)
    return blocks.mul_(_tiled(table[:, None], blocks)).add_(_tiled(offset, blocks))


def _first(like: Tensor, corner: float, row: float, rest: float) -> Tensor:
    """A block (8, 8) with a first entry, the rest of the first row, and the rest."""
    block = like.new_full((8, 8), rest)
    block[0] = row
    block[0, 0] = corner
    return block


def _tiled(table: Tensor, blocks: Tensor) -> Tensor:
    """A table (..., 8, 8) repeated along a row of blocks (N, K, rows, 8, W)."""
    table = table.repeat(*(1,) * (table.ndim - 1), blocks.shape[-1] // 8)
    return table if table.ndim == 2 else table[:, :, None]
