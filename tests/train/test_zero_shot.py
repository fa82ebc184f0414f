"""ZSSR on one picture: each part against an independent computation, exact resume, signals, bad input."""

import dataclasses
import itertools
import math
import signal
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from restorekit._random import seeded
from restorekit.image import dihedral, dihedral_inverse, resize
from restorekit.models import carn_m, dncnn, vdsr, zssr
from restorekit.train import ZERO_SHOT_SETTINGS, ZeroShotSettings, zero_shot
from restorekit.train._zero_shot.enlarge import back_projected, enlarged, median
from restorekit.train._zero_shot.fathers import Draw, Fathers, cut, move, pick_source, rotation, warp
from restorekit.train._zero_shot.policy import SlopePolicy, fitted_slope
from restorekit.train._zero_shot.rescaling import Rescaling, centred
from restorekit.train._zero_shot.stage import stages

SMALL = ZeroShotSettings(crop_size=16, test_every=2, check_every=3, patience=8, back_projections=2)
GRADUAL = dataclasses.replace(SMALL, gradual=((1.0, 1.5),), back_projections=(1, 2))


def noise(*shape, seed=0, dtype=torch.float32):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def picture(height=18, width=23, channels=3, seed=0):
    return resize(noise(1, channels, 6, 7, seed=seed), size=(height, width)).clamp(0, 1)


def network(channels=3, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return zssr(1, in_channels=channels, channels=6, depth=3)


def run(image=None, **options):
    image = picture() if image is None else image
    options = {"settings": SMALL, "steps": 5, "progress": False, **options}
    return zero_shot(image, **{"model": network(image.shape[1]), **options})


def bicubic_taps(factor):
    """The antialiased cubic kernel that shrinks by an even factor, sampled."""
    d = np.abs((np.arange(4 * factor) - (4 * factor - 1) / 2) / factor)
    taps = np.where(d <= 1, 1.5 * d**3 - 2.5 * d**2 + 1, -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2)
    return torch.from_numpy(np.outer(taps, taps) / taps.sum() ** 2)


# --- settings ---


def test_published_variants():
    default, gradual, kernel, real = (ZERO_SHOT_SETTINGS[name] for name in ("default", "gradual", "kernel", "real"))
    assert default.steps_to(2) == ((2, 2),)
    assert gradual.steps_to(2) == ((1, 1.5), (1.5, 1), (1.5, 1.5), (1.5, 2), (2, 1.5), (2, 2))
    projections = [one.projections(2) for one in (default, gradual, kernel, real)]
    assert projections == [(10,), (6, 6, 8, 10, 10, 12), (2,), (0,)]
    assert [one.ensemble for one in (default, gradual, kernel, real)] == [True, True, False, False]
    assert [one.turn for one in (default, gradual, kernel, real)] == [True, True, False, False]
    assert [one.noise for one in (default, gradual, kernel, real)] == [0, 0, 0, 0.0125]
    warps = [(one.min_scale, one.scale_spread, one.shear_spread) for one in (default, gradual, kernel, real)]
    assert warps == [(0.5, 0.25, 0.1)] * 3 + [(0.75, 0, 0)]


def test_doubling_starts_again_from_its_result():
    first, second = stages(ZERO_SHOT_SETTINGS["doubling"], 4, None)
    assert (first.factors, first.base, first.rescaling.factors) == ((2, 2), (1, 1), (2, 2))
    assert (second.factors, second.base, second.rescaling.factors) == ((4, 4), (2, 2), (2, 2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"untouched": 0.6, "turned": 0.5}, "at most 1 together"),
        ({"turned": math.nan}, "turned must be in"),
        ({"min_scale": 0.0}, "min_scale must be in"),
        ({"noise": -0.1}, "noise must be in"),
        ({"crop_size": 0}, "crop_size must be at least 1"),
        ({"slope_tests": 2}, "slope_tests must be at least 3"),
        ({"patience": 100}, "hold 3 tests"),
        ({"back_projections": (1, -1)}, "back_projections must be at least 0"),
        ({"gradual": (1.5,), "base_changes": (2,)}, "base_changes must be among gradual"),
        ({"gradual": ((1.5, 2, 2),), "base_changes": ((1.5, 2, 2),)}, "a number or"),
        ({"gradual": (1.0,), "base_changes": (1.0,)}, "at least one axis"),
    ],
)
def test_settings_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        ZeroShotSettings(**options)


