"""Folders of pictures, folders of pairs, and random aligned crops for training.

All are map-style data sets: they can be pickled, hold no open file, and give the same items in any worker process.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from restorekit._check import check_integer
from restorekit._random import seeded
from restorekit.image.convert import array_planes, tensor_planes, to_image, to_tensor
from restorekit.image.files import MAX_PIXELS, picture_size, read_image
from restorekit.image.geometry import DIHEDRAL, dihedral
from restorekit.image.resize import resize_uint8

__all__ = ["ImageFolder", "PairedFolder", "RandomCropPairs"]

_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm", ".gif"}

Picture = NDArray[Any] | Tensor


class ImageFolder(Dataset[Tensor]):
    """The pictures of a folder as RGB tensors.

    Items are float32 (3, H, W) in [0, 1]; a grey picture has its channel three times. Files whose name starts with a
    dot and files without a picture suffix are passed over.

    Args:
        root: Folder.
        recursive: Take the pictures of the folders inside it too.
        max_pixels: Most pixels accepted in one picture.

    Attributes:
        paths: The files, sorted by name (by path inside ``root`` when recursive).

    Raises:
        NotADirectoryError: ``root`` is no folder.
        ValueError: No picture in it; and when an item is read, a file that ``read_image`` refuses or one with alpha.

    Example:
        >>> import tempfile, restorekit
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     restorekit.image.write_image(f"{folder}/grey.png", np.zeros((4, 6), np.uint8))
        ...     ImageFolder(folder)[0].shape
        torch.Size([3, 4, 6])
    """

    def __init__(self, root: str | os.PathLike[str], *, recursive: bool = False, max_pixels: int = MAX_PIXELS) -> None:
        check_integer(max_pixels, "max_pixels", 1)
        self.root, self.recursive, self.max_pixels = Path(root), recursive, max_pixels
        if not self.root.is_dir():
            raise NotADirectoryError(f"{root} is not a folder; give a folder of pictures")
        self.paths = tuple(sorted(self._find(), key=lambda path: path.relative_to(self.root).as_posix()))
        if not self.paths:
            raise ValueError(f"{root} holds no picture; expected files ending in {', '.join(sorted(_SUFFIXES))}")

    def _find(self) -> Iterator[Path]:
        for path in self.root.rglob("*") if self.recursive else self.root.iterdir():
            hidden = any(part.startswith(".") for part in path.relative_to(self.root).parts)
            if path.suffix.lower() in _SUFFIXES and not hidden and not path.is_dir():
                yield path

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        return to_tensor(self.read(index))[0]

    def read(self, index: int) -> NDArray[Any]:
        """Picture ``index`` as an array (H, W, 3), uint8 or uint16."""
        return _read_rgb(self.paths[index], self.max_pixels)


class PairedFolder(Dataset[tuple[Tensor, Tensor]]):
    """Degraded and clean pictures of two folders, paired by name.

    Items are (lq, hq), float32 (3, h, w) and (3, scale * h, scale * w). Partners have the same name up to the suffix;
    with ``scale`` given, ``0001x4`` is also the partner of ``0001``. Sizes are checked from the file headers at once.

    Args:
        lq_root: Folder of degraded pictures.
        hq_root: Folder of clean pictures.
        scale: How many times larger the clean ones are; 1 for equal sizes. Given, a clean picture may be up to
            scale - 1 pixels larger at the bottom and right, which are cut off, as in the published Set14. None finds
            the factor, which must then fit all pairs exactly.
        max_pixels: Most pixels accepted in one picture.

    Attributes:
        paths: The files (lq, hq), sorted by the name of the clean one.
        sizes: Height and width of each degraded picture.
        scale: The factor, given or found.

    Raises:
        NotADirectoryError: A root is no folder.
        ValueError: A picture without a partner, two of one name, or sizes that do not belong together.

    Example:
        >>> import tempfile, restorekit
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     restorekit.image.write_image(f"{folder}/1.png", np.zeros((4, 6), np.uint8))
        ...     PairedFolder(folder, folder).scale
        1
    """

    def __init__(
        self,
        lq_root: str | os.PathLike[str],
        hq_root: str | os.PathLike[str],
        *,
        scale: int | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        if scale is not None:
            check_integer(scale, "scale", 1)
        self.max_pixels = max_pixels
        lq, hq = (_by_stem(ImageFolder(root, max_pixels=max_pixels)) for root in (lq_root, hq_root))
        self.paths = _partners(lq, hq, "" if scale is None else f"x{scale}")
        sizes = [tuple(picture_size(path, max_pixels=max_pixels) for path in pair) for pair in self.paths]
        self.sizes = tuple(lq_size for lq_size, _ in sizes)
        self.scale = max(1, sizes[0][1][0] // sizes[0][0][0]) if scale is None else scale
        for paths, (lq_size, hq_size) in zip(self.paths, sizes, strict=True):
            _check_pair_sizes(f"{paths[0]} and {paths[1]}", lq_size, hq_size, self.scale, crop=scale is not None)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        lq, hq = self.read(index)
        return to_tensor(lq)[0], to_tensor(hq)[0]

    def read(self, index: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Pair ``index`` as arrays (h, w, 3) and (scale * h, scale * w, 3), uint8 or uint16."""
        lq, hq = (_read_rgb(path, self.max_pixels) for path in self.paths[index])
        return lq, hq[: self.scale * lq.shape[0], : self.scale * lq.shape[1]]


