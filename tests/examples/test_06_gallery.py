"""The contact sheet: everything is on it, and nothing is blank."""

import runpy
import subprocess
import sys
from pathlib import Path

from PIL import Image

from restorekit import augment, degrade

EXAMPLE = Path(__file__).parents[2] / "examples" / "06_gallery.py"

# Names that are parts of compositions or read recipes, and damage nothing by themselves.
PARTS = {"Boxes", "Chain", "Composition", "Cuts", "Distortion", "Identity", "OneOf", "RandomOrder", "Recipe",
         "SmoothMask", "Sometimes", "Spatial", "applied_types", "boxes", "level_map", "replay", "type_map"}  # fmt: skip


def test_everything_public_is_on_the_sheet():
    parts = runpy.run_path(str(EXAMPLE))["sections"](32)
    shown = {label.split()[0] for part in parts.values() for label in part}
    assert set(degrade.__all__) - PARTS - shown == set()
    assert set(augment.__all__) - shown == set()


def test_tiles_differ_from_the_photograph():
    parts = runpy.run_path(str(EXAMPLE))["sections"](32)
    damaged = parts["restorekit.degrade"]
    clean = damaged.pop("the photograph")
    for label, picture in damaged.items():
        assert picture.shape != clean.shape or (picture - clean).abs().mean() > 0.004, label


def test_the_sheet_is_written(tmp_path):
    command = [sys.executable, "-W", "error", str(EXAMPLE), "--size", "32", "--out", "sheet.png"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("sheet.png written, ")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width == 8 * 36
        assert len(sheet.convert("L").getcolors()) > 200