def test_settings_that_do_not_fit_the_scale():
    with pytest.raises(ValueError, match="factors from 1 to scale=2"):
        ZeroShotSettings(gradual=(3.0,)).steps_to(2)
    with pytest.raises(ValueError, match="each factor once, and not the scale 2"):
        ZERO_SHOT_SETTINGS["doubling"].steps_to(2)
    with pytest.raises(ValueError, match="does not enlarge"):
        ZeroShotSettings(gradual=((1.0, 1.5), (1.5, 1.0)), base_changes=((1.0, 1.5),)).bases(2)
    with pytest.raises(ValueError, match="one number or 2"):
        ZeroShotSettings(gradual=(1.5,), back_projections=(1, 2, 3)).projections(2)


# --- sons ---


@pytest.mark.parametrize("factors", [(2.0, 2.0), (1.0, 1.5), (3.0, 1.5)])
def test_a_kernel_correlates_and_picks_as_in_numpy(factors):
    kernel, x = noise(5, 4, seed=1, dtype=torch.float64), noise(1, 2, 17, 12)
    kernel = kernel / kernel.sum()
    rescaling = Rescaling(factors, centred(kernel, factors))
    out = rescaling.down(x)
    for plane, own in zip(x[0].numpy(), out[0].numpy(), strict=True):
        full = ndimage.correlate(plane, rescaling.kernel.numpy(), mode="reflect")
        sizes = [math.ceil(n / f) for n, f in zip(plane.shape, factors, strict=True)]
        rows, columns = (
            np.round(np.linspace(0, n - f, m)).astype(int) for n, f, m in zip(plane.shape, factors, sizes, strict=True)
        )
        np.testing.assert_allclose(own, full[np.ix_(rows, columns)], atol=1e-6)


@pytest.mark.parametrize("size", [(5, 5), (4, 7), (1, 1)])
@pytest.mark.parametrize("factors", [(2.0, 2.0), (3.0, 1.5)])
def test_the_mass_of_a_kernel_lies_on_the_first_output_pixel(size, factors):
    ramp = torch.arange(40.0).expand(1, 1, 40, 40) / 40
    kernel = noise(*size, seed=3)
    out = centred(kernel / kernel.sum(), factors)
    assert all(side % 2 for side in out.shape)
    assert out.sum().item() == pytest.approx(1, abs=1e-6)
    middle = [(side - 1) / 2 + (factor - 1) / 2 for side, factor in zip(out.shape, factors, strict=True)]
    np.testing.assert_allclose(ndimage.center_of_mass(out.double().numpy()), middle, atol=0.05)  # splines have tails
    rescaling = Rescaling((2.0, 2.0), centred(kernel / kernel.sum(), (2.0, 2.0)))
    inner = rescaling.down(ramp)[0, 0, 10, 6:14]  # a ramp stays where the picture's bicubic version has it
    torch.testing.assert_close(inner, resize(ramp, 1 / 2)[0, 0, 10, 6:14], atol=1e-3, rtol=0)


@pytest.mark.parametrize("factor", [2, 4])
def test_the_bicubic_kernel_makes_the_bicubic_son(factor):
    x, factors = noise(1, 3, 8 * factor, 9 * factor), (float(factor), float(factor))
    given_one = Rescaling(factors, centred(bicubic_taps(factor), factors))
    torch.testing.assert_close(given_one.down(x), Rescaling(factors).down(x), atol=1e-5, rtol=0)


@given(st.integers(1, 19), st.integers(1, 19), st.sampled_from([(2.0, 2.0), (1.0, 1.5), (3.0, 3.0)]), st.booleans())
def test_any_size_comes_back(height, width, factors, with_kernel):
    kernel = centred(torch.full((3, 3), 1 / 9), factors) if with_kernel else None
    x, rescaling = noise(1, 1, height, width), Rescaling(factors, kernel)
    small = rescaling.down(x)
    assert small.shape[-2:] == tuple(math.ceil(n / f) for n, f in zip((height, width), factors, strict=True))
    assert rescaling.up(small, (height, width)).shape == x.shape


