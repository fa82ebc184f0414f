"""Resampling that agrees with MATLAB's ``imresize``: tensors, and uint8 pictures to the bit."""

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd import forward_ad

from restorekit._check import check_batch
from restorekit.image._precision import full_precision
from restorekit.image._taps import KERNELS, Array, Edge, Kernel, Like, Taps, fold, make_taps

_BLOCK = 8  # outputs and inputs that a block spans at least: enough for a fast product, still a band
_PERIOD = 128  # longest period of the weights (in samples) that is worth one shared matrix
# A BLAS shares out long sums and thin products between threads, which rounds otherwise with every number of threads.
# Sums of at most this many terms, and products at least this wide, are left whole.
_TERMS = 64
_WIDE = 16


class _Blocks(NamedTuple):
    """One axis as small matrices, each making a run of outputs from a run of inputs."""

    source: NDArray[np.int64]  # (blocks, span) inputs that each block reads
    weights: Array  # (blocks, outputs per block, span); a block that stands alone may have more outputs than there are
    regular: range  # blocks that share one matrix and read `span` consecutive samples inside the picture
    step: int  # input samples between two regular blocks


@lru_cache(maxsize=64)
def _blocks(
    length: int, outputs: int, scale: Fraction, kernel: Kernel, antialias: bool, edge: Edge, like: Like
) -> _Blocks:
    first, _, weights = make_taps(length, outputs, scale, kernel, antialias, edge, like)
    p, q = scale.numerator, scale.denominator
    repeat = max(math.ceil(_BLOCK / p), math.ceil(_BLOCK / q))
    size, step = (p * repeat, q * repeat) if p <= _PERIOD and q <= _PERIOD else (_BLOCK, 0)
    size = min(size, outputs)
    count = math.ceil(outputs / size)
    row = np.minimum(np.arange(count * size), outputs - 1)  # the last block repeats its last output, dropped later
    start = first[row[::size]]
    width = weights.shape[1]
    shift = first[row] - np.repeat(start, size)
    span = int(shift.max()) + width
    matrices = np.zeros((count * size, span))
    np.put_along_axis(matrices, shift[:, None] + np.arange(width), weights[row], axis=1)
    inside = np.flatnonzero((start >= 0) & (start + span <= length) & (np.arange(count) < outputs // size))
    regular = range(int(inside[0]), int(inside[-1]) + 1) if step and inside.size else range(0)
    reads = fold(start[:, None] + np.arange(span), length, "replicate" if like == "torch" else edge)
    matrices = matrices.reshape(count, size, span)
    if span > length:
        reads, matrices = _merge(reads, matrices, length)
    if count == 1 and size < _WIDE:
        matrices = np.pad(matrices, ((0, 0), (0, _WIDE - size), (0, 0)))
    return _Blocks(reads, matrices, regular, step)


def _merge(reads: NDArray[np.int64], matrices: Array, length: int) -> tuple[NDArray[np.int64], Array]:
    """Windows wider than the axis reach the same samples again and again: add up their weights, read each once."""
    count, size, _ = matrices.shape
    merged = np.zeros((count, size, length))
    np.add.at(merged, (np.arange(count)[:, None, None], np.arange(size)[:, None], reads[:, None]), matrices)
    return np.tile(np.arange(length), (count, 1)), merged


def _resize_rows(x: Tensor, outputs: int, blocks: _Blocks) -> Tensor:
    """Resample axis 1 of planes (P, H, W)."""
    weights = torch.from_numpy(blocks.weights).to(x)
    if _is_differentiated(x) or x.device.type != "cpu" or len(blocks.regular) < 2:
        return _multiply(weights, x, blocks.source, outputs)
    size, span = blocks.weights.shape[1:]
    begin, end = blocks.regular.start, blocks.regular.stop
    out = x.new_empty(x.shape[0], outputs, x.shape[2])
    out[:, : begin * size] = _multiply(weights[:begin], x, blocks.source[:begin], begin * size)
    out[:, end * size :] = _multiply(weights[end:], x, blocks.source[end:], outputs - end * size)
    # Between the borders the blocks share one matrix and their windows are views: nothing is gathered or copied.
    shared = weights[begin].expand(end - begin, -1, -1)
    start = int(blocks.source[begin, 0])
    for plane, target in zip(x, out, strict=True):
        windows = plane[start:].unfold(0, span, blocks.step)[: end - begin].transpose(1, 2)
        torch.bmm(shared, windows, out=target[begin * size : end * size].view(end - begin, size, -1))
    return out


def _not_thin(x: Tensor, dim: int) -> Tensor:
    """``x`` with zeros behind it on axis ``dim``, so that no product is thin."""
    missing = _WIDE - x.shape[dim]
    if missing <= 0:
        return x
    shape = [missing if i == dim else size for i, size in enumerate(x.shape)]
    return torch.cat([x, x.new_zeros(shape)], dim)


def _is_differentiated(x: Tensor) -> bool:
    """Whether results may not be written in place: backward or forward mode records them."""
    tangent = forward_ad.unpack_dual(x).tangent  # type: ignore[no-untyped-call]
    return (x.requires_grad and torch.is_grad_enabled()) or tangent is not None


def _multiply(weights: Tensor, x: Tensor, source: NDArray[np.int64], outputs: int) -> Tensor:
    if not outputs:
        return x[:, :0]
    gathered = x.index_select(1, torch.from_numpy(source.ravel()).to(x.device))
    windows = gathered.view(x.shape[0], *source.shape, x.shape[2])  # (P, blocks, span, W)
    return _products(weights, windows).flatten(1, 2)[:, :outputs]


def _products(a: Tensor, b: Tensor) -> Tensor:
    """Matrix products (..., size, span) @ (..., span, width), the sums in pieces."""
    out = a[..., :_TERMS] @ b[..., :_TERMS, :]
    for i in range(_TERMS, a.shape[-1], _TERMS):
        out = out + a[..., i : i + _TERMS] @ b[..., i : i + _TERMS, :]
    return out


def _resize_columns(x: Tensor, outputs: int, blocks: _Blocks) -> Tensor:
    """Resample axis 1 of rows (R, W)."""
    weights = torch.from_numpy(blocks.weights).to(x)
    count, _, span = weights.shape
    if len(blocks.regular) < 2:
        windows = x[:, torch.from_numpy(blocks.source).to(x.device)].transpose(0, 1)  # (blocks, R, span)
        return _products(windows, weights.transpose(1, 2)).transpose(0, 1).flatten(1)[:, :outputs]
    begin, end = blocks.regular.start, blocks.regular.stop
    start = int(blocks.source[begin, 0])
    windows = x[:, start:].unfold(1, span, blocks.step)[:, : end - begin]  # (R, blocks, span)
    middle = (windows @ weights[begin].T).flatten(1)
    borders = (range(begin), range(end, count))
    left, right = (_resize_border(x, weights, blocks.source, border) for border in borders)
    return torch.cat([left, middle, right], dim=1)[:, :outputs]


def _resize_border(x: Tensor, weights: Tensor, source: NDArray[np.int64], which: range) -> Tensor:
    pieces = [x.index_select(1, torch.from_numpy(source[i]).to(x.device)) @ weights[i].T for i in which]
    return torch.cat(pieces, dim=1) if pieces else x[:, :0]


def _as_fraction(scale: float | Fraction) -> Fraction:
    if isinstance(scale, bool) or not isinstance(scale, (int, float, Fraction)):
        raise TypeError(f"scale must be a real number, got {scale!r}")
    if not (math.isfinite(scale) and scale > 0):
        raise ValueError(f"scale must be positive and finite (4 enlarges, 1/4 shrinks), got {scale}")
    fraction = Fraction(scale).limit_denominator(1_000_000)
    if not fraction:
        raise ValueError(f"scale must be at least 1e-6, got {scale}")
    return fraction


def _targets(
    shape: tuple[int, int], scale: float | Sequence[float | Fraction] | None, size: tuple[int, int] | None, like: Like
) -> list[tuple[int, Fraction]]:
    """Outputs and factor of each axis."""
    if scale is None and size is None:
        raise ValueError("give scale, or size, or both, got neither")
    outputs = None if size is None else _as_size(size)
    if scale is None:
        assert outputs is not None
        return [(m, Fraction(m, n)) for m, n in zip(outputs, shape, strict=True)]
    pair = scale if isinstance(scale, Sequence) and not isinstance(scale, str) else (scale, scale)
    if len(pair) != 2:
        raise ValueError(f"scale must be a number or two of them (vertical, horizontal), got {scale!r}")
    factors = [_as_fraction(value) for value in pair]
    if outputs is None:
        round_size = math.floor if like == "torch" else math.ceil
        outputs = [max(1, round_size(n * factor)) for n, factor in zip(shape, factors, strict=True)]
    return list(zip(outputs, factors, strict=True))


def _as_size(size: Sequence[int]) -> Sequence[int]:
    if (
        not isinstance(size, Sequence)
        or len(size) != 2
        or any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in size)
    ):
        raise ValueError(f"size must be two positive integers (height, width), got {size!r}")
    return size


def _check_choice(value: str, name: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}")


def resize(
    x: Tensor,
    scale: float | Sequence[float] | None = None,
    *,
    size: tuple[int, int] | None = None,
    kernel: Kernel = "bicubic",
    antialias: bool = True,
    edge: Edge = "reflect",
    like: Like = "matlab",
) -> Tensor:
    """Resample pictures as MATLAB's ``imresize`` does.

    Every output sample is a weighted mean of the input samples around ``(i + 1/2) / scale - 1/2``. The weights are
    taken in float64 and the kernel is stretched by ``1 / scale`` when shrinking. Nothing is clamped: cubic and Lanczos
    kernels overshoot at edges. Differentiable; float16 and bfloat16 are computed in float32, also under autocast. It
    takes batches itself and does not run under ``torch.vmap``.

    Args:
        x: Pictures (N, C, H, W), real floating point, any range.
        scale: Positive factor for both axes, or (vertical, horizontal): 4 enlarges, 1/4 shrinks. Sizes are rounded up.
        size: Output (height, width) in pixels. Without ``scale`` the whole picture is fitted into it; with both, it
            only says how many samples to make at that scale: 9 px, shrunk by 2 to 5, go back to 9 at twice the scale.
        kernel: "bicubic" (a = -0.5), "bilinear", "box", "lanczos2", "lanczos3" or "nearest".
        antialias: Stretch the kernel when shrinking.
        edge: Beyond the border the picture is mirrored with its edge pixel repeated ("reflect": MATLAB since R2007)
            or its edge pixel continues ("replicate": the published benchmark pictures).
        like: "matlab", or "torch" for the conventions of ``torch.nn.functional.interpolate`` and Pillow: the size is
            rounded down, an antialiased window is cut at the border (``edge`` is not used), and the cubic without
            antialiasing has a = -0.75.

    Returns:
        Pictures (N, C, ceil(scale * H), ceil(scale * W)) or (N, C, *size), of the dtype of ``x``.

    Raises:
        TypeError: ``x`` is no floating-point tensor, or ``scale`` no number.
        ValueError: A wrong rank, scale, size or name.

    Example:
        >>> x = torch.rand(1, 3, 12, 8)
        >>> resize(x, 1 / 4).shape, resize(x, size=(5, 30)).shape
        (torch.Size([1, 3, 3, 2]), torch.Size([1, 3, 5, 30]))

    Source:
        Keys, IEEE TASSP 1981 (cubic convolution). Axes are taken in MATLAB's order, smallest scale first, but an
        enlargement with equal scales runs over columns first, which changes rounding only.
    """
    check_batch(x)
    _check_choice(kernel, "kernel", tuple(KERNELS))
    _check_choice(edge, "edge", ("reflect", "replicate"))
    _check_choice(like, "like", ("matlab", "torch"))
    n, c, h, w = x.shape
    (rows, row_scale), (columns, column_scale) = _targets((h, w), scale, size, like)
    options = (kernel, antialias, edge, like)
    compute = x if x.dtype in {torch.float32, torch.float64} else x.float()
    out = compute.reshape(n * c, h, w)

    def along_rows(planes: Tensor) -> Tensor:
        wide = _not_thin(planes, 2)
        return _resize_rows(wide, rows, _blocks(h, rows, row_scale, *options))[..., : planes.shape[2]]

    def along_columns(planes: Tensor) -> Tensor:
        flat = planes.reshape(-1, w)
        out = _resize_columns(_not_thin(flat, 0), columns, _blocks(w, columns, column_scale, *options))
        return out[: flat.shape[0]].view(n * c, -1, columns)

    rows_first = row_scale < column_scale or (row_scale == column_scale and row_scale < 1)
    with full_precision(x.device):
        out = along_columns(along_rows(out)) if rows_first else along_rows(along_columns(out))
    return out.view(n, c, rows, columns).to(x.dtype).contiguous()


def resize_uint8(array: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """Resample a uint8 picture exactly as the published super-resolution benchmarks were made.

    Antialiased cubic kernel with weights in float64, edge pixels repeated, rows first and then columns, rounded half
    up to uint8 after each of the two passes. Terms are added tap by tap, so the result is the same on every machine.

    Args:
        array: Picture (H, W) or (H, W, C), uint8.
        scale: Positive factor: 1/4 shrinks, 4 enlarges. Crop the picture to a multiple of 4 before shrinking by 4,
            as the benchmarks did; the size is rounded up otherwise.

    Returns:
        Picture of ceil(scale * H) x ceil(scale * W), uint8, same channels.

    Raises:
        TypeError: ``array`` is no uint8 array, or ``scale`` no number.
        ValueError: A wrong rank, an empty picture, or a scale that is not positive.

    Example:
        >>> resize_uint8(np.full((8, 12, 3), 200, np.uint8), 1 / 4).shape
        (2, 3, 3)

    Source:
        Reproduces the low-resolution pictures of Set5 and Set14 at 2, 3 and 4 in every pixel. MATLAB itself mirrors
        the edge: ``resize`` with ``edge="reflect"``.
    """
    if not isinstance(array, np.ndarray) or array.dtype != np.uint8:
        got = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        raise TypeError(f"array must be a uint8 ndarray (H, W) or (H, W, C), got {got}")
    if array.ndim not in {2, 3} or array.size == 0:
        raise ValueError(f"array must be a non-empty picture (H, W) or (H, W, C), got shape {array.shape}")
    one = _as_fraction(scale)
    (rows, factor), (columns, _) = _targets((array.shape[0], array.shape[1]), (one, one), None, "matlab")
    out = _pass_uint8(array, make_taps(array.shape[0], rows, factor, "bicubic", True, "replicate", "matlab"))
    taps = make_taps(array.shape[1], columns, factor, "bicubic", True, "replicate", "matlab")
    return np.ascontiguousarray(_pass_uint8(out.swapaxes(0, 1), taps).swapaxes(0, 1))


def _pass_uint8(array: NDArray[np.uint8], taps: Taps) -> NDArray[np.uint8]:
    total = np.full((taps.source.shape[0], *array.shape[1:]), 0.5)
    weights = taps.weights.reshape(*taps.weights.shape, *[1] * (array.ndim - 1))
    for k in range(taps.source.shape[1]):
        total += weights[:, k] * array[taps.source[:, k]]
    return np.floor(total, out=total).clip(0, 255).astype(np.uint8)
