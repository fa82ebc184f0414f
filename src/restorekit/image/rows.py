"""Picture files row by row: PNG and TIFF of any size in little memory, other formats through one array."""

import math
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import DTypeLike
from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from restorekit._check import check_integer
from restorekit.image.files import atomic_path, check_format, write_pixels
from restorekit.image.png_rows import png_strips, png_writer, streams
from restorekit.image.reading import MAX_PIXELS, ORIENTATION, Pixels, decode, open_header, reopen, told
from restorekit.image.tiff_rows import tiff_strips, tiff_writer

WHOLE_BYTES = 2**30
"""Largest picture that ``create_rows`` collects in memory for a format that is not written by rows."""

_WRITERS = {".png": png_writer, ".tif": tiff_writer, ".tiff": tiff_writer}
_STRIP = 1 << 20  # pixels

_DType = np.dtype[Any]
_Writer = Callable[
    [BinaryIO, tuple[int, int, int], _DType, bytes | None], AbstractContextManager[Callable[[Pixels], None]]
]


class RowReader:
    """A picture that is read from top to bottom.

    Attributes:
        shape: Height, width and channels.
        dtype: uint8 or uint16.
        profile: The file's colour profile (ICC), if it has one.
    """

    def __init__(self, path: str | os.PathLike[str], height: int, strips: Iterator[Pixels], profile: bytes | None):
        self._path, self._strips = path, strips
        self._waiting = self._next()
        self.shape = (height, *self._waiting.shape[1:])
        self.dtype = self._waiting.dtype
        self.profile = profile

    def read(self, count: int) -> Pixels:
        """The next ``count`` rows (count, W, C), in memory of their own.

        Raises:
            ValueError: The file is damaged, or has no more rows.
        """
        rows = np.empty((count, *self.shape[1:]), self.dtype)
        filled = 0
        while filled < count:
            if not len(self._waiting):
                self._waiting = self._next()
            part = self._waiting[: count - filled]
            rows[filled : filled + len(part)] = part
            filled += len(part)
            self._waiting = self._waiting[len(part) :]
        return rows

    def _next(self) -> Pixels:
        with told(self._path):
            strip = next(self._strips, None)
            if strip is None:
                raise ValueError("no more rows")
            return strip if strip.ndim == 3 else strip[..., None]