def test_sons_are_clipped_and_noisy():
    x, rescaling = picture(), Rescaling((2.0, 2.0))
    assert torch.equal(rescaling.son(x, 0.0, seeded(0)), rescaling.down(x).clamp(0, 1))
    noisy = rescaling.son(torch.full((1, 3, 80, 80), 0.5), 0.05, seeded(0))
    assert noisy.std().item() == pytest.approx(0.05, rel=0.05)
    assert rescaling.son(x, 5.0, seeded(0)).aminmax() == (0, 1)


# --- fathers ---


def _cubic(t, a=-0.75):
    t = abs(t)
    if t <= 1:
        return (a + 2) * t**3 - (a + 3) * t**2 + 1
    return a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a if t < 2 else 0.0


def _sampled(plane, x, y):
    """The value between pixels, one tap at a time; black outside."""
    total = 0.0
    for row, column in itertools.product(range(math.floor(y) - 1, math.floor(y) + 3),
                                         range(math.floor(x) - 1, math.floor(x) + 3)):  # fmt: skip
        if 0 <= row < plane.shape[0] and 0 <= column < plane.shape[1]:
            total += plane[row, column] * _cubic(y - row) * _cubic(x - column)
    return total


def test_a_warp_is_the_cubic_kernel_at_each_point():
    x = noise(2, 9, 12)
    matrix = move(3, 5) @ rotation(math.cos(0.6), math.sin(0.6)) @ np.diag([-0.8, 1.1, 1]) @ move(-6, -4.5)
    out, back = warp(x, matrix, 8), np.linalg.inv(matrix)
    for channel, row, column in itertools.product(range(2), range(8), range(8)):
        source = back @ [column, row, 1]
        expected = _sampled(x[channel].numpy(), source[0], source[1])
        assert out[channel, row, column].item() == pytest.approx(expected, abs=2e-5)


def test_a_cut_is_a_warp_that_meets_whole_pixels():
    x = noise(3, 11, 14)
    for k, side in itertools.product(range(4), (1.0, -1.0)):
        turn = rotation((1, 0, -1, 0)[k], (0, 1, 0, -1)[k])
        matrix = move(7, 6) @ move(-2, -1) @ turn @ np.diag([side, 1, 1]) @ move(-7, -6)
        torch.testing.assert_close(cut(x, matrix, 10), warp(x, matrix, 10), atol=1e-5, rtol=0)


def _draw(**values):
    plain = {"kind": 0.0, "scale": 0.0, "shift": (0.0, 0.0), "angle": 0.0, "stretch": 0.0, "mirror": 1.0}
    return Draw(**{**plain, "shear": (0.0, 0.0), **values})


def test_an_untouched_crop_is_a_slice():
    x, settings = noise(3, 40, 31), dataclasses.replace(SMALL, crop_size=16)
    draw = _draw(shift=(0.5, 0.26), angle=0.9, mirror=-1.0)
    out = cut(x, draw.turned((40, 31), settings, still=True), 16)
    assert torch.equal(out, x[:, 6:22, 8:24])  # round(0.26 * 24), round(0.5 * 15)


def test_turned_crops_are_the_eight_turns():
    x, settings = noise(3, 17, 17), dataclasses.replace(SMALL, crop_size=17)
    found = []
    for quarter, mirror in itertools.product(range(4), (1.0, -1.0)):
        matrix = _draw(angle=quarter / 4 + 0.1, mirror=mirror).turned((17, 17), settings, still=False)
        out = cut(x, matrix, 17)[:, 1:, 1:]  # about pixel (8, 8), the middle of 17
        found += [k for k in range(8) if torch.equal(out, dihedral(x, k)[:, 1:, 1:])]
    assert sorted(found) == list(range(8))


