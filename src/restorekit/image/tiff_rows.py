"""TIFF from top to bottom, some strips or rows of tiles at a time."""

import io
import math
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from PIL.TiffImagePlugin import TiffImageFile

from restorekit.image.reading import Pixels, RefusedError, decode

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER = 256, 257, 258, 259, 262, 266
_STRIP_OFFSETS, _SAMPLES, _STRIP_ROWS, _STRIP_SIZES, _PLANAR, _PREDICTOR = 273, 277, 278, 279, 284, 317
_COLOUR_MAP, _TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_SIZES = 320, 322, 323, 324, 325
_EXTRA_SAMPLES, _SAMPLE_FORMAT, _PROFILE = 338, 339, 34675
# What decides how the bytes of a strip or tile become pixels, except for their place and number.
_KEPT = (_WIDTH, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER, _SAMPLES, _PLANAR, _PREDICTOR, _COLOUR_MAP,
         _TILE_WIDTH, _TILE_HEIGHT, _EXTRA_SAMPLES, _SAMPLE_FORMAT)  # fmt: skip
_PLAIN, _DEFLATE = 1, 8
_STREAMED = (_PLAIN, 5, _DEFLATE, 32773, 32946, 34925, 50000)  # also LZW, PackBits, old Deflate, LZMA, Zstandard
_PHOTOMETRICS = (0, 1, 2, 3)  # grey either way round, RGB, palette
_DIFFERENCES = 2  # the predictor that stores each sample's difference from the pixel to its left
_BIG = 4_000_000_000  # bytes of pixels from which offsets may outgrow 32 bits
_RUN = 1 << 20  # bytes decoded or compressed at a time
_LEVEL = 4  # of compression: within a tenth of the default's size at 4 times its speed

_SLACK = 128  # bytes that compression may add to a small strip or tile

_Tags = Mapping[int, tuple[int, ...] | bytes]


class _Units(NamedTuple):
    """A picture as units of full width, strips or rows of tiles, that can be decoded without each other."""

    tags: dict[int, tuple[int, ...] | bytes]
    order: str  # of bytes, as ``struct`` writes it
    height: int
    rows: int  # of a unit; the last strip may have fewer
    across: int  # pieces of a unit
    places: list[tuple[int, int]]  # offset and size of every piece
    tiles: bool

    @property
    def size(self) -> int:
        """Bytes of a unit without compression."""
        bits, samples = _numbers(self.tags.get(_BITS, (1,))), _numbers(self.tags.get(_SAMPLES, (1,)))
        width = _numbers(self.tags[_TILE_WIDTH if self.tiles else _WIDTH])
        return self.across * self.rows * math.ceil(width[0] * samples[0] * max(bits) / 8)


def _numbers(value: object) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, (tuple, bytes)) else (int(value),)  # type: ignore[call-overload]


def tiff_strips(file: BinaryIO, picture: TiffImageFile) -> Iterator[Pixels] | None:
    """Decode a TIFF as ``read_image`` would, upright or not.

    Args:
        file: Binary file that nothing else moves in the meantime.
        picture: The same file, opened by Pillow.

    Returns:
        Strips (h, W) or (h, W, C), from top to bottom; None where the picture must be read whole: with JPEG or fax
        inside, with separate planes, or with tags that do not add up.

    Source:
        Adobe, TIFF 6.0, sections 7, 8, 14 and 15.
    """
    units = _units(picture)
    return None if units is None else _decoded(file, units)


