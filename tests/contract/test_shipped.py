"""The networks that ship do what they ship for, on photographs that no training saw."""

import pytest
import skimage.data
import torch
from safetensors import safe_open

from restorekit.degrade import gaussian_noise, jpeg, shdd
from restorekit.image import resize, to_tensor
from restorekit.inference import restore
from restorekit.metrics import psnr
from restorekit.models import load_checkpoint, load_default
from restorekit.weights import list_shipped, shipped

PHOTOGRAPHS = {
    "chelsea": skimage.data.chelsea()[60:180, 130:274],
    "astronaut": skimage.data.astronaut()[20:140, 150:294],
    "coffee": skimage.data.coffee()[140:260, 200:344],
}
ENLARGING = [row for row in list_shipped() if row.task == "super-resolution"]


def photograph(name):
    return to_tensor(PHOTOGRAPHS[name].copy())


def gain(after, before, truth, border=4, *, y_channel=False):
    """How many dB a picture is nearer to the truth than another."""
    near, far = (psnr(x.clamp(0, 1), truth, crop_border=border, y_channel=y_channel) for x in (after, before))
    return (near - far).item()


def drawn(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.parametrize(("row", "scale"), [(row, scale) for row in ENLARGING for scale in row.scales])
def test_enlarging_beats_bicubic(row, scale, name):
    truth, net = photograph(name), load_checkpoint(shipped(row.name))
    small = resize(truth, 1 / scale).clamp(0, 1)
    assert gain(restore(net, small, scale=scale), resize(small, scale), truth, y_channel=True) > 0.5


@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.parametrize(("sigma", "least"), [(5, 0.5), (15, 4.5), (25, 6.5), (50, 9)])
def test_noise_of_any_strength_goes(name, sigma, least):
    """The network is not told the strength."""
    truth = photograph(name)
    noisy = gaussian_noise(truth, sigma / 255, generator=drawn())
    assert gain(restore(load_default("denoising"), noisy), noisy, truth) > least


@pytest.mark.parametrize("task", ["denoising", "jpeg-artifact-removal"])
@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_a_clean_photograph_stays_as_it_is(name, task):
    truth = photograph(name)
    assert psnr(restore(load_default(task), truth), truth).item() > 36


@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.parametrize(("quality", "least"), [(10, 0.7), (30, 0.4), (60, 0.2)])
@pytest.mark.parametrize("grey", [False, True])
def test_compression_is_undone_in_part(name, quality, least, grey):
    truth = photograph(name)
    truth = truth.mean(dim=1, keepdim=True).expand_as(truth) if grey else truth
    compressed = jpeg(truth, quality)
    assert gain(restore(load_default("jpeg-artifact-removal"), compressed), compressed, truth) > least


@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.parametrize("seed", [0, 1])
def test_mixed_distortions_go(name, seed):
    truth = photograph(name)
    damaged = shdd("moderate", reference_size=321)(truth, generator=drawn(seed))
    assert gain(restore(load_default("mixed-distortions"), damaged), damaged, truth, 0) > 2


@pytest.mark.parametrize("row", list_shipped(), ids=lambda row: row.name)
def test_files_are_in_one_precision_and_described(row):
    path = shipped(row.name)
    with safe_open(path, framework="pt") as file:
        kinds = {file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118
    card = path.with_suffix(".md").read_text(encoding="utf-8")
    assert kinds == ({"F16"} if "kept in | half precision" in card else {"F32"})
    for told in (
        "Berkeley Segmentation Data Set",
        "python -m weights.train",
        "Seed 0",
        "| learning rate |",
        "| hours |",
    ):
        assert told in card
