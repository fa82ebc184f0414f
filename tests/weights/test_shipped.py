"""What ships is there, small, described, and does what its loss is for."""

import hashlib
import math
import shutil
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import skimage.data
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

import restorekit
from restorekit.degrade import at_psnr
from restorekit.image import to_tensor
from restorekit.losses import MDFLoss
from restorekit.models import carn_m, create_model, list_tasks, load_checkpoint, load_default, load_discriminators
from restorekit.weights import list_shipped, shipped

TASKS = ("sisr", "denoising", "jpeg")
FOLDER = Path(restorekit.weights.__file__).parent
CROPS = {
    "chelsea": (slice(78, 206), slice(150, 278)),
    "astronaut": (slice(0, 128), slice(160, 288)),
    "rocket": (slice(150, 278), slice(256, 384)),
}


def photograph(name, side=128):
    """The middle of a crop (1, 3, side, side) of a photograph that no discriminator was trained on."""
    inside = slice((128 - side) // 2, (128 + side) // 2)
    return to_tensor(getattr(skimage.data, name)()[CROPS[name]][inside, inside].copy()).reshape(1, 3, side, side)


def test_unknown_names_are_answered_with_the_known_ones():
    with pytest.raises(ValueError, match=r"name must be one of carn, .*mdf_denoising, mdf_jpeg, .*, got 'mdf_blur'"):
        shipped("mdf_blur")
    with pytest.raises(ValueError, match=r"got '\.\./weights/x'"):
        shipped("../weights/x")
    with pytest.raises(TypeError, match="name must be a string, got NoneType"):
        shipped(None)


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A copy of all that ships, to damage."""
    folder = tmp_path / "weights"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    monkeypatch.setattr(sys.modules[shipped.__module__], "_FOLDER", folder)
    return folder


@given(data=st.data())
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_one_wrong_bit_is_told_from_the_published_file(copied, data):
    path = copied / "mepsnet.safetensors"
    whole = path.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << data.draw(st.integers(0, 7))]) + whole[place + 1 :])
    try:
        with pytest.raises(ValueError, match=r"mepsnet\.safetensors is damaged: its SHA-256 is \w{64}, that of the"):
            shipped("mepsnet")
        with pytest.raises(ValueError, match="is damaged"):
            load_default("mixed-distortions")
    finally:
        path.write_bytes(whole)
    assert shipped("mepsnet") == path


@pytest.mark.parametrize("keep", [0, 1, 1000])
def test_a_truncated_file_is_damaged(copied, keep):
    path = copied / "carn_m.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"carn_m\.safetensors is damaged.*install restorekit again"):
        carn_m((2, 3, 4), weights="default")


def test_a_file_that_nobody_published(copied):
    shutil.copy(copied / "carn_m.safetensors", copied / "mine.safetensors")
    with pytest.raises(ValueError, match=r"mine\.safetensors is damaged: .*published is not known"):
        shipped("mine")


def test_the_list_of_hashes_may_be_written_by_any_tool_but_must_be_there(copied):
    sums = copied / "SHA256SUMS"
    digest = {line.split()[1]: line.split()[0] for line in sums.read_text().splitlines()}["carn_m.safetensors"]
    for text in (f"\n{digest.upper()} *carn_m.safetensors\n\n", f"{digest}  carn_m.safetensors\r\n"):
        sums.write_bytes(text.encode())
        assert shipped("carn_m") == copied / "carn_m.safetensors"
    sums.unlink()
    with pytest.raises(ValueError, match=r"published is not known; install restorekit again"):
        shipped("carn_m")


def test_the_list_is_true():
    """Each row builds a network of its name and task; nothing lies there unlisted, or without sum and card."""
    for row in list_shipped():
        net = load_checkpoint(shipped(row.name))
        assert net.scales == row.scales
        assert row.task in list_tasks(row.model)
        assert isinstance(net, type(create_model(row.model)))
        assert not any(value.isnan().any() for value in net.state_dict().values())
    files = {path.stem for path in FOLDER.glob("*.safetensors")}
    assert files == {row.name for row in list_shipped()} | {f"mdf_{task}" for task in TASKS}
    assert files == {path.stem for path in FOLDER.glob("*.md")}
    published = [line.split("  ") for line in (FOLDER / "SHA256SUMS").read_text(encoding="utf-8").splitlines()]
    assert [name for _, name in published] == [f"{name}.safetensors" for name in sorted(files)]
    for digest, name in published:
        assert digest == hashlib.sha256((FOLDER / name).read_bytes()).hexdigest()


def test_a_task_narrows_the_list():
    assert {row.task for row in list_shipped("denoising")} == {"denoising"}
    assert list_shipped("dancing") == ()


def test_all_of_it_stays_small():
    assert sum(path.stat().st_size for path in FOLDER.iterdir() if path.is_file()) < 21e6


@pytest.mark.parametrize("task", TASKS)
def test_discriminators_have_the_published_widths_a_small_file_and_a_card(task):
    path = shipped(f"mdf_{task}")
    assert path.stat().st_size < 1.2e6
    widths = [one.head.conv.out_channels for one in load_discriminators(path)]
    assert widths == [32] * 4 + [64] * 4
    card = path.with_suffix(".md").read_text(encoding="utf-8")
    for told in ("seed picture", "distortion", "iterations", "| seed |", "machine", "time", "command"):
        assert told in card
    assert f"--task {task}" in card


def descend(loss, target, steps=25):
    """PSNR before and after each step of Adam, at learning rate 0.1, on the pixels of a picture of noise."""
    x = torch.rand(target.shape, generator=torch.Generator().manual_seed(0)).requires_grad_()
    optimizer, features, curve = torch.optim.Adam([x], lr=0.1), loss.features(target), []
    for _ in range(steps):
        curve.append(-10 * math.log10(F.mse_loss(x.detach(), target).item()))
        optimizer.zero_grad()
        loss(x, features).backward()
        optimizer.step()
    return [*curve, -10 * math.log10(F.mse_loss(x.detach(), target).item())]


def falls(curve):
    return sum(later <= earlier for earlier, later in pairwise(curve))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", ["chelsea", "rocket"])
def test_noise_becomes_a_photograph_step_by_step(task, name):
    curve = descend(MDFLoss.from_pretrained(task), photograph(name, 48))
    assert falls(curve) == 0
    assert curve[-1] - curve[0] > 5


@pytest.mark.parametrize("task", TASKS)
def test_where_adam_overshoots_it_comes_back(task):
    """After a few equal steps of 0.1, momentum carries pixels too far; with the squared error, more often."""
    target = photograph("astronaut", 48)
    curve = descend(MDFLoss.from_pretrained(task), target)
    assert falls(curve) < falls(descend(SquaredError(), target))
    assert curve[-1] - curve[0] > 5


class SquaredError(torch.nn.MSELoss):
    def features(self, target):
        return target


@pytest.mark.parametrize("task", TASKS[:2])
@pytest.mark.parametrize("name", CROPS)
@pytest.mark.parametrize("level", [30, 40])
def test_distortions_of_equal_psnr_are_ranked_by_the_task(task, name, level):
    """Blur first for super-resolution, blur or noise first for denoising."""
    x, loss = photograph(name, 96), MDFLoss.from_pretrained(task)
    families = ("blur", "noise", "grating", "contrast", "brightness")
    losses = {
        family: loss(at_psnr(family, x, level, generator=torch.Generator().manual_seed(0)), x).item()
        for family in families
    }
    order = sorted(losses, key=losses.get, reverse=True)
    assert order[0] in ({"blur"} if task == "sisr" else {"blur", "noise"})
