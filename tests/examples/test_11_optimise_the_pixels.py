"""From noise to a photograph: PSNR rises, and the picture is written."""

import re
import runpy
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from PIL import Image

from restorekit.losses import MDFLoss
from restorekit.metrics import psnr

EXAMPLE = Path(__file__).parents[2] / "examples" / "11_optimise_the_pixels.py"


@pytest.mark.parametrize("task", ["sisr", "denoising", "jpeg"])
def test_the_steps_of_a_shipped_loss_come_nearer(task):
    example = runpy.run_path(str(EXAMPLE))
    target = example["photograph"](None, 40)
    history = example["descend"](MDFLoss.from_pretrained(task), target)
    curve = [psnr(picture, target).item() for picture in history]
    assert len(curve) == 26
    falls = sum(after <= before for before, after in pairwise(curve))
    assert falls <= (3 if task == "denoising" else 0)  # Adam overshoots
    assert curve[-1] - curve[0] > 5


def test_history_is_kept_step_by_step():
    example = runpy.run_path(str(EXAMPLE))
    history = example["descend"](torch.nn.MSELoss(), torch.full((1, 3, 12, 12), 0.5))
    # Adam's first step moves every pixel by the learning rate.
    torch.testing.assert_close((history[1] - history[0]).abs(), torch.full((1, 3, 12, 12), 0.1), rtol=0.01, atol=0)
    assert (history[0] - 0.5).abs().mean() > 4 * (history[-1] - 0.5).abs().mean()


def test_the_table_and_the_picture(tmp_path):
    Image.new("L", (70, 60), 90).save(tmp_path / "grey.png")
    command = [sys.executable, "-W", "error", str(EXAMPLE), "--image", "grey.png", "--side", "16", "--out", "here.png"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    header, *rows = done.stdout.splitlines()
    assert header.split() == ["PSNR,", "dB", "step", "0", "step", "5", "step", "10", "step", "25", "gain", "rose", "in"]
    names = ["MDF, sisr", "MDF, denoising", "MDF, jpeg", "L2", "SSIM"]
    assert [re.split(r"\s{2,}", row)[0] for row in rows] == names
    assert len({row.split()[-9] for row in rows}) == 1  # all begin with the same noise
    with Image.open(tmp_path / "here.png") as picture:
        assert picture.width == 1120
        assert len(picture.convert("RGB").resize((200, 200)).getcolors(40000)) > 500  # not blank
