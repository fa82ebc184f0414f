"""The two factors of structural similarity, averaged over each plane: what ``ssim`` and ``ms_ssim`` are made of."""

from typing import Any

import torch
from torch import Tensor

from restorekit.image import filter_separable
from restorekit.image._bands import eager_on_cpu
from restorekit.metrics._filtering import window
from restorekit.metrics._index import constants
from restorekit.metrics._strips import averages


def similarity(first: Tensor, second: Tensor, data_range: float, *, luminance: bool = True) -> Tensor:
    """Mean over each plane of luminance times contrast and structure, or of the latter alone: (N, C, H, W) to (N, C).

    On a CPU the planes are worked through in strips that stay in cache, whole strips by each thread, and the gradient,
    which belongs to one number per plane, is known by the end of the forward pass: one picture is kept instead of the
    dozen maps that it comes from. A second derivative, a compiler, a transform or another device takes the plain
    formula.
    """
    if not eager_on_cpu(first, second):
        return _plain(first, second, data_range, luminance)
    if torch.is_grad_enabled() and (first.requires_grad or second.requires_grad):
        if not first.requires_grad:  # both factors are symmetric, and a gradient to the first is always taken
            first, second = second, first
        means: Tensor = _Averages.apply(first, second, data_range, luminance)  # type: ignore[no-untyped-call]
        return means
    return averages(first, second, data_range, luminance, 0)[0]


def _plain(first: Tensor, second: Tensor, data_range: float, luminance: bool) -> Tensor:
    sums, differences = first + second - data_range, first - second
    maps = torch.stack([sums, differences, sums.square(), differences.square()])
    kernel = window(first)
    means = filter_separable(maps.flatten(0, 1), kernel, kernel, border="valid")
    means = means.view(4, *first.shape[:2], *means.shape[-2:])
    variances = means[2:] - means[:2].square()
    by_light, by_contrast = constants(data_range)
    index = 1 - 2 * variances[1] / (variances[0] + variances[1] + by_contrast)
    if luminance:
        square = means[1].square()
        index = index * (1 - 2 * square / ((means[0] + data_range).square() + square + by_light))
    return index.mean(dim=(-2, -1))


class _Averages(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, first: Tensor, second: Tensor, data_range: float, luminance: bool) -> Tensor:
        means, gradients = averages(first, second, data_range, luminance, 2 if ctx.needs_input_grad[1] else 1)
        ctx.options = data_range, luminance
        ctx.save_for_backward(first, second, *gradients)
        return means

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        first, second, *gradients = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True: a gradient that can itself be differentiated
            inputs = (first, second)[: len(gradients)]
            gradients = torch.autograd.grad(_plain(first, second, *ctx.options), inputs, grad, create_graph=True)
        else:
            gradients = [gradient * grad[..., None, None] for gradient in gradients]
        return (*gradients, *[None] * (4 - len(gradients)))
