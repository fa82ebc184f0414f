"""Rows read one after the other are the rows of ``read_image``; rows written one after the other are a sound file."""

import importlib
import io
import struct
import tempfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from restorekit.image import read_image, write_image
from restorekit.image.rows import create_rows, open_rows

rows = importlib.import_module("restorekit.image.rows")


def noise(*shape, dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)


def read_by_rows(path, heights=(1, 3, 2), **options):
    """Everything, in bands of the given heights in turn."""
    bands = []
    with open_rows(path, **options) as picture:
        left = picture.shape[0]
        while left:
            bands.append(picture.read(min(heights[len(bands) % len(heights)], left)))
            left -= len(bands[-1])
        assert all(band.shape[1:] == picture.shape[1:] and band.dtype == picture.dtype for band in bands)
    return np.concatenate(bands)


def write_by_rows(path, pixels, heights=(2, 1, 4), **options):
    with create_rows(path, pixels.shape, pixels.dtype, **options) as write:
        top = 0
        for i in range(len(pixels)):
            write(pixels[top : top + heights[i % len(heights)]])
            top += heights[i % len(heights)]
            if top >= len(pixels):
                break


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".bmp", ".webp", ".ppm"])
def test_any_format_is_read_in_bands(tmp_path, suffix):
    write_image(tmp_path / f"a{suffix}", noise(11, 7, 3))
    np.testing.assert_array_equal(read_by_rows(tmp_path / f"a{suffix}"), read_image(tmp_path / f"a{suffix}"))


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".bmp"])
def test_any_format_is_written_in_bands(tmp_path, suffix):
    pixels = noise(11, 7, 3)
    write_by_rows(tmp_path / f"a{suffix}", pixels)
    np.testing.assert_array_equal(read_image(tmp_path / f"a{suffix}"), pixels)


def test_a_format_with_losses_is_what_write_image_writes(tmp_path):
    pixels = noise(11, 7, 1)
    write_by_rows(tmp_path / "a.jpg", pixels)
    write_image(tmp_path / "b.jpg", pixels)
    assert (tmp_path / "a.jpg").read_bytes() == (tmp_path / "b.jpg").read_bytes()


@given(
    st.integers(1, 12), st.integers(1, 9), st.integers(1, 4), st.sampled_from([np.uint8, np.uint16]),
    st.lists(st.integers(1, 13), min_size=1, max_size=3), st.lists(st.integers(1, 13), min_size=1, max_size=3),
    st.sampled_from([".png", ".tiff"]), st.sampled_from([1, 40, 1 << 20]), st.binary(max_size=40),
)  # fmt: skip
def test_there_and_back(height, width, channels, dtype, reads, writes, suffix, strip, profile):
    if suffix == ".tiff" and channels == 2 and dtype is np.uint16:
        return
    pixels = noise(height, width, channels, dtype=dtype, seed=height * width)
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        patch.setattr(importlib.import_module("restorekit.image.png_rows"), "_STRIP", strip)
        patch.setattr(importlib.import_module("restorekit.image.tiff_rows"), "_RUN", strip)
        write_by_rows(folder / f"a{suffix}", pixels, writes, profile=profile)
        np.testing.assert_array_equal(read_image(folder / f"a{suffix}").reshape(pixels.shape), pixels)
        np.testing.assert_array_equal(read_by_rows(folder / f"a{suffix}", reads), pixels)
        with open_rows(folder / f"a{suffix}") as picture:
            assert (picture.profile or b"") == profile


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".webp"])
def test_the_colour_profile_is_kept(tmp_path, suffix):
    profile = noise(300).tobytes()
    write_by_rows(tmp_path / f"a{suffix}", noise(5, 4, 3), profile=profile)
    with Image.open(tmp_path / f"a{suffix}") as picture:
        assert picture.info["icc_profile"] == profile
    with open_rows(tmp_path / f"a{suffix}") as picture:
        assert picture.profile == profile


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "tiff", "jpeg"])
def test_exif_turns_the_picture(tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(noise(5, 8, 3)).save(tmp_path / f"a.{suffix}", exif=exif)
    wanted = read_image(tmp_path / f"a.{suffix}")
    assert wanted.shape == ((8, 5, 3) if orientation > 4 else (5, 8, 3))
    np.testing.assert_array_equal(read_by_rows(tmp_path / f"a.{suffix}"), wanted)


def chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


@pytest.mark.parametrize("name", [b"eXIf", b"iTXt"])
def test_exif_behind_the_pixels_of_a_png_turns_the_picture(tmp_path, name):
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise(5, 8, 3)).save(file, "PNG")
    xmp = b"XML:com.adobe.xmp\0\0\0\0\0" + b'<x tiff:Orientation="6"/>'
    content = file.getvalue()
    late = chunk(name, exif.tobytes()[6:] if name == b"eXIf" else xmp)
    (tmp_path / "a.png").write_bytes(content[:-12] + late + content[-12:])
    wanted = read_image(tmp_path / "a.png")
    assert wanted.shape == (8, 5, 3)
    np.testing.assert_array_equal(read_by_rows(tmp_path / "a.png"), wanted)


