"""A network assembled elsewhere learns in a loop of its own."""

import re
import subprocess
import sys
from pathlib import Path

from PIL import Image

EXAMPLE = Path(__file__).parents[2] / "examples" / "22_assemble_and_train.py"


def _run(folder, *arguments):
    command = [sys.executable, "-W", "error", str(EXAMPLE), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900, check=False)


def test_a_short_training_restores_a_photograph_that_it_never_saw(tmp_path):
    assert "restorekit.train" not in re.sub(r'""".*?"""', "", EXAMPLE.read_text(), count=1, flags=re.DOTALL)
    done = _run(tmp_path, "--steps", "60", "--out", "here.png")
    assert done.returncode == 0, done.stderr
    found = re.search(r"damaged +(\d+\.\d+) dB\nrestored +(\d+\.\d+) dB\n", done.stdout)
    assert found is not None, done.stdout
    damaged, restored = map(float, found.groups())
    assert 22.9 < damaged < 23.1
    assert restored > damaged + 0.2
    assert [path.name for path in tmp_path.iterdir()] == ["here.png"]
    with Image.open(tmp_path / "here.png") as picture:
        assert len(picture.convert("L").resize((200, 100)).getcolors()) > 100  # not blank


def test_no_steps_are_refused(tmp_path):
    done = _run(tmp_path, "--steps", "0")
    assert done.returncode != 0
    assert "must be at least 1" in done.stderr
