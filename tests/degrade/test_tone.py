import pytest
import torch
from PIL import Image, ImageEnhance
from torch.autograd import gradcheck

from restorekit.degrade import brightness, contrast
from restorekit.image import to_image, to_tensor


def seed(number):
    return torch.Generator().manual_seed(number)


def pictures(n=2, channels=3, height=5, width=7, dtype=torch.float32):
    return torch.rand(n, channels, height, width, generator=seed(0)).to(dtype)


@pytest.mark.parametrize("function", [brightness, contrast])
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
    ],
)
def test_bad_levels(function, level, options, message):
    with pytest.raises(ValueError, match=message):
        function(pictures(), level, **options)


@pytest.mark.parametrize("function", [brightness, contrast])
def test_integers_are_refused(function):
    with pytest.raises(TypeError, match="floating-point"):
        function(torch.zeros(1, 3, 4, 4, dtype=torch.uint8), 0.1)
