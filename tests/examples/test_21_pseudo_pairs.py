"""A short training on small photographs alone, as a user runs it."""

import re
import subprocess
import sys
from pathlib import Path

from PIL import Image

EXAMPLE = Path(__file__).parents[2] / "examples" / "21_pseudo_pairs.py"


def _run(folder, *arguments):
    command = [sys.executable, "-W", "error", str(EXAMPLE), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900, check=False)


def test_a_short_training_without_a_large_photograph(tmp_path):
    done = _run(tmp_path, "--steps", "40", "--out", "here.png")
    assert done.returncode == 0, done.stderr
    found = re.fullmatch(r"PSNR (\d+\.\d+) dB bicubic, (\d+\.\d+) dB learned from small .* alone\n", done.stdout)
    assert found is not None, done.stdout
    bicubic, learned = map(float, found.groups())
    assert bicubic == 33.83
    assert learned > bicubic - 3  # it starts 20 dB below
    assert [path.name for path in tmp_path.iterdir()] == ["here.png"]
    with Image.open(tmp_path / "here.png") as picture:
        assert len(picture.convert("L").resize((200, 100)).getcolors()) > 100  # not blank
