"""JPEG: the real codec through Pillow, and one in tensor operations that lets gradients through."""

import io
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import torch
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from torch import Tensor

from restorekit._check import check_batch
from restorekit.degrade._codec import decoded, hard_tables
from restorekit.degrade._level import per_picture
from restorekit.degrade._soft_codec import soft_tables, softly_decoded
from restorekit.image.convert import divided, levels

Subsampling = Literal["4:4:4", "4:2:2", "4:2:0"]
Rounding = Literal["straight-through", "smooth"]

MAX_SIDE = 65500  # libjpeg's, a little below what the format could hold


def jpeg(x: Tensor, quality: float | Tensor, *, subsampling: Subsampling = "4:2:0") -> Tensor:
    _check_picture(x, subsampling)
    if max(x.shape[2:]) > MAX_SIDE:
        raise ValueError(f"x must have at most {MAX_SIDE} px a side for JPEG, got shape {tuple(x.shape)}; cut it up")
    if isinstance(quality, Tensor):
        quality = quality.detach().cpu()
    each = [_whole(value) for value in per_picture(quality, "quality", x, 1, 100).flatten().tolist()]
    wide = torch.promote_types(x.dtype, torch.float32)
    samples = levels(x.detach().to(wide, copy=True), torch.uint8).permute(0, 2, 3, 1).cpu().contiguous()
    decoded = np.stack([_round_trip(p, q, subsampling) for p, q in zip(samples.numpy(), each, strict=True)])
    return divided(torch.from_numpy(decoded).to(x.device).permute(0, 3, 1, 2), x.dtype)


def _round_trip(samples, quality: int, subsampling: Subsampling):
    grey = samples.shape[2] == 1
    file = io.BytesIO()
    Image.fromarray(samples[:, :, 0] if grey else samples).save(file, "JPEG", quality=quality, subsampling=subsampling)
    file.seek(0)
    # Not Image.open, which refuses or warns of pictures that are merely large: these are our own.
    return np.asarray(JpegImageFile(file)).reshape(samples.shape)


def _whole(value: float) -> int:
    if value != int(value):
        raise ValueError(f"quality must be a whole number in [1, 100], got {value}; differentiable_jpeg takes others")
    return int(value)


def differentiable_jpeg(
    x: Tensor,
    quality: float | Tensor,
    *,
    subsampling: Subsampling = "4:2:0",
    rounding: Rounding = "straight-through",
) -> Tensor:
    _check_picture(x, subsampling)
    if rounding not in get_args(Rounding):
        raise ValueError(f"rounding must be one of {', '.join(get_args(Rounding))}, got {rounding!r}")
    each = per_picture(quality, "quality", x, 1, 100).flatten()
    if rounding == "smooth":
        return softly_decoded(x.to(each.dtype), soft_tables(each), subsampling).to(x.dtype)
    out = _decoded(x, each, subsampling)
    if torch.is_grad_enabled() and (x.requires_grad or each.requires_grad):
        soft = softly_decoded(x.to(each.dtype), soft_tables(each), subsampling)
        out = (out + (soft - soft.detach())).to(x.dtype)
    return out


def _check_picture(x: Tensor, subsampling: str) -> None:
    check_batch(x)
    if x.shape[1] not in {1, 3}:
        raise ValueError(f"x must have 1 channel (grey) or 3 (RGB) for JPEG, got shape {tuple(x.shape)}")
    if subsampling not in get_args(Subsampling):
        raise ValueError(f"subsampling must be one of {', '.join(get_args(Subsampling))}, got {subsampling!r}")


def _decoded(x: Tensor, quality: Tensor, subsampling: Subsampling) -> Tensor:
    """The value of the straight-through form: rounded to 8 bits, and decoded to 8 bits."""
    samples = x.detach().to(quality.dtype, copy=True).nan_to_num_(nan=0.0, posinf=1.0, neginf=0.0).clamp_(0, 1)
    samples = samples.mul_(255).add_(0.5).floor_().float()
    out = decoded(samples, hard_tables(quality.detach()), subsampling).to(quality.dtype)
    # A divisor on the device: CUDA multiplies by the reciprocal of a plain number, which rounds differently.
    return out.div_(out.new_full((), 255)).to(x.dtype)
