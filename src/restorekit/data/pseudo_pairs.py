"""Training pairs from low-resolution pictures alone: each one is the target of its own smaller version."""

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from restorekit._check import check_integer
from restorekit.data._pictures import (
    Array,
    Picture,
    Source,
    check_index,
    cut,
    picture_name,
    planes,
    read_picture,
    shrunk,
)
from restorekit.data.folder import ImageFolder, as_pictures
from restorekit.image.convert import to_image, to_tensor
from restorekit.image.files import MAX_PIXELS, read_image, write_image


class PseudoPairs(Dataset[tuple[Tensor, Tensor]], Source):
    """Pairs for learning super-resolution where no high-resolution picture exists.

    Each low-resolution picture, denoised first if asked for, is the pseudo target, and its version shrunk by
    ``resize_uint8`` the input. Items are (lq, hq), float32 (3, h, w) and (3, scale * h, scale * w), the picture cut at
    the bottom and right to a multiple of ``scale``. ``RandomCropPairs`` takes its training crops from them.

    Args:
        pictures: Folder of low-resolution pictures, an ``ImageFolder``, or a sequence of pictures: arrays (H, W) or
            (H, W, 3), or tensors (1 or 3, H, W), uint8, uint16 or floating point in [0, 1], rounded to 16 bits.
        scale: How much smaller the input is, at least 2: the factor that the network shall enlarge by.
        denoiser: Function from (1, 3, H, W) in [0, 1] to the same shape, applied once to a whole picture. The result
            is rounded to the bits of the picture. It must be picklable where data workers are spawned.
        denoised: Folder, made if missing, that keeps what the denoiser returned as PNG files for all processes and
            later runs; they are named after the picture and the hash of its file, or of its pixels in a sequence. Use
            another one for each denoiser: which one made a file is not recorded.
        cache_bytes: Pairs are kept in memory after first use until they take this much, in each worker process.

    Attributes:
        pictures: The low-resolution pictures.
        scale: The factor.

    Raises:
        NotADirectoryError: ``pictures`` is the path of no folder.
        TypeError: ``pictures`` is none of these, or ``denoiser`` is not callable, or returns no floating-point tensor.
        ValueError: No picture, ``denoised`` without a ``denoiser``; and when an item is read, a picture with a
            side shorter than ``scale`` or a result of another shape.

    Example:
        >>> import tempfile, numpy as np, restorekit
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     restorekit.image.write_image(f"{folder}/lr.png", np.zeros((30, 41, 3), np.uint8))
        ...     [x.shape for x in PseudoPairs(folder, scale=4)[0]]
        [torch.Size([3, 7, 10]), torch.Size([3, 28, 40])]

    Source:
        Ahn's thesis, chapter 5 (SimUSR), which shrinks by the protocol of ZSSR (MATLAB's bicubic in float, borders
        mirrored) and denoises by BM3D for NTIRE 2020; here ``resize_uint8``, the way of the published benchmarks,
        shrinks, and any denoiser may be passed.
    """

    def __init__(
        self,
        pictures: str | os.PathLike[str] | ImageFolder | Sequence[Picture],
        *,
        scale: int,
        denoiser: Callable[[Tensor], Tensor] | None = None,
        denoised: str | os.PathLike[str] | None = None,
        cache_bytes: int = 1 << 30,
    ) -> None:
        check_integer(scale, "scale", 2)
        check_integer(cache_bytes, "cache_bytes", 0)
        if denoiser is not None and not callable(denoiser):
            raise TypeError(f"denoiser must be a function of a tensor, got {type(denoiser).__name__}")
        if denoised is not None and denoiser is None:
            raise ValueError("denoised is where results of a denoiser are kept; give a denoiser too")
        self.pictures = as_pictures(pictures)
        if isinstance(self.pictures, Source) and not isinstance(self.pictures, ImageFolder):
            raise TypeError(f"pictures must be a folder or a sequence of pictures, got {type(pictures).__name__}")
        self.scale: int = scale
        self.denoiser, self.cache_bytes = denoiser, cache_bytes
        self.denoised = None if denoised is None else Path(denoised)
        if self.denoised is not None:
            self.denoised.mkdir(parents=True, exist_ok=True)
        self._cache: dict[int, tuple[Array, Array]] = {}
        self._cached_bytes = 0

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        lq, hq = self.read(index)
        return to_tensor(lq)[0], to_tensor(hq)[0]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_cache": {}, "_cached_bytes": 0}

    def read(self, index: int) -> tuple[Array, Array]:
        """Pair ``index`` as arrays (h, w, 3), uint8, and (scale * h, scale * w, 3), uint8 or uint16."""
        index = check_index(index, len(self))
        if index in self._cache:
            return self._cache[index]
        name = self.name(index)
        hq = cut(planes(self._clean(index), name), self.scale, name)
        pair = _array(shrunk(hq, self.scale)), _array(hq)
        size = sum(x.nbytes for x in pair)
        if self._cached_bytes + size <= self.cache_bytes:
            self._cache[index] = pair
            self._cached_bytes += size
        return pair

    def name(self, index: int) -> str:
        """Path of picture ``index``, or its number in a sequence."""
        return picture_name(self.pictures, index)

    def files(self) -> tuple[Path, ...]:
        """The low-resolution files; none where the pictures are in memory."""
        return self.pictures.files() if isinstance(self.pictures, Source) else ()

    def _clean(self, index: int) -> Array:
        """The whole picture, denoised if there is a denoiser, from the disk if it was denoised before."""
        if self.denoiser is None:
            return self._noisy(index)
        if self.denoised is None:
            return self._denoise(self.denoiser, index)
        kept = self.denoised / self._kept_name(index)
        if not kept.exists():
            write_image(kept, self._denoise(self.denoiser, index))
        return read_image(kept, max_pixels=getattr(self.pictures, "max_pixels", MAX_PIXELS))

    def _noisy(self, index: int) -> Array:
        if isinstance(self.pictures, ImageFolder):
            return self.pictures.read(index)
        picture = read_picture(self.pictures, index)
        if isinstance(picture, tuple):
            raise TypeError(f"{self.name(index)} is a pair; give the low-resolution pictures alone")
        x = planes(picture, self.name(index))
        return to_image(x[None], like="uint16") if x.is_floating_point() else _array(x)

    def _kept_name(self, index: int) -> str:
        if not isinstance(self.pictures, ImageFolder):
            return f"{hashlib.sha256(self._noisy(index).tobytes()).hexdigest()}.png"
        path = self.pictures.paths[index]
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return f"{path.stem}-{digest[:16]}.png"

    def _denoise(self, denoiser: Callable[[Tensor], Tensor], index: int) -> Array:
        array = self._noisy(index)
        noisy = to_tensor(array)
        with torch.no_grad():
            clean = denoiser(noisy)
        if not isinstance(clean, Tensor) or not clean.is_floating_point():
            got = clean.dtype if isinstance(clean, Tensor) else type(clean).__name__
            raise TypeError(f"{self.name(index)}: the denoiser must return a floating-point tensor, got {got}")
        if clean.shape != noisy.shape:
            raise ValueError(
                f"{self.name(index)}: the denoiser must return {tuple(noisy.shape)}, got {tuple(clean.shape)}"
            )
        return to_image(clean, like="uint16") if array.dtype == np.uint16 else to_image(clean, like="uint8")


def _array(x: Tensor) -> Array:
    array: Array = x.permute(1, 2, 0).numpy()
    return array