class RandomCropPairs(Dataset[tuple[Tensor, Tensor]]):
    """Random aligned crops of pictures and their low-resolution versions, turned and mirrored.

    An item is (lq, hq), float32 (3, patch_size, patch_size) and (3, scale * patch_size, scale * patch_size). It depends
    on ``seed`` and its index alone: picture, place and one of the 8 flips and rotations are uniform draws of its own.

    Without given partners, ``lq`` is cut from the whole picture shrunk by ``resize_uint8``, as the published benchmarks
    were made, after cutting the picture to a multiple of ``scale``. Pictures of more than 8 bits are rounded to 8 for
    that; ``hq`` keeps its bits.

    Args:
        pictures: An ``ImageFolder``, a ``PairedFolder``, or a sequence of pictures or of tuples (lq, hq) of them:
            arrays (H, W) or (H, W, 3), or tensors (1 or 3, H, W), uint8, uint16 or floating point in [0, 1].
        patch_size: Side of the lq crop, pixels.
        scale: How many times larger hq is; 1 for equal sizes.
        length: Number of items.
        seed: Of all draws, at least 0.
        cache_bytes: Pictures, with their small versions, are kept in memory after first use until they take this much,
            in each worker process; later ones are read again each time. Persistent workers keep theirs across epochs.

    Raises:
        TypeError: ``pictures`` is none of these.
        ValueError: No picture, or one that is smaller than a patch (told at once for folders, lists and tuples) or has
            alpha, or a pair whose sizes do not belong together.

    Example:
        >>> pairs = RandomCropPairs([np.zeros((50, 70, 3), np.uint8)], patch_size=12, scale=4, length=1000)
        >>> [x.shape for x in pairs[999]]
        [torch.Size([3, 12, 12]), torch.Size([3, 48, 48])]
    """

    def __init__(
        self,
        pictures: ImageFolder | PairedFolder | Sequence[Picture] | Sequence[tuple[Picture, Picture]],
        *,
        patch_size: int,
        scale: int,
        length: int,
        seed: int = 0,
        cache_bytes: int = 1 << 30,
    ) -> None:
        for name, value, minimum in (
            ("patch_size", patch_size, 1),
            ("scale", scale, 1),
            ("length", length, 1),
            ("seed", seed, 0),
            ("cache_bytes", cache_bytes, 0),
        ):
            check_integer(value, name, minimum)
        if isinstance(pictures, (str, np.ndarray, Tensor)) or not hasattr(pictures, "__getitem__"):
            raise TypeError(f"pictures must be a folder data set or a sequence, got {type(pictures).__name__}")
        if not len(pictures):
            raise ValueError("pictures must hold at least one picture, got none")
        if isinstance(pictures, PairedFolder) and pictures.scale != scale:
            raise ValueError(f"scale must be that of the paired folder, {pictures.scale}, got {scale}")
        self.pictures, self.patch_size, self.scale = pictures, patch_size, scale
        self.length, self.seed, self.cache_bytes = length, seed, cache_bytes
        self._cache: dict[int, tuple[Tensor, Tensor]] = {}
        self._cached_bytes = 0
        for index in range(len(pictures)):
            self._check_before_reading(index)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        if not -self.length <= index < self.length:
            raise IndexError(f"index must be below {self.length}, got {index}")
        generator = seeded(self.seed, index % self.length)

        def draw(count: int) -> int:
            return int(torch.randint(count, (), generator=generator))

        lq, hq = self._pair(draw(len(self.pictures)))
        turn, size, scale = draw(len(DIHEDRAL)), self.patch_size, self.scale
        top, left = draw(lq.shape[1] - size + 1), draw(lq.shape[2] - size + 1)
        lq = lq[:, top : top + size, left : left + size]
        hq = hq[:, scale * top : scale * (top + size), scale * left : scale * (left + size)]
        return _finished(lq, turn), _finished(hq, turn)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_cache": {}, "_cached_bytes": 0}

    def _name(self, index: int) -> str:
        if isinstance(self.pictures, ImageFolder):
            return str(self.pictures.paths[index])
        return str(self.pictures.paths[index][0]) if isinstance(self.pictures, PairedFolder) else f"picture {index}"

    def _check_before_reading(self, index: int) -> None:
        """Refuse a small picture from what is known without decoding or loading it."""
        if isinstance(self.pictures, ImageFolder):
            size = picture_size(self.pictures.paths[index], max_pixels=self.pictures.max_pixels)
            self._check_size(index, size[0] // self.scale, size[1] // self.scale)
        elif isinstance(self.pictures, PairedFolder):
            self._check_size(index, *self.pictures.sizes[index])
        elif isinstance(self.pictures, (list, tuple)):
            item = self.pictures[index]
            first, shrink = (item[0], 1) if isinstance(item, tuple) else (item, self.scale)
            height, width = _planes(first, self._name(index)).shape[1:]
            self._check_size(index, height // shrink, width // shrink)

    def _check_size(self, index: int, height: int, width: int) -> None:
        if min(height, width) < self.patch_size:
            raise ValueError(
                f"{self._name(index)}: {height} x {width} pixels at low resolution are too few for patches of "
                f"{self.patch_size}; leave the picture out or choose a smaller patch_size"
            )

    def _pair(self, index: int) -> tuple[Tensor, Tensor]:
        """A whole picture, small and large, as planes (3, H, W) of the type it was stored in."""
        if index in self._cache:
            return self._cache[index]
        pair = self._load(index)
        self._check_size(index, *pair[0].shape[1:])
        # The large ones of a list are in memory already, whether remembered here or not.
        new = pair[:1] if isinstance(self.pictures, (list, tuple)) else pair
        size = sum(x.numel() * x.element_size() for x in new)
        if self._cached_bytes + size <= self.cache_bytes:
            self._cache[index] = pair
            self._cached_bytes += size
        return pair

    def _load(self, index: int) -> tuple[Tensor, Tensor]:
        folder = isinstance(self.pictures, (ImageFolder, PairedFolder))
        item: Any = self.pictures.read(index) if folder else self.pictures[index]  # type: ignore[union-attr]
        name, scale = self._name(index), self.scale
        if isinstance(item, tuple):
            lq, hq = (_planes(picture, name) for picture in item)
            _check_pair_sizes(name, tuple(lq.shape[1:]), tuple(hq.shape[1:]), scale, crop=True)
            return lq, hq[:, : scale * lq.shape[1], : scale * lq.shape[2]]
        hq = _planes(item, name)
        height, width = (side // scale for side in hq.shape[1:])
        self._check_size(index, height, width)
        hq = hq[:, : scale * height, : scale * width]
        return _shrunk(hq, scale), hq


def _read_rgb(path: Path, max_pixels: int) -> NDArray[Any]:
    array = read_image(path, max_pixels=max_pixels)
    if array.ndim == 2:
        return np.repeat(array[:, :, None], 3, axis=2)
    if array.shape[2] != 3:
        raise ValueError(f"{path}: has an alpha channel, expected RGB or grey; flatten it onto a background first")
    return array


def _by_stem(folder: ImageFolder) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in folder.paths:
        if path.stem in found:
            raise ValueError(f"{found[path.stem]} and {path} have the same name; partners are found by name, keep one")
        found[path.stem] = path
    return found


def _partners(lq: dict[str, Path], hq: dict[str, Path], ending: str) -> tuple[tuple[Path, Path], ...]:
    free = lq.keys() - hq.keys()
    names = {stem: stem if stem in lq or stem + ending not in free else stem + ending for stem in hq}
    alone = [hq[stem] for stem in hq if names[stem] not in lq]
    alone += [lq[stem] for stem in sorted(lq.keys() - set(names.values()))]
    if alone:
        shown = ", ".join(map(str, alone[:5])) + (f" and {len(alone) - 5} more" if len(alone) > 5 else "")
        raise ValueError(f"every picture needs a partner of the same name, without one: {shown}")
    return tuple((lq[names[stem]], hq[stem]) for stem in hq)


def _check_pair_sizes(name: str, lq: tuple[int, ...], hq: tuple[int, ...], scale: int, *, crop: bool) -> None:
    excess = [large - scale * small for small, large in zip(lq, hq, strict=True)]
    if not all(0 <= extra < (scale if crop else 1) for extra in excess):
        raise ValueError(
            f"{name}: {hq[0]} x {hq[1]} pixels are not {scale} times {lq[0]} x {lq[1]}; "
            + ("give the scale of the pair" if crop else "make the sizes fit, or give scale= to cut off a remainder")
        )


def _planes(picture: Picture, name: str) -> Tensor:
    """View a picture as planes (3, H, W)."""
    try:
        planes = tensor_planes(picture)[0] if isinstance(picture, Tensor) else array_planes(np.asarray(picture))
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}") from None
    if planes.shape[0] not in {1, 3} or (isinstance(picture, Tensor) and picture.ndim != 3):
        raise ValueError(f"{name}: expected grey or RGB, planes (1 or 3, H, W), got {tuple(picture.shape)}")
    return planes.expand(3, -1, -1)


def _shrunk(hq: Tensor, scale: int) -> Tensor:
    if scale == 1:
        return hq
    array = hq.permute(1, 2, 0).numpy() if hq.dtype == torch.uint8 else to_image(to_tensor(hq), like="uint8")
    return array_planes(resize_uint8(array, 1 / scale))


def _finished(crop: Tensor, turn: int) -> Tensor:
    return dihedral(to_tensor(crop)[0], turn).contiguous()
