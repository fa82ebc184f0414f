"""Losses at equal PSNR: the table, the picture, and what cannot be reached."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restorekit.losses import MDFLoss
from restorekit.metrics import psnr
from restorekit.models import SinGANDiscriminator, save_discriminators

EXAMPLE = Path(__file__).parents[2] / "examples" / "09_equal_psnr.py"


def _run(folder, *arguments):
    command = [sys.executable, "-W", "error", str(EXAMPLE), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=False)


@pytest.fixture(scope="module")
def example():
    return runpy.run_path(str(EXAMPLE))


def test_each_family_has_the_psnr_that_is_said(example):
    original = example["photograph"](None, 64)
    pictures = example["distorted"](original, (20, 35))
    assert list(pictures) == ["blur", "noise", "grating", "contrast", "brightness"]
    for rows in pictures.values():
        for level, picture in rows.items():
            assert psnr(picture, original).item() == pytest.approx(level, abs=0.02)


@pytest.mark.parametrize(("task", "first"), [("sisr", {"blur"}), ("denoising", {"noise", "blur"})])
def test_mdf_ranks_first_what_its_task_is_about(example, task, first):
    original = example["photograph"](None, 64)
    found = example["curves"](MDFLoss.from_pretrained(task), example["distorted"](original, (30, 40)), original)
    for level in (30, 40):
        assert example["ranking"](found, level)[0] in first


def test_the_table_and_the_picture_without_what_cannot_be_reached(tmp_path):
    save_discriminators([SinGANDiscriminator(channels=2).eval() for _ in range(8)], tmp_path / "own.safetensors")
    soft = np.linspace(70, 180, 161).round().astype(np.uint8)  # there is little that a blur could take away
    Image.fromarray(np.broadcast_to(soft, (161, 161)).copy()).save(tmp_path / "soft.png")
    options = ("--levels", "30", "--discriminators", "own.safetensors", "--out", "here.png")
    done = _run(tmp_path, "--image", "soft.png", *options)
    assert done.returncode == 0, done.stderr
    missing, title, header, *rows = done.stdout.splitlines()
    assert missing.startswith("left out: blur at 20 dB: ")
    assert title == "Ranked first, and how many times the loss of the second:"
    assert re.split(r"\s{2,}", header.strip()) == ["L1", "SSIM", "MS-SSIM", "MDF, own.safetensors"]
    assert [row[:5] for row in rows] == ["20 dB", "30 dB", "40 dB"]
    for row in rows:
        # All errors of equal size: no other distortion of this PSNR can have a larger mean.
        assert row.split()[2] == "brightness"
        assert all(float(times) >= 1 for times in re.findall(r"\d\.\d\d", row))
    with Image.open(tmp_path / "here.png") as picture:
        assert picture.size == (1040, 1200)
        assert len(picture.convert("RGB").resize((200, 200)).getcolors(40000)) > 300  # not blank
