"""TIFF by strips and tiles against tifffile, both ways."""

import importlib
import io
import tracemalloc
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from restorekit.image import read_image
from restorekit.image.rows import open_rows
from restorekit.image.tiff_rows import tiff_strips, tiff_writer

module = importlib.import_module("restorekit.image.tiff_rows")


@pytest.fixture(autouse=True)
def short_runs(monkeypatch):
    monkeypatch.setattr(module, "_RUN", 300)


def noise(*shape, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)


def strips(path):
    with path.open("rb") as file:
        found = tiff_strips(file, TiffImageFile(file))
        return None if found is None else list(found)


LAYOUTS = {
    "one strip": {},
    "strips": {"rowsperstrip": 4},
    "long strips": {"rowsperstrip": 25},
    "deflate": {"compression": "zlib", "rowsperstrip": 3},
    "differences": {"compression": "zlib", "predictor": True, "rowsperstrip": 5},
    "one strip of deflate": {"compression": "zlib"},
    "tiles": {"tile": (16, 16)},
    "tiles of deflate": {"tile": (16, 32), "compression": "zlib"},
    "64 bits": {"bigtiff": True, "rowsperstrip": 4},
    "big-endian": {"byteorder": ">", "rowsperstrip": 4},
    "big-endian deflate": {"byteorder": ">", "compression": "zlib", "predictor": True, "rowsperstrip": 4},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_layout(tmp_path, layout, channels, dtype):
    pixels = noise(35, 21, channels, dtype=dtype)
    tifffile.imwrite(
        tmp_path / "a.tif", pixels[..., 0] if channels == 1 else pixels, **LAYOUTS[layout],
        photometric="minisblack" if channels == 1 else "rgb", extrasamples=["unassalpha"] if channels == 4 else None,
    )  # fmt: skip
    found = strips(tmp_path / "a.tif")
    assert len(found) > 1 or layout == "one strip of deflate"
    np.testing.assert_array_equal(np.concatenate(found).reshape(pixels.shape), pixels)


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "zstd"])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_what_pillow_writes(tmp_path, compression, mode):
    picture = Image.fromarray(noise(300, 33, 4)).convert(mode)
    picture.save(tmp_path / "a.tif", compression=compression, strip_size=1000)
    found = strips(tmp_path / "a.tif")
    assert len(found) > 1
    np.testing.assert_array_equal(np.concatenate(found), read_image(tmp_path / "a.tif"))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_where_white_is_zero(tmp_path, dtype):
    pixels = noise(35, 21, dtype=dtype)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="miniswhite", rowsperstrip=4)
    np.testing.assert_array_equal(np.concatenate(strips(tmp_path / "a.tif")), np.iinfo(dtype).max - pixels)


def test_what_is_read_whole(tmp_path):
    pixels = noise(35, 21, 3)
    Image.fromarray(pixels).save(tmp_path / "jpeg.tif", compression="jpeg")
    tifffile.imwrite(tmp_path / "planes.tif", pixels.transpose(2, 0, 1), photometric="rgb", planarconfig="separate")
    for name in ("jpeg.tif", "planes.tif"):
        assert strips(tmp_path / name) is None
        with open_rows(tmp_path / name) as picture:
            np.testing.assert_array_equal(picture.read(35), read_image(tmp_path / name))


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_damaged_files_give_a_picture_or_a_value_error(tmp_path, compression):
    rng, path = np.random.default_rng(0), tmp_path / "a.tif"
    tifffile.imwrite(path, noise(12, 5, 3), photometric="rgb", rowsperstrip=4, compression=compression)
    sound, refused = path.read_bytes(), 0
    for i in range(120):
        content = bytearray(sound)
        if i % 3 == 0:
            content = content[: rng.integers(len(content))]
        else:
            for _ in range(i % 4 + 1):
                content[rng.integers(len(content))] = rng.integers(256)
        path.write_bytes(content)
        try:
            with open_rows(path, max_pixels=10**6) as picture:
                picture.read(picture.shape[0])
        except ValueError:
            refused += 1
    assert refused > 30


