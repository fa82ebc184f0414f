"""What a caller hands in as a picture, as planes of its own dtype, and the way back."""

from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from restorekit.image import read_image
from restorekit.image.convert import INTEGERS, array_planes, divided, levels, tensor_planes
from restorekit.image.reading import picture_header, picture_pixels

_KEPT = ("exif", "icc_profile")  # what decides how the picture is shown: its orientation and its colours


@dataclass(frozen=True)
class Picture:
    """Planes (N, C, H, W) in the dtype that the caller's picture has, and how to give a result back."""

    planes: Tensor
    finish: Callable[[Tensor], Any]
    interleaved: bool  # the result's memory is (N, H, W, C), as arrays and Pillow have it

    @property
    def has_alpha(self) -> bool:
        """Whether the last channel is transparency."""
        return self.planes.shape[1] in {2, 4}

    def empty_result(self, scale: int) -> Tensor:
        """Planes for the result, not filled in, where the picture is."""
        n, c, h, w = self.planes.shape
        h, w = h * scale, w * scale
        if self.interleaved:
            return self.planes.new_empty(n, h, w, c).permute(0, 3, 1, 2)
        return self.planes.new_empty(n, c, h, w)


def open_picture(image: object, max_pixels: int) -> Picture:
    """Take a path, Pillow picture, array or tensor apart."""
    if isinstance(image, Tensor):
        squeeze = image.ndim == 3
        return Picture(tensor_planes(image), lambda out: out[0] if squeeze else out, interleaved=False)
    if isinstance(image, np.ndarray):
        flat, dtype = image.ndim == 2, image.dtype
        return Picture(array_planes(image)[None], lambda out: _array(out, flat).astype(dtype, copy=False), True)
    if isinstance(image, Image.Image):
        mode, info = image.mode, {key: image.info[key] for key in _KEPT if key in image.info}
        return Picture(array_planes(picture_pixels(image))[None], lambda out: _pillow(out, mode, info), True)
    if isinstance(image, (str, PathLike)):
        pixels, (mode, profile) = read_image(image, max_pixels=max_pixels), picture_header(image, max_pixels)
        if pixels.dtype == np.uint16:
            return Picture(array_planes(pixels)[None], lambda out: _array(out, pixels.ndim == 2), True)
        info = {"icc_profile": profile} if profile else {}
        return Picture(array_planes(pixels)[None], lambda out: _pillow(out, mode, info), True)
    raise TypeError(f"image must be a path, Pillow picture, ndarray or tensor, got {type(image).__name__}")


def _array(out: Tensor, flat: bool) -> NDArray[Any]:
    array: NDArray[Any] = out[0].permute(1, 2, 0).numpy()
    return array[..., 0] if flat else array


def _pillow(out: Tensor, mode: str, info: dict[Any, Any]) -> Image.Image:
    picture = Image.fromarray(_array(out, out.shape[1] == 1))
    if mode in {"P", "PA"}:
        picture = picture.quantize()  # to 256 colours, by the method that suits pictures with or without alpha
    picture.info.update(info)
    return picture


def to_float(x: Tensor) -> Tensor:
    """Integers divided by the largest value of their type; floats as they are."""
    return divided(x, torch.float32) if x.dtype in INTEGERS else x


def put(target: Tensor, values: Tensor) -> None:
    """Write restored floats into a part of the result: clamped and rounded half up if that holds integers.

    Raises:
        FloatingPointError: Integers cannot say that a value is not finite; it would pass for black or white.
    """
    if target.dtype in INTEGERS:
        if not values.isfinite().all():
            raise FloatingPointError(
                f"the network's output in {values.dtype} is not finite: its weights are damaged, or the type is too "
                "narrow for it; compute with dtype=torch.float32 or torch.bfloat16"
            )
        values = levels(values.to(torch.float32, copy=True), target.dtype)
    target.copy_(values)
