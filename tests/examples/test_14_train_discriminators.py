"""Training of discriminators as a user runs it: three files, a card that tells the truth, stopping and going on."""

import importlib.util
import signal
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from restorekit.losses import MDFLoss
from restorekit.train._mdf.game import Game

EXAMPLE = Path(__file__).parents[2] / "examples" / "14_train_discriminators.py"
TINY = ["--iterations", "1", "--max-side", "40", "--min-side", "11"]


@pytest.fixture(scope="module")
def example():
    specification = importlib.util.spec_from_file_location("train_discriminators", EXAMPLE)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def run(example, tmp_path, monkeypatch):
    """Call the example with arguments and a folder; the number of threads is put back."""
    threads = torch.get_num_threads()

    def call(folder, *words):
        (tmp_path / folder).mkdir(exist_ok=True)
        monkeypatch.setattr(sys, "argv", [str(EXAMPLE), *words, *TINY, "--out", str(tmp_path / folder)])
        example.main()

    yield call
    torch.set_num_threads(threads)


def test_three_files_and_the_same_ones_after_a_stop(run, tmp_path, monkeypatch, capsys):
    run("whole", "--task", "jpeg", "--picture", "coffee")
    assert "mdf_jpeg.safetensors, its card and its curves are in" in capsys.readouterr().out
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    names = ["mdf_jpeg.md", "mdf_jpeg.png", "mdf_jpeg.safetensors"]
    assert sorted(file.name for file in whole.iterdir()) == names

    restore, calls = Game.restore, []

    def interrupted(self, x, real):
        calls.append(real.shape)
        if len(calls) == 3 * 2:  # in the second iteration
            signal.raise_signal(signal.SIGINT)
        return restore(self, x, real)

    monkeypatch.setattr(Game, "restore", interrupted)
    with pytest.raises(KeyboardInterrupt, match="stopped after 2 of 8 iterations"):
        run("parts", "--task", "jpeg", "--picture", "coffee")
    assert [file.name for file in parts.iterdir()] == ["mdf_jpeg.ckpt"]
    run("parts", "--task", "jpeg", "--picture", "coffee")
    assert len(calls) == 3 * 8  # nothing was done twice
    assert sorted(file.name for file in parts.iterdir()) == names

    one, other = (load_file(folder / "mdf_jpeg.safetensors") for folder in (whole, parts))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert MDFLoss.from_file(whole / "mdf_jpeg.safetensors")(torch.zeros(1, 3, 20, 20), torch.ones(1, 3, 20, 20)) > 0
    cards = [(folder / "mdf_jpeg.md").read_text(encoding="utf-8").splitlines() for folder in (whole, parts)]
    (before, after), *others = [pair for pair in zip(*cards, strict=True) if pair[0] != pair[1]]
    assert others == []
    assert "| time | " in before
    assert after.endswith(" minutes after the last of several starts |")
    with Image.open(whole / "mdf_jpeg.png") as picture:
        assert picture.size == (810, 414)
        assert len(picture.convert("RGB").resize((200, 200)).getcolors(40000)) > 50  # not blank


def test_the_card(run, tmp_path):
    Image.new("RGB", (36, 30), (90, 120, 60)).save(tmp_path / "my photo.png")
    run("here", "--task", "denoising", "--picture", str(tmp_path / "my photo.png"), "--seed", "3", "--float32")
    card = (tmp_path / "here" / "mdf_denoising.md").read_text(encoding="utf-8")
    facts = dict(
        line.strip("| ").split(" | ") for line in card.splitlines() if line.count(" | ") == 1 and line != "| | |"
    )
    assert facts["seed picture"] == "`my photo.png`"
    assert facts["pyramid"] == "short side 11 px to long side 36 px"
    assert facts["precision"] == "float32; stored in half precision"
    assert facts["distortion"] == "Gaussian noise of sigma 0 to 25/255, drawn anew in every step"
    assert "{" not in card
    assert facts["command"].startswith(
        "`python examples/14_train_discriminators.py --task denoising --picture 'my photo.png' "
    )
    assert str(tmp_path) not in card
    scales = [line for line in card.splitlines() if line.count("|") == 5][2:]
    assert [line.split(" | ")[0] for line in scales] == [f"| {number}" for number in range(8)]


def test_the_command_trains_the_same_again(example):
    parser = example.arguments()
    words = ["--task", "jpeg", "--picture", "coffee", "--iterations", "7", "--float32", "--penalty-weight", "0.1"]
    options = parser.parse_args([*words, "--out", "somewhere"])
    command = example.command(options, parser.parse_args([]))
    assert command.startswith("python examples/14_train_discriminators.py --task jpeg ")
    assert vars(parser.parse_args(command.split()[2:])) == {**vars(options), "out": Path()}


def test_the_machine_is_named(example):
    assert example.machine(2).partition(", 2 of ")[0].strip("()")
    assert "  " not in example.machine(1)


def test_pictures_that_ship_are_in_colour(example):
    for name in example.PICTURES:
        pixels, origin = example.seed_picture(name)
        assert pixels.shape[2] == 3
        assert origin.startswith(f"{name} of scikit-image (")
