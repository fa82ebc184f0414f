"""PNG with 16 bits per channel, of colour and alpha too, which Pillow cannot write."""

import struct
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOUR_TYPE = {1: 0, 2: 4, 3: 2, 4: 6}  # by channels: grey, grey and alpha, RGB, RGB and alpha
_PAETH = 4
_STRIP = 1 << 21  # bytes filtered and compressed at a time


def write_png16(file: BinaryIO, pixels: NDArray[Any]) -> None:
    """Write a 16-bit PNG.

    Args:
        file: Binary file, open for writing.
        pixels: Picture (H, W) or (H, W, C) with 1 to 4 channels: grey, grey and alpha, RGB, RGB and alpha; uint16.

    Raises:
        ValueError: Another shape or dtype.

    Example:
        >>> import io
        >>> write_png16(file := io.BytesIO(), np.zeros((4, 6, 3), np.uint16))
        >>> file.getvalue()[1:4]
        b'PNG'

    Source:
        W3C, Portable Network Graphics (third edition), sections 5, 9 and 11. Every row uses the Paeth filter.
    """
    if pixels.dtype != np.uint16 or pixels.ndim not in {2, 3} or pixels.size == 0:
        raise ValueError(f"pixels must be a non-empty uint16 picture, got {pixels.dtype} {pixels.shape}")
    height, width = pixels.shape[:2]
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    if channels not in COLOUR_TYPE:
        raise ValueError(f"pixels must have 1 to 4 channels, got shape {pixels.shape}")
    write_header(file, width, height, 16, COLOUR_TYPE[channels])
    squeeze = zlib.compressobj()
    for rows in _filtered(pixels.reshape(height, -1), 2 * channels):
        write_chunk(file, b"IDAT", squeeze.compress(rows))
    write_chunk(file, b"IDAT", squeeze.flush())
    write_chunk(file, b"IEND", b"")


def write_header(file: BinaryIO, width: int, height: int, depth: int, colour: int) -> None:
    """Write what a PNG starts with; ``colour`` is the format's number for the kind of pixel."""
    file.write(SIGNATURE)
    write_chunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))


def write_chunk(file: BinaryIO, name: bytes, content: bytes) -> None:
    """Write one chunk of a PNG, checksum and all."""
    file.write(struct.pack(">I", len(content)) + name + content)
    file.write(struct.pack(">I", zlib.crc32(content, zlib.crc32(name))))


def _filtered(rows: NDArray[Any], step: int) -> Iterator[bytes]:
    """Rows as filtered bytes, a strip at a time; ``step`` is bytes per pixel."""
    count = max(1, _STRIP // rows[:1].nbytes)
    above = np.zeros((1, rows[:1].nbytes), np.uint8)
    for top in range(0, len(rows), count):
        strip = rows[top : top + count].astype(">u2").view(np.uint8)  # (rows, bytes)
        upper = np.concatenate([above, strip[:-1]])
        above = strip[-1:]
        left, corner = (np.pad(x[:, :-step], ((0, 0), (step, 0))) for x in (strip, upper))
        out = np.empty((len(strip), 1 + strip.shape[1]), np.uint8)
        out[:, 0] = _PAETH
        np.subtract(strip, _paeth(left, upper, corner), out=out[:, 1:])
        yield out.tobytes()


def _paeth(left: NDArray[np.uint8], above: NDArray[np.uint8], corner: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Of three neighbours the one nearest to left + above - corner; ties in this order."""
    vertical = above.astype(np.int16) - corner
    horizontal = left.astype(np.int16) - corner
    to_left, to_above, to_corner = np.abs(vertical), np.abs(horizontal), np.abs(vertical + horizontal)
    second = np.where(to_above <= to_corner, above, corner)
    return np.where((to_left <= to_above) & (to_left <= to_corner), left, second)
