"""What ships is there, small, described, and does what its loss is for."""

import math
from itertools import pairwise

import pytest
import skimage.data
import torch
from torch.nn import functional as F

from restorekit.degrade import at_psnr
from restorekit.image import to_tensor
from restorekit.losses import MDFLoss
from restorekit.models import load_discriminators
from restorekit.weights import shipped

TASKS = ("sisr", "denoising", "jpeg")
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
    with pytest.raises(ValueError, match=r"name must be one of mdf_denoising, mdf_jpeg, mdf_sisr, got 'mdf_blur'"):
        shipped("mdf_blur")
    with pytest.raises(ValueError, match=r"got '\.\./weights/x'"):
        shipped("../weights/x")
    with pytest.raises(TypeError, match="name must be a string, got NoneType"):
        shipped(None)


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