@contextmanager
def open_rows(path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> Iterator[RowReader]:
    """Open a picture file to be read row by row, with the pixels of ``read_image``.

    PNG and TIFF are decoded a strip at a time. Interlaced PNG, TIFF with JPEG or fax inside or with separate planes,
    pictures that EXIF turns, and all other formats are decoded whole and handed out in parts. The checksums of a PNG
    are verified, so that a damaged one is refused where ``read_image`` may let it pass; a TIFF of which only tags are
    damaged may be read where ``read_image`` refuses it.

    Args:
        path: A picture file, as for ``read_image``.
        max_pixels: Most pixels accepted.

    Yields:
        What reads the rows. A damaged file may show only while reading.

    Raises:
        FileNotFoundError: No such file.
        ValueError: As ``read_image``.

    Example:
        >>> import skimage.data
        >>> with open_rows(Path(skimage.data.__file__).parent / "chelsea.png") as picture:
        ...     picture.shape, picture.read(10).shape
        ((300, 451, 3), (10, 451, 3))
    """
    check_integer(max_pixels, "max_pixels", 1)
    with Path(path).open("rb") as file:
        with told(path):
            picture = open_header(file, max_pixels)
            height, profile = picture.height, picture.info.get("icc_profile")
            strips = _streamed(file, picture)
            if strips is None:
                whole = decode(file, reopen(file, type(picture)))  # a PNG asked for EXIF once would not look further
                height, strips = len(whole), _cut(whole)
                del whole
            del picture
        yield RowReader(path, height, strips, profile)


def _streamed(file: BinaryIO, picture: ImageFile) -> Iterator[Pixels] | None:
    if not isinstance(picture, (PngImageFile, TiffImageFile)):
        return None
    exif = Image.Image.getexif(picture)  # a PNG's own would decode the picture to look for EXIF behind it
    if exif.get(ORIENTATION) in range(2, 9):
        return None
    if isinstance(picture, TiffImageFile):
        return tiff_strips(file, picture)
    return png_strips(file) if streams(file, picture) else None


def _cut(pixels: Pixels) -> Iterator[Pixels]:
    step = max(1, _STRIP // pixels.shape[1])
    for top in range(0, len(pixels), step):
        yield pixels[top : top + step]


@contextmanager
def create_rows(
    path: str | os.PathLike[str],
    shape: tuple[int, int, int],
    dtype: DTypeLike,
    *,
    profile: bytes | None = None,
) -> Iterator[Callable[[Pixels], None]]:
    """Write a picture file row by row, complete or not at all (see ``atomic_path``).

    Args:
        path: File ending in .png, .tif or .tiff; or in another suffix that ``write_image`` knows, for a picture of at
            most ``WHOLE_BYTES``, which is collected in memory first. Its folder must exist.
        shape: Height, width and channels, 1 to 4: grey, grey and alpha, RGB, RGB and alpha.
        dtype: uint8 or uint16.
        profile: Colour profile (ICC), kept where the format can hold one.

    Yields:
        A function that takes the next rows (h, W, C), from top to bottom. All must have come before the ``with`` block
        is left.

    Raises:
        ValueError: An unknown suffix, a kind or size of picture that the format cannot hold, or rows of another shape,
            dtype or number than announced.
        FileNotFoundError: The folder does not exist.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, create_rows(f"{folder}/a.png", (2, 5, 1), np.uint8) as write:
        ...     write(np.zeros((1, 5, 1), np.uint8))
        ...     write(np.ones((1, 5, 1), np.uint8))
    """
    dtype = np.dtype(dtype)
    if dtype not in (np.uint8, np.uint16) or len(shape) != 3 or min(shape) < 1 or shape[2] > 4:
        raise ValueError(f"expected shape (H, W, C) with 1 to 4 channels and uint8 or uint16, got {shape}, {dtype}")
    writer = _WRITERS.get(Path(path).suffix.lower())
    written = 0

    def counted(rows: Pixels) -> None:
        nonlocal written
        written += len(rows)
        if rows.dtype != dtype or rows.shape[1:] != shape[1:] or written > shape[0]:
            raise ValueError(f"expected the rows of a picture {shape} of {dtype}, got {rows.shape}, {rows.dtype}")
        write(rows)

    with _by_rows(path, writer, shape, dtype, profile) if writer else _collected(path, shape, dtype, profile) as write:
        yield counted
        if written < shape[0]:
            raise ValueError(f"{path}: only {written} of {shape[0]} rows were written")


@contextmanager
def _by_rows(
    path: str | os.PathLike[str], writer: _Writer, shape: tuple[int, int, int], dtype: _DType, profile: bytes | None
) -> Iterator[Callable[[Pixels], None]]:
    with atomic_path(path) as beside, beside.open("wb") as file, writer(file, shape, dtype, profile) as write:
        yield write


@contextmanager
def _collected(
    path: str | os.PathLike[str], shape: tuple[int, int, int], dtype: _DType, profile: bytes | None
) -> Iterator[Callable[[Pixels], None]]:
    check_format(path, shape, 8 * dtype.itemsize)
    size = math.prod(shape) * dtype.itemsize
    if size > WHOLE_BYTES:
        raise ValueError(
            f"{path}: {size / 2**30:.1f} GiB of pixels are too many for a format that is not written by rows; name a "
            f"file in {', '.join(_WRITERS)}"
        )
    pixels: Pixels = np.empty(shape, dtype)
    filled = 0

    def write(rows: Pixels) -> None:
        nonlocal filled
        pixels[filled : filled + len(rows)] = rows
        filled += len(rows)

    yield write
    if filled == len(pixels):
        write_pixels(path, pixels[..., 0] if shape[2] == 1 else pixels, profile)
