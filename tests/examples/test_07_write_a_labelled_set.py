"""A set of distorted pictures, written as a user does it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restorekit.image import write_image

EXAMPLE = Path(__file__).parents[2] / "examples" / "07_write_a_labelled_set.py"


@pytest.fixture
def clean(tmp_path):
    (tmp_path / "clean").mkdir()
    for number in range(2):
        picture = np.random.default_rng(number).integers(0, 256, (40, 50, 3), np.uint8)
        write_image(tmp_path / "clean" / f"{number}.png", picture)
    return tmp_path / "clean"


def _run(folder, *arguments):
    command = [sys.executable, "-W", "error", str(EXAMPLE), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)


def test_a_set_with_its_labels(tmp_path, clean):
    done = _run(tmp_path, "--clean", str(clean), "--variants", "3", "--difficulty", "easy")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("6 pictures in shdd")
    names = [f"{picture}_{k}.png" for picture in range(2) for k in range(3)]
    assert sorted(path.name for path in (tmp_path / "shdd" / "set" / "lq").iterdir()) == names
    _, *entries = map(json.loads, (tmp_path / "shdd" / "set" / "manifest.jsonl").read_text().splitlines())
    blocks = [entry["recipe"]["pictures"][0]["steps"][0]["regions"] for entry in entries]
    assert [len(regions) for regions in blocks] == [2] * 6
    with Image.open(tmp_path / "shdd" / "labels.png") as picture:
        assert picture.size == (50, 40)


def test_no_pictures(tmp_path):
    done = _run(tmp_path, "--clean", str(tmp_path))
    assert done.returncode != 0
    assert "holds no picture" in done.stderr
