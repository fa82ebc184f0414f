"""Loss of resolution: shrunk and enlarged back, or handed on smaller."""

import torch
from torch import Tensor

from restorekit._check import check_batch
from restorekit.degrade._level import finished, per_picture_exactly
from restorekit.image import resize
from restorekit.image._taps import Kernel


def low_pass(
    x: Tensor, level: float | Tensor, *, kernel: Kernel = "bilinear", antialias: bool = False, clip: bool = True
) -> Tensor:
    """Shrink the pictures and enlarge them back, so that what does not fit into fewer pixels is gone.

    Args:
        x: Pictures (N, C, H, W) in [0, 1].
        level: Ratio of the sides in between, in (0, 1]: ``max(1, round(level * side))`` pixels; 1 leaves the picture as
            it is. A number or one for each picture (N,).
        kernel: Of both steps, as in ``image.resize``.
        antialias: Stretch the kernel when shrinking; without it, what is too fine comes back as false patterns.
        clip: Clamp the result to [0, 1]; cubic and Lanczos kernels overshoot.

    Returns:
        Pictures (N, C, H, W) of the dtype of ``x``.

    Raises:
        TypeError: ``x`` is not a floating-point tensor, or ``level`` no number.
        ValueError: ``level`` is outside its range or has the wrong length, or ``kernel`` is unknown.

    Example:
        >>> low_pass(torch.tensor([[[[0.0, 0.5, 0.5, 1.0]]]]), 0.25).tolist()
        [[[[0.5, 0.5, 0.5, 0.5]]]]

    Source: Ahn's thesis, section 6.1 (ratios .3, .1 and .03), as its distortion generator resized: linear, without
        antialiasing.
    """
    check_batch(x)
    ratios = per_picture_exactly(level, "level", x, 0, 1, above=True).flatten().tolist()
    work = x.to(torch.promote_types(x.dtype, torch.float32))
    height, width = x.shape[-2:]
    out = []
    for picture, ratio in zip(work.unsqueeze(1), ratios, strict=True):
        size = (max(1, round(ratio * height)), max(1, round(ratio * width)))
        if size == (height, width):
            out.append(picture)
        else:
            small = resize(picture, size=size, kernel=kernel, antialias=antialias)
            out.append(resize(small, size=(height, width), kernel=kernel))
    return finished(torch.cat(out), x, clip)


def downscale(
    x: Tensor, level: float | Tensor, *, kernel: Kernel = "bicubic", antialias: bool = True, clip: bool = True
) -> Tensor:
    """Shrink the pictures as MATLAB's ``imresize`` does: the low-resolution input of super-resolution.

    Args:
        x: Pictures (N, C, H, W) in [0, 1].
        level: Factor, in [1, 64], not necessarily whole; 1 leaves the picture as it is. A number or a tensor of equal
            numbers: pictures of one batch keep one size.
        kernel: As in ``image.resize``.
        antialias: Stretch the kernel.
        clip: Clamp the result to [0, 1]; cubic and Lanczos kernels overshoot.

    Returns:
        Pictures (N, C, ceil(H / level), ceil(W / level)) of the dtype of ``x``.

    Raises:
        TypeError: ``x`` is not a floating-point tensor, or ``level`` no number.
        ValueError: ``level`` is outside its range, has the wrong length or differs between pictures, or ``kernel`` is
            unknown.

    Example:
        >>> downscale(torch.rand(2, 3, 12, 13), 4).shape
        torch.Size([2, 3, 3, 4])
    """
    check_batch(x)
    factors = set(per_picture_exactly(level, "level", x, 1, 64).flatten().tolist())
    if len(factors) > 1:
        raise ValueError(
            f"level must be the same for all pictures of a batch, got {sorted(factors)}; downscale them one by one"
        )
    return finished(resize(x, 1 / factors.pop(), kernel=kernel, antialias=antialias), x, clip)