def test_an_affine_map_is_the_published_product():
    settings = dataclasses.replace(SMALL, crop_size=16, scale_spread=0.25, shear_spread=0.1)
    draw = _draw(shift=(0.3, 0.7), angle=0.2, stretch=0.5, mirror=-1.0, shear=(0.4, -0.6))
    height, width, scale = 40, 30, 0.8
    a, c = 2 * math.pi * 0.2, np.cos
    to_centre = np.array([[1, 0, -15], [0, 1, -20], [0, 0, 1]])
    scaling = np.diag([-(0.8 + 0.125 / 2), 0.8 - 0.125 / 2, 1])
    turn = np.array([[c(a), np.sin(a), 0], [-np.sin(a), c(a), 0], [0, 0, 1]])
    shear = np.array([[1, 0.04, 0], [-0.06, 1, 0], [0, 0, 1]])
    shift = np.array([[1, 0, -0.3 * (0.8 * 30 - 16)], [0, 1, -0.7 * (0.8 * 40 - 16)], [0, 0, 1]])
    back = np.array([[1, 0, 15], [0, 1, 20], [0, 0, 1]])
    expected = back @ shift @ shear @ turn @ scaling @ to_centre
    np.testing.assert_allclose(draw.affine((height, width), scale, settings), expected, atol=1e-12)


def test_without_turns_nothing_turns():
    settings = dataclasses.replace(SMALL, turn=False, scale_spread=0.0, shear_spread=0.0)
    draw = _draw(angle=0.7, mirror=-1.0, stretch=1.0, shear=(1.0, 1.0))
    np.testing.assert_allclose(draw.affine((20, 30), 0.5, settings)[:2, :2], np.eye(2) / 2)
    np.testing.assert_allclose(draw.turned((20, 30), settings, still=False)[:2, :2], np.eye(2))


@pytest.mark.parametrize(
    ("scale", "expected"), [(0.5, 0), (1.0, 0), (1.0000001, 0), (1.2, 2), (1.5, 2), (1.7, 3), (2.0, 3)]
)
def test_the_smallest_source_that_is_large_enough(scale, expected):
    assert pick_source((1.0, 1.0, 1.5, 2.0), scale) == expected


def test_fathers_come_in_the_published_shares():
    settings = dataclasses.replace(SMALL, crop_size=8)
    x = noise(1, 20, 20)
    pairs = Fathers((x,), (1.0,), settings, Rescaling((2.0, 2.0)), 0, 0)
    values = {round(value, 5) for value in x.flatten().tolist()}
    whole = [all(round(v, 5) in values or v == 0 for v in pairs[i][1].flatten().tolist()) for i in range(400)]
    assert sum(whole) / 400 == pytest.approx(0.5, abs=0.08)  # 0.05 untouched and 0.45 turned


def test_a_pair_depends_on_seed_factor_and_index_alone():
    def pairs(seed=0, number=0):
        return Fathers((picture()[0],), (1.0,), SMALL, Rescaling((2.0, 2.0)), seed, number)

    first = pairs()[5]
    pairs()[4]
    assert all(torch.equal(a, b) for a, b in zip(first, pairs()[5], strict=True))
    for other in (pairs(seed=1)[5], pairs(number=1)[5], pairs()[6]):
        assert not torch.equal(first[1], other[1])


def test_pairs_are_sons_and_fathers():
    settings = dataclasses.replace(SMALL, crop_size=15, noise=0.1)
    pairs = Fathers((picture()[0],), (1.0,), settings, Rescaling((2.0, 1.5)), 0, 0)
    for i in range(20):
        lq, hq = pairs[i]
        assert lq.shape == hq.shape == (3, 15, 15)
        assert 0 <= hq.min() <= hq.max() <= 1
    plain = dataclasses.replace(pairs, settings=dataclasses.replace(settings, noise=0.0))
    lq, hq = plain[3]
    son = resize(hq[None], (1 / 2, 1 / 1.5)).clamp(0, 1)
    assert torch.equal(lq, resize(son, (2, 1.5), size=(15, 15))[0])


