"""What is written is read back by other libraries; what fails leaves the old file and nothing else."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import tifffile
import torch
from PIL import Image, ImageCms
from safetensors.torch import save_file

from restorekit.image.files import MAX_PIXELS, atomic_path, picture_size, read_image, sweep_beside, write_image


def _noise(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)


def _pillow(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.array(picture)


@pytest.mark.parametrize(
    ("suffix", "channels"),
    [*((s, c) for s in (".png", ".tif", ".TIFF") for c in (1, 2, 3, 4)), (".webp", 3), (".webp", 4), (".bmp", 1),
     (".bmp", 3), (".pgm", 1), (".ppm", 3)],
)  # fmt: skip
def test_8_bits_without_loss(tmp_path, suffix, channels):
    path = tmp_path / f"a{suffix}"
    array = _noise(7, 11, channels)
    array = array[:, :, 0] if channels == 1 else array
    write_image(path, array)
    np.testing.assert_array_equal(_pillow(path), array)
    np.testing.assert_array_equal(read_image(path), array)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bits_in_png(tmp_path, channels):
    array = _noise(7, 11, channels, dtype=np.uint16)
    array = array[:, :, 0] if channels == 1 else array
    write_image(str(tmp_path / "a.png"), array)
    image = read_image(tmp_path / "a.png")
    assert image.dtype == np.uint16
    np.testing.assert_array_equal(image, array)


def test_16_bits_in_grey_tiff(tmp_path):
    array = _noise(7, 11, dtype=np.uint16)
    write_image(tmp_path / "a.tif", array)
    np.testing.assert_array_equal(_pillow(tmp_path / "a.tif"), array)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), array)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.pages[0].dtype == np.uint16


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG"])
def test_jpeg_is_close(tmp_path, suffix):
    photo = skimage.data.astronaut()
    for array in (photo, photo[:, :, 0]):
        write_image(tmp_path / f"a{suffix}", array)
        error = _pillow(tmp_path / f"a{suffix}").astype(float) - array
        assert np.mean(error**2) < 255**2 / 10**3.8  # 38 dB


@pytest.mark.parametrize(
    ("suffix", "kept"), [("png", True), ("jpg", True), ("tif", True), ("webp", True), ("bmp", False)]
)
def test_a_colour_profile_is_written_where_the_format_has_a_place(tmp_path, suffix, kept):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = Image.fromarray(np.zeros((4, 6, 3), np.uint8))
    picture.info["icc_profile"] = profile  # is not asked
    for given in (None, profile):
        write_image(tmp_path / f"a.{suffix}", picture, icc_profile=given)
        with Image.open(tmp_path / f"a.{suffix}") as found:
            assert found.info.get("icc_profile") == (given if kept else None)


def test_every_kind_of_picture(tmp_path):
    array, path = _noise(7, 11, 3), tmp_path / "a.png"
    planes = torch.from_numpy(array.transpose(2, 0, 1).copy())
    kinds = [
        Image.fromarray(array),
        Image.fromarray(array).quantize(256, dither=Image.Dither.NONE),
        array[::-1][::-1],
        np.asfortranarray(array),
        array / 255,
        (array / 255).astype(np.float32),
        planes,
        planes[None],
        planes / 255,
        planes[None].double() / 255,
    ]
    for image in kinds:
        write_image(path, image)
        np.testing.assert_array_equal(_pillow(path), array)
    write_image(path, planes.to(torch.uint16) * 257)
    np.testing.assert_array_equal(read_image(path), array.astype(np.uint16) * 257)
    write_image(path, array[:, :, :1])
    np.testing.assert_array_equal(_pillow(path), array[:, :, 0])
    write_image(path, (array.astype(np.uint16) * 257).astype(">u2"))
    np.testing.assert_array_equal(read_image(path), array.astype(np.uint16) * 257)


def test_floats_are_rounded_half_up_and_clamped(tmp_path):
    write_image(tmp_path / "a.png", np.array([[-1, 0.5, 1.5, 0.499]]))
    assert _pillow(tmp_path / "a.png").tolist() == [[0, 128, 255, 127]]


@pytest.mark.parametrize(
    ("name", "image", "error", "message"),
    [
        ("a.xyz", np.zeros((2, 2)), ValueError, r"unknown suffix '\.xyz', expected one of \.png, \.jpg"),
        ("a", np.zeros((2, 2)), ValueError, "unknown suffix ''"),
        ("a.jpg", np.zeros((2, 2, 4), np.uint8), ValueError, r"a\.jpg: \.jpg cannot hold RGBA8 .* only L8, RGB8"),
        ("a.jpg", np.zeros((2, 2, 2), np.uint8), ValueError, "cannot hold LA8"),
        ("a.jpg", np.zeros((2, 2, 3), np.uint16), ValueError, "cannot hold RGB16"),
        ("a.webp", np.zeros((2, 2, 3), np.uint16), ValueError, "cannot hold RGB16"),
        ("a.bmp", np.zeros((2, 2), np.uint16), ValueError, "cannot hold L16"),
        ("a.tif", np.zeros((2, 2, 3), np.uint16), ValueError, "cannot hold RGB16"),
        ("a.ppm", np.zeros((2, 2), np.uint8), ValueError, "cannot hold L8"),
        ("a.pgm", np.zeros((2, 2, 3), np.uint8), ValueError, "cannot hold RGB8"),
        ("a.png", np.zeros((2, 2, 5), np.uint8), ValueError, "1 to 4 channels"),
        ("a.png", np.zeros((2, 2), np.int32), TypeError, "got int32"),
        ("a.png", np.zeros((2, 2), bool), TypeError, "got bool"),
        ("a.png", torch.zeros(2, 3, 4, 4), ValueError, "one by one"),
        ("a.png", torch.zeros(3, 4, 4, dtype=torch.int64), TypeError, "got torch.int64"),
        ("a.png", Image.new("CMYK", (2, 2)), ValueError, "CMYK"),
        ("a.png", "b.png", TypeError, "got str"),
        ("a.png", 3, TypeError, "got int"),
        (
            "nowhere/a.png",
            np.zeros((2, 2)),
            FileNotFoundError,
            r"nowhere does not exist; create it before writing a\.png",
        ),
        ("folder.png", np.zeros((2, 2)), IsADirectoryError, r"folder\.png is a folder"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path, name, image, error, message):
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(error, match=message):
        write_image(tmp_path / name, image)
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder.png"]


@pytest.mark.parametrize(("name", "side"), [("a.jpg", 65_500), ("a.webp", 16_383)])
def test_a_side_that_the_format_cannot_count_is_refused(tmp_path, name, side):
    """The largest is written, so the limit is the encoder's own."""
    for shape in ((1, side, 3), (side, 1, 3)):
        write_image(tmp_path / name, np.zeros(shape, np.uint8))
        assert read_image(tmp_path / name).shape == shape
    (tmp_path / name).unlink()
    for shape in ((1, side + 1, 3), (side + 1, 1, 3)):
        with pytest.raises(ValueError, match=f"at most {side:,} pixels a side.*write PNG"):
            write_image(tmp_path / name, np.zeros(shape, np.uint8))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch, dtype):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fail)
    monkeypatch.setattr("restorekit.image.files.write_png16", fail)
    with pytest.raises(OSError, match="No space left"):
        write_image(path, np.zeros((8, 8, 3), dtype))
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.png"]


