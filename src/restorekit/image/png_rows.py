"""PNG from top to bottom, a strip of rows at a time, so that a picture of any size takes little memory."""

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL.PngImagePlugin import PngImageFile

from restorekit.image.png16 import COLOUR_TYPE, SIGNATURE, write_chunk, write_header
from restorekit.image.reading import Pixels, RefusedError, decode

_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # a pixel, by the format's number for its kind
# What undoes the filters knows bytes and how far apart pixels are, so one kind of picture stands for all of a width.
_STAND_IN = {1: (8, 0), 2: (8, 4), 3: (8, 2), 4: (8, 6), 6: (16, 2), 8: (16, 6)}  # bytes a pixel: (depth, kind)
_UP = 2
_STRIP = 1 << 20  # bytes decoded or filtered at a time
_PIECE = 1 << 16  # bytes read at a time
_LEVEL = 4  # of compression: within a tenth of the default's size at 4 times its speed


class _Header(NamedTuple):
    width: int
    height: int
    depth: int
    kind: int
    notes: tuple[tuple[bytes, bytes], ...]  # the chunks that say which samples make which pixel: palette, transparency


def streams(file: BinaryIO, picture: PngImageFile) -> bool:
    """Whether the rows of an opened picture come in their order, upright, and nothing behind them changes that."""
    if picture.info.get("interlace"):
        return False
    file.seek(len(SIGNATURE))
    pixels_seen = False
    while len(head := file.read(8)) == 8:
        length, name = struct.unpack(">I4s", head)
        pixels_seen |= name == b"IDAT"
        start = file.read(32) if name in {b"tEXt", b"zTXt", b"iTXt"} else b""
        # Before the pixels Pillow has seen these: the caller asks it for the orientation.
        if pixels_seen and (name == b"eXIf" or start.startswith((b"Raw profile type exif\0", b"XML:com.adobe.xmp\0"))):
            return False
        file.seek(length - len(start) + 4, io.SEEK_CUR)
    return True


