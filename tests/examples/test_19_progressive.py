"""A few steps of each stage, as a user runs it, and called again."""

import re
import subprocess
import sys
from pathlib import Path

from PIL import Image

EXAMPLE = Path(__file__).parents[2] / "examples" / "19_progressive.py"


def _run(folder, *arguments):
    command = [sys.executable, "-W", "error", str(EXAMPLE), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_stages_beside_all_at_once(tmp_path):
    options = ("--steps", "8", "--checkpoint", "run.pt", "--out", "here.png")
    said = _run(tmp_path, *options)
    assert re.findall(r"^Stage x(\d)", said, re.MULTILINE) == ["2", "4", "8"]
    scores = dict(re.findall(r"^([\w ]+): PSNR (\d+\.\d+) dB$", said, re.MULTILINE))
    assert list(scores) == ["Bicubic", "At once", "Stage by stage"]
    assert all(float(score) > 15 for score in scores.values())
    files = ["here.png", "run.stage0.pt", "run.stage1.pt", "run.stage2.pt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == files
    with Image.open(tmp_path / "here.png") as picture:
        assert len(picture.convert("L").resize((200, 100)).getcolors()) > 100  # not blank
    assert _run(tmp_path, *options) == said