LIMITED = """
import resource, signal, sys
import numpy as np
from restorekit.image.files import write_image
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3)).astype(np.uint8)
for suffix in ("png", "jpg", "tif", "bmp"):
    for image in (noise, noise.astype(np.uint16)) if suffix == "png" else (noise,):
        try:
            write_image(f"{sys.argv[1]}/a.{suffix}", image)
        except OSError as error:
            sys.stdout.write(f"{error.errno} ")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX resource limits")
def test_a_file_that_may_not_grow_leaves_the_old_one(tmp_path):
    old = {f"a.{suffix}": suffix.encode() for suffix in ("png", "jpg", "tif", "bmp")}
    for name, content in old.items():
        (tmp_path / name).write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)], capture_output=True, text=True, timeout=300, check=True
    )
    assert len(done.stdout.split()) == 5  # libtiff fails without the system's error number
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == old


KILLED = """
import os, signal, sys
from restorekit.image.files import atomic_path
with atomic_path(sys.argv[1]) as beside:
    beside.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_a_killed_process_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], timeout=300, check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    assert [entry.name[0] for entry in tmp_path.iterdir() if entry != path] == ["."]  # hidden, so no folder lists it


def test_what_was_left_behind_of_a_file_is_swept_up_and_nothing_else(tmp_path):
    ours, theirs = tmp_path / "run[1].pt", tmp_path / "run2.pt"
    kept = {ours, theirs, tmp_path / ".0123456789abcdef.pt", tmp_path / ".hidden.pt"}
    for path in kept:
        path.touch()
    writing = [atomic_path(path) for path in (ours, ours, theirs)]
    first, second, other = [context.__enter__() for context in writing]  # as if killed inside
    assert len({first, second, other}) == 3
    sweep_beside(ours)
    assert set(tmp_path.iterdir()) == {*kept, other}
    sweep_beside(theirs)
    assert set(tmp_path.iterdir()) == kept
    with pytest.raises(FileNotFoundError):
        writing[0].__exit__(None, None, None)  # one that wrote on cannot put its file in place


