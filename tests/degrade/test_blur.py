import math

import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
import torch
from hypothesis import given, settings
from skimage.filters import gaussian
from torch.autograd import gradcheck, gradgradcheck

from restorekit.degrade import defocus_blur, gaussian_blur, motion_blur
from restorekit.image import gaussian_kernel2d
from restorekit.image._bands import slide
from restorekit.image._spectra import correlate

LEVELS = {gaussian_blur: (0.6, 2.3), motion_blur: (3.0, 14.5), defocus_blur: (1.0, 6.4)}
# Functions, and the routes inside them: separable, one turned kernel, a line and a disc.
ROUTES = [
    (gaussian_blur, {}),
    (gaussian_blur, {"kernel_size": 21}),
    (lambda x, level: gaussian_blur(x, torch.stack([level, 0.5 * level], 1), angle=0.4), {}),
    (motion_blur, {"angle": 0.4}),
    (defocus_blur, {"border": "reflect"}),
]


def seed(number):
    return torch.Generator().manual_seed(number)


def pictures(n=2, channels=3, height=5, width=7, dtype=torch.float32, number=0):
    return torch.rand(n, channels, height, width, generator=seed(number), dtype=torch.float64).to(dtype)


def impulse(size=41, dtype=torch.float64):
    x = torch.zeros(1, 1, size, size, dtype=dtype)
    x[..., size // 2, size // 2] = 1
    return x


def moments(kernel):
    """Mean of x^2, y^2 and x*y, with y upwards."""
    d = torch.arange(kernel.shape[-1], dtype=torch.float64) - kernel.shape[-1] // 2
    along = [(kernel * d**2).sum(), (kernel * d[:, None] ** 2).sum(), -(kernel * d * d[:, None]).sum()]
    return [value.item() for value in along]


@pytest.mark.parametrize("function", LEVELS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_shape_dtype_and_nothing_written(function, dtype):
    x = pictures(dtype=dtype)
    before = x.clone()
    out = function(x, torch.tensor(LEVELS[function]))
    assert out.shape == x.shape
    assert out.dtype == dtype
    assert torch.equal(x, before)
    assert not torch.equal(out, x)
    assert torch.equal(function(x, 2), function(x, torch.tensor([2, 2])))


@pytest.mark.parametrize(("function", "options"), ROUTES)
def test_a_batch_is_its_pictures(function, options):
    x = pictures(3, 3, 37, 53)
    level = torch.tensor([1.0, 2.3, 6.7])
    out = function(x, level, **options)
    for i in range(3):
        assert torch.equal(out[i : i + 1], function(x[i : i + 1], level[i : i + 1], **options))


@pytest.mark.parametrize(("function", "options"), ROUTES)
@pytest.mark.parametrize("size", [(211, 307), (5, 13001)])
def test_the_number_of_threads_changes_nothing(function, options, size):
    x = pictures(1, 3, *size)
    level = torch.tensor([3.3])
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = function(x, level, **options)
        torch.set_num_threads(2)
        assert torch.equal(function(x, level, **options), alone)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: gaussian_blur(x, (50.0, 27.0), angle=0.3),
        lambda x: motion_blur(x, 201.3, angle=0.7),
        lambda x: defocus_blur(x, 96.3),
    ],
)
def test_the_number_of_threads_changes_no_digit_of_a_large_kernel(function):
    x = pictures(1, 1, 64, 80, torch.float64)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = function(x)
        for count in (2, 8):
            torch.set_num_threads(count)
            assert torch.equal(function(x), alone)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gaussian_equals_skimage(dtype):
    x = pictures(6, 3, 30, 19, dtype)
    sigmas = [0.0, 0.1, 0.125, 0.7, 2.5, 9.0]
    out = gaussian_blur(x, torch.tensor(sigmas, dtype=dtype))
    for picture, result, sigma in zip(x, out, sigmas, strict=True):
        theirs = gaussian(picture.numpy(), sigma, mode="nearest", truncate=4, channel_axis=0)
        assert np.abs(result.numpy() - theirs).max() <= (1e-6 if dtype == torch.float32 else 1e-14)
    assert torch.equal(out[0], x[0])


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.floats(0, 12), st.integers(0, 99))
def test_gaussian_equals_scipy_down_to_one_pixel(height, width, sigma, number):
    x = pictures(1, 2, height, width, torch.float64, number)
    theirs = scipy.ndimage.gaussian_filter(x.numpy(), (0, 0, sigma, sigma), mode="nearest", truncate=4)
    np.testing.assert_allclose(gaussian_blur(x, sigma).numpy(), theirs, rtol=0, atol=1e-13)


