"""The main job, as a user runs it."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from restorekit.image import write_image

EXAMPLE = Path(__file__).parents[2] / "examples" / "01_restore_photo.py"
GAINS = {"4 times smaller": 0.5, "noise of sigma 25": 7.0, "JPEG of quality 10": 0.9}  # dB at least


def _run(folder, *arguments):
    command = [sys.executable, "-W", "error", str(EXAMPLE), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900, check=False)


def _scores(line, name):
    found = re.fullmatch(rf"{name} +PSNR (\d+\.\d+) dB   SSIM (\d\.\d+)", line)
    assert found is not None, line
    return float(found[1]), float(found[2])


def test_the_main_job_mends_a_photograph_that_no_training_saw(tmp_path):
    done = _run(tmp_path)
    assert done.returncode == 0, done.stderr
    *lines, last = done.stdout.splitlines()
    for before, after, (title, gain) in zip(lines[::2], lines[1::2], GAINS.items(), strict=True):
        damaged, restored = _scores(before, title), _scores(after, "  restored")
        assert restored[0] > damaged[0] + gain
        assert restored[1] > damaged[1] + 0.015
    assert _scores(lines[0], "4 times smaller") == (pytest.approx(31.48, abs=0.02), pytest.approx(0.8067, abs=0.001))
    assert re.fullmatch(r"comparison\.png written, \d+ seconds in all", last)
    with Image.open(tmp_path / "comparison.png") as picture:
        assert picture.size == (1120, 688)
        assert len(picture.convert("L").resize((200, 150)).getcolors()) > 100  # not blank


@pytest.mark.parametrize("kind", ["grey", "transparent", "colour", "16 bits"])
def test_a_photograph_of_ones_own(tmp_path, kind):
    cat = data.chelsea()[80:150, 120:221]
    pictures = {
        "grey": cat[:, :, 1],
        "transparent": np.dstack([cat, cat[:, :, :1]]),
        "colour": cat,
        "16 bits": cat[:, :, 1].astype(np.uint16) * 257,
    }
    write_image(tmp_path / "mine.png", pictures[kind])
    done = _run(tmp_path, "mine.png", "--out", "here.png")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here.png", "mine.png"]
    noisy, mended = done.stdout.splitlines()[2:4]
    assert _scores(mended, "  restored")[0] > _scores(noisy, "noise of sigma 25")[0] + 5


def test_one_that_is_too_small_is_refused(tmp_path):
    Image.new("RGB", (31, 90)).save(tmp_path / "mine.png")
    done = _run(tmp_path, "mine.png")
    assert done.returncode == 2
    assert "must be at least 32 px to each side, got 31 x 90" in done.stderr
    (tmp_path / "mine.png").write_bytes(b"no picture")
    for name in ("mine.png", "absent.png"):
        assert re.search(rf"error: .*{name}", _run(tmp_path, name).stderr.splitlines()[-1])
    assert not (tmp_path / "comparison.png").exists()