def test_atomic_path_moves_when_complete(tmp_path):
    path = tmp_path / "notes.json"
    with atomic_path(path) as beside:
        assert beside.parent == tmp_path
        assert beside.suffix == ".json"
        beside.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_atomic_path_removes_what_failed(tmp_path, error):
    path = tmp_path / "notes.json"
    path.write_text("old")

    def write() -> None:
        with atomic_path(path) as beside:
            beside.write_text("half")
            raise error

    with pytest.raises(error):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_atomic_path_without_a_folder_or_onto_one(tmp_path):
    with pytest.raises(FileNotFoundError, match="create it"), atomic_path(tmp_path / "no" / "a.txt"):
        pass
    with pytest.raises(IsADirectoryError, match="name a file in it"), atomic_path(tmp_path):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX permissions and links")
def test_permissions_and_links(tmp_path):
    previous = os.umask(0o027)
    try:
        write_image(tmp_path / "a.png", np.zeros((2, 2)))
    finally:
        os.umask(previous)
    assert (tmp_path / "a.png").stat().st_mode & 0o777 == 0o640
    (tmp_path / "a.png").chmod(0o600)
    (tmp_path / "link.png").symlink_to(tmp_path / "a.png")
    write_image(tmp_path / "link.png", np.ones((2, 2)))
    assert (tmp_path / "link.png").is_symlink()
    assert (tmp_path / "a.png").stat().st_mode & 0o777 == 0o600
    assert read_image(tmp_path / "a.png").tolist() == [[255, 255], [255, 255]]


def test_a_writer_that_brings_a_file_of_its_own_changes_no_permissions(tmp_path):
    previous = os.umask(0o022)
    try:
        with atomic_path(tmp_path / "a.safetensors") as beside:
            save_file({"a": torch.zeros(2)}, beside)
            beside.chmod(0o600)  # as some versions of safetensors leave it
    finally:
        os.umask(previous)
    assert (tmp_path / "a.safetensors").stat().st_mode & 0o777 == 0o644


def test_long_names_and_relative_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = "x" * 250 + ".png"
    write_image(name, np.zeros((2, 3)))
    assert picture_size(name) == (2, 3)
    assert MAX_PIXELS == 256_000_000


def test_a_name_as_long_as_the_file_system_takes(tmp_path):
    path = tmp_path / ("\u5199" * 80 + ".png")  # 244 bytes
    write_image(path, np.zeros((2, 3), np.uint8))
    assert read_image(path).shape == (2, 3)