def test_a_picture_smaller_than_the_crop_lies_in_black():
    settings = dataclasses.replace(SMALL, crop_size=16, untouched=1.0, turned=0.0)
    x = picture(5, 7)[0]
    father = Fathers((x,), (1.0,), settings, Rescaling((2.0, 2.0)), 0, 0)[0][1]
    assert torch.equal(father[:, :5, :7], x)
    assert father[:, 5:].abs().max() == father[:, :, 7:].abs().max() == 0


# --- enlargement ---


@given(st.integers(1, 12), st.integers(1, 12), st.sampled_from([(2.0, 2.0), (1.5, 2.0)]), st.booleans())
def test_back_projection_leaves_what_shrinks_to_the_picture(height, width, factors, with_kernel):
    kernel = centred(torch.tensor([[0.1, 0.2], [0.3, 0.4]]), factors) if with_kernel else None
    rescaling = Rescaling(factors, kernel)
    y = noise(1, 1, math.ceil(height * factors[0]), math.ceil(width * factors[1]))
    lq = rescaling.down(y, (height, width))
    assert torch.equal(back_projected(y, lq, rescaling, 3), y)


def test_back_projection_comes_nearer_and_is_the_published_line():
    lq, rescaling = picture(12, 14), Rescaling((2.0, 2.0))
    y = noise(1, 3, 24, 28)
    errors = [(rescaling.down(back_projected(y, lq, rescaling, n)) - lq).abs().mean().item() for n in (0, 1, 4, 12)]
    assert errors[0] > 2 * errors[1] > 2 * errors[2]
    assert errors[3] < 0.1 * errors[0]
    once = (y + resize(lq - resize(y, 1 / 2), 2)).clamp(0, 1)
    torch.testing.assert_close(back_projected(y, lq, rescaling, 1), once)
    assert torch.equal(back_projected(y, lq, rescaling, 0), y)


@given(st.integers(1, 8))
def test_median_is_numpys(count):
    pictures = [noise(1, 2, 3, 3, seed=i) for i in range(count)]
    np.testing.assert_allclose(median(pictures), np.median(np.stack(pictures), axis=0), atol=1e-7)


def test_the_ensemble_of_an_equivariant_function_is_the_function():
    lq, rescaling = picture(6, 9), Rescaling((2.0, 2.0))
    run_ = torch.square
    alone, together = (
        enlarged(run_, lq, rescaling, (12, 18), ensemble=ensemble, projections=0) for ensemble in (False, True)
    )
    torch.testing.assert_close(alone, together, atol=1e-6, rtol=0)
    torch.testing.assert_close(alone, resize(lq, 2).square().clamp(0, 1))


def test_the_order_of_ensemble_projections_and_median():
    lq, rescaling = picture(6, 9), Rescaling((2.0, 2.0))

    def lopsided(x):
        return x + 0.3 * torch.linspace(0, 1, x.shape[-1])

    outs = []
    for k in range(8):
        out = dihedral_inverse(lopsided(resize(dihedral(lq, k), 2)).clamp(0, 1), k)
        outs.append(back_projected(out, lq, rescaling, 2).numpy())
    expected = back_projected(torch.from_numpy(np.median(outs, axis=0)), lq, rescaling, 2)
    torch.testing.assert_close(enlarged(lopsided, lq, rescaling, (12, 18), ensemble=True, projections=2), expected)


def test_different_factors_take_half_turns_alone():
    shapes = []

    def watched(x):
        shapes.append(tuple(x.shape[-2:]))
        return x

    rescaling = Rescaling((1.0, 1.5))
    assert enlarged(watched, picture(6, 9), rescaling, (6, 14), ensemble=True, projections=1).shape[-2:] == (6, 14)
    assert shapes == [(6, 14)] * 4


# --- learning rate ---


@given(st.lists(st.floats(-5, 5), min_size=3, max_size=9), st.sampled_from([1, 20, 50]))
def test_the_slope_is_polyfits(values, distance):
    places = distance * np.arange(len(values))
    (slope, _), covariance = np.polyfit(places, values, 1, cov=True)
    found = fitted_slope(values, distance)
    assert found[0] == pytest.approx(slope, abs=1e-9)
    assert found[1] == pytest.approx(math.sqrt(covariance[0, 0]), abs=1e-9)


