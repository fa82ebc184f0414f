"""Structural similarity and its gradient in strips of rows that stay in cache.

With s = p + t and d = p - t the two factors of the index are, over the Gaussian window (mean m, variance v),

    luminance = 1 - 2 m_d^2 / (m_s^2 + m_d^2 + 2 c1),    contrast and structure = 1 - 2 v_d / (v_s + v_d + 2 c2)

which is the published formula, needs four filterings like the usual one, and has nothing to cancel where the pictures
agree. Variances do not see a constant, so s is taken about mid-grey, which leaves them more digits.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from restorekit.image import gaussian_kernel1d
from restorekit.image._precision import full_precision

WINDOW, _SIGMA, _K1, _K2 = 11, 1.5, 0.01, 0.03
_MARGIN = WINDOW - 1  # pixels by which the maps are smaller than the pictures
# A strip of four maps is up to 7 MB in float32. Smaller ones make more calls, and threads wait for each other at the
# end of each; with more rows, more is multiplied by zeros.
_ROWS = 48
_COLUMNS = 8192  # planes that fit into it side by side are worked on together
_BLOCK = 32  # outputs of one product along a row


def window(like: Tensor) -> Tensor:
    """The Gaussian (11,) in the dtype and on the device of ``like``."""
    return gaussian_kernel1d(WINDOW, _SIGMA, dtype=like.dtype, device=like.device)


def factors(means: Tensor, data_range: float, luminance: bool) -> tuple[Tensor, Tensor]:
    """Luminance (left out if not asked for), contrast and structure, (2, ...) or (1, ...), and their denominators.

    ``means`` (4, ...) are the local means of s - data_range, d and their squares.
    """
    squares = means[:2].square()
    variances = means[2:] - squares
    numerators, denominators = [variances[1]], [variances[0] + variances[1] + 2 * (_K2 * data_range) ** 2]
    if luminance:
        light = means[0] + data_range
        numerators.insert(0, squares[1])
        denominators.insert(0, torch.addcmul(squares[1], light, light) + 2 * (_K1 * data_range) ** 2)
    denominator = torch.stack(denominators)
    return torch.addcdiv(denominator.new_ones(()), torch.stack(numerators), denominator, value=-2), denominator


def product(values: Tensor) -> Tensor:
    """The index itself from ``factors``."""
    return values[0] * values[1] if len(values) == 2 else values[0]


def averages(
    first: Tensor, second: Tensor, data_range: float, luminance: bool, wanted: int
) -> tuple[Tensor, list[Tensor]]:
    """The index averaged over each plane, (N, C), and its gradients to the first ``wanted`` (0 to 2) of the batches."""
    planes, others = first.flatten(0, 1), second.flatten(0, 1)
    count, height, width = planes.shape
    rows, columns = height - _MARGIN, width - _MARGIN
    down, along = _band(window(first), min(_ROWS, rows)), _band(window(first), min(_BLOCK, columns))
    total = torch.zeros(count, dtype=torch.float64)
    gradients = [first.new_zeros(count, height, width) for _ in range(wanted)]
    for group, strip in _places(count, rows, width):
        size = strip.stop - strip.start
        used = down[: size - _MARGIN, :size]
        maps = _maps(planes[group, strip], others[group, strip], data_range)
        with full_precision(first.device):
            sums, shares = _strip(maps, used, along, data_range, luminance, wanted)
        total[group] += sums
        for gradient, share in zip(gradients, shares, strict=True):
            gradient[group, strip].add_(share.transpose(0, 1), alpha=2 / (rows * columns))
    means = (total / (rows * columns)).to(first.dtype).view(first.shape[:2])
    return means, [gradient.view(first.shape) for gradient in gradients]


def _places(count: int, rows: int, width: int) -> Iterator[tuple[slice, slice]]:
    """Planes, and rows of the pictures; neighbouring strips share the rows that windows of both need."""
    together = max(1, _COLUMNS // width)
    for top in range(0, rows, _ROWS):
        for start in range(0, count, together):
            yield slice(start, start + together), slice(top, min(top + _ROWS, rows) + _MARGIN)


def _strip(
    maps: Tensor, down: Tensor, along: Tensor, data_range: float, luminance: bool, wanted: int
) -> tuple[Tensor, list[Tensor]]:
    """Sum of the index over each plane of a strip, and half of what the strip adds to each gradient of that sum."""
    means = _along(_down(maps, down), along).movedim(1, 0)
    values, denominator = factors(means, data_range, luminance)
    sums = product(values).sum(dim=(0, 2))
    if not wanted:
        return sums, []
    coefficients = _coefficients(means, values, denominator, data_range, wanted)
    return sums, _shares(_down(_along(coefficients, along), down.t()), maps)


def _band(kernel: Tensor, count: int) -> Tensor:
    """The matrix (count, count + K - 1) whose row i holds ``kernel`` (K,) from column i on."""
    span = count + kernel.shape[0] - 1
    return F.pad(kernel, (0, count)).repeat(count)[: count * span].view(count, span)


def _maps(first: Tensor, second: Tensor, data_range: float) -> Tensor:
    """Strips (planes, rows, W) to s, d and their squares, (rows, 4, planes, W): one product filters all of them."""
    planes, rows, width = first.shape
    maps = first.new_empty(rows, 4, planes, width)
    a, b = first.transpose(0, 1), second.transpose(0, 1)
    torch.add(a, b, out=maps[:, 0]).sub_(data_range)
    torch.sub(a, b, out=maps[:, 1])
    torch.mul(maps[:, :2], maps[:, :2], out=maps[:, 2:])
    return maps


def _down(maps: Tensor, band: Tensor) -> Tensor:
    """Filter the columns of (rows, M, planes, W)."""
    return torch.mm(band, maps.flatten(1)).view(-1, *maps.shape[1:])


def _along(maps: Tensor, band: Tensor) -> Tensor:
    """Filter the rows of (rows, M, planes, W + K - 1), block by block; the last overlaps the one before it."""
    size, span = band.shape
    length = maps.shape[-1] - span + size
    x, out = maps.view(-1, maps.shape[-1]), maps.new_empty(*maps.shape[:-1], length)
    whole = length - length % size
    for start, stop in ((0, whole), (length - size, length)):
        windows = x[:, start : stop + span - size].unfold(1, span, size).transpose(0, 1)  # (blocks, R, span)
        blocks = out.view(-1, length)[:, start:stop].unfold(1, size, size).transpose(0, 1)
        torch.bmm(windows, band.t().expand(len(windows), -1, -1), out=blocks)
        if whole == length:
            break
    return out


def _coefficients(means: Tensor, values: Tensor, denominator: Tensor, data_range: float, wanted: int) -> Tensor:
    """Half the derivatives of the index by the four local means, in a margin of zeros: (rows, 4, planes, W + 10).

    If only the first batch wants a gradient, those by the means of s and d are added up already: (rows, 3, ...).
    """
    signs = means.new_tensor([1.0, -1.0]).view(2, 1, 1, 1)
    others = values.flip(0) if len(values) == 2 else 1
    slopes = (signs - values.unsqueeze(1)) * (others / denominator).unsqueeze(1)  # (factor, s or d, ...)
    by_mean = -means[:2] * slopes[-1]
    if len(values) == 2:
        by_mean[0].addcmul_(means[0] + data_range, slopes[0, 0])
        by_mean[1].addcmul_(means[1], slopes[0, 1])
    _, rows, planes, columns = means.shape
    out = means.new_zeros(rows, 2 + wanted, planes, columns + 2 * _MARGIN)
    inner = out[..., _MARGIN:-_MARGIN].movedim(1, 0)
    inner[:wanted] = by_mean.sum(0) if wanted == 1 else by_mean
    inner[wanted:] = slopes[-1]
    return out


def _shares(spread: Tensor, maps: Tensor) -> list[Tensor]:
    """What a strip adds to each gradient, (rows, planes, W), from the coefficients spread over their windows."""
    squares = spread[:, -2:].mul_(maps[:, :2])
    if spread.shape[1] == 3:
        return [spread.sum(1)]
    by_sum, by_difference = (spread[:, :2] + squares).unbind(1)
    return [by_sum + by_difference, by_sum - by_difference]