def _units(picture: TiffImageFile) -> _Units | None:
    tags = picture.tag_v2
    plain = tags.get(_COMPRESSION, _PLAIN) == _PLAIN
    known = (plain or tags[_COMPRESSION] in _STREAMED) and tags.get(_PHOTOMETRIC) in _PHOTOMETRICS
    if not known or tags.get(_PLANAR, 1) != 1:
        return None
    tiles, height = _TILE_OFFSETS in tags, int(tags[_HEIGHT])
    rows = tags[_TILE_HEIGHT] if tiles else min(tags.get(_STRIP_ROWS, height), height)
    across = math.ceil(tags[_WIDTH] / tags[_TILE_WIDTH]) if tiles else 1
    offsets = _numbers(tags.get(_TILE_OFFSETS if tiles else _STRIP_OFFSETS, ()))
    sizes = _numbers(tags.get(_TILE_SIZES if tiles else _STRIP_SIZES, ()))
    if rows < 1 or len(offsets) != across * math.ceil(height / rows) or (len(sizes) != len(offsets) and not plain):
        return None
    if any(isinstance(tags.get(tag), bytes) for tag in _KEPT):
        return None  # tags of an unusual type, which libtiff may pass over
    kept = {tag: _numbers(tags[tag]) for tag in _KEPT if tag in tags}
    order = ">" if tags.prefix[:2] == b"MM" else "<"
    units = _Units(dict(kept), order, height, rows, across, list(zip(offsets, sizes, strict=False)), tiles)
    if plain:
        return _by_geometry(units, offsets)
    # The sum of a run's pieces must stay in proportion to its pixels, however often one place is named.
    return units if max(sizes) <= 2 * units.size // across + _SLACK else None


