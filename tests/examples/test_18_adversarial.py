"""A few steps against a discriminator, as a user runs it, by both losses of the content."""

import re
import subprocess
import sys
from pathlib import Path

import torch
from PIL import Image

from restorekit.models import VGG19Features

EXAMPLE = Path(__file__).parents[2] / "examples" / "18_adversarial.py"
LINE = re.compile(r"([\w ]+): (?:PSNR (\d+\.\d+) dB, )?sharpness (\d+\.\d+)")


def _run(folder, *arguments):
    command = [sys.executable, "-W", "error", str(EXAMPLE), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    return {name: rest for name, *rest in (LINE.fullmatch(line).groups() for line in done.stdout.splitlines())}


def test_pixels_then_a_discriminator(tmp_path):
    found = _run(tmp_path, "--steps", "30", "--gan-steps", "2", "--out", "here.png")
    assert list(found) == ["Bicubic", "PCARN on pixels", "PCARN against a discriminator", "Original"]
    assert found["PCARN on pixels"] != found["PCARN against a discriminator"]
    assert all(float(psnr) > 18 for psnr, _ in list(found.values())[:3])
    assert [path.name for path in tmp_path.iterdir()] == ["here.png"]
    with Image.open(tmp_path / "here.png") as picture:
        assert len(picture.convert("L").resize((200, 100)).getcolors()) > 100  # not blank


def test_content_by_the_features_of_a_classifier(tmp_path):
    torch.manual_seed(0)
    torch.save(VGG19Features().state_dict(), tmp_path / "vgg19.pth")
    found = _run(tmp_path, "--steps", "1", "--gan-steps", "1", "--vgg", "vgg19.pth")
    assert found["PCARN on pixels"] != found["PCARN against a discriminator"]
    assert (tmp_path / "adversarial.png").exists()
