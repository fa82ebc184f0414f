"""Picture files as arrays: every bit kept, upright, and anything that cannot be kept refused by name."""

import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.PpmImagePlugin import PpmImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from restorekit._check import check_integer

Pixels = NDArray[np.uint8 | np.uint16]

MAX_PIXELS = 256_000_000
"""Most pixels that readers accept by default, against decompression bombs."""

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm", ".gif"}
"""What the files of a folder that are taken for pictures end in."""

# Called directly rather than through Image.open: no plugin outside this list (Ghostscript among them) ever sees the
# file, the pixel limit is ours, and a JPEG with embedded previews is read as the JPEG that it is.
_READERS: tuple[tuple[tuple[bytes, ...], type[ImageFile]], ...] = (
    ((b"\x89PNG\r\n\x1a\n",), PngImageFile),
    ((b"\xff\xd8\xff",), JpegImageFile),
    ((b"BM",), BmpImageFile),
    (tuple(TiffImagePlugin.PREFIXES), TiffImageFile),
    ((b"RIFF",), WebPImageFile),
    ((b"P1", b"P2", b"P3", b"P4", b"P5", b"P6"), PpmImageFile),
    ((b"GIF87a", b"GIF89a"), GifImageFile),
)
_FORMATS = "PNG, JPEG, BMP, TIFF, WebP, PPM or GIF"
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "I;16", "I;16B", "I;16L")
_ACCEPTED = "grey, RGB or palette with or without alpha, 8 or 16 bits per channel"

# Pillow has no 16-bit RGB: it decodes the high bytes and drops the low ones. Decoding once more in the other byte order
# yields the dropped half. "16N" is the machine's order.
_OPPOSITE = {"B": "L", "L": "B", "N": "B" if np.little_endian else "L"}
_GREY_STEP = {"L;2": 85, "L;4": 17}  # Pillow stretches such greys to 0-255, but not the transparent one
ORIENTATION = 0x0112
_PHOTOMETRIC, _BITS, _PLANAR, _TILE_WIDTH, _TILE_HEIGHT = 262, 258, 284, 322, 323
_STRIP = 1 << 20  # pixels


class _Quiet:
    """Hush Pillow's warnings while any thread reads; the filters return when the last one is done."""

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._saved = warnings.catch_warnings()
                self._saved.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\b")
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._saved.__exit__(None, None, None)


_quiet = _Quiet()


class RefusedError(ValueError):
    """A sound file that is not accepted; told apart from what decoders raise on damaged ones."""


