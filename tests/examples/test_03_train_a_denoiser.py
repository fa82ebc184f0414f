"""A short run of the denoiser, as a user runs it."""

import re
import subprocess
import sys
from pathlib import Path

from PIL import Image

EXAMPLE = Path(__file__).parents[2] / "examples" / "03_train_a_denoiser.py"


def _run(folder, *arguments):
    command = [sys.executable, "-W", "error", str(EXAMPLE), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900, check=False)


def test_a_short_training_takes_noise_off_a_photograph_that_it_never_saw(tmp_path):
    done = _run(tmp_path, "--steps", "250", "--out", "here.png")
    assert done.returncode == 0, done.stderr
    found = re.fullmatch(r"PSNR (\d+\.\d+) dB with noise, (\d+\.\d+) dB restored\n", done.stdout)
    assert found is not None, done.stdout
    noisy, restored = map(float, found.groups())
    assert 20 < noisy < 20.4  # 25 levels of noise: 20.17 dB
    assert restored > noisy + 2
    assert [path.name for path in tmp_path.iterdir()] == ["here.png"]
    with Image.open(tmp_path / "here.png") as picture:
        assert len(picture.convert("L").resize((200, 100)).getcolors()) > 100  # not blank