def test_rows_behind_the_last(tmp_path):
    write_image(tmp_path / "a.png", noise(3, 2))
    with open_rows(tmp_path / "a.png") as picture:
        picture.read(3)
        with pytest.raises(ValueError, match=r"a\.png.*no more rows"):
            picture.read(1)


def test_pictures_that_are_refused(tmp_path):
    write_image(tmp_path / "a.png", noise(3, 2))
    with pytest.raises(ValueError, match="max_pixels=5"), open_rows(tmp_path / "a.png", max_pixels=5):
        pass
    (tmp_path / "b.png").write_bytes(b"no picture at all")
    with pytest.raises(ValueError, match=r"b\.png: not a picture"), open_rows(tmp_path / "b.png"):
        pass
    with pytest.raises(FileNotFoundError), open_rows(tmp_path / "c.png"):
        pass
    with pytest.raises(TypeError, match="max_pixels"), open_rows(tmp_path / "a.png", max_pixels=True):
        pass


@pytest.mark.parametrize(
    ("suffix", "shape", "dtype", "message"),
    [
        (".gif", (2, 3, 3), np.uint8, "unknown suffix '.gif', expected one of .png"),
        (".jpg", (2, 3, 4), np.uint8, "cannot hold RGBA8"),
        (".tif", (2, 3, 2), np.uint16, "write PNG"),
        (".png", (2, 3, 5), np.uint8, "1 to 4 channels"),
        (".png", (0, 3, 3), np.uint8, "expected shape"),
        (".png", (2, 3, 3), np.float32, "uint8 or uint16"),
    ],
)
def test_what_cannot_be_written_is_refused_before_any_row(tmp_path, suffix, shape, dtype, message):
    with pytest.raises(ValueError, match=message), create_rows(tmp_path / f"a{suffix}", shape, dtype):
        raise AssertionError
    assert list(tmp_path.iterdir()) == []


def test_a_whole_picture_is_collected_up_to_a_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "WHOLE_BYTES", 59)
    with pytest.raises(ValueError, match=r"GiB.*\.png, \.tif"), create_rows(tmp_path / "a.bmp", (4, 5, 3), np.uint8):
        raise AssertionError
    write_by_rows(tmp_path / "a.png", noise(4, 5, 3))


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
@pytest.mark.parametrize("fault", ["too few", "too many", "another width", "another dtype", "an error"])
def test_nothing_is_left_of_a_picture_that_was_not_completed(tmp_path, suffix, fault):
    (tmp_path / f"a{suffix}").write_bytes(b"old")
    band = {"another width": noise(2, 4, 3), "another dtype": noise(2, 5, 3, dtype=np.uint16)}.get(
        fault, noise(2, 5, 3)
    )
    repeat = {"too few": 1, "too many": 3}.get(fault, 2)

    def attempt():
        with create_rows(tmp_path / f"a{suffix}", (4, 5, 3), np.uint8) as write:
            for _ in range(repeat):
                write(band)
            if fault == "an error":
                raise KeyError(fault)

    with pytest.raises((ValueError, KeyError), match=r"rows|error"):
        attempt()
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_no_folder(tmp_path):
    with (
        pytest.raises(FileNotFoundError, match="create it"),
        create_rows(tmp_path / "no" / "a.png", (1, 1, 1), np.uint8),
    ):
        raise AssertionError
