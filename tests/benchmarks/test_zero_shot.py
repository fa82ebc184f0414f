"""ZSSR beside a network that was trained before: what is counted, and that the script runs through."""

import dataclasses
import json

import pytest
import torch
import zero_shot as script
from PIL import Image

from restorekit.models import zssr
from restorekit.train import ZERO_SHOT_SETTINGS, ZeroShotResult, ZeroShotSettings

PIXEL = 224_640  # multiply-adds of ZSSR's network for each pixel


def _result(steps, tests):
    return ZeroShotResult(torch.zeros(1), zssr(1), [(0.0,) * n for n in steps], [(0.0,) * n for n in tests])


def test_arithmetic_of_one_factor():
    found = script.arithmetic(_result([100], [2]), ZeroShotSettings(), 4, (10, 20))
    assert found.training == 3 * 100 * PIXEL * 128**2
    assert found.measuring == 2 * PIXEL * 200
    assert found.enlarging == 8 * PIXEL * 3200
    assert found.total == found.training + found.measuring + found.enlarging


def test_arithmetic_of_several_factors():
    settings = ZeroShotSettings(gradual=((1.0, 1.5), 2.0), base_changes=(2.0,), crop_size=10)
    found = script.arithmetic(_result([1, 2, 3], [1, 1, 2]), settings, 4, (10, 20))
    assert found.training == 3 * 6 * PIXEL * 100
    assert found.measuring == PIXEL * (200 + 200 + 2 * 800)
    assert found.enlarging == PIXEL * (4 * 300 + 8 * 800 + 8 * 3200)
    alone = dataclasses.replace(settings, ensemble=False)
    assert script.arithmetic(_result([1, 2, 3], [1, 1, 2]), alone, 4, (10, 20)).enlarging == PIXEL * (300 + 800 + 3200)


@pytest.fixture
def small(monkeypatch):
    """Settings that take no time."""
    settings = ZeroShotSettings(crop_size=8, back_projections=1)
    monkeypatch.setattr(script, "ZERO_SHOT_SETTINGS", {**ZERO_SHOT_SETTINGS, "doubling": settings})


@pytest.mark.usefixtures("small")
def test_the_script_compares_and_draws(tmp_path, capsys):
    numbers, strip = tmp_path / "numbers.json", tmp_path / "strip.png"
    script.main(["--quick", "--steps", "1", "--threads", "1", "--json", str(numbers), "--strip", str(strip)])
    tables = {one["table"]: {way["name"]: way["median"] for way in one["ways"]}
              for one in json.loads(numbers.read_text())["measurements"]}  # fmt: skip
    assert list(tables) == ["PSNR, sr-y", "SSIM, sr-y", "Time", "Multiply-adds"]
    assert all({script.ZSSR, script.FEED_FORWARD} <= set(values) for values in tables.values())
    assert tables["Multiply-adds"][script.FEED_FORWARD] == pytest.approx(90.87 * 48 * 64 / (1280 * 720), rel=1e-3)
    assert 10 < tables["PSNR, sr-y"]["bicubic"] < 50
    assert "fresh weights" in capsys.readouterr().out
    with Image.open(strip) as picture:
        assert picture.size == (1680, 420)
