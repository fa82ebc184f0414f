"""From file to file, the pixels are those of ``restore``, and nothing is half done."""

import importlib
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from rewriting import Pooling

from restorekit.image import read_image, write_image
from restorekit.inference import restore, restore_file
from restorekit.models import carn_m, srcnn

rows = importlib.import_module("restorekit.image.rows")
tiles = importlib.import_module("restorekit.inference.tiled")


def network(scale=2, build=carn_m, **options):
    torch.manual_seed(0)
    return build(scale, channels=8, blocks=1, units=1, **options)


def noise(*shape, dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)


def by_restore(net, source, folder, suffix=".png", **options):
    """What ``restore`` and ``write_image`` make of a file."""
    path = folder / f"wanted{suffix}"
    write_image(path, restore(net, source, **options))
    return read_image(path)


@settings(max_examples=15)
@given(
    st.integers(1, 60), st.integers(1, 20), st.integers(1, 4), st.sampled_from([np.uint8, np.uint16]),
    st.integers(8, 70), st.sampled_from([".png", ".tif"]),
)  # fmt: skip
def test_the_pixels_are_those_of_restore(height, width, channels, dtype, tile, suffix):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pixels = noise(height, width, channels, dtype=dtype, seed=height)
        write_image(folder / "a.png", pixels[..., 0] if channels == 1 else pixels)
        if (channels, dtype) == (2, np.uint16):
            suffix = ".png"
        net = network()
        restore_file(net, folder / "a.png", folder / f"b{suffix}", tile=tile)
        wanted = by_restore(net, folder / "a.png", folder, tile=tile)
        np.testing.assert_array_equal(read_image(folder / f"b{suffix}"), wanted)


@pytest.mark.parametrize("tile", [None, "auto", 7, 1000])
def test_every_kind_of_tile(tmp_path, tile, monkeypatch):
    net = network()
    monkeypatch.setattr(tiles, "TILE_MEMORY", 40**2 * tiles.memory_per_pixel(net, 2))
    write_image(tmp_path / "a.png", noise(90, 70, 3))
    restore_file(net, tmp_path / "a.png", tmp_path / "b.png", tile=tile)
    np.testing.assert_array_equal(
        read_image(tmp_path / "b.png"), by_restore(net, tmp_path / "a.png", tmp_path, tile=tile)
    )


def test_tiles_change_nothing(tmp_path):
    """Apart from values that lie on the border of two levels, to float rounding."""
    net = network()
    write_image(tmp_path / "a.png", noise(90, 70, 4))
    restore_file(net, tmp_path / "a.png", tmp_path / "b.png", tile=30)
    whole = by_restore(net, tmp_path / "a.png", tmp_path)
    difference = np.abs(read_image(tmp_path / "b.png").astype(int) - whole)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 1e-3


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (33, 34), (30, 41)])
@pytest.mark.parametrize("ensemble", [False, True])
def test_a_network_that_pads_sees_the_grid_of_the_whole_picture(tmp_path, size, ensemble):
    net = network(4, head="desubpixel")
    write_image(tmp_path / "a.png", noise(*size, 4))
    restore_file(net, tmp_path / "a.png", tmp_path / "b.png", tile=12, self_ensemble=ensemble)
    wanted = by_restore(net, tmp_path / "a.png", tmp_path, tile=12, self_ensemble=ensemble)
    np.testing.assert_array_equal(read_image(tmp_path / "b.png"), wanted)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_network_for_grey_restores_the_luma(tmp_path, channels):
    torch.manual_seed(0)
    net = srcnn(2)
    assert net.in_channels == 1
    write_image(tmp_path / "a.png", noise(40, 30, channels))
    restore_file(net, tmp_path / "a.png", tmp_path / "b.png", tile=16)
    np.testing.assert_array_equal(
        read_image(tmp_path / "b.png"), by_restore(net, tmp_path / "a.png", tmp_path, tile=16)
    )


@pytest.mark.parametrize("suffix", [".jpg", ".tif", ".webp", ".bmp"])
def test_from_and_to_other_formats(tmp_path, suffix):
    net = network()
    write_image(tmp_path / f"a{suffix}", noise(40, 30, 3))
    restore_file(net, tmp_path / f"a{suffix}", tmp_path / f"b{suffix}", tile=16)
    wanted = by_restore(net, tmp_path / f"a{suffix}", tmp_path, suffix, tile=16)
    np.testing.assert_array_equal(read_image(tmp_path / f"b{suffix}"), wanted)


