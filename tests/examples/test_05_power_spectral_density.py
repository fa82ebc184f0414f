"""A few draws, as a user runs it."""

import re
import subprocess
import sys
from pathlib import Path

from PIL import Image

EXAMPLE = Path(__file__).parents[2] / "examples" / "05_power_spectral_density.py"


def _run(folder, *arguments):
    command = [sys.executable, "-W", "error", str(EXAMPLE), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)


def test_each_augmentation_leaves_its_mark_on_the_spectrum(tmp_path):
    done = _run(tmp_path, "--draws", "12", "--out", "here.png")
    assert done.returncode == 0, done.stderr
    header, *rows = done.stdout.splitlines()
    assert "power above 0.4 / original" in header
    found = {row.split()[0]: tuple(map(float, re.findall(r"\d+\.\d\d", row))) for row in rows}
    assert list(found) == ["Cutout", "Mixup", "CutBlur"]
    # A floor of white noise: 1 pixel of 1000 erased, whichever these are, changes the end of the curve alone.
    share, distance = found["Cutout"]
    assert 1.1 < share < 1.5
    assert distance < 0.6
    # Mixup's curve is another one; CutBlur's ends closer to the photograph's than half or twice the power.
    assert found["Mixup"][1] > 1.5 * distance
    assert 0.5 < found["CutBlur"][0] < 2
    assert [path.name for path in tmp_path.iterdir()] == ["here.png"]
    with Image.open(tmp_path / "here.png") as picture:
        assert picture.size == (990, 432)
        assert len(picture.convert("RGB").resize((200, 100)).getcolors(20000)) > 50  # not blank
