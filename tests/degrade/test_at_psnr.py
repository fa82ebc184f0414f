import math

import numpy as np
import pytest
import torch
from skimage import data
from skimage.metrics import peak_signal_noise_ratio

from restorekit.degrade import (
    at_psnr,
    brightness,
    contrast,
    f_noise,
    gaussian_noise,
    rain,
    sinusoidal_grating,
)
from restorekit.degrade.blur import gaussian_blur

FAMILIES = ["gaussian_blur", "gaussian_noise", "sinusoidal_grating", "contrast", "brightness"]
families = pytest.mark.parametrize("family", FAMILIES)


def seed(number):
    return torch.Generator().manual_seed(number)


def pictures(dtype=torch.float32):
    """A piece of a photograph and one of noise."""
    photograph = torch.from_numpy(data.astronaut()[100:148, 200:240]).permute(2, 0, 1)[None] / 255
    return torch.cat([photograph, torch.rand(1, 3, 48, 40, generator=seed(0))]).to(dtype)


def psnr(out, x):
    return [
        peak_signal_noise_ratio(a.double().numpy(), b.double().numpy(), data_range=1)
        for a, b in zip(x, out, strict=True)
    ]


def again(family, x, level, clip):
    """The family's own function."""
    if family == "gaussian_blur":
        return gaussian_blur(x, level)
    if family == "gaussian_noise":
        return gaussian_noise(x, level, clip=clip, generator=seed(1))
    if family == "sinusoidal_grating":
        return sinusoidal_grating(x, level, clip=clip)
    if family == "contrast":
        return contrast(x, level, reading="factor", centre="mean", clip=clip)
    return brightness(x, level, clip=clip)


@families
@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("target", [20, 30, 40.0])
def test_each_picture_has_the_wanted_psnr(family, clip, target):
    x = pictures()
    before = x.clone()
    out, level = at_psnr(family, x, target, clip=clip, return_level=True, generator=seed(1))
    assert torch.equal(x, before)
    assert (out.shape, out.dtype, level.shape) == (x.shape, x.dtype, (2,))
    np.testing.assert_allclose(psnr(out, x), target, atol=0.01)
    torch.testing.assert_close(again(family, x, level, clip), out, rtol=0, atol=1e-6)
    assert not clip or 0 <= out.min() <= out.max() <= 1


@pytest.mark.parametrize("target", [3, 20, 40])
def test_closed_forms_without_clipping(target):
    x, mse = pictures(torch.float64), 10 ** (-target / 10)
    solved = {
        family: at_psnr(family, x, target, clip=False, return_level=True, generator=seed(1))[1]
        for family in FAMILIES[1:]
    }
    variance = x.var((1, 2, 3), correction=0)
    torch.testing.assert_close(solved["brightness"], torch.full_like(variance, math.sqrt(mse)))
    torch.testing.assert_close(solved["contrast"], 1 + (mse / variance).sqrt())
    # Periods of 8 px: 40 columns hold a whole number of them.
    torch.testing.assert_close(solved["sinusoidal_grating"], torch.full_like(variance, math.sqrt(2 * mse)))
    torch.testing.assert_close(solved["gaussian_noise"], torch.full_like(variance, math.sqrt(mse)), rtol=0.05, atol=0)


@pytest.mark.parametrize(
    ("short", "family"), [("blur", "gaussian_blur"), ("noise", "gaussian_noise"), ("grating", "sinusoidal_grating")]
)
def test_short_names(short, family):
    x = pictures()
    assert torch.equal(at_psnr(short, x, 25, generator=seed(1)), at_psnr(family, x, 25, generator=seed(1)))


@families
def test_a_batch_is_its_pictures(family):
    x = pictures()
    both = at_psnr(family, x, 25, generator=seed(1))
    assert torch.equal(both[:1], at_psnr(family, x[:1], 25, generator=seed(1)))
    if family != "gaussian_noise":
        assert torch.equal(both[1:], at_psnr(family, x[1:], 25))


@pytest.mark.parametrize("family", FAMILIES[1:])
def test_any_number_of_threads(family):
    x, outs = torch.rand(1, 3, 211, 307, generator=seed(0)), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            outs.append(at_psnr(family, x, 25, generator=seed(1)))
    finally:
        torch.set_num_threads(1)
    assert torch.equal(outs[0], outs[1])


