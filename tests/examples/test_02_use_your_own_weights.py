"""Restoring a picture with a checkpoint file, as a user does it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from restorekit.image import read_image, write_image
from restorekit.inference import restore
from restorekit.models import carn_m, load_checkpoint, save_weights

EXAMPLE = Path(__file__).parents[2] / "examples" / "02_use_your_own_weights.py"


def _run(folder, *arguments):
    command = [sys.executable, "-W", "error", str(EXAMPLE), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture
def folder(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (12, 17, 3), np.uint8)
    write_image(tmp_path / "colour.png", noise)
    write_image(tmp_path / "deep.png", noise[..., 0].astype(np.uint16) * 257)
    save_weights(carn_m(scale=3, channels=8), tmp_path / "weights.safetensors")
    return tmp_path


@pytest.mark.parametrize("name", ["colour.png", "deep.png"])
def test_a_picture_is_restored(folder, name):
    done = _run(folder, "weights.safetensors", name, "restored.png")
    assert done.returncode == 0, done.stderr
    assert "1/1" in done.stderr  # the bar
    written = read_image(folder / "restored.png")
    expected = restore(load_checkpoint(folder / "weights.safetensors"), read_image(folder / name))
    assert written.dtype == expected.dtype
    assert written.shape == expected.shape
    assert np.abs(written.astype(int) - expected.astype(int)).max() <= 1


def test_nothing_is_overwritten_unless_told(folder):
    old = folder / "restored.tif"
    old.write_bytes(b"mine")
    done = _run(folder, "weights.safetensors", "colour.png", "restored.tif")
    assert done.returncode == 2
    assert "restored.tif exists" in done.stderr
    assert old.read_bytes() == b"mine"
    assert _run(folder, "weights.safetensors", "colour.png", "restored.tif", "--overwrite").returncode == 0
    assert read_image(old).shape == (36, 51, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("weights.safetensors", "colour.png", "colour.png", "--overwrite"), "is the source itself"),
        (("weights.safetensors", "colour.png"), "WEIGHTS, PICTURE and OUT are needed"),
        (("colour.png", "colour.png", "restored.png"), "colour.png"),
        (("weights.safetensors", "absent.png", "restored.png"), "absent.png"),
        (("weights.safetensors", "colour.png", "restored.png", "--max-pixels", "203"), "203"),
    ],
)
def test_a_wrong_call_is_explained(folder, arguments, message):
    before = (folder / "colour.png").read_bytes()
    done = _run(folder, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "restored.png").exists()
    assert (folder / "colour.png").read_bytes() == before


def test_without_arguments_it_shows_what_it_does(tmp_path):
    done = _run(tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "cat.png: (120, 200) -> (240, 400)\n"
    assert list(tmp_path.iterdir()) == []


def test_a_file_with_several_scales_asks_for_one_and_uses_it(folder):
    save_weights(carn_m(scale=(2, 3, 4), channels=8), folder / "several.safetensors")
    done = _run(folder, "several.safetensors", "colour.png", "restored.png")
    assert done.returncode == 2
    assert "one of the network's scales (2, 3, 4), got None" in done.stderr
    assert not (folder / "restored.png").exists()
    call = ("several.safetensors", "colour.png", "restored.png", "--scale", "4", "--bfloat16")
    assert _run(folder, *call).returncode == 0
    assert read_image(folder / "restored.png").shape == (48, 68, 3)
