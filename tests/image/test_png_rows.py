"""PNG by rows against files made by hand, and against damage."""

import importlib
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from restorekit.image import read_image
from restorekit.image.png_rows import png_strips, png_writer
from restorekit.image.rows import open_rows

module = importlib.import_module("restorekit.image.png_rows")
BYTES = {(8, 0): 1, (8, 2): 3, (8, 4): 2, (8, 6): 4, (16, 0): 2, (16, 2): 6, (16, 4): 4, (16, 6): 8}


def chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def make_png(row, height, depth, kind, *, width, before=b"", lines=None, data=None, piece=50, interlace=0):
    """A PNG of random filtered bytes: every filter type, in IDAT chunks of ``piece`` bytes."""
    if lines is None:
        lines = np.random.default_rng(0).integers(0, 256, (height, 1 + row), np.uint8)
        lines[:, 0] = np.arange(height) % 5
        lines = lines.tobytes()
    data = zlib.compress(lines) if data is None else data
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, interlace))
        + before
        + b"".join(chunk(b"IDAT", data[i : i + piece]) for i in range(0, len(data), piece))
        + chunk(b"IEND", b"")
    )


def strips(content):
    return np.concatenate(list(png_strips(io.BytesIO(content))))


@pytest.fixture(autouse=True)
def small_strips(monkeypatch):
    monkeypatch.setattr(module, "_STRIP", 100)
    monkeypatch.setattr(module, "_PIECE", 17)


@pytest.mark.parametrize(("depth", "kind"), BYTES)
def test_every_filter_of_every_kind(tmp_path, depth, kind):
    content = make_png(7 * BYTES[depth, kind], 23, depth, kind, width=7)
    (tmp_path / "a.png").write_bytes(content)
    wanted = read_image(tmp_path / "a.png")
    got = strips(content)
    assert got.dtype == wanted.dtype == (np.uint16 if depth == 16 else np.uint8)
    np.testing.assert_array_equal(got.reshape(wanted.shape), wanted)


@pytest.mark.parametrize(("depth", "kind"), [(1, 0), (2, 0), (4, 0), (1, 3), (2, 3), (4, 3), (8, 3)])
@pytest.mark.parametrize("transparent", [False, True])
def test_low_depths_and_palettes(tmp_path, depth, kind, transparent):
    palette = np.random.default_rng(1).integers(0, 256, 3 * 2**depth, np.uint8).tobytes()
    before = chunk(b"PLTE", palette) if kind == 3 else b""
    if transparent:
        before += chunk(b"tRNS", b"\x07\x80" if kind == 3 else b"\0\1")
    content = make_png((13 * depth + 7) // 8, 23, depth, kind, width=13, before=before)
    (tmp_path / "a.png").write_bytes(content)
    wanted = read_image(tmp_path / "a.png")
    assert wanted.ndim == 2 or wanted.shape[2] == (3 if kind == 3 else 1) + transparent
    np.testing.assert_array_equal(strips(content), wanted)


@pytest.mark.parametrize(("depth", "kind"), [(8, 0), (8, 2), (16, 0), (16, 2)])
def test_a_transparent_colour_becomes_alpha(tmp_path, depth, kind):
    lines = np.zeros((9, 1 + 5 * BYTES[depth, kind]), np.uint8)
    lines[3:, 1:] = 7
    before = chunk(b"tRNS", struct.pack(">H", 7 if depth == 8 else 0x0707) * (3 if kind == 2 else 1))
    content = make_png(0, 9, depth, kind, width=5, before=before, lines=lines.tobytes())
    (tmp_path / "a.png").write_bytes(content)
    got = strips(content)
    np.testing.assert_array_equal(got, read_image(tmp_path / "a.png"))
    np.testing.assert_array_equal(
        got[..., -1], np.repeat([255 if depth == 8 else 65535, 0], [3, 6])[:, None].repeat(5, 1)
    )


def flipped(content, at):
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def read_all(path):
    with open_rows(path) as picture:
        return picture.read(picture.shape[0])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (make_png(15, 9, 8, 2, width=5, data=zlib.compress(bytes(16 * 8))), "fewer rows than its header says"),
        (make_png(15, 9, 8, 2, width=5, data=zlib.compress(bytes(16 * 9))[:-9]), "fewer rows|truncated"),
        (make_png(15, 9, 8, 2, width=5)[:-60], "truncated"),
        (flipped(make_png(15, 9, 8, 2, width=5), 33 + 8 + 50), "checksum of a chunk IDAT"),
        (make_png(15, 9, 8, 2, width=5, lines=(b"\5" + bytes(15)) * 9), "damaged"),
        (make_png(15, 9, 8, 2, width=5, data=b"no zlib stream at all"), "damaged"),
    ],
)
def test_damage_is_named(tmp_path, content, message):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ValueError, match=rf"a\.png.*({message})"):
        read_all(tmp_path / "a.png")


