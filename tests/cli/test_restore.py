"""Restoring from the command line: what is written, what is refused, and what stays as it was."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from picture_files import noise, write_folder

import restorekit
from restorekit.cli import main
from restorekit.cli.restore import beside
from restorekit.image import read_image
from restorekit.inference import restore_file
from restorekit.models import carn_m, dncnn, load_checkpoint, load_default, save_weights


def network(scale=2):
    torch.manual_seed(0)
    return carn_m(scale, channels=4, blocks=1, units=1)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to work in, with weights and a picture."""
    monkeypatch.chdir(tmp_path)
    save_weights(network(), "net.safetensors")
    write_folder(tmp_path, {"photo.png": noise(9, 7, 3)})
    return tmp_path


def run(*argv):
    return main(["restore", *map(str, argv), "--weights", "net.safetensors"])


def refused(capsys, *argv):
    """The message of a command that ends in an error and says nothing else."""
    assert run(*argv) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.removeprefix("restorekit: error: ").removesuffix("\n")


def test_a_picture_becomes_what_restore_file_makes_of_it(here, capsys):
    assert run("photo.png") == 0
    assert capsys.readouterr() == ("photo_x2.png: 14 x 18 pixels\n", "")
    restore_file(load_checkpoint("net.safetensors"), "photo.png", "expected.png")
    assert (here / "photo_x2.png").read_bytes() == (here / "expected.png").read_bytes()


def test_options_reach_the_function(here):
    options = {"tile": 4, "self_ensemble": True, "dtype": torch.bfloat16, "device": "cpu"}
    restore_file(load_checkpoint("net.safetensors"), "photo.png", "expected.png", **options)
    assert run("photo.png", "-o", "out.png", "--tile", 4, "--self-ensemble", "--dtype=bfloat16", "--device=cpu") == 0
    assert (here / "out.png").read_bytes() == (here / "expected.png").read_bytes()


def test_right_after_installation(here, capsys):
    """No weights are named: those that come with the library restore."""
    assert main(["restore", "photo.png", "-o", "out.png"]) == 0
    assert capsys.readouterr() == ("out.png: 14 x 18 pixels\n", "")
    restore_file(load_default(), "photo.png", "expected.png", scale=2)
    assert (here / "out.png").read_bytes() == (here / "expected.png").read_bytes()


def test_a_picture_too_large_for_a_network_that_sees_all_of_it_is_cut(here, capsys, monkeypatch):
    monkeypatch.setattr(sys.modules["restorekit.inference.restore"], "WHOLE_MEMORY", 1)
    large = noise(40, 600, 3)
    write_folder(here, {"large.png": large})
    options = ["restore", "large.png", "--task", "mixed-distortions"]
    assert main(options) == 0
    assert capsys.readouterr() == (
        "large_mixed-distortions.png: 600 x 40 pixels\n",
        "restorekit: too large for a network that sees the whole picture: restored in parts of 512 px (--tile)\n",
    )
    restore_file(load_default("mixed-distortions"), "large.png", "expected.png", tile=512)
    assert (here / "large_mixed-distortions.png").read_bytes() == (here / "expected.png").read_bytes()
    assert main([*options, "-o", "named.png", "--tile", "512"]) == 0
    assert capsys.readouterr().err == ""


