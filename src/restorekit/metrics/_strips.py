"""Structural similarity and its gradient in strips of rows that stay in cache.

With s = p + t and d = p - t the two factors of the index are, over the Gaussian window (mean m, variance v),

    luminance = 1 - 2 m_d^2 / (m_s^2 + m_d^2 + 2 c1),    contrast and structure = 1 - 2 v_d / (v_s + v_d + 2 c2)

which is the published formula, needs four filterings like the usual one, and has nothing to cancel where the pictures
agree. Variances do not see a constant, so s is taken about mid-grey, which leaves them more digits.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from restorekit.metrics._filtering import MARGIN, Strip
from restorekit.metrics._index import constants, luminance, structure, write_slopes
from restorekit.metrics._threads import share_out

# One map of a strip is up to 768 kB in float32, so that an operation finds its arguments in a core's own cache. Smaller
# ones keep threads waiting for the interpreter between operations. With more rows, more is multiplied by zeros; with
# fewer, more rows are seen twice.
_ROWS = 32
_COLUMNS = 6144  # planes that fit into it side by side are worked on together
_SIGNS = 1, -1  # of d in p = (s + d) / 2 and t = (s - d) / 2
_STRIPS = 2  # strips that one thread works on from top to bottom before it takes others


@dataclass(frozen=True)
class _Task:
    """The pictures (planes, H, W), what to compute, and where the gradients to the first ``wanted`` of them go."""

    pictures: tuple[Tensor, Tensor]
    gradients: tuple[Tensor, ...]
    data_range: float
    luminance: bool

    def strip(self, planes: int, rows: int) -> Strip:
        first, wanted = self.pictures[0], len(self.gradients)
        height, width = first.shape[1:]
        scale = 2 / ((height - MARGIN) * (width - MARGIN))  # of a mean over windows; slopes are halved
        return Strip(first, planes, rows, width, 2 + wanted if wanted else 0, scale)


_Section = tuple[slice, list[tuple[int, int]]]  # planes; first and last row of each strip
_Sums = tuple[Tensor, list[Tensor]]  # of the index, (planes,); two terms of what the 10 rows below get


def averages(
    first: Tensor, second: Tensor, data_range: float, luminance: bool, wanted: int
) -> tuple[Tensor, list[Tensor]]:
    """The index averaged over each plane, (N, C), and its gradients to the first ``wanted`` (0 to 2) of the batches."""
    pictures = first.detach().flatten(0, 1), second.detach().flatten(0, 1)
    count, height, width = pictures[0].shape
    rows, columns = height - MARGIN, width - MARGIN
    gradients = tuple(first.new_empty(count, height, width) for _ in range(wanted))
    for gradient in gradients:
        gradient[:, rows:] = 0
    sections = list(_sections(count, rows, width))
    total = first.new_zeros(count, dtype=torch.float64)
    task = _Task(pictures, gradients, data_range, luminance)
    for (group, places), (sums, rests) in zip(sections, share_out(lambda: _worker(task), sections), strict=True):
        total[group] += sums
        below = places[-1][1]
        for sign, gradient in zip(_SIGNS, gradients, strict=False):
            gradient[group, below : below + MARGIN] += torch.add(*rests, alpha=sign).transpose(0, 1)
    means = (total / (rows * columns)).to(first.dtype).view(first.shape[:2])
    return means, [gradient.view(first.shape) for gradient in gradients]


def _sections(count: int, rows: int, width: int) -> Iterator[_Section]:
    """The same whatever the number of threads. Neighbouring strips share the rows that windows of both need."""
    together = max(1, _COLUMNS // width)
    strips = [(top, min(top + _ROWS, rows)) for top in range(0, rows, _ROWS)]
    for start in range(0, count, together):
        for i in range(0, len(strips), _STRIPS):
            yield slice(start, min(start + together, count)), strips[i : i + _STRIPS]


def _worker(task: _Task) -> Callable[[_Section], _Sums]:
    """What works on one section after the other, in buffers that it keeps."""
    strips: dict[tuple[int, int], Strip] = {}

    def work(section: _Section) -> _Sums:
        group, places = section
        planes = group.stop - group.start
        total = task.pictures[0].new_zeros(planes, dtype=torch.float64)
        rests: list[Tensor] = []
        for top, stop in places:
            size = planes, stop - top
            strip = strips[size] = strips.get(size) or task.strip(*size)
            a, b = (x[group, top : stop + MARGIN].transpose(0, 1) for x in task.pictures)
            total += _similarity(strip, a, b, task)
            if task.gradients:
                rows = [x[group, top:stop].transpose(0, 1) for x in task.gradients]
                rests = _write_gradients(strip, rows, rests)
        return total, rests

    return work


def _similarity(strip: Strip, first: Tensor, second: Tensor, task: _Task) -> Tensor:
    """Sum of the index over each plane of a strip; half its derivatives are left in ``strip.slopes``, if wanted."""
    _write_maps(strip.maps, first, second, task.data_range)
    strip.filter()
    means = strip.means[:, :, : first.shape[-1] - MARGIN]
    contrast = structure(means)
    light = luminance(means, task.data_range) if task.luminance else None
    sums = (light.value * contrast.value if light else contrast.value).sum(dim=(1, 2))
    if task.gradients:
        write_slopes(strip.slopes, means, contrast, light)
    return sums


def _write_maps(maps: Tensor, first: Tensor, second: Tensor, data_range: float) -> None:
    """Strips (rows, planes, W) to s, d, s^2 + 2 c2 and d^2."""
    width = first.shape[-1]
    torch.add(first, second, out=maps[0, ..., :width]).sub_(data_range)
    torch.sub(first, second, out=maps[1, ..., :width])
    torch.addcmul(maps.new_tensor(constants(data_range)[1]), maps[0], maps[0], out=maps[2])
    torch.mul(maps[1], maps[1], out=maps[3])


def _write_gradients(strip: Strip, gradients: list[Tensor], above: list[Tensor]) -> list[Tensor]:
    """Fill rows (rows, planes, W) of the gradients: half the sum and the difference of two terms.

    A strip gives something to 10 rows more. ``above`` is what the strip above has given; returned is the rest below.
    """
    strip.spread()
    rows, width = len(gradients[0]), gradients[0].shape[-1]
    sums, differences = strip.maps[:2, ..., :width]
    *by_means, by_sum_square, by_difference_square = strip.shares[..., :width]
    by_sum = by_means[0].addcmul_(sums, by_sum_square)
    if len(gradients) == 1:  # the derivative by the other mean is part of the first
        by_difference = by_difference_square.mul_(differences)
    else:
        by_difference = by_means[1].addcmul_(differences, by_difference_square)
    for term, more in zip((by_sum, by_difference), above, strict=False):  # none above the first
        term[:MARGIN].add_(more)
    for sign, gradient in zip(_SIGNS, gradients, strict=False):
        torch.add(by_sum[:rows], by_difference[:rows], alpha=sign, out=gradient)
    return [by_sum[rows:].clone(), by_difference[rows:].clone()]
