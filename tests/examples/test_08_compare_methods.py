"""A report of three methods, as a user makes it."""

import subprocess
import sys
from pathlib import Path

from skimage import data

from restorekit.image import write_image

EXAMPLE = Path(__file__).parents[2] / "examples" / "08_compare_methods.py"


def _run(folder, *arguments):
    command = [sys.executable, "-W", "error", str(EXAMPLE), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900, check=False)


def test_photographs_of_scikit_image(tmp_path):
    done = _run(tmp_path, "--steps", "2", "--side", "48", "--out", "here.html")
    assert done.returncode == 0, done.stderr
    assert "pictures 6 (" in done.stdout
    assert done.stdout.splitlines()[-1] == "here.html written; open it in a browser"
    text = (tmp_path / "here.html").read_text(encoding="utf-8")
    assert text.count("<img ") == 6 * 4
    assert [path.name for path in tmp_path.iterdir()] == ["here.html"]


def test_a_folder_of_your_own(tmp_path):
    (tmp_path / "set" / "HR").mkdir(parents=True)
    for top in (80, 130):
        write_image(tmp_path / "set" / "HR" / f"cat{top}.png", data.chelsea()[top : top + 41, 100:140])
    done = _run(tmp_path / "set", "--steps", "2", "--folder", ".", "--out", "../report.html")
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert text.count("<img ") == 2 * 4
    assert "<h1>set, enlarged 2 times</h1>" in text
