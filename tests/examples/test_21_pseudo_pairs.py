"""A short training without large photographs, and one with them, as a user runs them."""

import re
import subprocess
import sys
from pathlib import Path

from PIL import Image

EXAMPLE = Path(__file__).parents[2] / "examples" / "21_pseudo_pairs.py"


def _run(folder, *arguments):
    command = [sys.executable, "-W", "error", str(EXAMPLE), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900, check=False)


def test_both_networks_learn_to_enlarge(tmp_path):
    done = _run(tmp_path, "--steps", "60", "--out", "here.png")
    assert done.returncode == 0, done.stderr
    scores = dict(re.findall(r"^(.*): (\d+\.\d+) dB$", done.stdout, re.MULTILINE))
    assert list(scores) == ["Bicubic", "Small photographs alone", "Large ones too"]
    assert all(float(score) > 20 for score in scores.values())  # new weights give 6 dB
    assert [path.name for path in tmp_path.iterdir()] == ["here.png"]
    with Image.open(tmp_path / "here.png") as picture:
        assert len(picture.convert("L").resize((200, 100)).getcolors()) > 100  # not blank
