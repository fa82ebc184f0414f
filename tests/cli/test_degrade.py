"""Degraded pictures from the command line: the same seed, the same pictures."""

import pytest
from picture_files import noise, write_folder

from restorekit.cli import main
from restorekit.data import DegradedFolder, DegradedSet, ImageFolder
from restorekit.degrade import shdd
from restorekit.image import read_image, to_image


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "in", {"a.png": noise(33, 26, 3), "sub/b.png": noise(24, 24, seed=1)})
    return tmp_path


def run(*argv):
    return main(["degrade", *map(str, argv)])


def refused(capsys, *argv):
    assert run(*argv) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err.removeprefix("restorekit: error: ").removesuffix("\n")


def test_a_picture_is_that_of_the_data_set(here, capsys):
    assert run("in/a.png", "-o", "out.png", "--recipe", "shdd:easy", "--seed", 7) == 0
    assert capsys.readouterr() == ("out.png: 26 x 33 pixels\n", "")
    lq, _ = DegradedFolder("in", shdd("easy"), seed=7)[0]
    assert (read_image("out.png") == to_image(lq, like="uint8")).all()


def test_the_seed_decides(here):
    argv = ("in/a.png", "--recipe", "gaussian_noise:25", "--quiet")
    for name, seed in (("1", 1), ("again", 1), ("2", 2)):
        assert run(*argv, "-o", f"{name}.png", "--seed", seed) == 0
    assert (here / "1.png").read_bytes() == (here / "again.png").read_bytes() != (here / "2.png").read_bytes()


def test_a_picture_gets_smaller(here, capsys):
    assert run("in/a.png", "-o", "out.jpg", "--recipe", "downscale:4+jpeg:30") == 0
    assert capsys.readouterr().out == "out.jpg: 6 x 8 pixels\n"


def test_a_folder_becomes_a_set(here, capsys):
    argv = ("in", "-o", "set", "--recipe", "gaussian_noise:10..50", "--variants", 2, "--seed", 3)
    assert run(*argv) == 0
    assert capsys.readouterr() == ("set: 4 pictures in lq, what was done to each in manifest.jsonl\n", "")
    assert {path.name for path in (here / "set/lq").iterdir()} == {"a_0.png", "a_1.png", "sub_b_0.png", "sub_b_1.png"}
    files = {path: path.read_bytes() for path in (here / "set").rglob("*") if path.is_file()}
    assert len(DegradedSet("set", hq_root="in")) == 4
    (here / "set/manifest.jsonl").write_bytes(b"\n".join(files[here / "set/manifest.jsonl"].split(b"\n")[:2]) + b"\n")
    assert run(*argv, "--quiet") == 0  # goes on after the first picture
    assert files == {path: path.read_bytes() for path in (here / "set").rglob("*") if path.is_file()}
    assert refused(capsys, *argv[:-1], 4).startswith("set was begun with something else: seed was 3, is now 4")
    assert len(ImageFolder("set/lq")) == 4


def test_the_list(capsys):
    assert run("--list") == 0
    out = capsys.readouterr().out
    assert [text for text in ("shdd:moderate", "gaussian_noise:25", "jpeg:10", "downscale:4") if text not in out] == []


def test_nothing_is_replaced_without_being_told(here, capsys):
    argv = ("in/a.png", "--recipe", "jpeg:10")
    (here / "out.png").write_text("mine")
    assert refused(capsys, *argv, "-o", "out.png") == "out.png exists; --overwrite replaces it"
    assert (here / "out.png").read_text() == "mine"
    assert run(*argv, "-o", "out.png", "--overwrite", "--quiet") == 0
    assert refused(capsys, *argv, "-o", "in/a.png", "--overwrite").startswith("in/a.png is the picture that is read")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "degrade needs IN, -o OUT and --recipe"),
        (["in/a.png", "-o", "out.png"], "degrade needs IN, -o OUT and --recipe"),
        (["nowhere", "-o", "out.png", "--recipe", "jpeg:10"], "nowhere does not exist"),
        (["in/a.png", "-o", "out.png", "--recipe", "jpg:10"], "--recipe: unknown name 'jpg'; known are"),
        (["in/a.png", "-o", "in", "--recipe", "jpeg:10"], "in is a folder; name a file in it"),
        (["in/a.png", "-o", "out.png", "--recipe", "jpeg:10", "--seed", "-1"], "argument --seed: expected a whole"),
        (["in/a.png", "-o", "out.png", "--recipe", "jpeg:10", "--variants", "2"], "--variants is for folders"),
        (["in", "-o", "in/out", "--recipe", "jpeg:10"], "in/out lies in the folder that is read"),
        (["bad.png", "-o", "out.png", "--recipe", "jpeg:10"], "bad.png: not a picture of a known format"),
        (["alpha.png", "-o", "out.png", "--recipe", "jpeg:10"], "alpha.png: the picture has transparency"),
        (["one.png", "-o", "out.png", "--recipe", "shdd"], "one.png: 3 blocks do not fit a side of 1 px"),
        (["small", "-o", "out", "--recipe", "shdd"], "small/one.png: 3 blocks do not fit a side of 1 px"),
    ],
)
def test_wrong_input(here, capsys, argv, message):
    write_folder(here, {"alpha.png": noise(8, 8, 4), "one.png": noise(1, 1, 3), "small/one.png": noise(1, 1, 3)})
    (here / "bad.png").write_text("no picture")
    assert refused(capsys, *argv).startswith(message)
    assert not (here / "out.png").exists()
