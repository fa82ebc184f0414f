import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance
from scipy import stats
from torch.autograd import gradcheck

from restorekit.degrade import brightness, contrast, low_light
from restorekit.image import to_image, to_tensor


def seed(number):
    return torch.Generator().manual_seed(number)


def pictures(n=2, channels=3, height=5, width=7, dtype=torch.float32):
    return torch.rand(n, channels, height, width, generator=seed(0)).to(dtype)


def about_the_mean(x, level):
    return contrast(x, level, reading="factor", centre="mean")


def darker(x, level):
    return low_light(x, level, gamma=1.7)


@pytest.mark.parametrize("function", [brightness, contrast, about_the_mean, darker])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_shape_dtype_and_a_level_for_each_picture(function, dtype):
    x = pictures(dtype=dtype)
    before = x.clone()
    out = function(x, torch.tensor([0.25, 1.0]))
    assert torch.equal(x, before)
    assert out.shape == x.shape
    assert out.dtype == dtype
    for i, level in enumerate((0.25, 1.0)):
        assert torch.equal(out[i : i + 1], function(x[i : i + 1], level))


@pytest.mark.parametrize("function", [brightness, contrast, about_the_mean, darker])
@pytest.mark.parametrize("n", [1, 3])
def test_any_number_of_threads_and_any_batch(function, n):
    x, outs = pictures(n, 3, 211, 307), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            outs.append(function(x, 0.7))
            alone = function(x[-1:], 0.7)
            assert torch.equal(outs[-1][-1:], alone)
    finally:
        torch.set_num_threads(1)
    assert torch.equal(outs[0], outs[1])


@pytest.mark.parametrize("function", [brightness, contrast, about_the_mean, darker])
@given(size=st.tuples(*[st.integers(1, 5)] * 4))
def test_any_size(function, size):
    x = torch.rand(size, generator=seed(0))
    assert function(x, 0.5).shape == x.shape


def test_brightness_adds():
    x = pictures()
    assert torch.equal(brightness(x, 0.25, clip=False), x + 0.25)
    assert torch.equal(brightness(x, -0.5), (x - 0.5).clamp(0, 1))
    assert torch.equal(brightness(x, 0.0), x)


@pytest.mark.parametrize(("level", "factor"), [(0, 1.0), (25, 1.2153), (40, 1.3682), (-255, 0.0), (255, 129.5)])
def test_levels_of_the_259_recipe(level, factor):
    x = torch.tensor([[[[128 / 255, 129 / 255]]]], dtype=torch.float64)
    out = contrast(x, level, clip=False)
    assert out[..., 0].item() == pytest.approx(128 / 255)
    assert (out[..., 1] - out[..., 0]).item() * 255 == pytest.approx(factor, rel=1e-4)


def test_percent_is_one_plus_a_hundredth():
    x = pictures()
    torch.testing.assert_close(contrast(x, 40, reading="percent"), contrast(x, 1.4, reading="factor"))


def test_about_the_mean_agrees_with_pillow():
    """Pillow takes the rounded mean of the luma; of a grey picture that is the mean of the picture."""
    x = torch.randint(0, 256, (1, 1, 16, 16), generator=seed(1)) / 255
    x += (128 / 255 - x.mean()).item()  # so that rounding the mean changes nothing
    theirs = ImageEnhance.Contrast(to_image(x)).enhance(0.5)
    assert isinstance(theirs, Image.Image)
    ours = contrast(x, 0.5, reading="factor", centre="mean")
    assert (ours - to_tensor(theirs)).abs().max() <= 1.01 / 255


def test_the_mean_stays():
    x = pictures(dtype=torch.float64)
    out = contrast(x, 0.3, reading="factor", centre="mean")
    torch.testing.assert_close(out.mean((1, 2, 3)), x.mean((1, 2, 3)))


@pytest.mark.parametrize("centre", ["grey", "mean"])
def test_gradients(centre):
    x = pictures(height=2, width=2, dtype=torch.float64).requires_grad_()
    level = torch.tensor([10.0, 30.0], dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x, level: contrast(x, level, centre=centre, clip=False), (x, level))
    assert gradcheck(lambda x, level: brightness(x, level / 100, clip=False), (x, level))


