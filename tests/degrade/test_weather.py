import math

import pytest
import scipy.stats
import torch
from torch.autograd import gradcheck

from restorekit.degrade import haze, rain


def seed(number):
    return torch.Generator().manual_seed(number)


def pictures(n=2, channels=3, height=9, width=7, dtype=torch.float32):
    return torch.rand(n, channels, height, width, generator=seed(0), dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("function", [rain, haze])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("size", [(9, 7), (1, 1)])
def test_dtype_range_generator_and_nothing_written(function, dtype, size):
    x = pictures(2, 3, *size, dtype)
    before = x.clone()
    levels = torch.tensor([0.2, 0.8])
    out = function(x, levels, generator=seed(1))
    assert out.shape == x.shape
    assert out.dtype == dtype
    assert torch.equal(x, before)
    assert out.min() >= 0
    assert out.max() <= 1
    assert torch.equal(function(x, levels, generator=seed(1)), out)
    if size != (1, 1):
        assert not torch.equal(function(x, levels, generator=seed(2)), out)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: rain(x, 0.4, angle=0.3, density=0.05, generator=seed(1)),
        lambda x: haze(x, 0.2, generator=seed(1)),
    ],
)
def test_the_number_of_threads_changes_nothing(function):
    x = pictures(1, 3, 211, 307)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = function(x)
        torch.set_num_threads(2)
        assert torch.equal(function(x), alone)
    finally:
        torch.set_num_threads(threads)


def test_haze_of_a_given_depth_is_the_equation_picture_by_picture():
    x = pictures(dtype=torch.float64)
    depth = 10 * torch.rand(2, 1, 9, 7, generator=seed(3), dtype=torch.float64)
    beta, air = torch.tensor([0.04, 0.2], dtype=torch.float64), torch.tensor([0.8, 1.0], dtype=torch.float64)
    out = haze(x, beta, airlight=air, depth=depth)
    t = torch.exp(-beta.view(2, 1, 1, 1) * depth)
    torch.testing.assert_close(out, x * t + air.view(2, 1, 1, 1) * (1 - t), rtol=0, atol=1e-14)
    for i in range(2):
        alone = haze(x[i : i + 1], beta[i], airlight=air[i], depth=depth[i : i + 1])
        assert torch.equal(out[i : i + 1], alone)
    assert torch.equal(haze(x, 0.1, depth=depth[:1])[1:], haze(x[1:], 0.1, depth=depth[:1]))
    assert torch.equal(haze(x, 0.0, generator=seed(0)), x)


def drawn_depth(n, height, width):
    """Read back from a hazy black picture."""
    out = haze(torch.zeros(n, 1, height, width, dtype=torch.float64), 0.1, airlight=1.0, generator=seed(4))
    return -torch.log(1 - out) / 0.1


def test_a_drawn_depth_is_far_at_the_top_and_smooth():
    depth = drawn_depth(40, 60, 50)
    assert depth.min() >= 0
    assert depth.max() <= 10
    rows = depth.mean((0, 1, 3))
    expected = 10 * (0.7 * (1 - (torch.arange(60) + 0.5) / 60) + 0.3 * 0.5)
    torch.testing.assert_close(rows, expected.double(), rtol=0, atol=0.35)
    assert depth.diff(dim=-1).abs().max() < 0.6
    assert depth.diff(dim=-1).abs().mean() > 0.01
    assert not torch.equal(depth[0], depth[1])


def test_rain_is_one_layer_for_all_channels():
    out = rain(torch.zeros(2, 3, 40, 40), torch.tensor([0.3, 0.6]), generator=seed(5))
    assert torch.equal(out[:, 0], out[:, 1])
    assert torch.equal(out[:, 0], out[:, 2])
    assert 0.05 < out[0].max() <= 0.3 < out[1].max() <= 0.6


def test_drops_without_length_are_thresholded_noise():
    out = rain(torch.zeros(1, 1, 300, 300), 1.0, length=1, density=0.05, generator=seed(6)).flatten()
    drops = out[out > 0]
    assert scipy.stats.binomtest(len(drops), 90_000, 0.05).pvalue > 0.01
    assert scipy.stats.kstest(drops.numpy(), "uniform").pvalue > 0.01


