"""True pictures and the degraded ones that belong to them."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from restorekit.data import ImageFolder, PairedFolder
from restorekit.image import MAX_PIXELS, resize_uint8, to_image, to_tensor


@dataclass(frozen=True)
class Pairs:
    """Degraded and true pictures, one pair in memory at a time; the former are made if the folder has none."""

    pictures: ImageFolder | PairedFolder
    scale: int

    @classmethod
    def open(cls, folder: str | os.PathLike[str] | PairedFolder, scale: int, max_pixels: int = MAX_PIXELS) -> "Pairs":
        if isinstance(folder, PairedFolder):
            if folder.scale != scale:
                raise ValueError(f"scale must be that of the PairedFolder, {folder.scale}, got {scale}")
            return cls(folder, scale)
        if scale == 1:
            raise ValueError(
                "scale must be at least 2 for a path, got 1; for pictures that keep their size give both folders as "
                "data.PairedFolder(lq_root, hq_root, scale=1)"
            )
        folder = Path(folder)
        hq_root, lq_root = folder / "HR", folder / f"LRbicx{scale}"
        if not hq_root.is_dir():
            return cls(ImageFolder(folder, max_pixels=max_pixels), scale)
        if not lq_root.is_dir():
            return cls(ImageFolder(hq_root, max_pixels=max_pixels), scale)
        return cls(PairedFolder(lq_root, hq_root, scale=scale, max_pixels=max_pixels), scale)

    def __len__(self) -> int:
        return len(self.pictures)

    def __iter__(self) -> Iterator[tuple[Path, Tensor, Tensor]]:
        """Path of the true picture, its low resolution (1, 3, h, w) and itself (1, 3, scale * h, scale * w)."""
        for index in range(len(self)):
            if isinstance(self.pictures, PairedFolder):
                lq, hq = (x[None] for x in self.pictures[index])
                yield self.pictures.paths[index][1], lq, hq
            else:
                path, hq = self.pictures.paths[index], self._cut(self.pictures[index][None])
                if hq.numel() == 0:
                    raise ValueError(f"{path}: a side is shorter than the scale, {self.scale}; leave the picture out")
                yield path, to_tensor(resize_uint8(to_image(hq, like="uint8"), 1 / self.scale)), hq

    def _cut(self, x: Tensor) -> Tensor:
        height, width = (side - side % self.scale for side in x.shape[-2:])
        return x[..., :height, :width]

    def source(self) -> str:
        """Where the low-resolution pictures come from."""
        if isinstance(self.pictures, PairedFolder):
            return self.pictures.paths[0][0].absolute().parent.name
        return "resize_uint8"

    def files(self) -> tuple[Path, ...]:
        """All files."""
        return tuple(path for _, path in self._files())

    def names(self) -> tuple[str, ...]:
        """Names of the true pictures without their suffix."""
        return tuple(path.stem for role, path in self._files() if role == "HR")

    def hash(self) -> str:
        """SHA-256 over role, name and bytes of every file; where the folder lies does not matter."""
        total = hashlib.sha256()
        for role, path in self._files():
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            total.update(f"{role} {path.name} {content}\n".encode())
        return total.hexdigest()

    def _files(self) -> Iterator[tuple[str, Path]]:
        if isinstance(self.pictures, ImageFolder):
            yield from (("HR", path) for path in self.pictures.paths)
        else:
            for lq, hq in self.pictures.paths:
                yield from (("HR", hq), ("LR", lq))
