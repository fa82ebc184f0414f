"""One picture by itself: it is nearer to the truth than bicubic interpolation, and the pictures are written."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

EXAMPLE = Path(__file__).parents[2] / "examples" / "17_zero_shot.py"


def _run(folder, *arguments):
    command = [sys.executable, "-W", "error", str(EXAMPLE), "--crop-size", "24", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_few_steps_are_nearer_than_bicubic(tmp_path):
    first, *scores = _run(tmp_path, "--steps", "6")
    assert re.fullmatch(r"6 steps; error of the picture restored from its son: \S+e-03 to \S+e-03", first)
    bicubic, learnt = (float(re.fullmatch(r"[\w ]+: (\d+\.\d\d) dB", line).group(1)) for line in scores)
    assert learnt > bicubic
    with Image.open(tmp_path / "zero_shot.png") as picture:
        assert picture.size == (1440, 392)
        assert len(picture.convert("RGB").resize((200, 200)).getcolors(40000)) > 500  # not blank


def test_a_grey_picture_of_your_own(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (10, 14), np.uint8)).save(tmp_path / "small.png")
    lines = _run(tmp_path, "--image", "small.png", "--scale", "3", "--steps", "2", "--out", "large.png",
                 "--checkpoint", "run.pt")  # fmt: skip
    assert len(lines) == 1
    with Image.open(tmp_path / "large.png") as picture:
        assert (picture.size, picture.mode) == ((42, 30), "L")
    assert (tmp_path / "run.stage0.pt").exists()
