"""Correlation with a large kernel of two dimensions as a product of spectra."""

from typing import Any

import torch
import torch.nn.functional as F
from scipy import fft
from torch import Tensor


class _Correlate(torch.autograd.Function):
    """Both gradients are correlations again."""

    @staticmethod
    def forward(x: Tensor, kernel: Tensor) -> Tensor:
        shape = [fft.next_fast_len(length, real=True) for length in x.shape[-2:]]
        height, width = (n - k + 1 for n, k in zip(x.shape[-2:], kernel.shape[-2:], strict=True))
        if x.device.type == "cpu":
            # torch's own transform rounds otherwise with every number of threads.
            spectra = [fft.rfft2(a.detach().numpy(), shape, workers=1) for a in (x, kernel)]
            spectrum = spectra[0] * spectra[1].conj()
            out = torch.from_numpy(fft.irfft2(spectrum, shape, workers=1))
        else:
            out = torch.fft.irfft2(torch.fft.rfft2(x, s=shape) * torch.fft.rfft2(kernel, s=shape).conj(), s=shape)
        return out[..., :height, :width].contiguous()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        x, kernel = inputs
        # The picture is kept only if the kernel is learnt.
        ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, kernel)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, kernel = ctx.saved_tensors
        to_x = to_kernel = None
        if ctx.needs_input_grad[0]:
            rows, columns = (size - 1 for size in kernel.shape[-2:])
            to_x = correlate(F.pad(grad, (columns, columns, rows, rows)), kernel.flip(-2, -1))
        if ctx.needs_input_grad[1]:
            to_kernel = correlate(x, grad).sum_to_size(kernel.shape)
        return to_x, to_kernel


def correlate(x: Tensor, kernel: Tensor) -> Tensor:
    """Slide ``kernel`` (1, kh, kw) or (C, kh, kw) over planes (C, H, W), without a border.

    Differentiable in both, also twice. The result has the same bits whatever the number of threads.
    """
    out: Tensor = _Correlate.apply(x, kernel)  # type: ignore[no-untyped-call]
    return out
