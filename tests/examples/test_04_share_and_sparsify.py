"""A short run on a small network, as a user runs it."""

import re
import subprocess
import sys
from pathlib import Path

from PIL import Image

EXAMPLE = Path(__file__).parents[2] / "examples" / "04_share_and_sparsify.py"


def _run(folder, *arguments):
    command = [sys.executable, "-W", "error", str(EXAMPLE), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900, check=False)


def test_both_conversions_say_what_they_changed_and_train(tmp_path):
    done = _run(tmp_path, "--steps", "60", "--channels", "16", "--blocks", "4", "--out", "here.png")
    assert done.returncode == 0, done.stderr
    _, shared, sparse, *losses = done.stdout.splitlines()
    for row, name, more in ((shared, "shared", False), (sparse, "sparse", True)):
        assert row.split()[:2] == [name, "9"]
        before, after = (int(number.replace(",", "")) for number in re.findall(r"[\d,]{6,}", row))
        assert (after > before) == more
    assert [line.split()[0] for line in losses] == ["plain", "shared", "sparse"]
    for line in losses:
        first, last = map(float, re.findall(r"\d\.\d{4}", line))
        assert last < 0.8 * first, line
    assert [path.name for path in tmp_path.iterdir()] == ["here.png"]
    with Image.open(tmp_path / "here.png") as picture:
        assert len(picture.convert("RGB").resize((200, 100)).getcolors(20000)) > 50  # not blank
