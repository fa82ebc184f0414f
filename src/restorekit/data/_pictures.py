"""What the data sets share: pictures of any kind as planes, their small versions, and sizes that belong together."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from restorekit.data._unreadable import UnreadableError, read_file
from restorekit.image.convert import array_planes, tensor_planes, to_image, to_tensor
from restorekit.image.resize import resize_uint8

Array = NDArray[Any]
Picture = Array | Tensor


class Source(ABC):
    """Pictures, or pairs (lq, hq) of them, that are read on demand.

    Attributes:
        scale: How many times larger hq is; None where the items are single pictures.
    """

    scale: int | None = None

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def read(self, index: int) -> Array | tuple[Array, Array]:
        """Item ``index`` as arrays (H, W, 3), uint8 or uint16."""

    @abstractmethod
    def name(self, index: int) -> str:
        """What item ``index`` is called in messages."""

    @abstractmethod
    def files(self) -> tuple[Path, ...]:
        """All files that the items are made of."""


Pictures = Source | Sequence[Picture] | Sequence[tuple[Picture, Picture]]


def check_pictures(pictures: object) -> None:
    """Require something to take pictures from, with at least one in it."""
    if isinstance(pictures, (str, np.ndarray, Tensor)) or not hasattr(pictures, "__getitem__"):
        raise TypeError(f"pictures must be a folder data set or a sequence, got {type(pictures).__name__}")
    if not len(pictures):  # type: ignore[arg-type]
        raise ValueError("pictures must hold at least one picture, got none")


def picture_name(pictures: Pictures, index: int) -> str:
    """What picture ``index`` is called in messages."""
    return pictures.name(index) if isinstance(pictures, Source) else f"picture {index}"


def read_picture(pictures: Pictures, index: int) -> Picture | tuple[Picture, Picture]:
    """Item ``index`` in the type it is stored in."""
    return pictures.read(index) if isinstance(pictures, Source) else pictures[index]


def read_pair(pictures: Pictures, index: int, scale: int) -> tuple[Tensor, Tensor]:
    """Item ``index`` as planes (lq, hq); of a single picture, cut to a multiple of ``scale``, lq is the small one."""
    item, name = read_picture(pictures, index), picture_name(pictures, index)
    if isinstance(item, tuple):
        lq, hq = (planes(picture, name) for picture in item)
        check_pair_sizes(name, tuple(lq.shape[1:]), tuple(hq.shape[1:]), scale, crop=True)
        return lq, hq[:, : scale * lq.shape[1], : scale * lq.shape[2]]
    hq = cut(planes(item, name), scale, name)
    return shrunk(hq, scale), hq


def cut(hq: Tensor, scale: int, name: str) -> Tensor:
    """Planes without the rows at the bottom and columns at the right that are too many for a multiple of ``scale``."""
    height, width = (side // scale for side in hq.shape[1:])
    if not min(height, width):
        raise ValueError(f"{name}: a side is shorter than the scale, {scale}; leave the picture out")
    return hq[:, : scale * height, : scale * width]


def check_index(index: int, length: int) -> int:
    """An index from 0, negative ones counted from the end."""
    if not -length <= index < length:
        raise IndexError(f"index must be below {length}, got {index}")
    return index % length


def read_rgb(path: Path, max_pixels: int) -> Array:
    """Read a file as (H, W, 3), uint8 or uint16; alpha is refused."""
    array = read_file(path, max_pixels)
    if array.ndim == 2:
        return np.repeat(array[:, :, None], 3, axis=2)
    if array.shape[2] != 3:
        raise UnreadableError(f"{path}: has an alpha channel, expected RGB or grey; flatten it onto a background first")
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
