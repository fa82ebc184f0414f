"""Decoded crops in one memory-mapped file, so that reading a training patch is a copy and not a decoder's work."""

import hashlib
import io
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.lib import format as npy
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from restorekit._check import check_integer
from restorekit.data._pictures import Array, Picture, Pictures, Source, picture_name, planes, read_pair, read_picture
from restorekit.data._unreadable import Unreadable
from restorekit.data.folder import as_pictures
from restorekit.image.convert import to_image, to_tensor
from restorekit.image.files import atomic_path

_FORMAT = 1


class CropCache(Source):
    """All pictures of a folder as uint8 crops in one file that every worker process maps, read-only.

    Items are arrays (size, size, 3), or pairs (lq, hq) of them, views of the file: the system keeps one copy of what is
    used in memory for all processes. The file is made at first use, and again when the pictures or the settings are
    others than those that ``path`` + ".json" names: names, sizes and times of the files, or the values of a list (but
    not what a denoiser does). A new file takes the place of the old one when it is complete.

    Crops lie on a grid from the top left; the last ones are moved back to the bottom and right border, so every pixel
    is in one. Pictures of more than 8 bits are rounded to 8.

    Args:
        pictures: Folder, ``ImageFolder``, ``PairedFolder``, ``PseudoPairs``, ``DegradedSet``, or a list or tuple of
            pictures or pairs, as for ``RandomCropPairs``.
        path: File ending in .npy, in a folder that exists. It takes 3 * size ** 2 bytes for each crop, and the
            ``scale ** 2``-th part of it more for pairs.
        size: Side of the crops, pixels of hq; at least that of the patches to be cut from them.
        stride: Pixels between two crops, at most ``size``, which is the default: without overlap. With ``size`` minus
            the side of a patch no place for a patch is lost.
        scale: Keep pairs: lq is cut from the whole picture shrunk by ``scale`` as in ``RandomCropPairs``, or is the
            given one. ``size`` and ``stride`` are multiples of it. None keeps single pictures; it is that of the
            pairs where ``pictures`` are a data set of pairs.
        skip_small: Leave pictures smaller than ``size`` out instead of refusing them.
        strict: Refuse a file that cannot be read (damaged, truncated, no picture, too many pixels, alpha), instead of
            leaving it out with a warning that counts them.
        progress: Show a progress bar while the file is made.

    Attributes:
        path: The file.
        scale: The factor, or None.

    Raises:
        TypeError: ``pictures`` is neither a folder nor a list nor a tuple.
        ValueError: A picture smaller than ``size``, or none left, or settings that do not fit.
        FileNotFoundError: The folder of ``path`` does not exist.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     cache = CropCache([torch.rand(3, 70, 50)], f"{folder}/crops.npy", size=24, scale=4, progress=False)
        ...     len(cache), [x.shape for x in cache[0]]
        (6, [(6, 6, 3), (24, 24, 3)])
    """

    def __init__(
        self,
        pictures: str | os.PathLike[str] | Pictures,
        path: str | os.PathLike[str],
        *,
        size: int,
        stride: int | None = None,
        scale: int | None = None,
        skip_small: bool = False,
        strict: bool = False,
        progress: bool = True,
    ) -> None:
        pictures = as_pictures(pictures)
        self.path, self.size, self.stride = Path(path), size, size if stride is None else stride
        self.scale = pictures.scale if isinstance(pictures, Source) and scale is None else scale
        self._check(pictures)
        key = {
            "restorekit": _FORMAT,
            "size": size,
            "stride": self.stride,
            "scale": self.scale,
            "skip_small": skip_small,
            "strict": strict,
            "sources": _sources(pictures),
        }
        text = json.dumps(key, indent=1)
        self._key = _hash(text)
        opened = self._open()
        if opened is None:
            self._build(text, self._cut_all(pictures, skip_small, strict, progress))
            opened = self._open()
        assert opened is not None, "a cache that was made must be readable"
        self._crops = opened

    def _check(self, pictures: Pictures) -> None:
        if self.path.suffix != ".npy":
            raise ValueError(f"path must end in .npy, got {self.path}")
        for name, value in (("size", self.size), ("stride", self.stride), ("scale", self._factor)):
            check_integer(value, name, 1)
        if self.stride > self.size:
            raise ValueError(f"stride must be at most size, {self.size}, got {self.stride}; pixels would be lost")
        if self.size % self._factor or self.stride % self._factor:
            raise ValueError(
                f"size and stride must be multiples of scale, {self._factor}, got {self.size} and {self.stride}"
            )
        if isinstance(pictures, Source) and pictures.scale not in {None, self.scale}:
            raise ValueError(f"scale must be that of the pairs, {pictures.scale}, got {self.scale}")

    @property
    def _factor(self) -> int:
        return 1 if self.scale is None else self.scale

    @property
    def _sidecar(self) -> Path:
        return self.path.with_name(self.path.name + ".json")

    @property
    def _dtype(self) -> np.dtype[Any]:
        sides = {"hq": self.size} if self.scale is None else {"lq": self.size // self.scale, "hq": self.size}
        return np.dtype([(name, np.uint8, (side, side, 3)) for name, side in sides.items()])

    def __len__(self) -> int:
        return len(self._crops)

    def __getitem__(self, index: int) -> Array | tuple[Array, Array]:
        return self.read(index)

    def read(self, index: int) -> Array | tuple[Array, Array]:
        """Crop ``index``, or the pair of crops, as read-only views of the file."""
        crop = self._crops[index]
        return crop["hq"] if self.scale is None else (crop["lq"], crop["hq"])

    def name(self, index: int) -> str:
        """The file and the number of the crop."""
        return f"{self.path}, crop {index}"

    def files(self) -> tuple[Path, ...]:
        """The one file."""
        return (self.path,)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_crops"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        opened = self._open()
        if opened is None:
            raise ValueError(f"{self.path} is gone or was made anew with other settings; build the CropCache again")
        self._crops = opened

    def _open(self) -> NDArray[Any] | None:
        """The crops, or None if the file is missing, damaged or made from something else."""
        try:
            if _hash(self._sidecar.read_text(encoding="utf-8")) != self._key:
                return None
            with self.path.open("rb") as file:
                head = file.read(len(self._header(1)))
            count, rest = divmod(self.path.stat().st_size - len(head), self._dtype.itemsize)
            # Compared, not parsed: a header from elsewhere is never looked into.
            if count < 1 or rest or head != self._header(count):
                return None
            return np.memmap(self.path, self._dtype, "r", len(head), (count,)).view(np.ndarray)
        except (OSError, ValueError):
            return None

    def _header(self, count: int) -> bytes:
        """How an .npy file of ``count`` crops begins; numpy leaves room for any number."""
        file = io.BytesIO()
        header = {"descr": npy.dtype_to_descr(self._dtype), "fortran_order": False, "shape": (count,)}
        npy.write_array_header_1_0(file, header)
        return file.getvalue()

    def _build(self, text: str, batches: Iterator[NDArray[Any]]) -> None:
        with atomic_path(self.path) as beside:
            with beside.open("wb") as file:
                self._write(file, batches)
            # Gone before the crops change: what is left after an interruption must not describe other crops.
            self._sidecar.unlink(missing_ok=True)
        with atomic_path(self._sidecar) as beside:
            beside.write_text(text, encoding="utf-8")

    def _write(self, file: BinaryIO, batches: Iterator[NDArray[Any]]) -> None:
        """An .npy file whose length is known at the end."""
        file.write(self._header(1))
        start, count = file.tell(), 0
        for batch in batches:
            file.write(batch.tobytes())
            count += len(batch)
        if not count:
            raise ValueError(f"every picture is smaller than size={self.size}; choose a smaller size")
        file.seek(0)
        file.write(self._header(count))
        assert file.tell() == start, "the header must keep its length"

    def _cut_all(self, pictures: Pictures, skip_small: bool, strict: bool, progress: bool) -> Iterator[NDArray[Any]]:
        def read(index: int) -> list[Tensor]:
            return [_single(pictures, index)] if self.scale is None else [*read_pair(pictures, index, self.scale)]

        unreadable = Unreadable(len(pictures), strict=strict)
        for index in tqdm(range(len(pictures)), desc="crops", unit="picture", disable=not progress):
            sides = unreadable.attempt(index, read)
            if sides is None:
                continue
            height, width = sides[-1].shape[1:]
            if min(height, width) >= self.size:
                yield self._cut([_bytes(x) for x in sides])
            elif not skip_small:
                raise ValueError(
                    f"{picture_name(pictures, index)}: {height} x {width} pixels are too few for crops of {self.size}; "
                    "leave the picture out, choose a smaller size or pass skip_small=True"
                )

    def _cut(self, sides: list[NDArray[np.uint8]]) -> NDArray[Any]:
        """The crops of one picture: places are counted in pixels of lq, so that both sides show the same."""
        names = self._dtype.names
        assert names is not None
        places = [_places(n // self._factor, self.size // self._factor, self.stride // self._factor)
                  for n in sides[-1].shape[:2]]  # fmt: skip
        out = np.empty(math.prod(map(len, places)), self._dtype)
        for name, array in zip(names, sides, strict=True):
            factor = self._factor if name == "hq" else 1
            side = factor * self.size // self._factor
            corners = ((factor * top, factor * left) for top in places[0] for left in places[1])
            for crop, (top, left) in zip(out[name], corners, strict=True):
                crop[:] = array[top : top + side, left : left + side]
        return out


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _places(length: int, size: int, stride: int) -> list[int]:
    return sorted({*range(0, length - size + 1, stride), length - size})


def _single(pictures: Pictures, index: int) -> Tensor:
    item, name = read_picture(pictures, index), picture_name(pictures, index)
    if isinstance(item, tuple):
        raise TypeError(f"{name}: expected a picture, got a tuple; give scale= for pairs (lq, hq)")
    return planes(item, name)


def _bytes(x: Tensor) -> NDArray[np.uint8]:
    """Planes (3, H, W) as an array (H, W, 3) of 8 bits."""
    if x.dtype == torch.uint8:
        array: NDArray[np.uint8] = x.permute(1, 2, 0).numpy()
        return array
    return to_image(to_tensor(x), like="uint8")


def _sources(pictures: Pictures) -> list[list[str | int]]:
    """What tells these pictures from others: names, sizes and times of files, or the values of a list."""
    if isinstance(pictures, Source):
        stats = ((path, path.stat()) for path in pictures.files())
        return [[str(path.absolute()), stat.st_size, stat.st_mtime_ns] for path, stat in stats]
    if not isinstance(pictures, (list, tuple)):
        raise TypeError(f"pictures must be a folder, a list or a tuple, got {type(pictures).__name__}")
    return [[f"picture {index}", _digest(item)] for index, item in enumerate(pictures)]


def _digest(item: Picture | tuple[Picture, Picture]) -> str:
    total = hashlib.sha256()
    for picture in item if isinstance(item, tuple) else (item,):
        total.update(f"{tuple(picture.shape)} {picture.dtype} ".encode())
        if isinstance(picture, Tensor):
            total.update(picture.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        else:
            total.update(np.ascontiguousarray(picture).tobytes())
    return total.hexdigest()