@families
def test_half_types_are_solved_in_float32(family):
    x = pictures(torch.bfloat16)
    out = at_psnr(family, x, 25, generator=seed(1))
    assert torch.equal(out, at_psnr(family, x.float(), 25, generator=seed(1)).bfloat16())


def test_no_graph():
    x = pictures().requires_grad_()
    out, level = at_psnr("contrast", x, 25, return_level=True)
    assert not out.requires_grad
    assert not level.requires_grad


def test_the_field_of_the_noise_is_scaled_not_drawn_again():
    x = pictures()
    weak, strong = (at_psnr("noise", x, target, clip=False, generator=seed(1)) - x for target in (40, 20))
    torch.testing.assert_close(weak * 10, strong, rtol=1e-3, atol=1e-5)


def test_where_raising_is_clipped_it_is_lowered():
    bright = pictures() * 0.2 + 0.8
    out, level = at_psnr("brightness", bright, 15, return_level=True)
    assert (level < 0).all()
    np.testing.assert_allclose(psnr(out, bright), 15, atol=0.01)
    checks = ((torch.arange(64) + torch.arange(64)[:, None]) % 2).float()[None, None]
    out, level = at_psnr("contrast", checks, 20, return_level=True)
    torch.testing.assert_close(level, torch.tensor([0.8]), rtol=0, atol=1e-3)
    np.testing.assert_allclose(psnr(out, checks), 20, atol=0.01)


@pytest.mark.parametrize("target", [1, 20, 60])
def test_a_function_in_its_own_unit(target):
    x = pictures()
    out, level = at_psnr(
        lambda x, level: f_noise(x, level, clip=False, generator=seed(1)), x, target, clip=False, return_level=True
    )
    np.testing.assert_allclose(psnr(out, x), target, atol=0.01)
    assert (level > 0).all()
    clipped = at_psnr(lambda x, level: x + level, x, 10)
    assert clipped.max() == 1
    np.testing.assert_allclose(psnr(clipped, x), 10, atol=0.01)


@pytest.mark.parametrize("function", [gaussian_noise, f_noise, rain])
def test_a_function_that_draws_draws_the_same_at_every_level(function):
    x = torch.rand(2, 3, 40, 48, generator=torch.Generator().manual_seed(2)) * 0.6 + 0.2

    def solved():
        return at_psnr(function, x, 25.0, generator=torch.Generator().manual_seed(3))

    out = solved()
    for picture, clean in zip(out, x, strict=True):
        assert peak_signal_noise_ratio(clean.numpy(), picture.numpy(), data_range=1) == pytest.approx(25, abs=0.01)
    assert torch.equal(solved(), out)
    assert not torch.equal(out[0] - x[0], out[1] - x[1])


def test_a_builtin_is_a_function_too():
    np.testing.assert_allclose(psnr(at_psnr(torch.add, x := pictures(), 25, clip=False), x), 25, atol=0.01)


def test_weak_and_strong_units_are_found():
    x = pictures()
    for unit in (1e-6, 1e6):
        level = at_psnr(lambda x, level, unit=unit: x + level * unit, x, 20, clip=False, return_level=True)[1]
        torch.testing.assert_close(level * unit, torch.tensor([0.1, 0.1]), rtol=1e-3, atol=0)


