"""Pictures to tensors and back: scaled by type, never by content."""

import os
from typing import Any, Literal, overload

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from restorekit.image.reading import MAX_PIXELS, picture_pixels, read_image

Picture = str | os.PathLike[str] | Image.Image | NDArray[Any] | Tensor

INTEGERS = (torch.uint8, torch.uint16)
_FULL = {torch.uint8: 255, torch.uint16: 65535}
_KINDS = {"pil": torch.uint8, "uint8": torch.uint8, "uint16": torch.uint16, "float": None}
_ARRAYS = "uint8, uint16, float16, float32 or float64"
_STRIP = 1 << 18  # samples converted at a time: a strip stays in the cache


def to_tensor(
    image: Picture,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Tensor:
    """Turn a picture of any kind into a batch of one.

    Integers are divided by the largest value of their type, 255 or 65535, whatever the picture holds; floats are taken
    as they are. Palettes and transparent colours are expanded as in ``read_image``.

    Args:
        image: A path; a Pillow picture (1, L, LA, P, PA, RGB, RGBA, I;16), taken as it stands in memory, EXIF
            orientation aside; an array (H, W) or (H, W, C) with 1 to 4 channels, uint8, uint16, float16, float32 or
            float64; or a tensor (C, H, W) or (N, C, H, W), uint8, uint16 or floating point.
        dtype: Floating-point type of the result. Integers are divided in float32, or in float64 for float64.
        device: Where the result goes; a tensor stays where it is unless told otherwise.
        max_pixels: Most pixels accepted from a file.

    Returns:
        Tensor (1, C, H, W), or (N, C, H, W) from a batch; integers in [0, 1]. Arrays and Pillow pictures are copied; a
        floating-point tensor that already fits is returned without a copy.

    Raises:
        TypeError: No picture: another class or dtype (bool, complex, signed integers).
        ValueError: Another rank or channel count, an empty picture, or a file that ``read_image`` refuses.

    Example:
        >>> to_tensor(np.full((2, 3), 51, np.uint8))
        tensor([[[[0.2000, 0.2000, 0.2000],
                  [0.2000, 0.2000, 0.2000]]]])
    """
    if not dtype.is_floating_point:
        raise TypeError(f"dtype must be a floating-point type, got {dtype}")
    if isinstance(image, Tensor):
        x = tensor_planes(image)
        return (divided(x, dtype) if x.dtype in INTEGERS else x.to(dtype)).to(device=device)
    if isinstance(image, (str, os.PathLike)):
        image = read_image(image, max_pixels=max_pixels)
    elif isinstance(image, Image.Image):
        image = picture_pixels(image)
    if not isinstance(image, np.ndarray):
        raise TypeError(f"image must be a path, Pillow picture, ndarray or tensor, got {type(image).__name__}")
    planes = array_planes(image)[None]
    if planes.dtype in INTEGERS:
        return divided(planes, dtype).to(device=device)
    return torch.empty(planes.shape, dtype=dtype).copy_(planes).to(device=device)


def tensor_planes(x: Tensor) -> Tensor:
    """A view (N, C, H, W) of a picture or batch (C, H, W) or (N, C, H, W) of an accepted dtype."""
    if x.dtype not in INTEGERS and not x.is_floating_point():
        raise TypeError(f"image must be a uint8, uint16 or floating-point tensor, got {x.dtype}")
    if x.ndim not in {3, 4}:
        raise ValueError(f"image must be a tensor (C, H, W) or (N, C, H, W), got shape {tuple(x.shape)}")
    if x.numel() == 0:
        raise ValueError(f"image must not be empty, got shape {tuple(x.shape)}")
    return x if x.ndim == 4 else x[None]


def array_planes(array: NDArray[Any]) -> Tensor:
    """A view (C, H, W) of an array (H, W) or (H, W, C), or of a copy where torch cannot view it."""
    if array.dtype.newbyteorder("=") not in (np.uint8, np.uint16, np.float16, np.float32, np.float64):
        raise TypeError(f"image must be an array of {_ARRAYS}, got {array.dtype}")
    if array.ndim not in {2, 3} or (array.ndim == 3 and not 1 <= array.shape[2] <= 4):
        raise ValueError(f"image must be an array (H, W) or (H, W, C) with 1 to 4 channels, got shape {array.shape}")
    if array.size == 0:
        raise ValueError(f"image must not be empty, got shape {array.shape}")
    if not (array.flags.writeable and array.dtype.isnative and min(array.strides) >= 0):
        array = array.astype(array.dtype.newbyteorder("="), copy=True)
    x = torch.from_numpy(array)
    return x[None] if array.ndim == 2 else x.permute(2, 0, 1)


def divided(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Integers (uint8, uint16) over the largest value of their type, in new contiguous memory."""
    wide = dtype if dtype in {torch.float32, torch.float64} else torch.float32
    out = torch.empty(x.shape, dtype=wide, device=x.device).copy_(x)
    # A divisor on the device: CUDA multiplies by the reciprocal of a plain number, which rounds differently.
    return out.div_(out.new_full((), _FULL[x.dtype])).to(dtype)


def levels(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Integers of ``dtype`` for floats in [0, 1], clamped and rounded half up, NaN as 0; ``x`` is overwritten."""
    return _clamped(x).mul_(_FULL[dtype]).add_(0.5).to(dtype)  # the conversion cuts off the fraction


def _clamped(x: Tensor) -> Tensor:
    return x.nan_to_num_(nan=0.0, posinf=1.0, neginf=0.0).clamp_(0, 1)


@overload
def to_image(x: Tensor, *, like: Literal["pil"] = "pil") -> Image.Image: ...
@overload
def to_image(x: Tensor, *, like: Literal["uint8"]) -> NDArray[np.uint8]: ...
@overload
def to_image(x: Tensor, *, like: Literal["uint16"]) -> NDArray[np.uint16]: ...
@overload
def to_image(x: Tensor, *, like: Literal["float"]) -> NDArray[np.floating[Any]]: ...
def to_image(x: Tensor, *, like: Literal["pil", "uint8", "uint16", "float"] = "pil") -> Image.Image | NDArray[Any]:
    """Turn a tensor into one picture: clamped to [0, 1], and for integers scaled and rounded half up.

    NaN becomes 0. The work is done in strips of rows, so that a large picture needs little beyond its result.

    Args:
        x: One picture (C, H, W) or (1, C, H, W) with 1 to 4 channels: grey, grey and alpha, RGB, RGB and alpha;
            floating point, on any device.
        like: "pil" for a Pillow picture of 8 bits, or "uint8", "uint16" or "float" (float32; float64 from float64) for
            an array (H, W) of one channel or (H, W, C) of more.

    Returns:
        The picture, in memory of its own.

    Raises:
        TypeError: ``x`` is no floating-point tensor.
        ValueError: ``x`` is no single picture, has another number of channels, or ``like`` is unknown.

    Example:
        >>> to_image(torch.tensor([[[-0.5, 0.5, 1.5]]]), like="uint8")
        array([[  0, 128, 255]], dtype=uint8)
    """
    if like not in _KINDS:
        raise ValueError(f"like must be one of pil, uint8, uint16, float, got {like!r}")
    x = _single(x).detach()
    wide = torch.float64 if x.dtype == torch.float64 else torch.float32
    kind = _KINDS[like] or wide
    channels, height, width = x.shape
    out = torch.empty(height, width, channels, dtype=kind)
    step = max(1, _STRIP // (channels * width))
    for top in range(0, height, step):
        rows = slice(top, top + step)
        strip = x[:, rows].permute(1, 2, 0).to(wide, copy=True, memory_format=torch.contiguous_format)
        out[rows] = levels(strip, kind) if kind in INTEGERS else _clamped(strip)
    array = out.numpy()[:, :, 0] if channels == 1 else out.numpy()
    return Image.fromarray(array) if like == "pil" else array


def _single(x: Tensor) -> Tensor:
    if not isinstance(x, Tensor):
        raise TypeError(f"x must be a torch.Tensor, got {type(x).__name__}")
    if not x.is_floating_point():
        raise TypeError(f"x must be a floating-point tensor in [0, 1], got {x.dtype}; to_tensor converts")
    if x.ndim == 4 and x.shape[0] == 1:
        x = x[0]
    if x.ndim != 3 or not 1 <= x.shape[0] <= 4 or x.numel() == 0:
        raise ValueError(
            f"x must be one picture (C, H, W) or (1, C, H, W) with 1 to 4 channels, got shape {tuple(x.shape)}; "
            "convert the pictures of a batch one by one"
        )
    return x