def _published_rates(errors, steps):
    """The authors' loop over iterations, with numpy's fit."""
    rate, last, rates = 1e-3, 0, []
    for i in range(steps):
        if rate < 9e-6:
            return rates
        rates.append(rate)
        known = errors[: i // 50 + 1]
        if (1 + i) % 60 == 0 and i - last > 256:
            places = 50 * np.arange(len(known))
            (slope, _), covariance = np.polyfit(places[-5:], known[-5:], 1, cov=True)
            if -1.5 * slope < math.sqrt(covariance[0, 0]):
                rate, last = rate / 10, i
    return rates


@pytest.mark.parametrize("spread", [0.0, 0.001, 0.01, 0.1])
def test_the_rate_falls_as_in_a_plain_loop(spread):
    generator = np.random.default_rng(3)
    errors = list(np.exp(-np.arange(60) / 8) + spread * generator.standard_normal(60) + 1e-9 * np.arange(60))
    policy = SlopePolicy(ZeroShotSettings())
    expected = _published_rates(errors, 2900)
    found = []
    for i in range(2900):
        factor = policy.factor(i, errors[: (i + 49) // 50])  # what is measured before step i
        if factor == 0:
            break
        found.append(1e-3 * factor)
    assert found == pytest.approx(expected)


def test_a_run_without_progress_ends_after_900_steps():
    policy, errors = SlopePolicy(ZeroShotSettings()), [1.0, 2.0] * 10
    factors = [policy.factor(i, errors) for i in range(902)]
    assert [i for i in range(1, 902) if factors[i] != factors[i - 1]] == [300, 600, 900]
    assert factors[300] == pytest.approx(0.1)
    assert factors[900] == 0
    assert SlopePolicy(ZeroShotSettings()).factor(3000, [100.0 - i for i in range(60)]) == 1


# --- the whole run ---


def _weights(result):
    return list(result.model.state_dict().values())


def _same(one, other):
    assert one.losses == other.losses
    assert one.measured == other.measured
    assert all(torch.equal(a, b) for a, b in zip(_weights(one), _weights(other), strict=True))
    assert torch.equal(one.image, other.image)
    return True


def test_the_training_is_the_plain_one():
    image, steps = picture(), 6
    result = run(image, steps=steps)
    plain = network()
    adam = torch.optim.Adam(plain.parameters(), lr=1e-3)
    pairs = Fathers((image[0],), (1.0,), SMALL, Rescaling((2.0, 2.0)), 0, 0)
    losses, measured = [], []
    for i, item in enumerate(_items(image, steps)):
        lq, hq = (x[None] for x in pairs[item])
        loss = F.l1_loss(plain(lq), hq)
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
        if i % 2 == 0:
            with torch.no_grad():
                son = resize(resize(image, 1 / 2).clamp(0, 1), 2, size=image.shape[-2:])
                measured.append(F.mse_loss(plain(son).clamp(0, 1), image).item())
    assert result.losses == (pytest.approx(losses, rel=1e-4),)
    assert result.measured == (pytest.approx(measured, rel=1e-4),)
    with torch.no_grad():
        expected = enlarged(plain, image, Rescaling((2.0, 2.0)), (36, 46), ensemble=True, projections=2)
    torch.testing.assert_close(result.image, expected, atol=1e-4, rtol=0)


def _items(image, steps):
    """The items that a run takes, in order."""
    seen = []

    class Watched(Fathers):
        def __getitem__(self, index):
            seen.append(index)
            return super().__getitem__(index)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("restorekit.train._zero_shot.course.Fathers", Watched)
        run(image, steps=steps)
    return seen


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_scale_and_number_of_channels(scale, channels):
    result = run(picture(9, 7, channels), scale=scale, steps=2)
    assert result.image.shape == (1, channels, 9 * scale, 7 * scale)
    assert 0 <= result.image.min() <= result.image.max() <= 1
    assert result.steps == 2


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 2)])
def test_tiny_pictures(size):
    result = run(noise(1, 3, *size), steps=2)
    assert result.image.shape == (1, 3, 2 * size[0], 2 * size[1])
    assert result.image.isfinite().all()


