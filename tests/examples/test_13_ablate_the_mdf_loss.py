"""A few steps of the ablations, as a user runs them."""

import subprocess
import sys
from pathlib import Path

import torch
from PIL import Image
from skimage import data

from restorekit.image import write_image
from restorekit.models import SinGANDiscriminator, save_discriminators

EXAMPLE = Path(__file__).parents[2] / "examples" / "13_ablate_the_mdf_loss.py"


def test_three_sweeps(tmp_path):
    (tmp_path / "cats").mkdir()
    write_image(tmp_path / "cats" / "cat.png", data.chelsea()[100:276, 100:276])
    torch.manual_seed(0)
    save_discriminators([SinGANDiscriminator(channels=2).eval() for _ in range(8)], tmp_path / "eyes.safetensors")
    arguments = ["--steps", "1", "--train", "cats", "--test", "cats", "--work", "here"]
    arguments += ["--discriminators", "eyes.safetensors", "--sweeps", "scales", "weight", "pictures"]
    arguments += ["--pictures", "1", "--iterations", "1", "--seed-side", "32"]
    command = [sys.executable, "-W", "error", EXAMPLE, *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    runs = {path.name for path in (tmp_path / "here" / "sisr").glob("*.ckpt")}
    scales = {f"MDF-{count}-scales-0.ckpt" for count in (1, 2, 3, 5, 7)} | {"MDF-0.ckpt"}
    weights = {f"L2+{weight}MDF-0.ckpt" for weight in ("0.001", "0.01", "0.1", "1", "10", "100", "1000")}
    assert runs == scales | weights | {"MDF-of-1-0.ckpt", "MDF-of-1-discriminators.ckpt"}
    assert done.stdout.splitlines()[-1] == "here/sisr/ablations.png written"
    with Image.open(tmp_path / "here" / "sisr" / "ablations.png") as picture:
        assert picture.width > picture.height
        assert len(picture.convert("L").resize((200, 100)).getcolors()) > 20  # not blank
