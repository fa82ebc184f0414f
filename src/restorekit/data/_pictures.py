"""What the data sets share: pictures of any kind as planes, their small versions, and sizes that belong together."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from restorekit.image.convert import array_planes, tensor_planes, to_image, to_tensor
from restorekit.image.files import read_image
from restorekit.image.resize import resize_uint8

Picture = NDArray[Any] | Tensor


def read_rgb(path: Path, max_pixels: int) -> NDArray[Any]:
    """Read a file as (H, W, 3), uint8 or uint16; alpha is refused."""
    array = read_image(path, max_pixels=max_pixels)
    if array.ndim == 2:
        return np.repeat(array[:, :, None], 3, axis=2)
    if array.shape[2] != 3:
        raise ValueError(f"{path}: has an alpha channel, expected RGB or grey; flatten it onto a background first")
    return array


def check_pair_sizes(name: str, lq: tuple[int, ...], hq: tuple[int, ...], scale: int, *, crop: bool) -> None:
    """Require hq to be ``scale`` times lq (H, W), or with ``crop`` at most ``scale - 1`` pixels more."""
    excess = [large - scale * small for small, large in zip(lq, hq, strict=True)]
    if not all(0 <= extra < (scale if crop else 1) for extra in excess):
        raise ValueError(
            f"{name}: {hq[0]} x {hq[1]} pixels are not {scale} times {lq[0]} x {lq[1]}; "
            + ("give the scale of the pair" if crop else "make the sizes fit, or give scale= to cut off a remainder")
        )


def planes(picture: Picture, name: str) -> Tensor:
    """View a picture as planes (3, H, W)."""
    try:
        view = tensor_planes(picture)[0] if isinstance(picture, Tensor) else array_planes(np.asarray(picture))
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}") from None
    if view.shape[0] not in {1, 3} or (isinstance(picture, Tensor) and picture.ndim != 3):
        raise ValueError(f"{name}: expected grey or RGB, planes (1 or 3, H, W), got {tuple(picture.shape)}")
    return view.expand(3, -1, -1)


def shrunk(hq: Tensor, scale: int) -> Tensor:
    """Planes (C, H, W) shrunk as the published benchmarks were; to 8 bits, unless ``scale`` is 1."""
    if scale == 1:
        return hq
    array = hq.permute(1, 2, 0).numpy() if hq.dtype == torch.uint8 else to_image(to_tensor(hq), like="uint8")
    return array_planes(resize_uint8(array, 1 / scale))
