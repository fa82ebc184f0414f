"""Recipes as text: what they mean is what the library makes of the same words."""

import inspect

import pytest
import torch

from restorekit import degrade
from restorekit.cli.recipes import DISTORTIONS, PRESETS, listing, parse_recipe
from restorekit.degrade import Distortion
from restorekit.degrade._functions import FUNCTIONS

EXAMPLES = [f"{name}:{level.example}" for name, level in (PRESETS | DISTORTIONS).items()]


def same(text, composition):
    parsed, scale = parse_recipe(text)
    x = torch.rand(2, 3, 24, 24, generator=torch.Generator().manual_seed(1))
    first, second = (
        c(x, generator=torch.Generator().manual_seed(2), return_recipe=True) for c in (parsed, composition)
    )
    assert torch.equal(first[0], second[0])
    assert first[1] == second[1]
    return scale


def test_every_distortion_has_a_name_here():
    assert DISTORTIONS.keys() == FUNCTIONS.keys()
    functions = [getattr(degrade, name) for name in degrade.__all__ if inspect.isfunction(getattr(degrade, name))]
    made = {one.__name__ for one in functions if one.__annotations__["return"] is degrade.Composition}
    assert PRESETS.keys() == made


@pytest.mark.parametrize("text", EXAMPLES)
def test_every_example_works(text):
    composition, scale = parse_recipe(text)
    x = torch.rand(1, 3, 48, 48)
    assert composition(x).shape == (1, 3, 48 // scale, 48 // scale)
    assert text in listing()


@pytest.mark.parametrize(
    ("text", "composition", "scale"),
    [
        ("gaussian_noise:25", Distortion("gaussian_noise", 25 / 255), 1),
        ("gaussian_noise:0..50,grey=true", Distortion("gaussian_noise", (0.0, 50 / 255), options={"grey": True}), 1),
        ("jpeg:10..30", Distortion("jpeg", (10, 30), decimals=0), 1),
        ("jpeg:10,subsampling=4:4:4", Distortion("jpeg", 10, options={"subsampling": "4:4:4"}), 1),
        ("shdd", degrade.shdd(), 1),
        ("shdd:difficult", degrade.shdd("difficult"), 1),
        ("shdd:easy,cuts=3", degrade.shdd("easy", cuts=3), 1),
        ("sr_dn:2,sigma=30/255", degrade.sr_dn(2, sigma=30 / 255), 2),
        ("sr_blur", degrade.sr_blur(), 3),
        ("resample:0.5", Distortion("resample", 0.5), 2),
        (
            "gaussian_blur:1.6 + downscale:4 + jpeg:30",
            degrade.Chain(Distortion("gaussian_blur", 1.6), Distortion("downscale", 4), Distortion("jpeg", 30)),
            4,
        ),
        ("downscale:4+resample:2", degrade.Chain(Distortion("downscale", 4), Distortion("resample", 2)), 2),
    ],
)  # fmt: skip
def test_a_text_means_a_composition(text, composition, scale):
    assert same(text, composition) == scale


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is not of the form NAME"),
        ("jpeg:10+", "'' is not of the form NAME"),
        ("jpeg:", "'jpeg:' is not of the form NAME"),
        ("jpeg:10,", "'jpeg:10,' is not of the form NAME"),
        ("jpeg:10,a", "'jpeg:10,a' is not of the form NAME"),
        ("jpg:10", "unknown name 'jpg'; known are blind_degradation, .*sinusoidal_grating$"),
        ("jpeg", r"a level is missing \(quality, 1 to 100\), such as jpeg:10$"),
        ("jpeg:ten", "the level must be a number or LOW..HIGH, got 'ten'"),
        ("jpeg:nan", "the level must be a number or LOW..HIGH, got 'nan'"),
        ("jpeg:1..2..3", "the level must be a number or LOW..HIGH, got '1..2..3'"),
        ("jpeg:0", "jpeg"),
        ("jpeg:30..10", "low end of level"),
        ("jpeg:10,quality=3", "jpeg has no option 'quality'; it has subsampling"),
        ("jpeg:10,subsampling=4:4:4,subsampling=4:2:0", "gives an option twice"),
        ("gaussian_noise:300", "the level is sigma of 255, from 0 to 255, got 300"),
        ("gaussian_noise:25,variance=true", "leave variance out"),
        ("shdd:hard", "difficulty must be one of easy, moderate, difficult, got 'hard'"),
        ("shdd:easy,seed=3", "unexpected keyword argument 'seed'"),
        ("sr_dn:none", "scale must be an integer"),
        ("downscale:1.5", "makes pictures 1.5 times smaller, which must be a whole number"),
        ("resample:2", "makes pictures 0.5 times smaller, which must be a whole number"),
        ("downscale:2..4", "a size that is drawn would not fit its clean picture"),
    ],
)
def test_what_is_no_recipe(text, message):
    with pytest.raises(ValueError, match=rf"^--recipe.*{message}"):
        parse_recipe(text)
