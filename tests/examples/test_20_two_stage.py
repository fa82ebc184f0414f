"""A few steps of both stages, as a user runs them, stopped in between by being asked for fewer."""

import re
import subprocess
import sys
from pathlib import Path

from PIL import Image

EXAMPLE = Path(__file__).parents[2] / "examples" / "20_two_stage.py"


def _run(folder, *arguments):
    command = [sys.executable, "-W", "error", str(EXAMPLE), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900, check=False)


def test_a_short_training_says_what_it_took_each_picture_for(tmp_path):
    done = _run(tmp_path, "--steps", "4", "--checkpoint", "run.pt", "--out", "here.png")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["noise", "haze", "low-light"]
    pattern = r"[a-z-]+: \d+\.\d+ dB damaged, \d+\.\d+ dB restored, taken for (noise|rain|haze|blur|low-light) \(\d+%\)"
    assert all(re.fullmatch(pattern, line) for line in lines), lines
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here.png", "run.stage0.pt", "run.stage1.pt"]
    with Image.open(tmp_path / "here.png") as picture:
        assert len(picture.convert("L").resize((200, 100)).getcolors()) > 100  # not blank