def read_image(path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> Pixels:
    """Read a picture file without losing bits.

    Palettes are expanded, a transparent colour becomes an alpha channel, and the EXIF orientation is applied. PNG,
    uncompressed and compressed TIFF and PPM keep 16 bits per channel, of RGB and alpha too. Other metadata, colour
    profiles among it, is not read.

    Args:
        path: A PNG, JPEG, BMP, TIFF, WebP, PPM or GIF file, known by its content rather than its suffix.
        max_pixels: Most pixels accepted. The header is checked, before anything is decoded.

    Returns:
        Grey (H, W), or (H, W, C) with grey and alpha, RGB, or RGB and alpha; uint8 or uint16.

    Raises:
        FileNotFoundError: No such file.
        IsADirectoryError: ``path`` is a folder.
        ValueError: No picture, a damaged or truncated one, an animation, too many pixels, or CMYK, Lab, float and
            other kinds of pixel that have no exact place in the arrays above.

    Example:
        >>> import skimage.data, pathlib
        >>> read_image(pathlib.Path(skimage.data.__file__).parent / "astronaut.png").shape
        (512, 512, 3)
    """
    check_integer(max_pixels, "max_pixels", 1)
    with _opened(path, max_pixels) as (file, picture):
        return decode(file, picture)


def picture_size(path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Height and width that ``read_image`` would return, from the header alone.

    Args:
        path: A picture file.
        max_pixels: Most pixels accepted.

    Returns:
        Height and width in pixels, upright; EXIF that stands behind the pixels of a PNG is not seen.

    Raises:
        ValueError: As ``read_image``, as far as the header shows it.

    Example:
        >>> import skimage.data, pathlib
        >>> picture_size(pathlib.Path(skimage.data.__file__).parent / "chelsea.png")
        (300, 451)
    """
    with _opened(path, max_pixels) as (_, picture):
        # For a PNG whose header lacks EXIF, Pillow would decode everything to look for it at the end.
        seek = not isinstance(picture, PngImageFile) or "exif" in picture.info
        # A TIFF has its size turned already.
        turned = seek and not isinstance(picture, TiffImageFile) and picture.getexif().get(ORIENTATION) in range(5, 9)
        return picture.size if turned else picture.size[::-1]


def picture_header(path: str | os.PathLike[str], max_pixels: int) -> tuple[str, bytes | None]:
    """Pillow's name for the kind of pixel that the file holds, and its colour profile, from the header alone."""
    with _opened(path, max_pixels) as (_, picture):
        return picture.mode, picture.info.get("icc_profile")


@contextmanager
def _opened(path: str | os.PathLike[str], max_pixels: int) -> Iterator[tuple[BinaryIO, ImageFile]]:
    """Open a picture whose header is acceptable; whatever a decoder raises inside becomes a ValueError."""
    with Path(path).open("rb") as file, told(path):
        yield file, open_header(file, max_pixels)


@contextmanager
def told(path: str | os.PathLike[str]) -> Iterator[None]:
    """Whatever a decoder raises inside becomes a ValueError that names the file; Pillow's warnings are hushed."""
    with _quiet:
        try:
            yield
        except RefusedError as error:
            raise ValueError(f"{path}: {error}") from None
        except MemoryError:
            raise
        except Exception as error:
            raise ValueError(f"{path}: the file is damaged, truncated or of a layout not read ({error})") from error


def open_header(file: BinaryIO, max_pixels: int) -> ImageFile:
    """The picture in a file, not decoded yet, if its kind and size are accepted."""
    picture = _open(file)
    _check_header(picture, max_pixels)
    return picture


def _open(file: BinaryIO) -> ImageFile:
    start = file.read(16)
    if not start:
        raise RefusedError("the file is empty")
    for signatures, reader in _READERS:
        if start.startswith(signatures) and (reader is not WebPImageFile or start[8:12] == b"WEBP"):
            return reopen(file, reader)
    raise RefusedError(f"not a picture of a known format; expected {_FORMATS}")


def reopen(file: BinaryIO, reader: type[ImageFile]) -> ImageFile:
    """The picture from the file's start, whatever was read before."""
    file.seek(0)
    return reader(file)


def _check_header(picture: ImageFile, max_pixels: int) -> None:
    width, height = picture.size
    if width * height > max_pixels:
        raise RefusedError(
            f"{width} x {height} pixels are more than max_pixels={max_pixels:,}; "
            "raise the limit if you trust the file, or shrink the picture"
        )
    if isinstance(picture, TiffImageFile):
        _check_tiles(picture, max_pixels)
    if getattr(picture, "is_animated", False):
        raise RefusedError(
            "holds several pictures (an animation or pages), expected one; save one frame as its own file"
        )
    if picture.mode not in _MODES and not (picture.mode == "I" and isinstance(picture, PpmImageFile)):
        raise RefusedError(f"pixels of kind {picture.mode!r} are not accepted, expected {_ACCEPTED}; convert the file")


def _check_tiles(picture: TiffImageFile, max_pixels: int) -> None:
    """A tile is decoded whole, however little of it lies in the picture."""
    width, height = picture.tag_v2.get(_TILE_WIDTH), picture.tag_v2.get(_TILE_HEIGHT)
    if isinstance(width, int) and isinstance(height, int) and width * height > max(max_pixels, _STRIP):
        raise RefusedError(f"tiles of {width} x {height} pixels are more than max_pixels={max_pixels:,}")


def decode(file: BinaryIO, picture: ImageFile) -> Pixels:
    """Pixels of an opened picture, upright."""
    raw = _raw_mode(picture)
    deep = _is_deep(picture, raw)
    if deep and raw == "LA;16B":
        picture, pixels = _decode_grey_alpha(file, picture)
    elif deep and len(picture.getbands()) > 1:
        picture, pixels = _decode_deep(file, picture, raw)
    else:
        if isinstance(picture, PngImageFile) and raw in _GREY_STEP and "transparency" in picture.info:
            picture.info["transparency"] *= _GREY_STEP[raw]
        picture.load()
        pixels = picture_pixels(picture)
    if deep and isinstance(picture, TiffImageFile) and picture.tag_v2.get(_PHOTOMETRIC) == 0:
        np.subtract(65535, pixels, out=pixels)  # white is zero: Pillow sees to it up to 8 bits
    return _upright(pixels, picture.getexif().get(ORIENTATION, 1))


def _raw_mode(picture: ImageFile) -> str:
    """The layout of the samples in the file, in Pillow's words; "" where the decoder needs none."""
    arguments: Any = picture.tile[0].args if picture.tile else None
    raw = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return raw if isinstance(raw, str) else ""


def _is_deep(picture: ImageFile, raw: str) -> bool:
    """Whether the file has 16 bits per channel; refuses depths that neither 8 nor 16 bits hold as they are."""
    if isinstance(picture, PpmImageFile):
        arguments: Any = picture.tile[0].args
        limit = arguments[1] if raw in {"L", "RGB"} and isinstance(arguments, tuple) else 255
        if 255 < limit < 65535:
            raise RefusedError(f"a PPM with maximum {limit} is not accepted, expected at most 255, or 65535")
        return bool(limit == 65535) or "16" in raw
    if isinstance(picture, TiffImageFile):
        bits = picture.tag_v2.get(_BITS, (1,))
        if max(bits) > 8 and set(bits) != {16}:
            raise RefusedError(f"{max(bits)} bits per channel are not accepted, expected {_ACCEPTED}; convert the file")
        return bool(max(bits) == 16)
    return "16" in raw


def _decode_grey_alpha(file: BinaryIO, picture: ImageFile) -> tuple[ImageFile, Pixels]:
    """Grey and alpha of 16 bits: four bytes a pixel, which RGBA of 8 bits takes as they are."""
    picture = _reload(file, picture, "RGBA")
    pixels: Pixels = np.empty((picture.height, picture.width, 2), np.uint16)
    for rows, strip in _strips(picture):
        pixels[rows] = strip.view(">u2")
    return picture, pixels


def _decode_deep(file: BinaryIO, picture: ImageFile, raw: str) -> tuple[ImageFile, Pixels]:
    """RGB or RGB and alpha of 16 bits, from two decodings: the high bytes, then the low bytes."""
    name, _, order = (raw if raw != "RGB" else "RGB;16B").partition(";16")  # "RGB" is a PPM, always big-endian
    codec = picture.tile[0].codec_name
    planes = isinstance(picture, TiffImageFile) and picture.tag_v2.get(_PLANAR, 1) != 1
    if name not in {"RGB", "RGBA", "RGBX"} or order not in _OPPOSITE or planes or codec == "ppm_plain":
        raise RefusedError(
            "16 bits per channel in separate planes, as text or multiplied by alpha would lose bits; "
            "save the picture as PNG, or as TIFF with interleaved RGB or RGBA"
        )
    high = _reload(file, picture, f"{name};16{order}")
    pixels: Pixels = np.empty((high.height, high.width, len(high.getbands())), np.uint16)
    for rows, strip in _strips(high):
        np.left_shift(strip, 8, out=pixels[rows], dtype=np.uint16)
    del high
    low = _reload(file, picture, f"{name};16{_OPPOSITE[order]}")
    for rows, strip in _strips(low):
        pixels[rows] |= strip
    return low, with_alpha(pixels, low.info.get("transparency"))


def _reload(file: BinaryIO, picture: ImageFile, raw: str) -> ImageFile:
    """Decode the file afresh, its samples taken as laid out in ``raw``."""
    fresh = reopen(file, type(picture))
    fresh.tile = [_with_raw_mode(tile, raw) for tile in picture.tile]
    fresh.load()
    return fresh


def _with_raw_mode(tile: Any, raw: str) -> Any:
    if tile.codec_name == "ppm":  # scales to 8 bits; the samples themselves follow each other plainly
        return tile._replace(codec_name="raw", args=(raw, 0, 1))
    return tile._replace(args=(raw, *tile.args[1:]) if isinstance(tile.args, tuple) else raw)


def picture_pixels(picture: Image.Image) -> Pixels:
    """Pixels of a Pillow picture as it stands, palette and transparent colour expanded; new memory, writable."""
    if picture.mode not in _MODES and not (picture.mode == "I" and isinstance(picture, PpmImageFile)):
        raise ValueError(
            f"a picture of mode {picture.mode!r} is not accepted, expected {', '.join(_MODES)}; convert it"
        )
    if not (picture.width and picture.height):
        raise ValueError(f"a picture must have at least one pixel, got {picture.width} x {picture.height}")
    key = picture.info.get("transparency")
    if picture.mode in {"P", "PA"}:
        picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    elif picture.mode == "1":
        picture = picture.convert("L")
    shape = (picture.height, picture.width, len(picture.getbands()))
    pixels: Pixels = np.empty(shape[: 2 if shape[2] == 1 else 3], np.uint16 if picture.mode[0] == "I" else np.uint8)
    for rows, strip in _strips(picture):
        pixels[rows] = strip
    return with_alpha(pixels, key)


def _strips(picture: Image.Image) -> Iterator[tuple[slice, NDArray[Any]]]:
    """Runs of rows: Pillow exports through a copy, which should not be one of the whole picture."""
    step = max(1, _STRIP // picture.width)
    for top in range(0, picture.height, step):
        bottom = min(top + step, picture.height)
        yield slice(top, bottom), np.asarray(picture.crop((0, top, picture.width, bottom)))


def with_alpha(pixels: Pixels, key: object) -> Pixels:
    """Append alpha: 0 where the pixel equals the file's transparent grey or colour; nothing without one."""
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    if channels not in {1, 3} or not isinstance(key, (int, tuple)) or np.size(key) != channels:
        return pixels
    pixels = pixels.reshape(*pixels.shape[:2], channels)
    opaque = (pixels != np.asarray(key)).any(axis=2, keepdims=True)
    return np.concatenate([pixels, np.where(opaque, np.iinfo(pixels.dtype).max, 0).astype(pixels.dtype)], axis=2)


def _upright(pixels: Pixels, orientation: object) -> Pixels:
    """Turn and mirror as EXIF says; values outside 2..8 mean upright."""
    if orientation in {5, 6, 7, 8}:
        pixels = pixels.swapaxes(0, 1)
    if orientation in {3, 4, 7, 8}:
        pixels = pixels[::-1]
    if orientation in {2, 3, 6, 7}:
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
