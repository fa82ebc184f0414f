"""A training that is killed at random moments loses the steps since its last checkpoint, and nothing else."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "kills.py"


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")
def test_a_killed_training_ends_with_the_same_bits():
    command = [sys.executable, str(SCRIPT), "--kills", "3", "--recipes", "supervised"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    row = re.search(r"\| supervised \| 40 \| (\d) \| \d \| (\d) \| [01] \| 0 \| True \|", done.stdout)
    assert row is not None, done.stdout
    assert row[1] == "3"
    assert int(row[2]) <= 4
