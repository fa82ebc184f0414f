"""The rewritten network beside the one that it was made from: same pictures, a picture of the differences."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from restorekit.models import carn_m, save_weights

EXAMPLE = Path(__file__).parents[2] / "examples" / "16_restore_fast.py"
LINE = re.compile(r"([\w ,]+): \d+ ms, \d+\.\d times as fast, at most (\S+) levels of 255 off")


def _run(folder, *arguments):
    command = [sys.executable, "-W", "error", str(EXAMPLE), "--repeats", "1", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return {name: float(off) for name, off in (LINE.fullmatch(line).groups() for line in done.stdout.splitlines())}


def test_it_trains_a_little_and_draws_the_differences(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)).save(tmp_path / "small.png")
    found = _run(tmp_path, "--steps", "1", "--image", "small.png")
    assert list(found) == ["as it is", "optimized", "optimized, bfloat16"]
    assert found["as it is"] == 0
    assert 0 < found["optimized"] < 1e-2 < found["optimized, bfloat16"] < 10
    with Image.open(tmp_path / "restore_fast.png") as picture:
        assert picture.size == (1056, 512)
        assert len(picture.convert("RGB").resize((200, 200)).getcolors(40000)) > 300  # not blank


def test_weights_of_ones_own_in_another_runtime(tmp_path):
    pytest.importorskip("openvino")
    pytest.importorskip("onnxscript")
    torch.manual_seed(0)
    save_weights(carn_m(scale=4, channels=8), tmp_path / "own.safetensors")
    Image.new("RGB", (16, 12), "tan").save(tmp_path / "tan.png")
    options = ("--weights", "own.safetensors", "--image", "tan.png", "--backends", "openvino", "--out", "here.png")
    found = _run(tmp_path, *options)
    assert list(found)[-1] == "optimized, openvino"
    assert found["optimized, openvino"] < 1e-2
    assert (tmp_path / "here.png").exists()