@pytest.mark.parametrize(
    ("function", "level", "options", "message"),
    [
        (brightness, 1.5, {}, r"\[-1, 1\]"),
        (contrast, 256, {}, r"\[-255, 255\] 8-bit levels"),
        (contrast, -101, {"reading": "percent"}, r"\[-100, 1000\] percent"),
        (contrast, -0.1, {"reading": "factor"}, r"\[0, 100\]"),
        (contrast, 1, {"reading": "gamma"}, "reading must be one of level, percent, factor"),
        (contrast, 1, {"centre": "black"}, "centre"),
        (contrast, torch.zeros(3), {}, "one for each of the 2 pictures"),
        (low_light, 0.0, {}, r"level must be in \(0, 1\]"),
        (low_light, 0.5, {"gamma": 0}, r"gamma must be in \(0, 10\]"),
        (low_light, 0.5, {"noise": 5}, r"noise must be in \[0, 1\] of \[0, 1\] pictures; divide"),
        (low_light, 0.5, {"noise": torch.zeros(3)}, "noise must be one number or one for each"),
    ],
)
def test_bad_levels(function, level, options, message):
    with pytest.raises(ValueError, match=message):
        function(pictures(), level, **options)


def test_low_light_by_numpy():
    x = pictures(dtype=torch.float64)
    expected = (np.array([0.3, 0.9]).reshape(2, 1, 1, 1) * x.numpy()) ** np.array([1.5, 3.5]).reshape(2, 1, 1, 1)
    exact = torch.tensor([0.3, 0.9], dtype=torch.float64)
    out = low_light(x, exact, gamma=torch.tensor([1.5, 3.5]))
    np.testing.assert_allclose(out.numpy(), expected, rtol=1e-12)
    torch.testing.assert_close(low_light(x, exact), (exact.view(2, 1, 1, 1) * x) ** 2)


def test_noise_in_low_light_is_normal_and_seeded():
    x = pictures(height=64, width=64)
    options = {"noise": torch.tensor([0.02, 0.1]), "clip": False}
    out = low_light(x, 0.5, generator=seed(1), **options)
    for noise, sigma in zip(out - low_light(x, 0.5), (0.02, 0.1), strict=True):
        assert stats.kstest(noise.flatten().numpy(), stats.norm(0, sigma).cdf).pvalue > 0.01
    assert torch.equal(out, low_light(x, 0.5, generator=seed(1), **options))
    assert torch.equal(out.clamp(0, 1), low_light(x, 0.5, noise=options["noise"], generator=seed(1)))


def test_without_noise_nothing_is_drawn():
    generator = seed(1)
    before = generator.get_state()
    assert torch.equal(low_light(pictures(), 0.5, generator=generator), low_light(pictures(), 0.5))
    assert torch.equal(generator.get_state(), before)


@pytest.mark.parametrize("function", [about_the_mean, darker])
def test_without_data_the_shape_is_known(function):
    x = torch.empty(2, 3, 5, 7, device="meta", dtype=torch.bfloat16)
    out = function(x, 0.5)
    assert (out.shape, out.dtype, out.device) == (x.shape, x.dtype, x.device)


def test_below_black_is_black():
    assert low_light(torch.tensor([[[[-0.5, 0.0]]]]), 0.5, gamma=1.5).tolist() == [[[[0, 0]]]]


def test_gradients_of_low_light():
    x = (pictures(height=2, width=2, dtype=torch.float64) + 0.1).requires_grad_()
    levels = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in ([0.4, 0.8], [1.5, 2.5], [0.1, 0.2])]
    assert gradcheck(
        lambda x, level, gamma, noise: low_light(x, level, gamma=gamma, noise=noise, clip=False, generator=seed(1)),
        (x, *levels),
    )


def test_gradient_about_the_mean():
    x = pictures(height=2, width=2, dtype=torch.float64).requires_grad_()
    assert gradcheck(lambda x: contrast(x, 1.5, reading="factor", centre="mean", clip=False), x)


@pytest.mark.parametrize("function", [brightness, contrast, low_light])
def test_integers_are_refused(function):
    with pytest.raises(TypeError, match="floating-point"):
        function(torch.zeros(1, 3, 4, 4, dtype=torch.uint8), 0.1)
