"""16-bit PNG, decoded by hand from the specification."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from restorekit.image.png16 import write_png16
from restorekit.image.reading import read_image


def _paeth(left, above, corner):
    estimate = left + above - corner
    distances = [abs(estimate - value) for value in (left, above, corner)]
    return (left, above, corner)[distances.index(min(distances))]


def _decode(content: bytes) -> np.ndarray:
    """Every chunk's CRC is checked; only the Paeth filter is known."""
    assert content[:8] == bytes([137, 80, 78, 71, 13, 10, 26, 10])
    chunks, at = [], 8
    while at < len(content):
        (length,) = struct.unpack_from(">I", content, at)
        name, body = content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", content, at + 8 + length) == (zlib.crc32(name + body),)
        chunks.append((name, body))
        at += 12 + length
    assert [chunks[0][0], chunks[-1]] == [b"IHDR", (b"IEND", b"")]
    width, height, depth, colour, *rest = struct.unpack(">IIBBBBB", chunks[0][1])
    assert (depth, rest) == (16, [0, 0, 0])
    step = 2 * {0: 1, 4: 2, 2: 3, 6: 4}[colour]
    data = zlib.decompress(b"".join(body for name, body in chunks if name == b"IDAT"))
    size, rows, above = width * step, [], bytes(width * step)
    assert len(data) == height * (1 + size)
    for y in range(height):
        kind, coded = data[y * (1 + size)], data[y * (1 + size) + 1 : (y + 1) * (1 + size)]
        assert kind == 4
        row = bytearray()
        for i, value in enumerate(coded):
            left, corner = (row[i - step], above[i - step]) if i >= step else (0, 0)
            row.append((value + _paeth(left, above[i], corner)) % 256)
        rows.append(np.frombuffer(bytes(row), ">u2").reshape(width, -1))
        above = bytes(row)
    return np.stack(rows)


def _write(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    write_png16(file, pixels)
    return file.getvalue()


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 4), st.integers(0, 9))
def test_decodes_to_what_was_written(height, width, channels, seed):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 65536 >> rng.integers(0, 16), (height, width, channels)).astype(np.uint16)
    np.testing.assert_array_equal(_decode(_write(pixels)), pixels)
    np.testing.assert_array_equal(_decode(_write(pixels[:, :, 0]))[:, :, 0], pixels[:, :, 0])


def test_pillow_reads_grey():
    pixels = np.random.default_rng(0).integers(0, 65536, (40, 30)).astype(np.uint16)
    with Image.open(io.BytesIO(_write(pixels))) as picture:
        np.testing.assert_array_equal(np.asarray(picture), pixels)


def test_more_than_one_strip_and_any_memory_layout(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 400, (700, 900, 4)).astype(np.uint16)  # 5 MB
    for layout in (pixels, pixels[::-1, ::2], pixels.swapaxes(0, 1)):
        (tmp_path / "a.png").write_bytes(_write(layout))
        np.testing.assert_array_equal(read_image(tmp_path / "a.png"), layout)


def test_a_smooth_picture_is_compressed():
    ramp = np.add.outer(np.arange(200, dtype=np.uint16), np.arange(200, dtype=np.uint16) * 60)
    assert len(_write(ramp)) < ramp.nbytes // 20


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((2, 2), np.uint8), np.zeros((2, 2)), np.zeros((2, 2, 5), np.uint16), np.zeros(4, np.uint16),
     np.zeros((0, 3), np.uint16), np.zeros((1, 2, 2, 3), np.uint16)],
)  # fmt: skip
def test_other_arrays_are_refused(pixels):
    with pytest.raises(ValueError, match="pixels must"):
        _write(pixels)