def _by_geometry(units: _Units, offsets: tuple[int, ...]) -> _Units:
    """Uncompressed pieces lie where the sizes of the picture say; a single strip is cut into several."""
    rows = units.rows
    if not units.tiles and len(offsets) == 1:
        row = units.size // rows
        rows = min(rows, max(1, _RUN // row))
        offsets = tuple(offsets[0] + top * row for top in range(0, units.height, rows))
    units = units._replace(rows=rows)
    size = units.size // units.across
    last = size if units.tiles else size // rows * (units.height - rows * (len(offsets) - 1))
    sizes = [size] * (len(offsets) - 1) + [last]
    return units._replace(places=list(zip(offsets, sizes, strict=True)))


def _decoded(file: BinaryIO, units: _Units) -> Iterator[Pixels]:
    count = max(1, _RUN // units.size)
    for top in range(0, units.height, count * units.rows):
        first = top // units.rows * units.across
        height = min(count * units.rows, units.height - top)
        small = _small_picture(file, units, height, units.places[first : first + count * units.across])
        yield decode(small, TiffImageFile(small))


def _small_picture(file: BinaryIO, units: _Units, height: int, places: list[tuple[int, int]]) -> BinaryIO:
    """Some units as a file of their own, with the tags of the large picture."""
    small = io.BytesIO()
    small.write(bytes(8))
    offsets, end = [], file.seek(0, io.SEEK_END)
    for offset, size in places:
        offsets.append(small.tell())
        if offset + size > end:  # reading would reserve memory for all of it first
            raise RefusedError("the file is truncated")
        file.seek(offset)
        small.write(file.read(size))
    tags = {**units.tags, _HEIGHT: (height,)}
    tags[_TILE_OFFSETS if units.tiles else _STRIP_OFFSETS] = tuple(offsets)
    tags[_TILE_SIZES if units.tiles else _STRIP_SIZES] = tuple(size for _, size in places)
    if not units.tiles:
        tags[_STRIP_ROWS] = (units.rows,)
    _finish(small, tags, units.order, big=False)
    small.seek(0)
    return small


def _finish(file: BinaryIO, tags: _Tags, order: str, *, big: bool) -> None:
    """Write the tags behind the pixels, and at the start of the file where they are; ``big`` is BigTIFF."""
    file.write(bytes(file.tell() % 2))
    place = file.tell()
    file.write(_directory(tags, place, order, big))
    file.seek(0)
    start = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}H", 43 if big else 42)
    file.write(start + (struct.pack(f"{order}HHQ", 8, 0, place) if big else struct.pack(f"{order}I", place)))


def _directory(tags: _Tags, place: int, order: str, big: bool) -> bytes:
    """The tags as a directory that lies at ``place``, with the values that do not fit into it behind."""
    number, room = ("Q", 8) if big else ("I", 4)
    head = struct.pack(f"{order}{'Q' if big else 'H'}", len(tags))
    behind_at = place + len(head) + (4 + 2 * room) * len(tags) + room
    entries, behind = b"", b""
    for tag, values in sorted(tags.items()):
        kind, code = _kind(values, big)
        content = struct.pack(f"{order}{len(values)}{code}", *values)
        if len(content) > room:
            content, behind = struct.pack(order + number, behind_at + len(behind)), behind + content
            behind += bytes(len(behind) % 2)
        entries += struct.pack(f"{order}HH{number}", tag, kind, len(values)) + content.ljust(room, b"\0")
    return head + entries + bytes(room) + behind


def _kind(values: tuple[int, ...] | bytes, big: bool) -> tuple[int, str]:
    """The format's number for a type that holds the values, and the letter that ``struct`` has for it."""
    if isinstance(values, bytes):
        return 7, "B"
    if max(values) < 1 << 16:
        return 3, "H"
    return (16, "Q") if big and max(values) >= 1 << 32 else (4, "I")


@contextmanager
def tiff_writer(
    file: BinaryIO, shape: tuple[int, int, int], dtype: np.dtype[Any], profile: bytes | None
) -> Iterator[Callable[[Pixels], None]]:
    """Write a TIFF from top to bottom, in strips compressed with Deflate; BigTIFF from 4 GB of pixels.

    Args:
        file: Binary file, open for writing.
        shape: Height, width and channels, 1 to 4.
        dtype: uint8 or uint16.
        profile: Colour profile (ICC).

    Yields:
        A function that takes the next rows (h, W, C). The picture is complete once the ``with`` block is left.

    Raises:
        ValueError: Grey and transparency of 16 bits, which ``read_image`` does not know.

    Source:
        Adobe, TIFF 6.0, sections 2, 14 and 18.
    """
    height, width, channels = shape
    if channels == 2 and dtype == np.uint16:
        raise ValueError("TIFF of grey and transparency with 16 bits is read back by few; write PNG")
    row = width * channels * dtype.itemsize
    count = min(height, max(1, _RUN // row))
    big = height * row >= _BIG
    file.write(bytes(16 if big else 8))
    places: list[tuple[int, int]] = []
    waiting = np.empty((0, width, channels), dtype)

    def compress(strip: Pixels) -> None:
        coded = strip.astype(dtype.newbyteorder("<"), copy=True)
        coded[:, 1:] -= strip[:, :-1]
        content = zlib.compress(coded.data, _LEVEL)
        places.append((file.tell(), len(content)))
        file.write(content)

    def write(rows: Pixels) -> None:
        nonlocal waiting
        rows = np.concatenate([waiting, rows]) if len(waiting) else rows
        whole = len(rows) // count * count
        for top in range(0, whole, count):
            compress(rows[top : top + count])
        waiting = rows[whole:].copy()

    yield write
    if len(waiting):
        compress(waiting)
    offsets, sizes = zip(*places, strict=True)
    tags: dict[int, tuple[int, ...] | bytes] = {
        _WIDTH: (width,), _HEIGHT: (height,), _BITS: (8 * dtype.itemsize,) * channels, _COMPRESSION: (_DEFLATE,),
        _PHOTOMETRIC: (2 if channels > 2 else 1,), _SAMPLES: (channels,), _PLANAR: (1,), _PREDICTOR: (_DIFFERENCES,),
        _STRIP_OFFSETS: offsets, _STRIP_SIZES: sizes, _STRIP_ROWS: (count,),
    }  # fmt: skip
    if channels in {2, 4}:
        tags[_EXTRA_SAMPLES] = (2,)  # transparency that the colours are not multiplied by
    if profile:
        tags[_PROFILE] = profile
    _finish(file, tags, "<", big=big)
