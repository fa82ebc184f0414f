"""Picture files: reading (see ``reading``), writing, and replacing a file whole or not at all."""

import glob
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from restorekit.image.convert import array_planes, to_image, to_tensor
from restorekit.image.png16 import write_png16
from restorekit.image.reading import MAX_PIXELS, Pixels, picture_pixels, picture_size, read_image

__all__ = ["MAX_PIXELS", "atomic_path", "picture_size", "read_image", "write_image"]


class Format(NamedTuple):
    """What a suffix stands for, and what it can hold."""

    name: str  # Pillow's
    kinds: tuple[str, ...]  # grey (L), alpha (A), colour (RGB), each with the bits that it can hold
    options: dict[str, Any]
    side: int = 2**31 - 1  # most pixels along a side


_GREY, _COLOUR, _ALPHA = ("L8",), ("RGB8",), ("LA8", "RGBA8")
_JPEG = Format("JPEG", _GREY + _COLOUR, {"quality": 95, "subsampling": 0}, 65_500)
_TIFF = Format("TIFF", (*_GREY, *_COLOUR, *_ALPHA, "L16"), {"compression": "tiff_adobe_deflate"})
_FORMATS = {
    ".png": Format("PNG", (*_GREY, *_COLOUR, *_ALPHA, "L16", "LA16", "RGB16", "RGBA16"), {}),
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".webp": Format("WEBP", (*_COLOUR, "RGBA8"), {"lossless": True, "exact": True}, 16_383),
    ".bmp": Format("BMP", _GREY + _COLOUR, {}),
    ".pgm": Format("PPM", _GREY, {}),
    ".ppm": Format("PPM", _COLOUR, {}),
}
_KIND = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}

WRITTEN = tuple(_FORMATS)
"""What the names of the files that ``write_image`` writes may end in."""


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write a file beside ``path`` and move it there when complete, so that ``path`` is never half a file.

    Whatever goes wrong inside the ``with`` block, an old file at ``path`` stays as it was and the new one is removed. A
    killed process leaves a hidden file behind, and the old one. A link is followed.

    Args:
        path: Where the file shall end up. Its folder must exist.

    Yields:
        An empty file in the same folder, with the same suffix, to be written by any means.

    Raises:
        FileNotFoundError: The folder does not exist.
        IsADirectoryError: ``path`` is a folder.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, atomic_path(f"{folder}/notes.txt") as beside:
        ...     beside.write_text("done")
        4
    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(f"{path} is a folder; name a file in it")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"the folder {target.parent} does not exist; create it before writing {target.name}")
    beside = target.with_name(f".{_mark(target)}{os.urandom(4).hex()}{target.suffix}")  # a long name must not grow
    beside.touch(exist_ok=False)  # with the permissions that the user's umask asks for
    try:
        if target.exists():
            shutil.copymode(target, beside)
        mode = stat.S_IMODE(beside.stat().st_mode)
        yield beside
        beside.chmod(mode)  # safetensors puts a file of its own there, for the user alone
        with beside.open("r+b") as file:
            os.fsync(file.fileno())
        beside.replace(target)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def sweep_beside(path: str | os.PathLike[str]) -> None:
    """Remove what killed processes left behind of ``path`` (see ``atomic_path``).

    To be called by the one that writes it: another process that is at it just now fails, and the old file stays.
    """
    target = Path(os.path.realpath(path))
    for left in target.parent.glob(f".{_mark(target)}*{glob.escape(target.suffix)}"):
        if re.fullmatch(r"\.[0-9a-f]{16}", left.name.removesuffix(target.suffix)):
            left.unlink(missing_ok=True)


def _mark(target: Path) -> str:
    """What the hidden files beside ``target`` have in common, and those beside other files have not."""
    return hashlib.sha256(os.fsencode(target.name)).hexdigest()[:8]


def write_image(
    path: str | os.PathLike[str],
    image: Image.Image | NDArray[Any] | Tensor,
    *,
    icc_profile: bytes | None = None,
) -> None:
    """Write a picture, complete or not at all (see ``atomic_path``), in the format that the suffix names.

    Lossless, except JPEG (quality 95, colour at full resolution). uint16 is written as 16 bits per channel; floats are
    clamped to [0, 1] and rounded to 8 bits (``to_image(x, like="uint16")`` first for 16). No metadata is written but a
    colour profile that is given.

    Args:
        path: File ending in .png, .jpg, .jpeg, .tif, .tiff, .webp, .bmp, .pgm or .ppm. Its folder must exist.
        image: A Pillow picture, an array (H, W) or (H, W, C), or a tensor (C, H, W) or (1, C, H, W), of 1 to 4
            channels: grey, grey and alpha, RGB, RGB and alpha; uint8, uint16 or floating point in [0, 1].
        icc_profile: Colour profile, as it lies in ``picture.info["icc_profile"]`` of a Pillow picture. BMP, PPM and PNG
            of 16 bits go without one.

    Raises:
        TypeError: No picture: another class or dtype.
        ValueError: An unknown suffix, a wrong shape, or channels, bits or a size that the format cannot hold.
        FileNotFoundError: The folder does not exist.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_image(f"{folder}/grey.png", np.array([[0.0, 0.5, 1.0]]))
        ...     read_image(f"{folder}/grey.png")
        array([[  0, 128, 255]], dtype=uint8)
    """
    write_pixels(path, _pixels(image), icc_profile)


def write_pixels(path: str | os.PathLike[str], pixels: Pixels, profile: bytes | None) -> None:
    """``write_image`` for an array (H, W) or (H, W, C), with a colour profile where the format holds one."""
    form = check_format(path, (*pixels.shape, 1)[:3], 8 * pixels.itemsize)
    with atomic_path(path) as beside, beside.open("wb") as file:
        if form.name == "PNG" and pixels.dtype == np.uint16:
            write_png16(file, pixels)
        else:
            Image.fromarray(pixels).save(file, format=form.name, icc_profile=profile, **form.options)


def check_format(path: str | os.PathLike[str], shape: tuple[int, ...], bits: int) -> Format:
    """The format that the suffix names, if it can hold pictures (H, W, C) with so many bits per channel."""
    height, width, channels = shape
    suffix = Path(path).suffix.lower()
    if suffix not in _FORMATS:
        raise ValueError(f"{path}: unknown suffix {suffix!r}, expected one of {', '.join(_FORMATS)}")
    form, kind = _FORMATS[suffix], f"{_KIND[channels]}{bits}"
    if kind not in form.kinds:
        raise ValueError(f"{path}: {suffix} cannot hold {kind} (channels and bits), only {', '.join(form.kinds)}")
    if max(height, width) > form.side:
        raise ValueError(
            f"{path}: {suffix} holds at most {form.side:,} pixels a side, got {width} x {height}; write PNG"
        )
    return form


def _pixels(image: Image.Image | NDArray[Any] | Tensor) -> Pixels:
    """The picture as (H, W), or (H, W, C) with 2 to 4 channels, uint8 or uint16."""
    if isinstance(image, Image.Image):
        return picture_pixels(image)
    if not isinstance(image, (np.ndarray, Tensor)):
        raise TypeError(f"image must be a Pillow picture, ndarray or tensor, got {type(image).__name__}")
    if isinstance(image, np.ndarray) and image.dtype.newbyteorder("=") in (np.uint8, np.uint16):
        pixels: Pixels = array_planes(image).permute(1, 2, 0).numpy()
        return pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
    return to_image(to_tensor(image), like="uint16" if image.dtype == torch.uint16 else "uint8")
