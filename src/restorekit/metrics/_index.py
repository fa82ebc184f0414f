"""The index and its derivatives by the local means of a strip, in few passes and mostly in place.

``means`` (4, ...) are the local means of s = p + t - data_range, of d = p - t, of s^2 + 2 c2 and of d^2.
"""

from typing import NamedTuple

import torch
from torch import Tensor

_K1, _K2 = 0.01, 0.03


def constants(data_range: float) -> tuple[float, float]:
    """The summands 2 c1 and 2 c2 of the two denominators."""
    return 2 * (_K1 * data_range) ** 2, 2 * (_K2 * data_range) ** 2


class Structure(NamedTuple):
    """Contrast and structure, and its denominator."""

    value: Tensor
    denominator: Tensor


class Luminance(NamedTuple):
    """The luminance, its denominator, and the local mean of p + t."""

    value: Tensor
    denominator: Tensor
    light: Tensor


def structure(means: Tensor) -> Structure:
    """Overwrites the means of the squares."""
    means[2:].addcmul_(means[:2], means[:2], value=-1)  # variances
    denominator = means[2].add_(means[3])
    value = torch.addcdiv(means.new_ones(()), means[3], denominator, value=-2, out=means[3])
    return Structure(value, denominator)


def luminance(means: Tensor, data_range: float) -> Luminance:
    """Leaves the means as they are."""
    light = means[0] + data_range
    square = means[1].square()
    denominator = torch.addcmul(means.new_tensor(constants(data_range)[0]), light, light).add_(square)
    value = torch.addcdiv(means.new_ones(()), square, denominator, value=-2, out=square)
    return Luminance(value, denominator, light)


def write_slopes(out: Tensor, means: Tensor, of: Structure, by: Luminance | None) -> None:
    """Half the derivatives of the index by the four means, (4, ...) or (3, ...), to ``out``.

    If only the first batch wants a gradient, those by the means of s and d are added up already: (3, ...). Overwrites
    the denominator of ``by`` and the mean of p + t.
    """
    share = by.value / of.denominator if by else of.denominator.reciprocal()
    to_sum, to_difference = out[-2:]
    torch.addcmul(share, share, of.value, value=-1, out=to_sum)
    torch.sub(to_sum, share, alpha=2, out=to_difference)
    along_sum, against_difference = means[0] * to_sum, means[1] * to_difference
    if by:
        share = torch.div(of.value, by.denominator, out=by.denominator)
        light = by.light.mul_(share)
        along_sum.sub_(light).addcmul_(light, by.value)
        dark = share.mul_(means[1])
        against_difference.add_(dark).addcmul_(dark, by.value)
    if len(out) == 3:
        torch.add(along_sum, against_difference, out=out[0]).neg_()
    else:
        torch.neg(along_sum, out=out[0])
        torch.neg(against_difference, out=out[1])
