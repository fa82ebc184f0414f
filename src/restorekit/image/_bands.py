"""Sliding a kernel along one axis as a product with a banded matrix, taken in blocks that are views of the picture."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import forward_ad

from restorekit.image._border import extend

_BLOCK = 16  # outputs of one product: as fast as 32 for short kernels, and little is multiplied by zero
# A BLAS shares out long sums and thin products between threads, which rounds otherwise with every number of threads.
# Sums of at most this many terms, and products at least a block wide, are left whole.
_TERMS = 64
_PLANE = 64 * 64  # pixels; with smaller planes the calls cost more than the arithmetic saves


def _band(kernel: Tensor) -> list[Tensor]:
    """The matrix (block, block + K - 1) whose row i holds ``kernel`` (K,) from column i on, in pieces of columns."""
    span = _BLOCK + kernel.shape[0] - 1
    band = F.pad(kernel, (0, _BLOCK)).repeat(_BLOCK)[: _BLOCK * span].view(_BLOCK, span)
    return [band[:, start : start + _TERMS] for start in range(0, span, _TERMS)]


def _product(out: Tensor, a: Tensor, b: Tensor, first: bool) -> None:
    if first:
        torch.bmm(a, b, out=out)
    else:
        torch.baddbmm(out, a, b, out=out)


def _along_columns(x: Tensor, kernel: Tensor, out: Tensor) -> None:
    """Planes (C, H + K - 1, W) to (C, H, W)."""
    length, width = out.shape[1:]
    count, rest = divmod(length, _BLOCK)
    last = length - _BLOCK  # the last block overlaps the one before it rather than being thin
    for i, piece in enumerate(_band(kernel)):
        place, terms = i * _TERMS, piece.shape[1]
        for plane, target in zip(x, out, strict=True):
            windows = plane[place:].unfold(0, terms, _BLOCK)[:count].transpose(1, 2)  # (blocks, terms, W)
            blocks = target[: count * _BLOCK].view(count, _BLOCK, width)
            _product(blocks, piece.expand(count, -1, -1), windows, i == 0)
    if rest:
        _along_columns(x[:, last:], kernel, out[:, last:])


def _along_rows(x: Tensor, kernel: Tensor, out: Tensor) -> None:
    """Rows (R, W + K - 1) to (R, W)."""
    length = out.shape[1]
    count, rest = divmod(length, _BLOCK)
    last = length - _BLOCK
    blocks = out[:, : count * _BLOCK].view(-1, count, _BLOCK).transpose(0, 1)
    for i, piece in enumerate(_band(kernel)):
        windows = x[:, i * _TERMS :].unfold(1, piece.shape[1], _BLOCK)[:, :count].transpose(0, 1)  # (blocks, R, terms)
        _product(blocks, windows, piece.t().expand(count, -1, -1), i == 0)
    if rest:
        _along_rows(x[:, last:], kernel, out[:, last:])


def _by_slices(x: Tensor, kernel: Tensor, dim: int, out: Tensor) -> None:
    length = out.shape[dim]
    torch.mul(x.narrow(dim, 0, length), kernel[0], out=out)
    for i in range(1, kernel.shape[0]):
        out.addcmul_(x.narrow(dim, i, length), kernel[i])


def _correlate(x: Tensor, kernel: Tensor, dim: int) -> Tensor:
    shape = list(x.shape)
    shape[dim] -= kernel.shape[0] - 1
    out = x.new_empty(shape)
    if min(shape[1:]) < _BLOCK:
        _by_slices(x, kernel, dim, out)
    elif dim == -1:
        _along_rows(x.flatten(0, 1), kernel, out.view(-1, shape[2]))
    else:
        _along_columns(x, kernel, out)
    return out


class _Slide(torch.autograd.Function):
    """Both gradients are correlations again and cost what the forward pass costs; the windows are never stored."""

    @staticmethod
    def forward(x: Tensor, kernel: Tensor, dim: int) -> Tensor:
        return _correlate(x, kernel, dim)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        x, kernel, ctx.dim = inputs
        # The picture is kept only if the kernel is learnt.
        ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, kernel)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, kernel = ctx.saved_tensors
        to_x = to_kernel = None
        if ctx.needs_input_grad[0]:
            to_x = slide(extend(grad, kernel.shape[0] - 1, ctx.dim, "zero"), kernel.flip(0), ctx.dim)
        if ctx.needs_input_grad[1]:
            length = grad.shape[ctx.dim]
            products = [(grad * x.narrow(ctx.dim, i, length)).sum() for i in range(kernel.shape[0])]
            to_kernel = torch.stack(products)
        return to_x, to_kernel, None


def slide(x: Tensor, kernel: Tensor, dim: int) -> Tensor:
    """Correlate planes (C, H, W) with ``kernel`` (K,) along axis ``dim`` (-2 or -1), without a border.

    Differentiable in both, also twice. The result has the same bits whatever the number of threads.
    """
    if not (torch.is_grad_enabled() and (x.requires_grad or kernel.requires_grad)):
        return _correlate(x, kernel, dim)
    out: Tensor = _Slide.apply(x, kernel, dim)  # type: ignore[no-untyped-call]
    return out


def eager_on_cpu(*tensors: Tensor) -> bool:
    """Whether results may be written block by block into a buffer, by calls that are cheap.

    Neither a compiler nor ``torch.func`` nor forward mode can follow such writing.
    """
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return False
    tangents = [forward_ad.unpack_dual(x).tangent for x in tensors]  # type: ignore[no-untyped-call]
    return all(x.device.type == "cpu" for x in tensors) and all(tangent is None for tangent in tangents)


def pays(x: Tensor) -> bool:
    """Whether ``slide`` is quicker on planes like those of ``x`` (N, C, H, W) than sums of slices, and may be used."""
    return x.shape[-2] * x.shape[-1] >= _PLANE and eager_on_cpu(x)
