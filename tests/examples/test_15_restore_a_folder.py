"""Restoring a folder, as a user does it: at once, after a stop, with a broken picture in it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from picture_files import noise, write_folder

from restorekit.image import read_image
from restorekit.inference import restore
from restorekit.models import carn_m, save_weights

EXAMPLE = Path(__file__).parents[2] / "examples" / "15_restore_a_folder.py"


def _run(folder, *arguments):
    command = [sys.executable, "-W", "error", "-W", "default::UserWarning", str(EXAMPLE), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)


def test_without_arguments_it_shows_what_it_does(tmp_path):
    done = _run(tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "half of it: 2 restored, 0 skipped, 0 failed",
        "all of it: 2 restored, 2 skipped, 0 failed",
        "astronaut.png",
        "cat.png",
        "more/coffee.png",
        "more/coins.png",
    ]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_a_broken_picture_and_one_that_is_done(tmp_path):
    photos = write_folder(tmp_path / "photos", {"a.jpg": noise(6, 7, 3), "b/c.png": noise(5, 4), "d.png": noise(3, 3)})
    (photos / "bad.png").write_text("no picture")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "d.png").write_bytes(b"mine")
    torch.manual_seed(0)
    model = carn_m(scale=3, channels=8)
    save_weights(model, tmp_path / "weights.safetensors")
    done = _run(tmp_path, "photos", "out", "--weights", "weights.safetensors")
    assert done.returncode == 1
    assert done.stdout == "process 0: 2 restored, 1 skipped, 1 failed\n"
    assert "1 of 3 pictures could not be restored and were left out: photos/bad.png" in done.stderr
    assert (tmp_path / "out" / "d.png").read_bytes() == b"mine"
    for name in ("a.jpg", "b/c.png"):
        found = read_image((tmp_path / "out" / name).with_suffix(".png"))
        expected = np.asarray(restore(model, photos / name))
        assert np.abs(found.astype(int) - expected.astype(int)).max() <= 1


def test_a_wrong_call_is_explained(tmp_path):
    done = _run(tmp_path, "photos", "out")
    assert done.returncode == 2
    assert "PICTURES, OUT and --weights are needed" in done.stderr
