"""Random aligned crops for training."""

from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from restorekit._check import check_integer
from restorekit._random import seeded
from restorekit.data._pictures import Pictures, Source, check_index, check_pictures, picture_name, planes, read_pair
from restorekit.data._unreadable import Unreadable, endless, file_size
from restorekit.data.crop_cache import CropCache
from restorekit.data.folder import ImageFolder
from restorekit.data.paired import PairedFolder
from restorekit.image.convert import to_tensor
from restorekit.image.geometry import DIHEDRAL, dihedral


class RandomCropPairs(Dataset[tuple[Tensor, Tensor]]):
    """Random aligned crops of pictures and their low-resolution versions, turned and mirrored.

    An item is (lq, hq), float32 (3, patch_size, patch_size) and (3, scale * patch_size, scale * patch_size). It depends
    on ``seed`` and its index alone: picture, place and one of the 8 flips and rotations are uniform draws of its own.

    A file that cannot be read (damaged, truncated, no picture, too many pixels, alpha) does not end a training of days:
    its items draw another picture, the same one in every process and every run, and each process warns once of each
    such file, with the number of them so far.

    Without given partners, ``lq`` is cut from the whole picture shrunk by ``resize_uint8``, as the published benchmarks
    were made, after cutting the picture to a multiple of ``scale``. Pictures of more than 8 bits are rounded to 8 for
    that; ``hq`` keeps its bits.

    Args:
        pictures: An ``ImageFolder``, ``PairedFolder``, ``PseudoPairs``, ``DegradedSet`` or ``CropCache``, or a sequence
            of pictures or of tuples (lq, hq) of them: arrays (H, W) or (H, W, 3), or tensors (1 or 3, H, W), uint8,
            uint16 or floating point in [0, 1].
        patch_size: Side of the lq crop, pixels.
        scale: How many times larger hq is; 1 for equal sizes.
        length: Number of items.
        seed: Of all draws, at least 0.
        cache_bytes: Pictures, with their small versions, are kept in memory after first use until they take this much,
            in each worker process; later ones are read again each time. Persistent workers keep theirs across epochs.
            What a ``CropCache`` holds as pairs is left where it is.
        strict: Refuse a file that cannot be read, at once where its header shows it, else with the first item drawn
            from it.

    Raises:
        TypeError: ``pictures`` is none of these.
        ValueError: No picture, or one that is smaller than a patch (told at once for folders, lists and tuples), a pair
            whose sizes do not belong together, an array with alpha, files of which none can be read, or with ``strict``
            one that cannot.

    Example:
        >>> pairs = RandomCropPairs([torch.rand(3, 50, 70)], patch_size=12, scale=4, length=1000)
        >>> [x.shape for x in pairs[999]]
        [torch.Size([3, 12, 12]), torch.Size([3, 48, 48])]
    """

    def __init__(
        self,
        pictures: Pictures,
        *,
        patch_size: int,
        scale: int,
        length: int,
        seed: int = 0,
        cache_bytes: int = 1 << 30,
        strict: bool = False,
    ) -> None:
        for name, value, minimum in (
            ("patch_size", patch_size, 1),
            ("scale", scale, 1),
            ("length", length, 1),
            ("seed", seed, 0),
            ("cache_bytes", cache_bytes, 0),
        ):
            check_integer(value, name, minimum)
        check_pictures(pictures)
        if isinstance(pictures, Source) and pictures.scale not in {None, scale}:
            raise ValueError(f"scale must be that of the pairs, {pictures.scale}, got {scale}")
        self.pictures, self.patch_size, self.scale = pictures, patch_size, scale
        self.length, self.seed, self.cache_bytes = length, seed, cache_bytes
        self._cache: dict[int, tuple[Tensor, Tensor]] = {}
        self._cached_bytes = 0
        self._unreadable = Unreadable(len(pictures), strict=strict)
        for index in range(len(pictures)):
            self._unreadable.attempt(index, self._check_before_reading)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        generator = seeded(self.seed, check_index(index, self.length))

        def draw(count: int) -> int:
            return int(torch.randint(count, (), generator=generator))

        lq, hq = self._unreadable.first(endless(draw, len(self.pictures)), self._pair)
        turn, size, scale = draw(len(DIHEDRAL)), self.patch_size, self.scale
        top, left = draw(lq.shape[1] - size + 1), draw(lq.shape[2] - size + 1)
        lq = lq[:, top : top + size, left : left + size]
        hq = hq[:, scale * top : scale * (top + size), scale * left : scale * (left + size)]
        return _finished(lq, turn), _finished(hq, turn)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_cache": {}, "_cached_bytes": 0}

    def _check_before_reading(self, index: int) -> None:
        """Refuse a small picture from what is known without decoding or loading it."""
        if isinstance(self.pictures, ImageFolder):
            size = file_size(self.pictures.paths[index], self.pictures.max_pixels)
            self._check_size(index, size[0] // self.scale, size[1] // self.scale)
        elif isinstance(self.pictures, PairedFolder):
            self._check_size(index, *self.pictures.sizes[index])
        elif isinstance(self.pictures, CropCache):
            self._check_size(index, *[self.pictures.size // self.scale] * 2)
        elif isinstance(self.pictures, (list, tuple)):
            item = self.pictures[index]
            first, shrink = (item[0], 1) if isinstance(item, tuple) else (item, self.scale)
            height, width = planes(first, picture_name(self.pictures, index)).shape[1:]
            self._check_size(index, height // shrink, width // shrink)

    def _check_size(self, index: int, height: int, width: int) -> None:
        if min(height, width) < self.patch_size:
            raise ValueError(
                f"{picture_name(self.pictures, index)}: {height} x {width} pixels at low resolution are too few for "
                f"patches of {self.patch_size}; leave the picture out or choose a smaller patch_size"
            )

    def _pair(self, index: int) -> tuple[Tensor, Tensor]:
        """A whole picture, small and large, as planes (3, H, W) of the type it was stored in."""
        if index in self._cache:
            return self._cache[index]
        pair = read_pair(self.pictures, index, self.scale)
        self._check_size(index, *pair[0].shape[1:])
        if isinstance(self.pictures, CropCache) and self.scale in {1, self.pictures.scale}:
            return pair
        # The large ones of a list are in memory already, whether remembered here or not.
        new = pair[:1] if isinstance(self.pictures, (list, tuple)) else pair
        size = sum(x.numel() * x.element_size() for x in new)
        if self._cached_bytes + size <= self.cache_bytes:
            self._cache[index] = pair
            self._cached_bytes += size
        return pair


def _finished(crop: Tensor, turn: int) -> Tensor:
    return dihedral(to_tensor(crop)[0], turn).contiguous()
