"""A few steps of the comparison, as a user runs it, and whether it is fair."""

import importlib.util
import re
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from skimage import data
from torch import nn

from restorekit.image import write_image
from restorekit.models import SinGANDiscriminator, save_discriminators

EXAMPLE = Path(__file__).parents[2] / "examples" / "12_compare_losses.py"


@pytest.fixture(scope="module")
def example():
    specification = importlib.util.spec_from_file_location("compare_losses", EXAMPLE)
    module = importlib.util.module_from_spec(specification)
    sys.modules["compare_losses"] = module  # where dataclasses look their module up
    specification.loader.exec_module(module)
    yield module
    del sys.modules["compare_losses"]


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Two small photographs and random discriminators."""
    folder = tmp_path_factory.mktemp("given")
    (folder / "cats").mkdir()
    for top in (30, 120):
        write_image(folder / "cats" / f"cat{top}.png", data.chelsea()[top : top + 176, 100:276])
    torch.manual_seed(0)
    save_discriminators([SinGANDiscriminator(channels=2).eval() for _ in range(8)], folder / "eyes.safetensors")
    return folder


def _options(given, work):
    return Namespace(
        steps=2,
        train=given / "cats",
        test=given / "cats",
        work=work,
        discriminators=given / "eyes.safetensors",
        bfloat16=False,
        lpips=None,
    )


def test_both_tasks(given, tmp_path):
    arguments = ["--steps", "1", "--train", given / "cats", "--test", given / "cats", "--work", "here", "--bfloat16"]
    arguments += ["--losses", "L1", "MDF", "--discriminators", given / "eyes.safetensors"]
    command = [sys.executable, "-W", "error", EXAMPLE, *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    for task, before in (("denoising", "Noisy"), ("sisr", "Bicubic")):
        text = (tmp_path / "here" / task / "report.html").read_text(encoding="utf-8")
        assert text.count("<img ") == 2 * 4
        assert re.search(rf"\n{before} +\d+\.\d+ ± 0\.0000 ", done.stdout)
        runs = sorted(path.name for path in (tmp_path / "here" / task).glob("*.ckpt"))
        assert runs == ["L1-0.ckpt", "L1-1.ckpt", "MDF-0.ckpt", "MDF-1.ckpt"]


@pytest.mark.parametrize("task", ["DENOISING", "SISR"])
def test_every_loss_starts_from_the_same_weights_and_sees_the_same_pictures(example, given, tmp_path, task):
    bench = example.Bench(getattr(example, task), _options(given, tmp_path))
    seen = {}

    def recorder(name, loss):
        def recording(prediction, target):
            seen.setdefault(name, []).append((prediction.detach().clone(), target.clone()))
            return loss(prediction, target)

        return recording

    for name, loss in (("L1", nn.L1Loss()), ("L2", nn.MSELoss())):
        bench.train(name, recorder(name, loss), seed=3)
    bench.train("other seed", recorder("other", nn.L1Loss()), seed=4)
    for (_, first), (_, second), (_, other) in zip(seen["L1"], seen["L2"], seen["other"], strict=True):
        assert torch.equal(first, second)
        assert not torch.equal(first, other)
    assert torch.equal(seen["L1"][0][0], seen["L2"][0][0])  # which shows the noise, too
    assert not torch.equal(seen["L1"][1][0], seen["L2"][1][0])  # they have learnt something else by then
    first, second, other = (bench.train(f"still {i}", _still, seed=seed) for i, seed in enumerate((3, 3, 4)))
    assert all(torch.equal(*pair) for pair in zip(first.parameters(), second.parameters(), strict=True))
    assert not all(torch.equal(*pair) for pair in zip(first.parameters(), other.parameters(), strict=True))


def _still(prediction, target):
    """Moves no weight."""
    return (prediction * 0).sum()


@pytest.mark.parametrize("task", ["DENOISING", "SISR"])
def test_untrained_networks_leave_the_picture_as_fair_as_it_was(example, task):
    task, x = getattr(example, task), torch.rand(1, 3, 12, 12)
    torch.testing.assert_close(task.network()(x), task.untrained(x))


def test_what_is_done_is_not_done_again(example, given, tmp_path):
    bench = example.Bench(example.SISR, _options(given, tmp_path))
    model = bench.train("L1", nn.L1Loss(), seed=0)

    def never(prediction, target):
        raise AssertionError("trained again")

    again = bench.train("L1", never, seed=0)
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])


def test_no_picture_is_trained_and_tested_on(example):
    tested = [pixels.tobytes() for pixels in example.test_pictures().values()]
    assert not {pixels.tobytes() for pixels in example.training_pictures(None)} & set(tested)
    assert len(set(tested)) == len(tested)


def test_the_table_holds_means_and_half_the_range(example, given, tmp_path):
    bench = example.Bench(example.DENOISING, _options(given, tmp_path))
    low = bench.judge(lambda x: x)
    high = bench.judge(lambda x: (x + 0.1).clamp(0, 1))
    row = example.table({"any": [low, high]}).splitlines()[1].split()
    mean, apart = (low.psnr + high.psnr) / 2, abs(low.psnr - high.psnr) / 2
    assert row[:4] == ["any", f"{mean:.4f}", "±", f"{apart:.4f}"]
    assert low.metrics == ("psnr", "ssim", "MS-SSIM", "MDF")
    assert low.lower_is_better == ("MDF",)