def test_data_behind_the_last_row_is_left_alone():
    """A bomb: a megabyte of zeros for a picture of 9 rows."""
    lines = np.random.default_rng(0).integers(0, 256, (9, 16), np.uint8)
    lines[:, 0] = 0
    content = make_png(15, 9, 8, 2, width=5, lines=lines.tobytes() + bytes(1 << 20))
    np.testing.assert_array_equal(strips(content).reshape(9, 15), lines[:, 1:])


def test_no_more_is_inflated_than_a_strip_needs(monkeypatch):
    asked = []
    inflate = zlib.decompressobj()

    class Counting:
        eof = False

        def decompress(self, data, limit):
            asked.append(limit)
            out = inflate.decompress(data, limit)
            self.unconsumed_tail = inflate.unconsumed_tail
            assert len(out) <= limit
            return out

    monkeypatch.setattr(module.zlib, "decompressobj", Counting)
    content = make_png(15, 900, 8, 2, width=5, lines=bytes(16 * 900))
    assert strips(content).shape == (900, 5, 3)
    assert max(asked) <= 100


@pytest.mark.parametrize(("depth", "kind"), [(8, 2), (16, 4), (8, 3)])
def test_damaged_files_give_a_picture_or_a_value_error(tmp_path, depth, kind):
    rng = np.random.default_rng(0)
    before = chunk(b"PLTE", bytes(range(48))) + chunk(b"tRNS", b"\1\2") if kind == 3 else b""
    row = 5 * BYTES.get((depth, kind), 1)
    sound = make_png(row, 12, depth, kind, width=5, before=before, lines=None if kind != 3 else bytes((1 + row) * 12))
    path = tmp_path / "a.png"
    refused = 0
    for i in range(150):
        content = bytearray(sound)
        if i % 3 == 0:
            content = content[: rng.integers(len(content))]
        else:
            for _ in range(i % 4 + 1):
                content[rng.integers(len(content))] = rng.integers(256)
        path.write_bytes(content)
        try:
            read_all(path)
        except ValueError:
            refused += 1
    assert refused > 75


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_written_files_are_decoded_by_hand(channels, dtype):
    pixels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, (9, 7, channels)).astype(dtype)
    file = io.BytesIO()
    with png_writer(file, pixels.shape, np.dtype(dtype), None) as write:
        write(pixels[:4])
        write(pixels[4:])
    content, at, data = file.getvalue(), 8, b""
    while at < len(content):
        (length,) = struct.unpack_from(">I", content, at)
        name, body = content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", content, at + 8 + length) == (zlib.crc32(name + body),)
        data += body if name == b"IDAT" else b""
        at += 12 + length
    lines = np.frombuffer(zlib.decompress(data), np.uint8).reshape(9, -1)
    assert lines[:, 0].tolist() == [2] * 9
    raw = lines[:, 1:].cumsum(axis=0, dtype=np.uint8)  # what the filter Up means
    np.testing.assert_array_equal(raw.view(np.dtype(dtype).newbyteorder(">")).reshape(pixels.shape), pixels)
    with Image.open(file) as picture:
        picture.load()