@pytest.mark.parametrize("length", [16, 17, 40, 95])
@pytest.mark.parametrize("taps", [1, 2, 49, 51, 150])
def test_products_in_blocks_equal_a_plain_correlation(length, taps):
    """Whole and overlapping last blocks; sums of one and of several pieces."""
    x, kernel = torch.rand(2, 20, length + taps - 1, generator=seed(1)), torch.rand(taps, generator=seed(2))
    x, kernel = x.double(), kernel.double()
    theirs = np.stack([scipy.signal.correlate(plane, kernel[None], "valid") for plane in x.numpy()])
    np.testing.assert_allclose(slide(x, kernel, -1), theirs, atol=1e-12)
    np.testing.assert_allclose(slide(x.mT.contiguous(), kernel, -2).mT, theirs, atol=1e-12)


def test_kernel_size_of_rl_restore():
    out = gaussian_blur(impulse(), 3.7, kernel_size=21)[0, 0]
    expected = torch.zeros_like(out)
    expected[10:31, 10:31] = gaussian_kernel2d(21, 3.7, dtype=torch.float64)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-15)
    x = pictures()
    assert torch.equal(gaussian_blur(x, 0.0, kernel_size=21), x)


@pytest.mark.parametrize("angle", [0.0, 0.3, math.pi / 4, math.pi / 2, 2.0, -1.0])
def test_a_stretched_gaussian_is_the_kernel_of_image(angle):
    out = gaussian_blur(impulse(), (3.0, 1.2), angle=angle, kernel_size=25)[0, 0]
    expected = torch.zeros_like(out)
    expected[8:33, 8:33] = gaussian_kernel2d(25, (3.0, 1.2), angle=angle, dtype=torch.float64)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-14)


def test_forms_of_a_stretched_level():
    x = pictures(dtype=torch.float64)
    level = torch.tensor([[2.0, 1.0], [0.5, 0.5]], dtype=torch.float64)
    out = gaussian_blur(x, level, angle=torch.tensor([0.7, 0.2]))
    assert torch.equal(out[:1], gaussian_blur(x[:1], (2.0, 1.0), angle=torch.tensor([0.7])))
    assert torch.equal(out[:1], gaussian_blur(x[:1], [2.0, 1.0], angle=torch.tensor([0.7])))
    assert torch.equal(out[1:], gaussian_blur(x[1:], 0.5))


