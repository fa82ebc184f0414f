"""Sliding over each picture a kernel of its own, with the same bits in any batch and on any number of threads."""

from collections.abc import Iterable
from typing import Literal, get_args

import torch
from torch import Tensor

from restorekit._check import check_integer
from restorekit.image._bands import slide
from restorekit.image._border import extend
from restorekit.image._precision import full_precision
from restorekit.image._spectra import correlate

Border = Literal["reflect", "symmetric", "replicate", "zero", "circular"]


def check_kernel_size(size: int) -> None:
    """Require an odd number of taps."""
    check_integer(size, "kernel_size", 1)
    if size % 2 == 0:
        raise ValueError(f"kernel_size must be odd, so that the kernel has a centre, got {size}")


def check_border(border: str) -> None:
    """Require a border that keeps the size of a picture."""
    if border not in get_args(Border):
        raise ValueError(f"border must be one of {', '.join(get_args(Border))}, got {border!r}")


def filter_each(x: Tensor, kernels: Iterable[Tensor], border: Border, *, mean: bool = True) -> Tensor:
    """Filter pictures (N, C, H, W) with a kernel (K, K) for each, in float32 or wider; ``mean`` as in ``filtered``."""
    work = x.to(torch.promote_types(x.dtype, torch.float32))
    with full_precision(x.device):
        return torch.stack([filtered(*pair, border, mean=mean) for pair in zip(work, kernels, strict=True)])


def filtered(x: Tensor, kernel: Tensor, border: Border, *, mean: bool = True) -> Tensor:
    """Slide a kernel (K, K) over one picture (C, H, W); with ``mean`` its weights are at least 0 and sum to 1."""
    size = kernel.shape[-1]
    if size == 1:
        return x * kernel.to(x.dtype)
    wide = extend(extend(x, size // 2, -2, border), size // 2, -1, border)
    out = correlate(wide, kernel.to(x.dtype)[None])
    if not mean:
        return out
    # A mean lies among its samples, but spectra round: black may come out below 0. The gradient is left as it is.
    kept = out.detach().clamp(wide.detach().amin(), wide.detach().amax())
    return out + (kept - out.detach())


def filtered_separably(x: Tensor, down: Tensor, along: Tensor, border: Border) -> Tensor:
    """Slide ``down`` (K,) down the columns and ``along`` (K,) along the rows of one picture (C, H, W)."""
    for kernel, dim in ((along, -1), (down, -2)):
        if kernel.shape[0] > 1:
            x = slide(extend(x, kernel.shape[0] // 2, dim, border), kernel.to(x.dtype), dim)
    return x
