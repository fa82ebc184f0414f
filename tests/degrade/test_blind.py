import math
import pickle

import pytest
import torch
from scipy.stats import chisquare, kstest

from restorekit.degrade import Chain, Distortion, blind_degradation, replay


def seed(number):
    return torch.Generator().manual_seed(number)


def pictures(n=2, channels=3, height=32, width=48):
    return torch.rand(n, channels, height, width, generator=seed(0))


@pytest.fixture(scope="module")
def drawn():
    """What would be done to many pictures."""
    return blind_degradation(4)._programs(3000, (256, 384), seed(0))


BLURS = {"gaussian_blur", "generalized_blur", "sinc_blur"}


@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize("channels", [1, 3])
def test_size_and_range(scale, channels):
    x = pictures(4, channels)
    lq, recipe = blind_degradation(scale)(x, generator=seed(1), return_recipe=True)
    assert lq.shape == (4, channels, 32 // scale, 48 // scale)
    assert lq.min() >= 0
    assert lq.max() <= 1
    assert torch.equal(replay(x, recipe), lq)


def test_order_of_the_stages(drawn):
    late_sinc = 0
    for steps in drawn:
        names = [step["type"] for step in steps]
        stages = [name for name in names if name not in BLURS]
        noises = ("gaussian_noise", "poisson_noise")
        assert names[0] in BLURS
        assert stages[0] == "resample"
        assert stages[1] in noises
        assert stages[2:4] == ["jpeg", "resample"]
        assert stages[4] in noises
        assert stages[5:] in (["resample", "jpeg"], ["jpeg", "resample"])
        late_sinc += stages[-1] == "resample"
        last = [step for step in steps if step["type"] == "resample"][-1]
        assert last["options"]["size"] == [64, 96]
    assert chisquare([late_sinc, len(drawn) - late_sinc]).pvalue > 0.001


def test_first_blur(drawn):
    """The published shares: round, stretched, generalized (2), plateau (2), sinc with small and large kernels."""
    expected = [0.405, 0.225, 0.108, 0.027, 0.108, 0.027, 0.0375, 0.0625]
    counts = [0] * 8
    for steps in drawn:
        first, options = steps[0], steps[0]["options"]
        size = options["kernel_size"]
        assert 7 <= size <= 21
        assert size % 2 == 1
        if first["type"] == "sinc_blur":
            assert first["level"] >= math.pi / (3 if size < 13 else 5)
            counts[6 if size < 13 else 7] += 1
            continue
        stretched = isinstance(first["level"], list)
        assert ("angle" in options) == stretched
        assert all(0.2 <= width <= 3 for width in (first["level"] if stretched else [first["level"]]))
        kind = 0 if first["type"] == "gaussian_blur" else 4 if "plateau" in options else 2
        low, high = (1, 2) if kind == 4 else (0.5, 4)
        assert kind == 0 or low <= options["beta"] <= high
        counts[kind + stretched] += 1
    assert chisquare(counts, [share * len(drawn) for share in expected]).pvalue > 0.001


def test_shape_is_below_and_above_one_equally_often(drawn):
    betas = [steps[0]["options"]["beta"] for steps in drawn if steps[0]["type"] == "generalized_blur"
             and "plateau" not in steps[0]["options"]]  # fmt: skip
    below = [beta for beta in betas if beta < 1]
    assert chisquare([len(below), len(betas) - len(below)]).pvalue > 0.001
    assert kstest(below, "uniform", (0.5, 0.5)).pvalue > 0.001


def test_resizing(drawn):
    """Shares of up, down and not, and factors; whole pixels are undone by a tolerance."""
    for number, shares, low, high, reference in (
        (0, [0.2, 0.7, 0.1], 0.15, 1.5, 384),
        (1, [0.3, 0.4, 0.3], 0.3, 1.2, 96),
    ):
        factors = []
        for steps in drawn:
            step = [one for one in steps if one["type"] == "resample"][number]
            factors.append(step["options"]["size"][1] / reference)
        kept = sum(factor == 1 for factor in factors)
        up = sum(factor > 1 for factor in factors)
        # A factor just above 1 is rounded down to 1: its share moves from "up" to "not".
        moved = shares[0] / (high - 1) / reference
        expected = [shares[0] - moved, shares[1], shares[2] + moved]
        counts = [up, len(factors) - kept - up, kept]
        assert chisquare(counts, [share * len(factors) for share in expected]).pvalue > 0.001
        assert low - 0.02 < min(factors)
        assert max(factors) <= high


def test_level_of_a_resampling_is_its_factor(drawn):
    step = next(one for one in drawn[0] if one["type"] == "resample")
    height, width = step["options"]["size"]
    assert step["level"] == pytest.approx(math.sqrt(height * width / (256 * 384)))


def test_noise(drawn):
    for number, sigma, scale in ((0, 30, 3.0), (1, 25, 2.5)):
        steps = [[s for s in program if s["type"].endswith("_noise")][number] for program in drawn]
        gauss = [step["level"] * 255 for step in steps if step["type"] == "gaussian_noise"]
        poisson = [16 / math.sqrt(step["level"]) for step in steps if step["type"] == "poisson_noise"]
        assert chisquare([len(gauss), len(poisson)]).pvalue > 0.001
        assert kstest(gauss, "uniform", (1, sigma - 1)).pvalue > 0.001
        assert kstest(poisson, "uniform", (0.05, scale - 0.05)).pvalue > 0.001
        grey = sum(step["options"]["grey"] for step in steps)
        assert chisquare([grey, len(steps) - grey], [0.4 * len(steps), 0.6 * len(steps)]).pvalue > 0.001


def test_second_blur_and_last_sinc(drawn):
    second, last = 0, 0
    for steps in drawn:
        names = [step["type"] for step in steps]
        after_jpeg = names.index("jpeg") + 1
        if names[after_jpeg] in BLURS:
            second += 1
            level = steps[after_jpeg]["level"]
            assert names[after_jpeg] == "sinc_blur" or max(level if isinstance(level, list) else [level]) <= 1.5
        place = len(names) - 1 - names[::-1].index("resample")
        if names[place + 1 : place + 2] == ["sinc_blur"]:
            last += 1
            assert steps[place + 1]["level"] >= math.pi / 3
    for count in (second, last):
        total = len(drawn)
        assert chisquare([count, total - count], [0.8 * total, 0.2 * total]).pvalue > 0.001


def test_qualities(drawn):
    qualities = [step["level"] for steps in drawn for step in steps if step["type"] == "jpeg"]
    assert all(isinstance(quality, int) for quality in qualities)
    assert min(qualities) == 30
    assert max(qualities) == 95


def test_as_a_part_of_a_composition():
    whole = Chain(Distortion("downscale", 2), blind_degradation(4))
    assert whole(pictures()).shape[-2:] == (4, 6)
    again = pickle.loads(pickle.dumps(whole))
    assert torch.equal(again(pictures(), generator=seed(1)), whole(pictures(), generator=seed(1)))
    assert repr(blind_degradation(2)) == "blind_degradation(2)"
    assert blind_degradation().types == (
        "gaussian_blur", "gaussian_noise", "generalized_blur", "jpeg", "poisson_noise", "resample", "sinc_blur",
    )  # fmt: skip


def test_large_scales():
    x = pictures(1, 3, 64, 128)
    for number in range(8):  # a first stage that enlarges, then a second to a 200th
        lq, recipe = blind_degradation(64)(x, generator=seed(number), return_recipe=True)
        assert lq.shape[-2:] == (1, 2)
        assert torch.equal(replay(x, recipe), lq)


def test_bad_arguments():
    with pytest.raises(ValueError, match="scale must be at least 1"):
        blind_degradation(0)
    with pytest.raises(TypeError, match="integer"):
        blind_degradation(2.5)
    with pytest.raises(ValueError, match=r"both sides must be multiples of 4, got \(30, 48\); crop"):
        blind_degradation(4)(pictures(1, 3, 30, 48))
