"""The pictures of one folder."""

import os
from collections.abc import Iterator
from pathlib import Path

from torch import Tensor
from torch.utils.data import Dataset

from restorekit._check import check_integer
from restorekit.data._pictures import Array, Pictures, Source, check_pictures, read_rgb
from restorekit.image.convert import to_tensor
from restorekit.image.files import MAX_PIXELS
from restorekit.image.reading import SUFFIXES


class ImageFolder(Dataset[Tensor], Source):
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
        >>> import tempfile, numpy as np, restorekit
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
            raise ValueError(f"{root} holds no picture; expected files ending in {', '.join(sorted(SUFFIXES))}")

    def _find(self) -> Iterator[Path]:
        for path in self.root.rglob("*") if self.recursive else self.root.iterdir():
            hidden = any(part.startswith(".") for part in path.relative_to(self.root).parts)
            if path.suffix.lower() in SUFFIXES and not hidden and not path.is_dir():
                yield path

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        return to_tensor(self.read(index))[0]

    def read(self, index: int) -> Array:
        """Picture ``index`` as an array (H, W, 3), uint8 or uint16."""
        return read_rgb(self.paths[index], self.max_pixels)

    def name(self, index: int) -> str:
        """Path of picture ``index``."""
        return str(self.paths[index])

    def files(self) -> tuple[Path, ...]:
        """All files, sorted."""
        return self.paths


def as_pictures(pictures: str | os.PathLike[str] | Pictures) -> Pictures:
    """The pictures of a folder given by its path, or the pictures themselves."""
    opened = ImageFolder(pictures) if isinstance(pictures, (str, os.PathLike)) else pictures
    check_pictures(opened)
    return opened