def test_gradual_factors_learn_from_their_results():
    result = run(picture(11, 9), settings=GRADUAL, steps=3)
    assert result.image.shape == (1, 3, 22, 18)
    assert [len(losses) for losses in result.losses] == [3, 3]
    assert [len(errors) for errors in result.measured] == [2, 2]


@pytest.mark.parametrize("changes", [(), (1.5,)])
def test_a_result_may_become_the_picture(changes):
    settings = dataclasses.replace(SMALL, gradual=(1.5,), base_changes=changes)
    result = run(picture(5, 7), settings=settings, scale=3, steps=1)
    assert result.image.shape == (1, 3, 15, 21)  # of 8 x 11 in between, twice as large would be 16 x 22


def test_a_solved_factor_ends_early(tmp_path):
    settings = dataclasses.replace(SMALL, slope_ratio=0.0, learning_rate=9e-6)  # any scatter is a fall, one is the end
    result = run(settings=settings, steps=60, checkpoint=tmp_path / "run.pt")
    assert result.steps == 12  # the first look that is more than 8 steps after the start is the one after step 11
    assert _same(run(settings=settings, steps=60, checkpoint=tmp_path / "run.pt"), result)


def test_the_result_comes_as_the_picture_came():
    assert run(picture().double(), steps=1).image.dtype == torch.float64
    assert run(picture().bfloat16(), steps=1).image.dtype == torch.bfloat16
    model = network().train()
    assert run(model=model, steps=1).model is model
    assert model.training
    assert all(p.grad is None for p in model.parameters())


def test_the_published_network_is_the_default():
    settings = dataclasses.replace(SMALL, crop_size=4, ensemble=False, back_projections=0)
    before = torch.get_rng_state()
    one, other = (run(picture(5, 5), model=None, settings=settings, steps=1, seed=seed) for seed in (0, 1))
    assert torch.equal(before, torch.get_rng_state())
    assert sum(p.numel() for p in one.model.parameters()) == 224_640
    assert not torch.equal(_weights(one)[3], _weights(other)[3])
    assert not one.model.training


def test_scale_and_kernel_choose_the_settings(monkeypatch):
    seen = []

    def noted(settings, *rest):
        seen.append(settings)
        return stages(SMALL, *rest)

    monkeypatch.setattr(sys.modules["restorekit.train.zero_shot"], "stages", noted)
    small = ZeroShotSettings(crop_size=8)
    run(settings=None, steps=1)
    run(settings=None, scale=4, steps=1)
    run(settings=None, kernel=torch.full((2, 2), 0.25), steps=1)
    run(settings=small, kernel=torch.full((2, 2), 0.25), steps=1)
    assert seen == [*(ZERO_SHOT_SETTINGS[name] for name in ("default", "doubling", "kernel")), small]


def test_bfloat16_comes_near():
    full, half = run(steps=3), run(steps=3, mixed_precision="bf16")
    assert half.image.dtype == torch.float32
    assert 0 < (full.image - half.image).abs().max() < 0.05


def test_loss_and_augmentation_may_be_passed_in():
    def negative(lq, hq, *, generator=None):
        return 1 - lq, 1 - hq

    plain = run(steps=1)
    assert run(steps=1, loss=F.mse_loss).losses != plain.losses
    assert run(steps=1, augment=negative).losses != plain.losses


@pytest.mark.parametrize("settings", [SMALL, GRADUAL], ids=["one factor", "two factors"])
def test_a_stopped_run_ends_as_one_that_was_not(tmp_path, settings):
    whole = run(settings=settings, steps=6)
    for calls in (3, 8):
        path = tmp_path / f"{calls}.pt"
        with pytest.MonkeyPatch.context() as patch:
            _interrupt_at(patch, calls)
            if calls == 3 or settings is GRADUAL:
                with pytest.raises(KeyboardInterrupt, match="stopped after"):
                    run(settings=settings, steps=6, checkpoint=path)
                assert path.with_name(f"{calls}.stage{0 if calls == 3 else 1}.pt").exists()
        assert _same(run(settings=settings, steps=6, checkpoint=path), whole)
        assert _same(run(settings=settings, steps=6, checkpoint=path), whole)  # nothing is left to do