@pytest.mark.parametrize("angle", [0.0, 0.5, -0.5])
def test_streaks_run_along_their_angle(angle):
    """The layer is most like itself moved along the streak, counter-clockwise from the vertical."""
    layer = rain(torch.zeros(1, 1, 200, 200), 1.0, length=20, angle=angle, density=0.002, generator=seed(7))
    likeness = {}
    for other in (-0.5, 0.0, 0.5):
        down, right = round(10 * math.cos(other)), round(10 * math.sin(other))
        likeness[other] = (layer * layer.roll((down, right), (-2, -1))).mean().item()
    assert max(likeness, key=likeness.get) == angle


def test_a_streak_keeps_the_brightness_of_its_drop():
    layer = rain(torch.zeros(1, 1, 100, 100), 1.0, length=11, density=0.0002, generator=seed(8))[0, 0]
    lit = layer[:, layer.sum(0) > 1e-3]
    top = lit.max(0).values
    torch.testing.assert_close((lit > 1e-3).sum(0), torch.full((lit.shape[1],), 11))
    torch.testing.assert_close(lit.sum(0), 11 * top, rtol=1e-4, atol=1e-4)


def test_screen_and_clip():
    x = pictures(1, 3, 30, 30, torch.float64)
    options = {"density": 0.1, "length": 5}
    added = rain(x, 0.5, clip=False, generator=seed(9), **options)
    layer = added - x
    assert added.max() > 1
    assert torch.equal(rain(x, 0.5, generator=seed(9), **options), added.clamp(0, 1))
    screened = rain(x, 0.5, screen=True, generator=seed(9), **options)
    torch.testing.assert_close(screened, 1 - (1 - x) * (1 - layer), rtol=0, atol=1e-12)
    assert torch.equal(rain(x, 0.0, generator=seed(9)), x)
    assert torch.equal(rain(x, 1.0, density=0.0, generator=seed(9)), x)


def test_gradients():
    x = pictures(1, 1, 3, 4, torch.float64).requires_grad_()
    level = torch.tensor([0.4], dtype=torch.float64, requires_grad=True)
    depth = torch.rand(1, 1, 3, 4, generator=seed(1), dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x, level, depth: haze(x, level, depth=depth), (x, level, depth))
    assert gradcheck(lambda x, level: rain(x, level, density=0.3, clip=False, generator=seed(1)), (x, level))


@pytest.mark.parametrize(
    ("function", "level", "options", "message"),
    [
        (rain, 1.5, {}, r"level must be in \[0, 1\]"),
        (rain, 0.5, {"length": 0}, r"length must be in \[1, 255\] px"),
        (rain, 0.5, {"angle": 30}, "radians"),
        (rain, 0.5, {"density": 2}, "density"),
        (rain, torch.zeros(3), {}, "one for each of the 2 pictures"),
        (haze, 11, {}, r"level must be in \[0, 10\]"),
        (haze, 0.1, {"airlight": 1.2}, r"airlight must be in \[0, 1\]"),
        (haze, 0.1, {"depth": torch.zeros(2, 1, 9, 8)}, "size of x"),
        (haze, 0.1, {"depth": torch.zeros(3, 1, 9, 7)}, "size of x"),
        (haze, 0.1, {"depth": torch.zeros(2, 3, 9, 7)}, "depth must have 1 channels"),
    ],
)
def test_bad_levels(function, level, options, message):
    with pytest.raises(ValueError, match=message):
        function(pictures(), level, **options)


@pytest.mark.parametrize("function", [rain, haze])
def test_what_is_no_picture_or_no_generator(function):
    with pytest.raises(TypeError, match="floating-point"):
        function(torch.zeros(1, 3, 4, 4, dtype=torch.uint8), 0.1)
    with pytest.raises(TypeError, match="generator"):
        function(pictures(), 0.1, generator=0)
