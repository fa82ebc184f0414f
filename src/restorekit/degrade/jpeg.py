"""JPEG: the real codec through Pillow, and one in tensor operations that lets gradients through."""

import io
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from torch import Tensor
from torch.autograd.function import once_differentiable

from restorekit._check import check_batch
from restorekit.degrade._codec import decoded, hard_tables
from restorekit.degrade._level import per_picture
from restorekit.degrade._soft_codec import soft_tables, softly_decoded
from restorekit.image._precision import full_precision
from restorekit.image.convert import divided, levels

Subsampling = Literal["4:4:4", "4:2:2", "4:2:0"]
Rounding = Literal["straight-through", "smooth"]

MAX_SIDE = 65500  # libjpeg's, a little below what the format could hold
_CACHED = 1 << 20  # samples worked on at a time


def jpeg(x: Tensor, quality: float | Tensor, *, subsampling: Subsampling = "4:2:0") -> Tensor:
    """Code and decode as JPEG with Pillow: equal, bit for bit, to writing a file and reading it.

    Pictures are rounded to 8 bits as by ``image.to_image``. The work is done on the CPU, one picture after the other,
    and has no gradient: the result carries no graph. ``differentiable_jpeg`` has one, and stays on the device.

    Args:
        x: Pictures (N, 1, H, W), coded as grey, or (N, 3, H, W), RGB, in [0, 1], at most 65500 px a side.
        quality: Whole number in [1, 100], or one for each picture (N,).
        subsampling: How the chroma of RGB pictures is stored: "4:2:0", half as many rows and columns; "4:2:2", half as
            many columns; "4:4:4", in full.

    Returns:
        Pictures (N, C, H, W) of the dtype and on the device of ``x``, in multiples of 1/255.

    Raises:
        TypeError: ``x`` is not a floating-point tensor, or ``quality`` no number.
        ValueError: ``quality`` is outside its range, not whole or of the wrong length, ``x`` has another number of
            channels or is too large, or ``subsampling`` is unknown.

    Example:
        >>> jpeg(torch.full((1, 3, 2, 2), 0.5), 10).mul(255).unique()
        tensor([128.])

    Source: libjpeg(-turbo) as it comes with Pillow, baseline tables, no smoothing.
    """
    _check_picture(x, subsampling)
    if max(x.shape[2:]) > MAX_SIDE:
        raise ValueError(f"x must have at most {MAX_SIDE} px a side for JPEG, got shape {tuple(x.shape)}; cut it up")
    quality = quality.detach().cpu() if isinstance(quality, Tensor) else quality
    each = [_whole(value) for value in per_picture(quality, "quality", x, 1, 100).flatten().tolist()]
    wide = torch.promote_types(x.dtype, torch.float32)
    samples = levels(x.detach().to(wide, copy=True), torch.uint8).permute(0, 2, 3, 1).cpu().contiguous().numpy()
    pictures = np.stack([_through_pillow(samples[i], each[i], subsampling) for i in range(len(samples))])
    return divided(torch.from_numpy(pictures).to(x.device).permute(0, 3, 1, 2), x.dtype)


def _through_pillow(samples: NDArray[np.uint8], quality: int, subsampling: Subsampling) -> NDArray[np.uint8]:
    """Samples (H, W, 1 or 3) after coding and decoding."""
    picture = Image.fromarray(samples[:, :, 0] if samples.shape[2] == 1 else samples)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality, subsampling=subsampling)
    file.seek(0)
    # Not Image.open, which warns of pictures that are merely large: this one was in memory before.
    return np.asarray(JpegImageFile(file)).reshape(samples.shape)


def _whole(value: float) -> int:
    if value != int(value):
        raise ValueError(f"quality must be a whole number, got {value}; differentiable_jpeg takes any in [1, 100]")
    return int(value)


