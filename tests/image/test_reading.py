"""Files written by hand or by other libraries come back with every bit; anything else is refused by name."""

import io
import logging
import os
import struct
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from restorekit.image.reading import MAX_PIXELS, picture_pixels, picture_size, read_image

ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def _noise(*shape: int, dtype: type = np.uint8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _predict(kind: int, left: int, above: int, corner: int) -> int:
    if kind == 4:
        p = left + above - corner
        return min((left, above, corner), key=lambda v: abs(p - v))  # min keeps the first of equals, as PNG does
    return (0, left, above, (left + above) // 2)[kind]


def _filter_rows(rows: list[bytes], step: int) -> bytes:
    """Every filter type in turn."""
    out, above = bytearray(), bytes(len(rows[0]))
    for y, row in enumerate(rows):
        out.append(y % 5)
        for i, value in enumerate(row):
            left, corner = (row[i - step], above[i - step]) if i >= step else (0, 0)
            out.append((value - _predict(y % 5, left, above[i], corner)) % 256)
        above = row
    return bytes(out)


def _row_bytes(row: np.ndarray, depth: int) -> bytes:
    if depth == 16:
        return row.astype(">u2").tobytes()
    bits = (row.reshape(-1, 1) >> np.arange(depth - 1, -1, -1)) & 1
    return np.packbits(bits.astype(np.uint8).ravel()).tobytes()


def make_png(samples: np.ndarray, depth: int, colour: int, *, interlace: bool = False, extra: bytes = b"") -> bytes:
    """A PNG of samples (H, W, C), from the specification alone."""
    height, width, channels = samples.shape
    data = b""
    for left, top, right, down in ADAM7 if interlace else [(0, 0, 1, 1)]:
        part = samples[top::down, left::right]
        if part.size:
            data += _filter_rows([_row_bytes(row, depth) for row in part], max(1, depth * channels // 8))
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlace))
    body = _chunk(b"IHDR", header) + extra + _chunk(b"IDAT", zlib.compress(data)) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def _samples(depth: int, channels: int, height: int = 11, width: int = 13) -> np.ndarray:
    return np.random.default_rng(depth).integers(0, 1 << depth, (height, width, channels))


def _read(path: Path, content: bytes, **options: int) -> np.ndarray:
    path.write_bytes(content)
    return read_image(path, **options)


@pytest.mark.parametrize("interlace", [False, True])
@pytest.mark.parametrize(
    ("depth", "colour", "channels"),
    [(1, 0, 1), (2, 0, 1), (4, 0, 1), (8, 0, 1), (16, 0, 1), (8, 2, 3), (16, 2, 3), (8, 4, 2), (16, 4, 2), (8, 6, 4),
     (16, 6, 4)],
)  # fmt: skip
def test_png_of_every_kind(tmp_path, depth, colour, channels, interlace):
    samples = _samples(depth, channels)
    image = _read(tmp_path / "a.png", make_png(samples, depth, colour, interlace=interlace))
    expected = samples if depth == 16 else samples * (255 // ((1 << depth) - 1))
    assert image.dtype == (np.uint16 if depth == 16 else np.uint8)
    np.testing.assert_array_equal(image, expected[:, :, 0] if channels == 1 else expected)
    assert image.flags.writeable
    assert image.flags.c_contiguous


@given(st.integers(1, 20), st.integers(1, 20), st.sampled_from([(2, 3), (4, 2), (6, 4)]), st.booleans())
def test_png_16_bits_of_every_size(tmp_path_factory, height, width, kind, interlace):
    samples = _samples(16, kind[1], height, width)
    path = tmp_path_factory.getbasetemp() / "sizes.png"
    np.testing.assert_array_equal(_read(path, make_png(samples, 16, kind[0], interlace=interlace)), samples)


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
@pytest.mark.parametrize("alpha", [None, bytes([255, 0, 128]), bytes([255, 0])])
def test_palettes_are_expanded(tmp_path, depth, alpha):
    palette = _noise(1 << depth, 3)
    samples = _samples(depth, 1)
    extra = _chunk(b"PLTE", palette.tobytes())
    expected = palette[samples[:, :, 0]]
    if alpha is not None:
        alpha = alpha[: 1 << depth]
        extra += _chunk(b"tRNS", alpha)
        table = np.full(256, 255, np.uint8)
        table[: len(alpha)] = list(alpha)
        expected = np.concatenate([expected, table[samples]], axis=2)
    np.testing.assert_array_equal(_read(tmp_path / "a.png", make_png(samples, depth, 3, extra=extra)), expected)


@pytest.mark.parametrize(("depth", "colour"), [(1, 0), (2, 0), (4, 0), (8, 0), (16, 0), (8, 2), (16, 2)])
def test_a_transparent_colour_becomes_alpha(tmp_path, depth, colour):
    channels = 3 if colour == 2 else 1
    samples = _samples(depth, channels)
    key = samples[3, 5]
    png = make_png(samples, depth, colour, extra=_chunk(b"tRNS", key.astype(">u2").tobytes()))
    image = _read(tmp_path / "a.png", png)
    top = np.iinfo(image.dtype).max
    opaque = (samples != key).any(axis=2)
    np.testing.assert_array_equal(image[:, :, -1], np.where(opaque, top, 0))
    np.testing.assert_array_equal(image[:, :, :-1], samples if depth == 16 else samples * (255 // ((1 << depth) - 1)))
    assert not opaque.all()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("tile", [None, (16, 16)])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_tiff_of_16_bits(tmp_path, order, compression, tile, channels):
    array = _noise(21, 37, channels, dtype=np.uint16)
    array = array[:, :, 0] if channels == 1 else array
    kind = {"photometric": "minisblack" if channels == 1 else "rgb", "extrasamples": [2] if channels == 4 else None}
    tifffile.imwrite(tmp_path / "a.tif", array, byteorder=order, compression=compression, tile=tile, **kind)
    image = read_image(tmp_path / "a.tif")
    assert image.dtype == np.uint16
    assert image.dtype.isnative
    np.testing.assert_array_equal(image, array)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tiff_where_white_is_zero(tmp_path, dtype):
    array = _noise(5, 7, dtype=dtype)
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="miniswhite")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), np.iinfo(dtype).max - array)


def test_ppm_of_8_and_16_bits(tmp_path):
    deep = _noise(5, 9, 3, dtype=np.uint16)
    for name, array in (("P6", deep), ("P5", deep[:, :, 0]), ("P6", deep.astype(np.uint8))):
        limit = np.iinfo(array.dtype).max
        content = f"{name}\n9 5\n{limit}\n".encode() + array.astype(array.dtype.newbyteorder(">")).tobytes()
        np.testing.assert_array_equal(_read(tmp_path / "a.ppm", content), array)
    np.testing.assert_array_equal(_read(tmp_path / "a.pgm", b"P2\n2 1\n65535\n 300 65535\n"), [[300, 65535]])
    np.testing.assert_array_equal(_read(tmp_path / "a.pbm", b"P1\n2 1\n1 0\n"), [[0, 255]])


@pytest.mark.parametrize("suffix", [".jpg", ".bmp", ".webp", ".gif", ".tif", ".png"])
def test_8_bits_as_pillow_decodes_them(tmp_path, suffix):
    picture = Image.fromarray(skimage.data.astronaut()[90:150, 200:290])
    picture.save(tmp_path / f"a{suffix}")
    with Image.open(tmp_path / f"a{suffix}") as reopened:
        expected = np.asarray(reopened.convert("RGB"))
    image = read_image(str(tmp_path / f"a{suffix}"))
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize("orientation", range(1, 10))
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
def test_exif_orientation_is_applied(tmp_path, orientation, suffix):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(_noise(5, 9, 3)).save(tmp_path / f"a{suffix}", exif=exif)
    with Image.open(tmp_path / f"a{suffix}") as reopened:
        expected = np.asarray(ImageOps.exif_transpose(reopened).convert("RGB"))
    image = read_image(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(image, expected)
    assert picture_size(tmp_path / f"a{suffix}") == image.shape[:2]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_exif_orientation_of_16_bits(tmp_path, orientation, suffix):
    array = _noise(5, 9, 3, dtype=np.uint16)
    path = tmp_path / f"a{suffix}"
    if suffix == ".png":
        exif = Image.Exif()
        exif[0x0112] = orientation
        path.write_bytes(
            make_png(array.astype(int), 16, 2, extra=_chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")))
        )
    else:
        tifffile.imwrite(path, array, photometric="rgb", extratags=[(0x0112, "H", 1, orientation, True)])
    turned = {
        1: array,
        2: array[:, ::-1],
        3: array[::-1, ::-1],
        4: array[::-1],
        5: array.swapaxes(0, 1),
        6: np.rot90(array, -1),
        7: np.rot90(array, 2).swapaxes(0, 1),
        8: np.rot90(array),
    }[orientation]
    np.testing.assert_array_equal(read_image(path), turned)
    assert picture_size(path) == turned.shape[:2]


def _encoded(mode: str, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.new(mode, (8, 6)).save(file, form, **options)
    return file.getvalue()


def _tiff(array: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, array, **options)
    return file.getvalue()


def _frames(form: str) -> bytes:
    file = io.BytesIO()
    frames = [Image.fromarray(_noise(6, 8, 3, seed=i)) for i in range(2)]
    frames[0].save(file, form, save_all=True, append_images=frames[1:])
    return file.getvalue()


REFUSED = {
    "empty": (b"", "the file is empty"),
    "text": (b"this is no picture, whatever its name says", "known format; expected PNG, JPEG"),
    "eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n", "known format"),
    "wav": (b"RIFF\x00\x00\x00\x00WAVEfmt ", "known format"),
    "cmyk jpeg": (_encoded("CMYK", "JPEG"), "kind 'CMYK' are not accepted, expected grey, RGB"),
    "cmyk tiff": (_encoded("CMYK", "TIFF"), "'CMYK'"),
    "lab": (_encoded("LAB", "TIFF"), "'LAB'"),
    "ycbcr": (_encoded("YCbCr", "TIFF"), "'YCbCr'"),
    "float": (_tiff(np.zeros((6, 8), np.float32)), "'F'"),
    "32 bits": (_tiff(np.zeros((6, 8), np.int32)), "'I'"),
    "signed": (_tiff(np.zeros((6, 8), np.int16)), "'I'"),
    "float map": (b"Pf\n1 1\n-1.0\n\0\0\0\0", "known format"),
    "planes": (_tiff(np.zeros((3, 6, 8), np.uint16), photometric="rgb", planarconfig="separate"), "separate planes"),
    "premultiplied": (
        _tiff(np.zeros((6, 8, 4), np.uint16), photometric="rgb", extrasamples=[1]),
        "multiplied by alpha",
    ),
    "10-bit grey": (b"P5\n1 1\n1023\n\0\0", "maximum 1023 is not accepted"),
    "10-bit ppm": (b"P6\n1 1\n1023\n\0\0\0\0\0\0", "maximum 1023 is not accepted"),
    "plain 16-bit ppm": (b"P3\n1 1\n65535\n1 2 3\n", "as text"),
    "animated gif": (_frames("GIF"), "several pictures"),
    "animated png": (_frames("PNG"), "several pictures"),
    "animated webp": (_frames("WEBP"), "several pictures"),
    "pages": (_frames("TIFF"), "several pictures"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_kept_is_refused(tmp_path, name):
    content, message = REFUSED[name]
    path = tmp_path / "photo.png"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_image(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_12_bit_tiff_is_refused(tmp_path):
    content = bytearray(_tiff(np.zeros((6, 8), np.uint16)))
    entry = content.index(struct.pack("<HHIH", 258, 3, 1, 16))
    content[entry + 8] = 12
    with pytest.raises(ValueError, match="12 bits per channel"):
        _read(tmp_path / "a.tif", bytes(content))


def test_a_jpeg_with_an_embedded_preview_is_one_picture(tmp_path):
    frames = [Image.fromarray(_noise(8 * i, 16, 3, seed=i)) for i in (2, 1)]
    frames[0].save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=frames[1:])
    assert read_image(tmp_path / "a.jpg").shape == (16, 16, 3)


def test_a_decompression_bomb_is_refused_by_its_header(tmp_path):
    header = struct.pack(">IIBBBBB", 40_000, 30_000, 8, 2, 0, 0, 0)
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(b"")))
    for read in (read_image, picture_size):
        with pytest.raises(ValueError, match=r"40000 x 30000 pixels are more than max_pixels=256,000,000"):
            read(path)


def test_the_limit_is_inclusive_and_ours(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    png = make_png(_samples(8, 3, 6, 8), 8, 2)
    assert _read(tmp_path / "a.png", png, max_pixels=48).shape == (6, 8, 3)
    with pytest.raises(ValueError, match="max_pixels=47"):
        _read(tmp_path / "a.png", png, max_pixels=47)
    assert Image.MAX_IMAGE_PIXELS == 10
    assert MAX_PIXELS == 256_000_000


def test_bad_arguments(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.png"):
        read_image(tmp_path / "nothing.png")
    with pytest.raises(IsADirectoryError, match=tmp_path.name):
        read_image(tmp_path)
    with pytest.raises(ValueError, match="max_pixels must be at least 1"):
        read_image(tmp_path / "a.png", max_pixels=0)
    with pytest.raises(TypeError, match="max_pixels"):
        read_image(tmp_path / "a.png", max_pixels=1.5)


def _photo_files() -> dict[str, bytes]:
    photo = skimage.data.astronaut()[100:124, 100:130]
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {
        "png": {"exif": exif}, "jpeg": {"exif": exif}, "bmp": {}, "tiff": {"exif": exif}, "webp": {}, "gif": {},
        "ppm": {}, "tiff-lzw": {"compression": "tiff_lzw"}, "tiff-jpeg": {"compression": "jpeg"},
        "jpeg-p": {"progressive": True},
    }  # fmt: skip
    files = {}
    for name, chosen in options.items():
        file = io.BytesIO()
        Image.fromarray(photo).save(file, name.partition("-")[0], **chosen)
        files[name] = file.getvalue()
    deep = photo.astype(np.uint16) * 257
    files["png-16"] = make_png(deep.astype(int), 16, 2)
    files["tiff-16"] = _tiff(deep, photometric="rgb")
    return files


PHOTOS = _photo_files()


@pytest.mark.parametrize("name", PHOTOS)
def test_a_truncated_file_is_refused_unless_the_picture_is_whole(tmp_path, name):
    content, path = PHOTOS[name], tmp_path / "a.png"
    whole = _read(path, content)
    refused = 0
    for length in range(0, len(content), max(1, len(content) // 100)):
        path.write_bytes(content[:length])
        try:
            image = read_image(path)
        except ValueError:
            refused += 1
        else:
            np.testing.assert_array_equal(image, whole)
    assert refused > 60


@pytest.mark.parametrize("name", PHOTOS)
def test_flipped_bytes_give_a_picture_or_a_value_error(tmp_path, name, caplog):
    caplog.set_level(logging.CRITICAL, "PIL")
    rng, path = np.random.default_rng(len(name)), tmp_path / "a.png"
    outcomes = set()
    for _ in range(120):
        content = bytearray(PHOTOS[name])
        reach = len(content) if rng.random() < 0.4 else min(len(content), 500)  # headers are short, and matter most
        for at in rng.integers(0, reach, rng.integers(1, 6)):
            content[at] ^= int(rng.integers(1, 256))
        path.write_bytes(content)
        for read in (read_image, picture_size):
            try:
                outcomes.add(type(read(path, max_pixels=1 << 20)))
            except ValueError:
                outcomes.add(ValueError)
    assert ValueError in outcomes
    assert outcomes <= {np.ndarray, tuple, ValueError}


def test_the_size_needs_the_header_only(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(PHOTOS["png"][:200])
    with pytest.raises(ValueError, match="truncated"):
        read_image(path)
    assert picture_size(path) == (30, 24)  # turned by its EXIF


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files through /proc")
@pytest.mark.parametrize("length", [0, 30, 500, None])
def test_the_file_is_closed(tmp_path, length):
    path = tmp_path / "a.png"
    path.write_bytes(PHOTOS["png"][:length])
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(3):
        try:
            kept = read_image(path)
        except ValueError as error:
            kept = error
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    assert kept is not None


def test_warnings_are_hushed_for_pillow_alone_and_only_while_reading(tmp_path):
    """Reading in threads leaves the filters as they were, although Python keeps one list for all threads."""
    content = bytearray(PHOTOS["tiff"])
    entry = content.index(struct.pack("<HH", 0x0112, 3))
    content[entry + 4 : entry + 8] = struct.pack("<I", 1 << 20)  # claims more values than the file has: Pillow warns
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    with pytest.warns(UserWarning, match="larger than file"), Image.open(path) as picture:
        picture.load()
    before = list(warnings.filters)
    failures = []

    def read_often() -> None:
        for _ in range(20):
            try:
                read_image(path)
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=read_often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert warnings.filters == before


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "I;16", "I;16B"])
def test_pixels_of_a_pillow_picture(mode):
    picture = Image.fromarray(_noise(300, 4001, 3))  # more than one strip
    if mode.startswith("I;16"):
        expected = _noise(300, 4001, dtype=np.uint16)
        swapped = expected.astype(">u2" if mode == "I;16B" else "<u2")
        picture = Image.frombytes(mode, (4001, 300), swapped.tobytes())
    else:
        picture = picture.convert("RGBA").convert(mode) if mode == "PA" else picture.convert(mode)
        target = {"1": "L", "P": "RGB", "PA": "RGBA"}.get(mode, mode)
        expected = np.asarray(picture.convert(target))
    pixels = picture_pixels(picture)
    np.testing.assert_array_equal(pixels, expected)
    assert pixels.dtype == expected.dtype


def test_pillow_pictures_that_are_refused():
    for mode in ("CMYK", "YCbCr", "HSV", "F", "I", "La"):
        with pytest.raises(ValueError, match=f"mode '{mode}' is not accepted, expected 1, L"):
            picture_pixels(Image.new(mode, (2, 2)))
    with pytest.raises(ValueError, match="at least one pixel, got 0 x 5"):
        picture_pixels(Image.new("RGB", (0, 5)))