def test_a_palette_comes_out_in_full_colour(tmp_path):
    net = network()
    Image.fromarray(noise(40, 30, 3)).quantize(16).save(tmp_path / "a.png")
    restore_file(net, tmp_path / "a.png", tmp_path / "b.png", tile=16)
    np.testing.assert_array_equal(read_image(tmp_path / "b.png"), restore(net, read_image(tmp_path / "a.png"), tile=16))


def test_the_colour_profile_is_kept_and_the_picture_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise(4, 9, 3)).save(tmp_path / "a.jpg", icc_profile=b"a profile", exif=exif)
    restore_file(network(), tmp_path / "a.jpg", tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as picture:
        assert (picture.size, picture.info["icc_profile"]) == ((8, 18), b"a profile")


def test_scale_dtype_and_limit_are_passed_on(tmp_path):
    net = network((2, 3))
    write_image(tmp_path / "a.png", noise(20, 9, 3))
    options = {"scale": 3, "dtype": torch.bfloat16, "tile": 8}
    restore_file(net, tmp_path / "a.png", tmp_path / "b.png", **options)
    wanted = by_restore(net, tmp_path / "a.png", tmp_path, **options)
    assert wanted.shape == (60, 27, 3)
    np.testing.assert_array_equal(read_image(tmp_path / "b.png"), wanted)
    with pytest.raises(ValueError, match="max_pixels=179"):
        restore_file(net, tmp_path / "a.png", tmp_path / "c.png", scale=2, max_pixels=179)
    assert not (tmp_path / "c.png").exists()


class Watched:
    """Rows of a reader, counted."""

    def __init__(self, reader):
        self.reader, self.asked = reader, []
        self.shape, self.dtype, self.profile = reader.shape, reader.dtype, reader.profile

    def read(self, count):
        self.asked.append(count)
        return self.reader.read(count)


def test_rows_are_read_once_and_as_they_are_needed(tmp_path):
    module = importlib.import_module("restorekit.inference.restore_file")
    restoring = importlib.import_module("restorekit.inference.restore")
    net = network()
    write_image(tmp_path / "a.png", noise(200, 9, 3))
    plan = {"scale": 2, "tile": 20, "self_ensemble": False, "device": None, "dtype": None}
    job = restoring.plan(net, torch.empty(1, 3, 200, 9, device="meta"), **plan)
    with rows.open_rows(tmp_path / "a.png") as reader:
        watched = Watched(reader)
        heights = []
        module._restore_rows(job, watched, lambda band: heights.append(len(band)), False)
    assert heights == [40] * 10
    assert sum(watched.asked) == 200
    assert watched.asked[0] == 20 + net.receptive_radius
    assert set(watched.asked[1:]) <= {*range(21)}


class FaultyError(OSError):
    pass


@pytest.mark.parametrize("band", [1, 2, 4])
def test_an_error_while_writing_is_carried_over(tmp_path, monkeypatch, band):
    module = importlib.import_module("restorekit.image.png_rows")
    writing = module.zlib.compressobj()
    calls = []

    class Full:
        def compress(self, data):
            calls.append(threading.current_thread())
            if len(calls) == band:
                raise FaultyError("the disk is full")
            return writing.compress(data)

    write_image(tmp_path / "a.png", noise(200, 30, 3))
    monkeypatch.setattr(module.zlib, "compressobj", lambda level: Full())
    net, threads = network().train(), threading.active_count()
    with pytest.raises(FaultyError, match="disk is full"):
        restore_file(net, tmp_path / "a.png", tmp_path / "b.png", tile=16)
    assert net.training
    assert torch.is_grad_enabled()
    assert len(calls) == band
    assert threading.main_thread() not in calls
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert threading.active_count() == threads


def test_a_file_that_breaks_off_leaves_nothing(tmp_path):
    write_image(tmp_path / "a.png", noise(200, 30, 3))
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(content[: len(content) // 2])
    (tmp_path / "b.png").write_bytes(b"old")
    threads = threading.active_count()
    with pytest.raises(ValueError, match=r"a\.png.*truncated"):
        restore_file(network(), tmp_path / "a.png", tmp_path / "b.png", tile=16, overwrite=True)
    assert (tmp_path / "b.png").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 2
    assert threading.active_count() == threads


def test_output_that_is_not_finite_leaves_nothing_and_the_mode_as_it_was(tmp_path):
    net = network().train()
    with torch.no_grad():
        next(net.parameters()).fill_(float("nan"))
    write_image(tmp_path / "a.png", noise(60, 30, 3))
    with pytest.raises(FloatingPointError, match="not finite"):
        restore_file(net, tmp_path / "a.png", tmp_path / "b.png", tile=16)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert net.training
    assert torch.is_grad_enabled()


def test_paths_that_are_refused(tmp_path):
    net = network()
    write_image(tmp_path / "a.png", noise(4, 3, 3))
    write_image(tmp_path / "b.png", noise(4, 3, 3))
    (tmp_path / "link.png").symlink_to(tmp_path / "a.png")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for destination in ("a.png", "link.png"):
        with pytest.raises(ValueError, match="is the source itself"):
            restore_file(net, tmp_path / "a.png", tmp_path / destination, overwrite=True)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        restore_file(net, tmp_path / "a.png", tmp_path / "b.png")
    with pytest.raises(FileNotFoundError, match="create it"):
        restore_file(net, tmp_path / "a.png", tmp_path / "no" / "b.png")
    with pytest.raises(FileNotFoundError):
        restore_file(net, tmp_path / "none.png", tmp_path / "c.png")
    with pytest.raises(IsADirectoryError):
        restore_file(net, tmp_path / "a.png", tmp_path)
    with pytest.raises(ValueError, match=r"unknown suffix '.txt', expected one of .png"):
        restore_file(net, tmp_path / "a.png", tmp_path / "b.txt")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    restore_file(net, tmp_path / "a.png", tmp_path / "b.png", overwrite=True)
    assert read_image(tmp_path / "b.png").shape == (8, 6, 3)


def test_a_large_result_wants_a_format_of_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "WHOLE_BYTES", 8 * 6 * 3 - 1)
    write_image(tmp_path / "a.png", noise(4, 3, 3))
    with pytest.raises(ValueError, match=r"\.png, \.tif"):
        restore_file(network(), tmp_path / "a.png", tmp_path / "b.jpg")
    restore_file(network(), tmp_path / "a.png", tmp_path / "b.tif")


def test_arguments_that_restore_refuses(tmp_path):
    write_image(tmp_path / "a.png", noise(4, 3, 3))
    source, destination = tmp_path / "a.png", tmp_path / "b.png"
    with pytest.raises(TypeError, match="model must be a network"):
        restore_file(torch.nn.Identity(), source, destination)
    with pytest.raises(ValueError, match="scale must be one of"):
        restore_file(network(), source, destination, scale=3)
    with pytest.raises(ValueError, match="tile must be at least 1"):
        restore_file(network(), source, destination, tile=0)
    with pytest.raises(TypeError, match="dtype must be"):
        restore_file(network(), source, destination, dtype=torch.int8)


@pytest.mark.parametrize("tile", [None, "auto", 9])
def test_a_network_that_sees_the_whole_picture_as_in_restore(tmp_path, tile):
    torch.manual_seed(0)
    net = Pooling()
    write_image(tmp_path / "a.png", noise(80, 30, 3))
    restore_file(net, tmp_path / "a.png", tmp_path / "b.png", tile=tile)
    np.testing.assert_array_equal(
        read_image(tmp_path / "b.png"), by_restore(net, tmp_path / "a.png", tmp_path, tile=tile)
    )


@pytest.mark.parametrize("tile", [None, "auto"])
def test_a_network_that_sees_the_whole_picture_asks_first(tmp_path, monkeypatch, tile):
    restoring = importlib.import_module("restorekit.inference.restore")
    net = Pooling()
    write_image(tmp_path / "a.png", noise(20, 30, 3))
    monkeypatch.setattr(restoring, "WHOLE_MEMORY", 1)
    with pytest.raises(ValueError, match="sees the whole picture"):
        restore(net, tmp_path / "a.png", tile=tile)
    with pytest.raises(ValueError, match="sees the whole picture"):
        restore_file(net, tmp_path / "a.png", tmp_path / "b.png", tile=tile)
    assert not (tmp_path / "b.png").exists()


def test_bar_only_when_asked(tmp_path, capsys):
    write_image(tmp_path / "a.png", noise(40, 30, 3))
    restore_file(network(), tmp_path / "a.png", tmp_path / "b.png", tile=20)
    assert capsys.readouterr().err == ""
    restore_file(network(), tmp_path / "a.png", tmp_path / "c.png", tile=20, progress=True)
    assert "4/4" in capsys.readouterr().err