def differentiable_jpeg(
    x: Tensor,
    quality: float | Tensor,
    *,
    subsampling: Subsampling = "4:2:0",
    rounding: Rounding = "straight-through",
) -> Tensor:
    """Code and decode as JPEG in tensor operations, on the device of ``x``, differentiable in ``x`` and ``quality``.

    "straight-through" does the integer arithmetic of libjpeg: at whole qualities its value is that of ``jpeg``. Its
    gradient is that of "smooth", at the same ``x`` and ``quality``; it is computed anew in the backward pass, so that
    the graph holds ``x`` alone, and cannot be differentiated again. "smooth" is the same codec on real numbers, with
    coefficients ``c`` quantised to ``t * (u - sin(2 pi u) / (2 pi))``, ``u = c / t``, and no other rounding; ``t`` is
    ``clamp(base * s / 100, 1, 255)`` with ``s = 5000 / quality`` below 50 and ``200 - 2 * quality`` above.

    Pictures, decoded samples and results are clamped to their range, where gradients pass inside only. So it is with
    the tables: ``quality`` gets no gradient at 100, and little at 1, where nearly every entry is at its bound.

    Args:
        x: Pictures (N, 1, H, W), coded as grey, or (N, 3, H, W), RGB, in [0, 1].
        quality: Real number in [1, 100], or one for each picture (N,). Between whole qualities, libjpeg's formula is
            followed and its tables are whole numbers as ever.
        subsampling: How the chroma of RGB pictures is stored: "4:2:0", half as many rows and columns; "4:2:2", half as
            many columns; "4:4:4", in full.
        rounding: "straight-through" or "smooth".

    Returns:
        Pictures (N, C, H, W) of the dtype of ``x``.

    Raises:
        TypeError: ``x`` is not a floating-point tensor, or ``quality`` no number.
        ValueError: ``quality`` is outside its range or of the wrong length, ``x`` has another number of channels, or a
            name is unknown.

    Example:
        >>> x = torch.rand(1, 3, 20, 30, generator=torch.Generator().manual_seed(0))
        >>> torch.equal(differentiable_jpeg(x, 30), jpeg(x, 30))
        True

    Source: The steps are libjpeg's: accurate integer transform, triangular chroma. Rounding softly is after Shin and
        Song, "JPEG-resistant Adversarial Images", 2017, whose ``round(u) + (u - round(u)) ** 3`` leaps by 3/4 half way
        between whole numbers, so that its slope is 1/4 on average; the sine has slope 1 and no leap.
    """
    _check_picture(x, subsampling)
    if rounding not in get_args(Rounding):
        raise ValueError(f"rounding must be one of {', '.join(get_args(Rounding))}, got {rounding!r}")
    each = per_picture(quality, "quality", x, 1, 100).flatten()
    if rounding == "smooth":
        return _soft(x, each, subsampling)
    out: Tensor = _StraightThrough.apply(x, each, subsampling)  # type: ignore[no-untyped-call]
    return out


class _StraightThrough(torch.autograd.Function):
    """The value of the real codec, the gradient of its smooth form, computed again when it is asked for."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, quality: Tensor, subsampling: Subsampling) -> Tensor:
        ctx.save_for_backward(x, quality)
        ctx.subsampling = subsampling
        out = torch.empty_like(x, memory_format=torch.contiguous_format)
        for part in _parts(x):
            out[part] = _hard(x[part], quality[part], subsampling)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs: tuple[Tensor, ...] = ctx.saved_tensors
        pieces = []
        for part in _parts(inputs[0]):
            x, quality = (tensor[part].detach().requires_grad_(tensor.requires_grad) for tensor in inputs)
            with torch.enable_grad():
                soft = _soft(x, quality, ctx.subsampling)
            sources = [tensor for tensor in (x, quality) if tensor.requires_grad]
            pieces.append(torch.autograd.grad(soft, sources, gradient[part]))
        whole = (torch.cat(found) for found in zip(*pieces, strict=True))
        return *(next(whole) if tensor.requires_grad else None for tensor in inputs), None


def _parts(x: Tensor) -> list[slice]:
    """Groups of pictures that are worked on together: on a CPU few enough for the cache."""
    step = max(1, _CACHED // x[0].numel()) if x.device.type == "cpu" else len(x)
    return [slice(i, i + step) for i in range(0, len(x), step)]


def _check_picture(x: Tensor, subsampling: str) -> None:
    check_batch(x)
    if x.shape[1] not in {1, 3}:
        raise ValueError(f"x must have 1 channel (grey) or 3 (RGB) for JPEG, got shape {tuple(x.shape)}")
    if subsampling not in get_args(Subsampling):
        raise ValueError(f"subsampling must be one of {', '.join(get_args(Subsampling))}, got {subsampling!r}")


def _hard(x: Tensor, quality: Tensor, subsampling: Subsampling) -> Tensor:
    """Rounded to 8 bits, coded, and decoded to 8 bits."""
    samples = x.to(quality.dtype, copy=True).nan_to_num_(nan=0.0, posinf=1.0, neginf=0.0).clamp_(0, 1)
    samples = samples.mul_(255).add_(0.5).floor_().float()
    out = decoded(samples, hard_tables(quality), subsampling).to(quality.dtype)
    # A divisor on the device: CUDA multiplies by the reciprocal of a plain number, which rounds differently.
    return out.div_(out.new_full((), 255)).to(x.dtype)


def _soft(x: Tensor, quality: Tensor, subsampling: Subsampling) -> Tensor:
    with full_precision(x.device):
        return softly_decoded(x.to(quality.dtype).contiguous(), soft_tables(quality), subsampling).to(x.dtype)
