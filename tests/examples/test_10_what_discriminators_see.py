"""What discriminators see: the four kinds, the measure, the table and the picture."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from skimage import data

from restorekit.image import write_image
from restorekit.models import SinGANDiscriminator, save_discriminators

EXAMPLE = Path(__file__).parents[2] / "examples" / "10_what_discriminators_see.py"


def _run(folder, *arguments):
    command = [sys.executable, "-W", "error", str(EXAMPLE), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=False)


@pytest.fixture(scope="module")
def example():
    return runpy.run_path(str(EXAMPLE))


def test_crops_do_not_overlap(example):
    numbered = torch.arange(50 * 70.0).reshape(1, 1, 50, 70)
    tiles = example["spread"](numbered, 4, 20)
    assert [tuple(tile.shape) for tile in tiles] == [(1, 1, 20, 20)] * 4
    assert torch.cat(tiles).unique().numel() == 4 * 20 * 20
    assert example["crops"](None, 10, 64).shape == (10, 3, 64, 64)


def test_kinds_are_of_the_same_crops(example):
    x = example["crops"](None, 5, 48)
    kinds = example["kinds"](x)
    assert list(kinds) == ["original", "JPEG", "blurred", "scrambled"]
    assert torch.equal(kinds["original"], x)
    for kind in ("JPEG", "blurred", "scrambled"):
        assert kinds[kind].shape == x.shape
        assert (kinds[kind] - x).abs().mean() > 0.004
    # Averages over a crop survive, up to what a codec rounds and a pyramid's border weighs.
    for kind in ("JPEG", "blurred", "scrambled"):
        torch.testing.assert_close(kinds[kind].mean((2, 3)), x.mean((2, 3)), atol=0.05, rtol=0)


def test_accuracy_tells_kinds_that_lie_apart_from_kinds_that_do_not(example):
    generator = torch.Generator().manual_seed(0)
    originals = torch.randn(200, 3, generator=generator)
    kinds = [originals, originals + 20, originals + 0.01, torch.randn(200, 3, generator=generator)]
    between = torch.cdist(torch.cat(kinds), torch.cat(kinds))
    assert example["accuracy"](between, 200, 1) == 1
    # A crop's own versions do not count, or the second would always be wrong.
    assert example["accuracy"](between, 200, 2) == pytest.approx(0.5, abs=0.05)
    assert example["accuracy"](between, 200, 3) == pytest.approx(0.5, abs=0.1)


def test_the_rival_sees_blur_and_not_jpeg(example):
    pictures = example["kinds"](example["crops"](None, 60, 96))
    see = example["rival"](80)
    between = example["distances"](lambda x: example["over_pixels"](see(x)), pictures)
    told = [example["accuracy"](between, len(pictures["original"]), kind) for kind in (1, 2)]
    assert told[0] < 0.6
    assert told[1] > 0.65


def test_shipped_discriminators_and_the_rival(tmp_path):
    done = _run(tmp_path, "--crops", "10", "--side", "40", "--rival", "2", "--out", "here.png")
    assert done.returncode == 0, done.stderr
    title, header, *rows = done.stdout.splitlines()
    assert title == "Told from originals by the nearest neighbour, of 10 crops (0.50: not at all):"
    assert header.split() == ["JPEG", "blurred", "scrambled"]
    shares = {row[:28].strip(): [float(share) for share in row[28:].split()] for row in rows}
    assert list(shares) == ["MDF, mean over channels", "MDF, mean over pixels", "Rival, mean over pixels"]
    assert all(0 <= share <= 1 for row in shares.values() for share in row)
    with Image.open(tmp_path / "here.png") as picture:
        assert picture.size == (1200, 640)
        assert len(picture.convert("RGB").resize((200, 200)).getcolors(40000)) > 500  # not blank


def test_a_folder_and_discriminators_of_your_own(example, tmp_path, monkeypatch, capsys):
    (tmp_path / "mine").mkdir()
    for left in (0, 100, 200, 300):
        write_image(tmp_path / "mine" / f"{left}.png", data.chelsea()[100:140, left : left + 40])
    save_discriminators([SinGANDiscriminator(channels=2).eval() for _ in range(8)], tmp_path / "own.safetensors")
    options = ("--side", "40", "--rival", "0", "--discriminators", "own.safetensors")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE), "--folder", "mine", *options])  # a process more would import again
    example["main"]()
    printed = capsys.readouterr().out
    assert "of 4 crops" in printed
    assert "Rival" not in printed
    with Image.open(tmp_path / "what_discriminators_see.png") as picture:
        assert picture.size == (800, 640)