def _interrupt_at(patch, number):
    """Let Ctrl-C come while a training pair is made."""
    made, plain = itertools.count(1), Fathers.__getitem__

    def watched(self, index):
        if next(made) == number:
            signal.raise_signal(signal.SIGINT)
        return plain(self, index)

    patch.setattr(Fathers, "__getitem__", watched)


def test_the_checkpoint_of_another_picture_or_setting_is_refused(tmp_path):
    path = tmp_path / "run.pt"
    run(steps=2, checkpoint=path)
    kernel = torch.full((2, 2), 0.25)
    for other in (
        {"image": picture(seed=1)},
        {"settings": dataclasses.replace(SMALL, shear_spread=0.2)},
        {"scale": 3},
        {"seed": 1},
        {"kernel": kernel},
    ):
        with pytest.raises(ValueError, match="belongs to another run"):
            run(steps=2, checkpoint=path, **other)
    assert run(steps=4, checkpoint=path).steps == 4


# --- bad input ---


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (torch.full((1, 3, 8, 8), math.nan), ValueError, "finite numbers in"),
        (torch.full((1, 3, 8, 8), 1.5), ValueError, "finite numbers in"),
        (torch.zeros(1, 4, 8, 8), ValueError, "alpha"),
        (torch.zeros(2, 3, 8, 8), ValueError, "one picture"),
        (torch.zeros(3, 8, 8), ValueError, "4 dimensions"),
        (torch.zeros(1, 3, 0, 8), ValueError, "empty"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), TypeError, "floating-point"),
        (np.zeros((8, 8, 3)), TypeError, "torch.Tensor"),
    ],
)
def test_pictures_that_are_refused(image, error, message):
    with pytest.raises(error, match=message):
        zero_shot(image, steps=1)


@pytest.mark.parametrize(
    ("kernel", "error", "message"),
    [
        (torch.full((3,), 1 / 3), ValueError, "2 dimensions"),
        (torch.full((1, 1, 3, 3), 1 / 9), ValueError, "2 dimensions"),
        (torch.ones(3, 3), ValueError, "sum to 1, got 9"),
        (torch.full((3, 3), math.nan), ValueError, "sum to 1, got nan"),
        (torch.ones(1, 1, dtype=torch.int64), TypeError, "floating-point"),
        ([torch.ones(1, 1)] * 2, ValueError, "each of the 1 factors, got 2"),
        ([[1.0]], TypeError, "floating-point tensor"),
    ],
)
def test_kernels_that_are_refused(kernel, error, message):
    with pytest.raises(error, match=message):
        run(kernel=kernel)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"scale": 1}, ValueError, "scale must be at least 2"),
        ({"scale": 2.0}, TypeError, "scale must be an integer"),
        ({"scale": 9}, ValueError, "at most 8"),
        ({"seed": -1}, ValueError, "seed must be at least 0"),
        ({"steps": 0}, ValueError, "steps must be at least 1"),
        ({"settings": "best"}, ValueError, "default, gradual, kernel, real"),
        ({"model": zssr(2, channels=4)}, ValueError, "scale=1, got scales"),
        ({"model": zssr(1, in_channels=1, channels=4)}, ValueError, "1 channels, image has 3"),
        ({"model": torch.nn.Identity()}, TypeError, "network of restorekit.models"),
        ({"model": carn_m(scale=2, channels=8)}, ValueError, "scale=1"),
        ({"mixed_precision": "fp16"}, ValueError, "mixed_precision"),
        ({"checkpoint": "nowhere/run.pt"}, OSError, "folder that exists"),
    ],
)
def test_settings_that_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        run(**options)


def test_other_networks_of_scale_1_learn_too():
    assert run(model=vdsr(1, in_channels=3, channels=4, depth=3), steps=1).image.shape == (1, 3, 36, 46)
    assert run(model=dncnn(in_channels=3, channels=4, depth=3), steps=1).image.shape == (1, 3, 36, 46)