def test_upright_and_level_agree_with_skimage():
    x = pictures(1, 3, 30, 40, torch.float64)
    for angle, widths in ((0.0, (0.8, 2.0)), (math.pi / 2, (2.0, 0.8)), (-math.pi, (0.8, 2.0))):
        theirs = gaussian(x[0].numpy(), widths, mode="nearest", truncate=4, channel_axis=0)
        np.testing.assert_allclose(gaussian_blur(x, (2.0, 0.8), angle=angle)[0], theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("length", [3, 5, 21])
def test_an_odd_line_along_an_axis_is_a_box(length):
    x = pictures(1, 3, 40, 30, torch.float64)
    for angle, axis in ((0.0, 3), (math.pi, 3), (math.pi / 2, 2)):
        theirs = scipy.ndimage.uniform_filter1d(x.numpy(), length, axis=axis, mode="nearest")
        np.testing.assert_allclose(motion_blur(x, length, angle=angle), theirs, rtol=0, atol=1e-12)


def test_lines_in_between():
    even = motion_blur(impulse(), 4.0)[0, 0, 20, 17:24]
    torch.testing.assert_close(even * 4, torch.tensor([0, 0.5, 1, 1, 1, 0.5, 0], dtype=torch.float64))
    # A diagonal goes through the corners of the pixels.
    diagonal = motion_blur(impulse(), 5 * math.sqrt(2), angle=math.pi / 4)[0, 0]
    expected = torch.zeros_like(diagonal)
    for i in range(-2, 3):
        expected[20 - i, 20 + i] = 0.2
    torch.testing.assert_close(diagonal, expected, rtol=0, atol=1e-7)  # angles of numbers are taken in float64


@pytest.mark.parametrize("angle", [0.0, 0.4, 1.2, 2.5, -0.9])
def test_a_line_has_its_length_and_direction(angle):
    out = motion_blur(impulse(), 25.0, angle=angle)[0, 0]
    spread = 25.0**2 / 12
    xx, yy, xy = moments(out)
    assert out.sum().item() == pytest.approx(1)
    assert xx == pytest.approx(spread * math.cos(angle) ** 2, abs=0.2)
    assert yy == pytest.approx(spread * math.sin(angle) ** 2, abs=0.2)
    assert xy == pytest.approx(spread * math.cos(angle) * math.sin(angle), abs=0.2)


@pytest.mark.parametrize("radius", [0.7, 1.0, 2.5, 6.3])
def test_a_disc_covers_its_pixels(radius):
    """Against counting points, 64 x 64 in each pixel."""
    points = (torch.arange(41 * 64, dtype=torch.float64) + 0.5) / 64 - 20.5
    inside = (points[:, None] ** 2 + points**2 <= radius**2).double()
    counted = inside.view(41, 64, 41, 64).mean((1, 3))
    out = defocus_blur(impulse(), radius)[0, 0]
    torch.testing.assert_close(out, counted / counted.sum(), rtol=0, atol=2e-3)
    xx, yy, xy = moments(out)
    if radius > 2:  # the second moment of a disc and of a pixel
        assert xx == pytest.approx(radius**2 / 4 + 1 / 12, rel=0.03)
    assert yy == pytest.approx(xx)
    assert xy == pytest.approx(0, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.floats(1, 40), st.floats(-6, 6), st.sampled_from(["line", "disc"]))
def test_means_stay_among_their_samples_down_to_one_pixel(height, width, level, angle, kind):
    x = pictures(1, 2, height, width, number=height)
    out = motion_blur(x, level, angle=angle) if kind == "line" else defocus_blur(x, level)
    assert out.min() >= x.min()
    assert out.max() <= x.max()
    flat = torch.full_like(x, 0.3)
    blurred = motion_blur(flat, level, angle=angle) if kind == "line" else defocus_blur(flat, level)
    torch.testing.assert_close(blurred, flat)
    turned = x.flip(-2, -1)
    again = motion_blur(turned, level, angle=angle) if kind == "line" else defocus_blur(turned, level)
    torch.testing.assert_close(again.flip(-2, -1), out, rtol=0, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.floats(1, 30), st.floats(-6, 6), st.sampled_from(["line", "disc", "gauss"]))
def test_energy_stays_in_a_circular_picture(level, angle, kind):
    x = pictures(1, 1, 12, 9, torch.float64)
    out = {
        "line": lambda: motion_blur(x, level, angle=angle, border="circular"),
        "disc": lambda: defocus_blur(x, level, border="circular"),
        "gauss": lambda: gaussian_blur(x, (level, 1.0), angle=angle, border="circular"),
    }[kind]()
    assert out.sum().item() == pytest.approx(x.sum().item())


def test_what_leaves_a_picture_as_it_is():
    x = pictures()
    assert torch.equal(gaussian_blur(x, 0), x)
    assert torch.equal(gaussian_blur(x, (0.0, 0.0), angle=0.3), x)
    assert torch.equal(motion_blur(x, 1.0, angle=0.8), x)
    assert torch.equal(defocus_blur(x, 0), x)
    assert torch.equal(defocus_blur(x, 0.5), x)


@pytest.mark.parametrize("size", [(3, 2), (18, 17)])
def test_gradients_of_a_gaussian(size):
    x = pictures(2, 1, *size, torch.float64).requires_grad_()
    sigma = torch.tensor([0.7, 0.4], dtype=torch.float64, requires_grad=True)
    assert gradcheck(gaussian_blur, (x, sigma), fast_mode=size[0] > 9)
    assert gradgradcheck(gaussian_blur, (x, sigma), fast_mode=True)


def test_gradients_of_a_turned_gaussian():
    x = pictures(1, 2, 3, 4, torch.float64).requires_grad_()
    sigma = torch.tensor([[1.2, 0.6]], dtype=torch.float64, requires_grad=True)
    for start in (0.4, 0.0):
        angle = torch.tensor([start], dtype=torch.float64, requires_grad=True)
        assert gradcheck(lambda x, s, a: gaussian_blur(x, s, angle=a), (x, sigma, angle))


def test_gradients_of_a_line_and_a_disc():
    x = pictures(2, 1, 3, 4, torch.float64).requires_grad_()
    level = torch.tensor([2.6, 3.3], dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x, level: motion_blur(x, level, angle=0.4), (x, level))
    assert gradcheck(motion_blur, (x, level))
    assert gradcheck(defocus_blur, (x, level))


def test_gradients_of_a_correlation_with_a_kernel_for_each_plane():
    x = torch.rand(2, 5, 4, generator=seed(0), dtype=torch.float64, requires_grad=True)
    kernel = torch.rand(2, 3, 2, generator=seed(1), dtype=torch.float64, requires_grad=True)
    theirs = np.stack(
        [
            scipy.signal.correlate2d(a, k, "valid")
            for a, k in zip(*(t.detach().numpy() for t in (x, kernel)), strict=True)
        ]
    )
    np.testing.assert_allclose(correlate(x, kernel).detach(), theirs)
    assert gradcheck(correlate, (x, kernel))
    assert gradgradcheck(correlate, (x, kernel))


def test_white_keeps_its_gradient():
    """Rounding is clamped away from the values, never from the gradient."""
    x = torch.ones(1, 1, 20, 20, requires_grad=True)
    out = defocus_blur(x, 4.0, border="circular")
    assert out.max() <= 1
    (gradient,) = torch.autograd.grad(out.sum(), x)
    torch.testing.assert_close(gradient, torch.ones_like(x))


@pytest.mark.parametrize(
    ("function", "level", "options", "message"),
    [
        (gaussian_blur, -0.1, {}, r"\[0, 100\] px"),
        (gaussian_blur, (1.0, 101.0), {}, r"\[0, 100\] px"),
        (gaussian_blur, (1.0, 1.0, 1.0), {}, "a pair, along and across, got 3"),
        (gaussian_blur, torch.zeros(2, 3), {}, "a pair, along and across, got 3"),
        (gaussian_blur, torch.zeros(3, 2), {}, "one for each of the 2 pictures"),
        (gaussian_blur, 1.0, {"kernel_size": 4}, "odd"),
        (gaussian_blur, 1.0, {"angle": 45.0}, "radians"),
        (motion_blur, 0.5, {}, r"\[1, 255\] px"),
        (motion_blur, 5.0, {"angle": 45.0}, "radians"),
        (defocus_blur, 101, {}, r"\[0, 100\] px"),
        (defocus_blur, torch.zeros(3), {}, "one for each of the 2 pictures"),
        (defocus_blur, 1.0, {"border": "valid"}, "border must be one of reflect"),
    ],
)
def test_bad_levels(function, level, options, message):
    with pytest.raises(ValueError, match=message):
        function(pictures(), level, **options)


@pytest.mark.parametrize("function", LEVELS)
def test_what_is_no_picture_or_no_number(function):
    with pytest.raises(TypeError, match="floating-point"):
        function(torch.zeros(1, 3, 4, 4, dtype=torch.uint8), 1.5)
    with pytest.raises(TypeError, match="level must be a number"):
        function(pictures(), "1.5")
    with pytest.raises(TypeError, match="kernel_size"):
        gaussian_blur(pictures(), 1.0, kernel_size=3.0)
