"""Half a minute of training, as a user runs it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from restorekit.models import load_checkpoint

EXAMPLE = Path(__file__).parents[2] / "examples" / "23_train_with_cutblur.py"


def _run(folder, *arguments):
    command = [sys.executable, "-W", "error", str(EXAMPLE), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900, check=False)


def _scores(line, name):
    found = re.fullmatch(rf"{name} +PSNR (\d+\.\d+) dB   SSIM (\d\.\d+)", line)
    assert found is not None, line
    return float(found[1]), float(found[2])


def test_it_beats_bicubic_on_a_photograph_that_it_never_saw(tmp_path):
    done = _run(tmp_path)
    assert done.returncode == 0, done.stderr
    first, second, last = done.stdout.splitlines()
    bicubic, model = _scores(first, "Bicubic"), _scores(second, "CARN-M with CutBlur")
    assert bicubic == (pytest.approx(35.26, abs=0.02), pytest.approx(0.916, abs=0.001))
    assert model[0] > bicubic[0] + 0.3
    assert model[1] > bicubic[1] + 0.005
    assert re.fullmatch(r"cutblur\.png written, \d+ seconds in all", last)
    with Image.open(tmp_path / "cutblur.png") as picture:
        assert picture.size == (960, 744)
        assert len(picture.convert("L").resize((200, 150)).getcolors()) > 100  # not blank


def test_the_picture_and_the_network_go_where_they_are_told_to(tmp_path):
    done = _run(tmp_path, "--steps", "2", "--out", "here.png", "--weights", "net.safetensors")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here.png", "net.safetensors"]
    assert load_checkpoint(tmp_path / "net.safetensors").scales == (2,)


def test_no_steps_are_refused(tmp_path):
    done = _run(tmp_path, "--steps", "0")
    assert done.returncode != 0
    assert "must be at least 1" in done.stderr