WHITE = torch.ones(1, 1, 8, 8)
UNREACHABLE = [
    ("blur", torch.full((1, 3, 8, 8), 0.3), 30, "no nearer than (inf|[1-9][0-9][0-9]).* takes away the detail"),
    ("blur", pictures(), 5, r"picture 0 cannot be brought to target_db=5 dB.* 1\d\.\d\d dB.* takes away the detail"),
    ("contrast", torch.full((1, 3, 8, 8), 0.3), 30, "this contrast is 0 everywhere"),
    ("grating", torch.full((2, 1, 5, 1), 0.5), 30, "this sinusoidal_grating is 0 everywhere"),
    ("brightness", torch.full((1, 1, 4, 4), 0.5), 1, r"no nearer than 6\.02 dB.* clipped"),
    ("noise", torch.full((1, 1, 4, 4), 0.5), 5, r"no nearer than 6\.02 dB.* clipped"),
    (lambda x, level: x, pictures(), 30, "the error of the function does not grow"),
    (lambda x, level: x + 0.5, pictures(), 30, "even the weakest level"),
    (lambda x, level: x + round(level) / 2, pictures(), 20, "the error jumps there"),
    ("brightness", pictures(), 500, "finer than torch.float32 can show"),
    ("contrast", pictures(), 1e5, "finer than torch.float32 can show"),
    ("blur", pictures(), 1e5, "finer than torch.float32 can show"),
    ("brightness", torch.cat([WHITE, WHITE * float("nan")]), 20, "picture 1 must hold finite numbers"),
    ("noise", pictures() / 0, 20, "picture 0 must hold finite numbers"),
    (lambda x, level: x * float("nan"), pictures(), 20, "are there NaN"),
]


@pytest.mark.parametrize(("distortion", "x", "target", "message"), UNREACHABLE)
def test_what_cannot_be_reached(distortion, x, target, message):
    with pytest.raises(ValueError, match=message):
        at_psnr(distortion, x, target)


def test_the_least_db_can_be_reached_and_no_less():
    """White can be darkened down to black, 0 dB; contrast of it does not exist."""
    np.testing.assert_allclose(psnr(at_psnr("brightness", WHITE, 1), WHITE), 1, atol=0.01)
    halves = torch.cat([torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4)], -1)
    np.testing.assert_allclose(psnr(at_psnr("contrast", halves, 6.03), halves), 6.03, atol=0.01)
    with pytest.raises(ValueError, match=r"no nearer than 6\.02 dB, at level 0;"):
        at_psnr("contrast", halves, 6)
    with pytest.raises(ValueError, match="picture 1 cannot"):
        at_psnr("contrast", torch.cat([halves, torch.ones_like(halves)]), 10)


@pytest.mark.parametrize("target", [0, -20, float("inf"), float("nan")])
def test_bad_targets(target):
    with pytest.raises(ValueError, match="target_db must be finite and above 0 dB"):
        at_psnr("noise", pictures(), target)


@pytest.mark.parametrize("target", ["20", None, True, torch.tensor(20.0)])
def test_targets_are_numbers(target):
    with pytest.raises(TypeError, match="target_db must be a number of dB"):
        at_psnr("noise", pictures(), target)


def test_other_bad_input():
    with pytest.raises(ValueError, match=r"must be one of gaussian_blur, .*, grating or a function, got 'jpg'"):
        at_psnr("jpg", pictures(), 20)
    with pytest.raises(TypeError, match="distortion must be a name or a function"):
        at_psnr(3, pictures(), 20)
    with pytest.raises(ValueError, match="distortion must return a picture of the shape"):
        at_psnr(lambda x, level: x[..., 1:], pictures(), 20)
    with pytest.raises(ValueError, match="got NoneType"):
        at_psnr(lambda x, level: None, pictures(), 20)
    with pytest.raises(TypeError, match="floating-point"):
        at_psnr("noise", torch.zeros(1, 3, 4, 4, dtype=torch.uint8), 20)
    with pytest.raises(TypeError, match="generator"):
        at_psnr("noise", pictures(), 20, generator=1)


@pytest.mark.parametrize("family", FAMILIES[1:])
def test_one_pixel(family):
    x = torch.tensor([0.2, 0.5, 0.6]).view(1, 3, 1, 1)
    if family == "sinusoidal_grating":
        with pytest.raises(ValueError, match="is 0 everywhere"):
            at_psnr(family, x, 30)
    else:
        np.testing.assert_allclose(psnr(at_psnr(family, x, 30, generator=seed(1)), x), 30, atol=0.01)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@families
def test_on_a_gpu_as_on_a_cpu(family):
    x = pictures()
    out, level = at_psnr(family, x.cuda(), 25, return_level=True, generator=seed(1))
    assert out.device.type == level.device.type == "cuda"
    np.testing.assert_allclose(psnr(out.cpu(), x), 25, atol=0.01)
    torch.testing.assert_close(out.cpu(), at_psnr(family, x, 25, generator=seed(1)), rtol=0, atol=1e-3)