def directory(pieces, *, side=16, sizes=None, **tags):
    """A grey picture of 8 x 8 in Deflate tiles, whose tags say what they like."""
    file = io.BytesIO()
    file.write(bytes(8))
    offsets = []
    for piece in pieces:
        offsets.append(file.tell())
        file.write(piece)
    sizes = sizes or tuple(map(len, pieces))
    entries = {256: 8, 257: 8, 258: 8, 259: 8, 262: 1, 277: 1, 284: 1, 322: side, 323: side}
    entries = {tag: (value,) for tag, value in entries.items()} | {324: tuple(offsets), 325: sizes}
    module._finish(file, entries | {int(tag[1:]): value for tag, value in tags.items()}, "<", big=max(sizes) >= 1 << 32)
    return file.getvalue()


TILE = zlib.compress(bytes(range(256)))


def refusal(path):
    """What both ways of reading say, without taking the memory that the tags speak of."""
    messages = []
    for read in (read_image, lambda path: open_rows(path).__enter__()):
        tracemalloc.start()
        with pytest.raises(ValueError, match=path.name) as caught:
            read(path)
        assert tracemalloc.get_traced_memory()[1] < 2**24
        tracemalloc.stop()
        messages.append(str(caught.value))
    return messages


@pytest.mark.parametrize("size", [2**20, 2**31, 2**62])
def test_sizes_of_pieces_that_are_not_there_take_no_memory(tmp_path, size):
    (tmp_path / "a.tif").write_bytes(directory([TILE]))
    assert read_image(tmp_path / "a.tif")[1, 1] == 17
    assert strips(tmp_path / "a.tif")[0][1, 1] == 17
    (tmp_path / "a.tif").write_bytes(directory([TILE], sizes=(size,)))
    refusal(tmp_path / "a.tif")


def test_one_place_named_by_many_tiles_is_not_copied_for_each(tmp_path):
    """A megabyte behind every tile of a row would make the row a thousand megabytes."""
    places, sizes = (8,) * 1000, (2**20,) * 1000
    content = directory([TILE + bytes(2**20)], _256=(16000,), _324=places, _325=sizes)
    (tmp_path / "a.tif").write_bytes(content)
    assert strips(tmp_path / "a.tif") is None


def test_a_tile_larger_than_any_picture_is_refused(tmp_path):
    """It would be decoded whole: a thousandth of it is enough to fill a file."""
    (tmp_path / "a.tif").write_bytes(directory([zlib.compress(bytes(10**6))], side=32000))
    messages = refusal(tmp_path / "a.tif")
    assert all("tiles of 32000 x 32000 pixels are more than max_pixels=256,000,000" in text for text in messages)
    (tmp_path / "a.tif").write_bytes(directory([zlib.compress(bytes(1024**2))], side=1024))
    assert read_image(tmp_path / "a.tif", max_pixels=64).shape == (8, 8)  # usual tiles are never too large


def test_tags_of_another_type_are_left_to_libtiff(tmp_path):
    """It passes over a predictor that is given as bytes, which tiff_rows would take for a number."""
    (tmp_path / "a.tif").write_bytes(directory([TILE], _317=b"\2"))
    assert strips(tmp_path / "a.tif") is None
    with open_rows(tmp_path / "a.tif") as picture:
        np.testing.assert_array_equal(picture.read(8)[..., 0], read_image(tmp_path / "a.tif"))


def write(pixels):
    file = io.BytesIO()
    with tiff_writer(file, pixels.shape, pixels.dtype, b"a profile") as put:
        for top in range(0, len(pixels), 7):
            put(pixels[top : top + 7])
    file.seek(0)
    return file


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_written_files_are_read_by_tifffile(monkeypatch, channels, dtype, big):
    monkeypatch.setattr(module, "_BIG", 1 if big else module._BIG)
    pixels = noise(35, 21, channels, dtype=dtype)
    if channels == 2 and dtype is np.uint16:
        with pytest.raises(ValueError, match="PNG"):
            write(pixels)
        return
    with tifffile.TiffFile(write(pixels)) as file:
        (page,) = file.pages
        assert file.is_bigtiff == big
        assert len(page.dataoffsets) > 1
        assert page.iccprofile == b"a profile"
        assert [int(kind) for kind in page.extrasamples] == ([2] if channels in {2, 4} else [])
        np.testing.assert_array_equal(page.asarray().reshape(pixels.shape), pixels)


def test_arguments_are_left_as_they_are():
    pixels = noise(35, 21, 3)
    before = pixels.copy()
    write(pixels)
    np.testing.assert_array_equal(pixels, before)
