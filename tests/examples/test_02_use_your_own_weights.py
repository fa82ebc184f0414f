"""Restoring a folder with a checkpoint file, as a user does it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restorekit.image import read_image, write_image
from restorekit.inference import restore
from restorekit.models import carn_m, load_checkpoint, save_weights

EXAMPLE = Path(__file__).parents[2] / "examples" / "02_use_your_own_weights.py"


def _run(folder, *arguments):
    command = [sys.executable, "-W", "error", str(EXAMPLE), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "photos").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (12, 17, 3), np.uint8)
    write_image(tmp_path / "photos" / "colour.png", noise)
    write_image(tmp_path / "photos" / "colour.jpg", noise)
    write_image(tmp_path / "photos" / "deep.png", noise[..., 0].astype(np.uint16) * 257)
    save_weights(carn_m(scale=3, channels=8), tmp_path / "weights.safetensors")
    return tmp_path


def test_a_folder_is_restored(folder):
    done = _run(folder, "weights.safetensors", "photos", "new/restored")
    assert done.returncode == 0, done.stderr
    assert "3/3" in done.stderr  # the bar
    names = sorted(path.name for path in (folder / "new" / "restored").iterdir())
    assert names == ["colour.jpg.png", "colour.png", "deep.png"]
    model = load_checkpoint(folder / "weights.safetensors")
    for name in ("colour.png", "deep.png"):
        written = read_image(folder / "new" / "restored" / name)
        expected = restore(model, read_image(folder / "photos" / name))
        assert written.dtype == expected.dtype
        assert written.shape == expected.shape
        assert np.abs(written.astype(int) - expected.astype(int)).max() <= 1


def test_nothing_is_overwritten_unless_told(folder):
    (folder / "restored").mkdir()
    old = folder / "restored" / "colour.png"
    old.write_bytes(b"mine")
    done = _run(folder, "weights.safetensors", "photos", "restored")
    assert done.returncode == 2
    assert "--overwrite replaces them" in done.stderr
    assert [path.name for path in (folder / "restored").iterdir()] == ["colour.png"]
    assert old.read_bytes() == b"mine"
    assert _run(folder, "weights.safetensors", "photos", "restored", "--overwrite").returncode == 0
    assert read_image(old).shape == (36, 51, 3)


def test_one_bad_file_does_not_stop_the_others(folder):
    (folder / "photos" / "bad.png").write_text("no picture")
    done = _run(folder, "weights.safetensors", "photos", "restored")
    assert done.returncode == 1
    assert "bad.png left out" in done.stderr
    assert len(list((folder / "restored").iterdir())) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("weights.safetensors", "photos", "photos", "--overwrite"), "name another folder"),
        (("weights.safetensors", "photos"), "WEIGHTS, PICTURES and OUT are needed"),
        (("photos/colour.png", "photos", "restored"), "photos/colour.png"),
        (("weights.safetensors", "absent", "restored"), "absent is not a folder"),
    ],
)
def test_a_wrong_call_is_explained(folder, arguments, message):
    done = _run(folder, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "restored").exists()
    with Image.open(folder / "photos" / "colour.png") as picture:
        assert picture.size == (17, 12)


def test_without_arguments_it_shows_what_it_does(tmp_path):
    done = _run(tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["cat.png: (120, 200) -> (240, 400)", "coins.png: (100, 150) -> (200, 300)"]
    assert list(tmp_path.iterdir()) == []


def test_a_file_with_several_scales_asks_for_one_and_uses_it(folder):
    save_weights(carn_m(scale=(2, 3, 4), channels=8), folder / "several.safetensors")
    done = _run(folder, "several.safetensors", "photos", "restored")
    assert done.returncode == 2
    assert "one of the network's scales (2, 3, 4), got None" in done.stderr
    assert not (folder / "restored").exists()
    assert _run(folder, "several.safetensors", "photos", "restored", "--scale", "4").returncode == 0
    assert read_image(folder / "restored" / "colour.png").shape == (48, 68, 3)
