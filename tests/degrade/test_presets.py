import json
import pickle
from collections import Counter

import pytest
import torch
from scipy.stats import chisquare, kstest

from restorekit._random import seeded
from restorekit.degrade import contrast, f_noise, flickr_distortion, mixed_distortion, replay, shdd, sr_blur, sr_dn
from restorekit.degrade._law import Draw
from restorekit.degrade.presets import _triples
from restorekit.image import filter2d, gaussian_kernel2d, resize

QUALITY = [100, 80, 60, 50, 40, 35, 30, 25, 20, 15, 10]
FLICKR = {
    "gaussian_noise": [0.0125, 0.025, 0.05],
    "gaussian_blur": [1.5, 3, 6],
    "salt_and_pepper": [0.0125, 0.025, 0.05],
    "quantize": [16, 8, 4],
    "jpeg": [20, 10, 5],
    "low_pass": [0.3, 0.1, 0.03],
    "nlm_denoise": [0.04, 0.06, 0.08],
    "f_noise": [2.5, 5, 10],
}
GROUPS = [("mild", 163, 9, 11), ("moderate", 434, 12, 17), ("severe", 163, 18, 20)]


def seed(number):
    return torch.Generator().manual_seed(number)


def pictures(n=2, channels=3, height=32, width=48):
    return torch.rand(n, channels, height, width, generator=seed(0))


def programs(composition, count, size=(300, 300)):
    """What would be done to many pictures."""
    return composition._programs(count, size, seed(0))


@pytest.mark.parametrize(("group", "count", "low", "high"), GROUPS)
def test_triples_are_uniform_over_the_published_window(group, count, low, high):
    triples = _triples(group)
    assert len(set(triples)) == count
    assert all(low <= sum(triple) - 2 <= high for triple in triples)
    draw = Draw((8, 8), seed(0))
    drawn = Counter(mixed_distortion(group)._draw_triple(draw) for _ in range(20 * count))
    assert set(drawn) <= set(triples)
    assert chisquare([drawn[triple] for triple in triples]).pvalue > 0.001


@pytest.mark.parametrize("group", ["mild", "moderate", "severe"])
def test_strengths_are_uniform_inside_their_levels(group):
    mixed = mixed_distortion(group)
    places = []
    for i in range(400):
        a, b, c = mixed._draw_triple(Draw((8, 8), seeded(i)))
        blur, noise, jpeg = mixed._draw(Draw((8, 8), seeded(i)))
        assert [blur["type"], noise["type"], jpeg["type"]] == ["gaussian_blur", "gaussian_noise", "jpeg"]
        assert blur["options"] == {"kernel_size": 21, "border": "replicate"}
        assert QUALITY[c] <= jpeg["level"] <= QUALITY[c - 1]
        assert isinstance(jpeg["level"], int)
        places += [blur["level"] / 0.5 - (a - 1), noise["level"] * 255 / 5 - (b - 1)]
    assert kstest(places, "uniform").pvalue > 0.001


def test_mixed_distortion_runs():
    mixed = mixed_distortion("severe")
    x = pictures()
    assert mixed(x).shape == x.shape
    assert mixed.types == ("gaussian_blur", "gaussian_noise", "jpeg")
    assert repr(pickle.loads(pickle.dumps(mixed))) == "mixed_distortion('severe')"


def test_sr_dn():
    x = torch.full((1, 3, 48, 48), 0.5)
    lq, recipe = sr_dn()(x, generator=seed(0), return_recipe=True)
    assert lq.shape == (1, 3, 16, 16)
    assert (lq - 0.5).std().item() == pytest.approx(30 / 255, rel=0.1)
    assert [(step["type"], step["level"]) for step in recipe["pictures"][0]["steps"]] == [
        ("downscale", 3),
        ("gaussian_noise", 30 / 255),
    ]


def test_sr_blur():
    x = pictures(1, 3, 48, 48)
    blurred = filter2d(x, gaussian_kernel2d(7, 1.6), border="replicate")
    torch.testing.assert_close(sr_blur()(x), resize(blurred, 1 / 3).clamp(0, 1), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("difficulty", "blocks"), [("easy", 2), ("moderate", 3), ("difficult", 4)])
def test_shdd(difficulty, blocks):
    ranges = {"gaussian_noise": (0.005, 0.02), "gaussian_blur": (1, 2.5), "f_noise": (6, 10), "contrast": (25, 40)}
    counts, levels = Counter(), {name: [] for name in ranges}
    for (step,) in programs(shdd(difficulty), 900):
        assert step["type"] == "regions"
        assert len(step["regions"]) == blocks
        for region in step["regions"]:
            names = [one["type"] for one in region["steps"]]
            counts[names[0] if names else "identity"] += 1
            for one in region["steps"]:
                levels[one["type"]].append(one["level"])
                assert round(one["level"], 3) == one["level"]
                assert one.get("options") == ({"variance": True} if one["type"] == "gaussian_noise" else None)
    assert set(counts) == {*ranges, "identity"}
    assert chisquare(list(counts.values())).pvalue > 0.001
    for name, (low, high) in ranges.items():
        if name == "gaussian_noise":  # 16 values are left after rounding, those at the ends half as often
            assert set(levels[name]) == {i / 1000 for i in range(5, 21)}
        else:
            assert kstest(levels[name], "uniform", (low, high - low)).pvalue > 0.001