def test_quiet_says_nothing(here, capsys):
    assert run("photo.png", "-o", "out.png", "--quiet") == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("shape", [(1, 1, 3), (5, 4), (5, 4, 2), (5, 4, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_kind_of_picture(here, shape, dtype):
    write_folder(here, {"in.png": noise(*shape, dtype=dtype)})
    assert run("in.png", "-o", "out.png") == 0
    out = read_image("out.png")
    assert out.dtype == dtype
    assert out.shape == (2 * shape[0], 2 * shape[1], *shape[2:])


def test_nothing_is_replaced_without_being_told(here, capsys):
    (here / "out.png").write_text("mine")
    assert refused(capsys, "photo.png", "-o", "out.png") == "out.png exists; --overwrite replaces it"
    assert (here / "out.png").read_text() == "mine"
    assert run("photo.png", "-o", "out.png", "--overwrite") == 0
    assert read_image("out.png").shape == (18, 14, 3)
    assert "is the source itself" in refused(capsys.readouterr() and capsys, "out.png", "-o", "out.png", "--overwrite")


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (".", ". is a folder; name a file in it"),
        ("nowhere/out.png", "the folder nowhere does not exist; make it first"),
        ("out.xyz", "out.xyz: unknown suffix '.xyz', expected one of .png"),
    ],
)
def test_outputs_that_cannot_be(here, capsys, output, message):
    before = sorted(here.iterdir())
    assert refused(capsys, "photo.png", "-o", output).startswith(message)
    assert sorted(here.iterdir()) == before


def test_a_place_without_permission(here, capsys, monkeypatch):
    def touch(path, **_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "touch", touch)  # tests may run as root, to whom all is permitted
    assert refused(capsys, "photo.png", "-o", "out.png").endswith(": Permission denied")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no picture", "not a picture of a known format"),
        (b"", "the file is empty"),
        (None, "truncated"),
    ],
)
def test_files_that_are_no_pictures(here, capsys, content, message):
    whole = (here / "photo.png").read_bytes()
    (here / "bad.png").write_bytes(whole[: len(whole) // 2] if content is None else content)
    text = refused(capsys, "bad.png", "-o", "out.png")
    assert text.startswith("bad.png: ")
    assert message in text
    assert not (here / "out.png").exists()


@pytest.mark.parametrize("device", ["abacus", "meta"])
def test_devices_that_are_not_there(here, capsys, device):
    assert refused(capsys, "photo.png", "--device", device).startswith(f"--device {device}: not to be had here (")


def test_a_folder_is_restored_and_goes_on(here, capsys):
    write_folder(here / "in", {"a.png": noise(5, 6, 3), "sub/b.png": noise(4, 4, 3), "c.jpg": noise(4, 4, 3)})
    (here / "in" / "bad.png").write_text("no picture")
    assert run("in") == 1
    out, error = capsys.readouterr()
    assert out == "in_x2: 3 restored, 0 there already, 1 failed\n"
    assert error.startswith("restorekit: failed: in/bad.png: not a picture")
    files = {path.relative_to("in_x2").as_posix() for path in Path("in_x2").rglob("*") if path.is_file()}
    assert files == {"a.png", "sub/b.png", "c.png"}
    (here / "in" / "bad.png").unlink()
    (here / "in_x2" / "a.png").write_text("mine")
    assert run("in") == 0
    assert capsys.readouterr() == ("in_x2: 0 restored, 3 there already, 0 failed\n", "")
    assert (here / "in_x2" / "a.png").read_text() == "mine"
    assert run("in", "--overwrite", "--quiet") == 0
    assert read_image("in_x2/a.png").shape == (10, 12, 3)
    assert capsys.readouterr() == ("", "")


def test_strict_stops_at_the_first_failure(here, capsys):
    write_folder(here / "in", {"a.png": noise(5, 6, 3)})
    (here / "in" / "0.png").write_text("no picture")
    assert refused(capsys, "in", "--strict").startswith("in/0.png: not a picture")
    assert not list(here.glob("in_x2/*"))


@pytest.mark.parametrize(
    ("output", "message"),
    [("photo.png", "photo.png is a file; name a folder"), ("in", "in is the folder that is read")],
)
def test_folders_that_cannot_be_filled(here, capsys, output, message):
    write_folder(here / "in", {"a.png": noise(5, 6, 3)})
    assert refused(capsys, "in", "-o", output).startswith(message)


def test_an_empty_folder(here, capsys):
    (here / "in").mkdir()
    assert refused(capsys, "in").startswith("in holds no picture; expected files ending in")


def test_a_bar_where_somebody_looks(here, capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert run("photo.png", "-o", "a.png") == 0
    assert "100%" in capsys.readouterr().err
    assert run("photo.png", "-o", "b.png", "--quiet") == 0
    assert capsys.readouterr().err == ""


def test_names_beside(here):
    assert beside(Path("a/photo.of.me.jpg"), 4) == Path("a/photo.of.me_x4.png")
    assert beside(Path("photo.png"), 1) == Path("photo_restored.png")
    assert beside(Path("photo.png"), 1, "denoising") == Path("photo_denoising.png")
    assert beside(Path("photo.png"), 2, "super-resolution") == Path("photo_x2.png")
    assert beside(here, 2) == here.with_name(here.name + "_x2")
    assert beside(Path(), 2) == here.with_name(here.name + "_x2")
    with pytest.raises(ValueError, match=r"no folder can be made beside /; name one with -o"):
        beside(Path("/"), 2)


def test_a_network_that_keeps_the_size(here, capsys):
    save_weights(dncnn(3, in_channels=3, channels=4), "net.safetensors")
    assert run("photo.png") == 0
    assert capsys.readouterr().out == "photo_restored.png: 7 x 9 pixels\n"
    assert restorekit.image.picture_size("photo_restored.png") == (9, 7)