def png_strips(file: BinaryIO) -> Iterator[Pixels]:
    """Decode a PNG that is not interlaced, as ``read_image`` would, upright or not.

    Args:
        file: Binary file, positioned anywhere, that nothing else moves in the meantime.

    Yields:
        Strips (h, W) or (h, W, C) of about a megabyte, from top to bottom; uint8 or uint16.

    Raises:
        ValueError: A wrong checksum, missing data or an unknown filter; zlib and Pillow raise errors of their own.

    Source:
        W3C, Portable Network Graphics (third edition), sections 5, 9 and 10.
    """
    header = _read_header(file)
    bits = header.depth * _SAMPLES[header.kind]
    row, step = (header.width * bits + 7) // 8, max(1, bits // 8)
    count = max(1, _STRIP // row)
    above = np.zeros(row, np.uint8)
    inflater = _Inflater(_data(file))
    for top in range(0, header.height, count):
        lines = inflater.read(min(count, header.height - top) * (1 + row))
        samples = _unfiltered(lines, above, step)
        above = samples[-1]
        yield _interpreted(samples, header)


def _read_header(file: BinaryIO) -> _Header:
    """Everything before the pixels that decides what they are; leaves the file at the first of them."""
    file.seek(len(SIGNATURE))
    notes: list[tuple[bytes, bytes]] = []
    sizes: tuple[int, int, int, int] | None = None
    while True:
        length, name = struct.unpack(">I4s", _exactly(file, 8))
        if name == b"IDAT":
            break
        if name not in {b"IHDR", b"PLTE", b"tRNS"}:
            file.seek(length + 4, io.SEEK_CUR)
            continue
        content = _exactly(file, length)
        _check_sum(file, name, zlib.crc32(content, zlib.crc32(name)))
        if name == b"IHDR":
            sizes = struct.unpack(">IIBB", content[:10])
        else:
            notes.append((name, content))
    if sizes is None:
        raise ValueError("no header before the pixels")
    file.seek(-8, io.SEEK_CUR)
    width, height, depth, kind = sizes
    return _Header(width, height, depth, kind, tuple(notes))


def _exactly(file: BinaryIO, count: int) -> bytes:
    content = file.read(count)
    if len(content) < count:
        raise RefusedError("the file is truncated")
    return content


def _check_sum(file: BinaryIO, name: bytes, value: int) -> None:
    if struct.unpack(">I", _exactly(file, 4)) != (value,):
        raise RefusedError(f"the file is damaged: the checksum of a chunk {name.decode('latin-1')} is wrong")


def _data(file: BinaryIO) -> Iterator[bytes]:
    """The compressed pixels in pieces, whatever the chunks are."""
    while True:
        length, name = struct.unpack(">I4s", _exactly(file, 8))
        if name != b"IDAT":
            return
        value = zlib.crc32(name)
        while length:
            piece = _exactly(file, min(length, _PIECE))
            length -= len(piece)
            value = zlib.crc32(piece, value)
            if not length:
                _check_sum(file, name, value)  # before its last bytes are used
            yield piece


class _Inflater:
    """Exactly as many bytes as asked for, however many the compressed data would swell to."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._inflate = zlib.decompressobj()
        self._waiting = b""

    def read(self, count: int) -> bytes:
        out = bytearray()
        while len(out) < count:
            piece = self._waiting or next(self._pieces, b"")
            more = self._inflate.decompress(piece, count - len(out))
            self._waiting = self._inflate.unconsumed_tail
            out += more
            if not (piece or more) or (self._inflate.eof and len(out) < count):
                raise RefusedError("the file is truncated: it holds fewer rows than its header says")
        return bytes(out)


def _unfiltered(lines: bytes, above: NDArray[np.uint8], step: int) -> NDArray[np.uint8]:
    """The bytes (rows, row) behind filtered lines, decoded as a small picture whose first row is the one above."""
    depth, kind = _STAND_IN[step]
    pixels = _small_picture(_Header(len(above) // step, 0, depth, kind, ()), b"\0" + above.tobytes() + lines)
    samples = pixels.astype(">u2").view(np.uint8) if depth == 16 else pixels
    return np.ascontiguousarray(samples[1:]).reshape(-1, len(above)).view(np.uint8)


def _interpreted(samples: NDArray[np.uint8], header: _Header) -> Pixels:
    """Pixels of the bytes of rows: samples joined, palette and transparent colour expanded."""
    if header.depth < 8 or header.kind == 3 or header.notes:
        return _small_picture(header, np.pad(samples, ((0, 0), (1, 0))).tobytes())
    shape = (len(samples), header.width, _SAMPLES[header.kind])
    return samples.view(">u2").astype(np.uint16).reshape(shape) if header.depth == 16 else samples.reshape(shape)


def _small_picture(header: _Header, lines: bytes) -> Pixels:
    """Decode lines as a picture of their own."""
    row = 1 + (header.width * header.depth * _SAMPLES[header.kind] + 7) // 8
    file = io.BytesIO()
    write_header(file, header.width, len(lines) // row, header.depth, header.kind)
    for name, content in header.notes:
        write_chunk(file, name, content)
    write_chunk(file, b"IDAT", zlib.compress(lines, 0))
    write_chunk(file, b"IEND", b"")
    file.seek(0)
    return decode(file, PngImageFile(file))


@contextmanager
def png_writer(
    file: BinaryIO, shape: tuple[int, int, int], dtype: np.dtype[Any], profile: bytes | None
) -> Iterator[Callable[[Pixels], None]]:
    """Write a PNG from top to bottom.

    Args:
        file: Binary file, open for writing.
        shape: Height, width and channels, 1 to 4.
        dtype: uint8 or uint16.
        profile: Colour profile (ICC).

    Yields:
        A function that takes the next rows (h, W, C). The picture is complete once the ``with`` block is left.

    Source:
        W3C, Portable Network Graphics (third edition), sections 5, 9 and 11. Every row uses the filter Up, the
        quickest; on enlarged photographs it comes within a few per cent of the size that Pillow's choice has.
    """
    height, width, channels = shape
    write_header(file, width, height, 8 * dtype.itemsize, COLOUR_TYPE[channels])
    if profile:
        write_chunk(file, b"iCCP", b"ICC Profile\0\0" + zlib.compress(profile))
    row = width * channels * dtype.itemsize
    squeeze = zlib.compressobj(_LEVEL)
    above: NDArray[np.uint8] = np.zeros((1, row), np.uint8)

    def write(rows: Pixels) -> None:
        nonlocal above
        count = max(1, _STRIP // row)
        for top in range(0, len(rows), count):
            samples = np.ascontiguousarray(rows[top : top + count], dtype.newbyteorder(">"))
            strip = samples.reshape(-1, width * channels).view(np.uint8)  # (h, bytes)
            lines = np.full((len(strip), 1 + row), _UP, np.uint8)
            np.subtract(strip, np.concatenate([above, strip[:-1]]), out=lines[:, 1:])
            above = strip[-1:].copy()
            if content := squeeze.compress(lines.data):
                write_chunk(file, b"IDAT", content)

    yield write
    write_chunk(file, b"IDAT", squeeze.flush())
    write_chunk(file, b"IEND", b"")