def test_cuts_of_shdd():
    assert len(programs(shdd(cuts=1), 1)[0][0]["regions"]) == 2
    assert len(programs(shdd("easy", cuts=4), 1)[0][0]["regions"]) == 5
    assert shdd().types == ("contrast", "f_noise", "gaussian_blur", "gaussian_noise")


@pytest.mark.parametrize("make", [shdd, flickr_distortion])
def test_a_crop_may_look_like_the_whole_picture(make):
    crop = torch.full((1, 3, 64, 64), 0.5)
    for size, sigma in ((None, None), ((1356, 2040), 4.9 / 255 / 8)):
        clouds = [part for part in _leaves(make(reference_size=size)) if part.types == ("f_noise",)]
        assert len(clouds) == 1
        lq, recipe = clouds[0](crop, generator=seed(0), return_recipe=True)
        (step,) = recipe["pictures"][0]["steps"]
        expected = f_noise(crop, step["level"], reference_size=size, generator=seeded(step["seed"]))
        assert torch.equal(lq, expected)
        assert torch.equal(replay(crop, json.loads(json.dumps(recipe))), lq)
        if sigma is not None:
            assert (lq - crop).std() == pytest.approx(step["level"] * sigma, rel=0.05)
    with pytest.raises(ValueError, match="reference_size"):
        make(reference_size=0)
    with pytest.raises(TypeError, match="reference_size"):
        make(reference_size="large")


def _leaves(composition):
    return [leaf for part in composition._parts() for leaf in _leaves(part)] or [composition]


def test_contrast_of_shdd_is_the_level_reading():
    x = pictures(1)
    lq, recipe = shdd()(x, generator=seed(0), return_recipe=True)
    for number in range(1, 40):
        if any(region["steps"][:1] and region["steps"][0]["type"] == "contrast" for region in regions(recipe)):
            break
        lq, recipe = shdd()(x, generator=seed(number), return_recipe=True)
    (found,) = [r for r in regions(recipe) if r["steps"] and r["steps"][0]["type"] == "contrast"][:1]
    top, left, bottom, right = found["box"]
    expected = contrast(x, found["steps"][0]["level"], reading="level")
    assert torch.equal(lq[..., top:bottom, left:right], expected[..., top:bottom, left:right])


def regions(recipe):
    return recipe["pictures"][0]["steps"][0]["regions"]


def test_flickr_classification():
    counts = Counter()
    for (step,) in programs(flickr_distortion(), 4800):
        counts[step["type"], step["level"]] += 1
        assert step.get("options") == ({"variance": True} if step["type"] == "gaussian_noise" else None)
    assert set(counts) == {(name, level) for name, levels in FLICKR.items() for level in levels}
    assert chisquare(list(counts.values())).pvalue > 0.001


@pytest.mark.parametrize(("task", "count", "side"), [("basic", (1, 4), (0.3, 0.7)), ("difficult", (5, 9), (0.1, 0.3))])
def test_flickr_detection(task, count, side):
    numbers, types, levels = Counter(), Counter(), {name: [] for name in FLICKR}
    for (step,) in programs(flickr_distortion(f"detection-{task}"), 800):
        numbers[len(step["regions"])] += 1
        taken = torch.zeros(300, 300)
        for region in step["regions"]:
            top, left, bottom, right = region["box"]
            assert all(side[0] * 300 - 1 <= one <= side[1] * 300 + 1 for one in (bottom - top, right - left))
            taken[top:bottom, left:right] += 1
            (one,) = region["steps"]
            types[one["type"]] += 1
            levels[one["type"]].append(one["level"])
        assert taken.max() == 1
    assert set(numbers) == set(range(count[0], count[1] + 1))
    assert chisquare(list(numbers.values())).pvalue > 0.001
    assert chisquare([types[name] for name in FLICKR]).pvalue > 0.001
    for name, drawn in levels.items():
        low, high = min(FLICKR[name]), max(FLICKR[name])
        if name in {"jpeg", "quantize"}:
            whole = range(low, high + 1)
            assert set(drawn) <= set(whole)
            assert chisquare([drawn.count(level) for level in whole]).pvalue > 0.001  # the ends as often as the others
        else:
            assert kstest(drawn, "uniform", (low, high - low)).pvalue > 0.001


@pytest.mark.parametrize("task", ["classification", "detection-basic", "detection-difficult"])
def test_flickr_runs(task):
    composition = flickr_distortion(task)
    x = pictures(1, 3, 40, 40)
    assert composition(x).shape == x.shape
    assert set(composition.types) == set(FLICKR)


def test_grey_pictures():
    x = pictures(2, 1)
    for composition in (mixed_distortion(), shdd("difficult"), sr_dn(2), sr_blur(2)):
        assert composition(x).shape[:2] == (2, 1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mixed_distortion("hard"), "group must be one of mild, moderate, severe, got 'hard'"),
        (lambda: shdd("hard"), "difficulty must be one of easy, moderate, difficult"),
        (lambda: shdd(cuts=0), "cuts must be at least 1"),
        (lambda: flickr_distortion("detection"), "task must be one of classification, detection-basic"),
        (lambda: sr_dn(0), "scale must be at least 1"),
        (lambda: sr_dn(sigma=30), r"\[0, 1\]"),
        (lambda: sr_blur(sigma=-1), "gaussian_blur"),
        (lambda: sr_blur(kernel_size=6), "odd"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_pictures_that_are_too_small():
    with pytest.raises(ValueError, match="4 blocks do not fit a side of 2 px"):
        shdd("difficult")(pictures(1, 3, 2, 2))
