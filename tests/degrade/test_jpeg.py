import io

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from skimage import data
from torch.autograd import gradcheck

from restorekit.degrade import differentiable_jpeg, jpeg
from restorekit.degrade._codec import hard_tables
from restorekit.image import to_image, to_tensor

SUBSAMPLINGS = ["4:2:0", "4:2:2", "4:4:4"]
SIZES = [(1, 1), (1, 2), (2, 1), (3, 5), (4, 4), (5, 3), (7, 9), (8, 8), (16, 24), (17, 33), (33, 4), (23, 40)]


def noise(n=2, channels=3, height=17, width=19, dtype=torch.float32, seed=0):
    return torch.rand(n, channels, height, width, generator=torch.Generator().manual_seed(seed)).to(dtype)


def photograph(height=64, width=64, top=100, left=150, name="astronaut"):
    return to_tensor(getattr(data, name)())[:, :, top : top + height, left : left + width]


def by_pillow(x, quality, **options):
    file = io.BytesIO()
    to_image(x).save(file, "JPEG", quality=quality, **options)
    return to_tensor(Image.open(file))


def hundred():
    """Crops of photographs, noise, ramps, stripes and flat pictures, of all small sizes."""
    pictures = [photograph(8 + i, 40 - i, 20 * i % 200, 15 * i % 200, name)
                for i in range(20) for name in ("astronaut", "chelsea", "coffee")]  # fmt: skip
    pictures += [noise(1, 3 if i % 4 else 1, *size, seed=i) for i, size in enumerate(SIZES * 2)]
    ramp = torch.linspace(-0.1, 1.1, 30)
    pictures += [ramp.repeat(1, 3, 11 + i, 1) for i in range(4)] + [
        ramp[:, None].repeat(1, 1, 1, 5 + i) for i in range(4)
    ]
    return (
        pictures
        + [torch.full((1, 3, 9, 10), level) for level in (0.0, 1.0, 0.3, 0.5)]
        + [noise(1, seed=i).round() for i in range(4)]
    )


def test_equal_to_pillow_on_a_hundred_pictures_at_ten_qualities():
    pictures = hundred()
    assert len(pictures) == 100
    for x in pictures:
        for quality in (1, 5, 10, 30, 49, 50, 75, 90, 95, 100):
            assert torch.equal(jpeg(x, quality), by_pillow(x, quality, subsampling="4:2:0"))


@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
@pytest.mark.parametrize("size", SIZES)
def test_both_equal_pillow_at_every_size_and_subsampling(size, subsampling):
    for x in (noise(1, 3, *size), photograph(*size)):
        for quality in (1, 10, 50, 90, 100):
            theirs = by_pillow(x, quality, subsampling=subsampling)
            assert torch.equal(jpeg(x, quality, subsampling=subsampling), theirs)
            assert torch.equal(differentiable_jpeg(x, quality, subsampling=subsampling), theirs)


@pytest.mark.parametrize("size", SIZES)
def test_grey_is_coded_as_grey(size):
    x = noise(1, 1, *size)
    for quality in (1, 50, 97):
        assert torch.equal(jpeg(x, quality), by_pillow(x, quality))
        assert torch.equal(differentiable_jpeg(x, quality), by_pillow(x, quality))


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 100), st.sampled_from(SUBSAMPLINGS), st.booleans())
def test_the_differentiable_one_is_the_real_one_at_whole_qualities(height, width, quality, subsampling, hard):
    x = noise(1, 3, height, width, seed=height)
    x = x.round() if hard else x
    ours = differentiable_jpeg(x, quality, subsampling=subsampling)
    assert torch.equal(ours, jpeg(x, quality, subsampling=subsampling))


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee"])
def test_photographs_are_decoded_as_by_the_real_codec(name):
    x = photograph(250, 300, 0, 0, name)
    for quality in (10, 50, 90):
        assert torch.equal(differentiable_jpeg(x, quality), jpeg(x, quality))


def test_the_smooth_form_is_nearer_to_the_real_codec_than_the_picture_is():
    x = photograph(128, 128)
    for quality in (10, 50, 90):
        soft, hard = differentiable_jpeg(x, quality, rounding="smooth"), jpeg(x, quality)
        assert (soft - hard).square().mean() < 0.5 * (x - hard).square().mean()


@pytest.mark.parametrize("function", [jpeg, differentiable_jpeg])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_dtype_and_a_quality_for_each_picture(function, dtype):
    x = noise(3, dtype=dtype)
    before = x.clone()
    out = function(x, torch.tensor([10, 50, 95]))
    assert torch.equal(x, before)
    assert out.shape == x.shape
    assert out.dtype == dtype
    for i, quality in enumerate((10, 50, 95)):
        assert torch.equal(out[i : i + 1], function(x[i : i + 1], quality))
    assert torch.equal(out, jpeg(x, torch.tensor([10.0, 50.0, 95.0])))


@pytest.mark.parametrize("size", [(4, 211, 307), (3, 600, 601)])
def test_threads_change_nothing(size):
    x, threads, results = noise(size[0], 3, *size[1:]), torch.get_num_threads(), []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            results.append((jpeg(x, 40), differentiable_jpeg(x, 40.0)))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])


def test_layout_and_odd_values():
    x = noise().contiguous(memory_format=torch.channels_last)
    assert torch.equal(jpeg(x, 50), jpeg(x.contiguous(), 50))
    assert torch.equal(differentiable_jpeg(x, 50), jpeg(x, 50))
    odd = torch.tensor([float("nan"), float("inf"), -float("inf"), 2.0, -1.0]).expand(1, 3, 4, 5)
    assert torch.equal(jpeg(odd, 80), jpeg(torch.tensor([0.0, 1, 0, 1, 0]).expand(1, 3, 4, 5), 80))
    assert torch.equal(differentiable_jpeg(odd, 80), jpeg(odd, 80))


def test_tables_are_those_in_the_file():
    for quality in range(1, 101):
        file = io.BytesIO()
        Image.new("RGB", (8, 8)).save(file, "JPEG", quality=quality)
        theirs = Image.open(file).quantization
        ours = hard_tables(torch.tensor([float(quality)]))
        assert [ours[i].flatten().tolist() for i in (0, 1)] == [theirs[i] for i in (0, 1)]


def test_between_whole_qualities():
    x = noise()
    between = differentiable_jpeg(x, 30.5)
    assert not torch.equal(between, jpeg(x, 30))
    assert not torch.equal(between, jpeg(x, 31))


@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (4, 9)])
def test_gradients_of_the_smooth_form(subsampling, size):
    x = (0.2 + 0.6 * noise(2, 3, *size, dtype=torch.float64)).requires_grad_()
    quality = torch.tensor([30.3, 77.7], dtype=torch.float64, requires_grad=True)
    options = {"subsampling": subsampling, "rounding": "smooth"}
    assert gradcheck(lambda x, q: differentiable_jpeg(x, q, **options), (x, quality))
    assert gradcheck(lambda x, q: differentiable_jpeg(x[:, :1], q, **options), (x, quality))


@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
@pytest.mark.parametrize("channels", [1, 3])
def test_straight_through_has_the_gradients_of_the_smooth_form(subsampling, channels):
    x = noise(7, channels, 211, 305, dtype=torch.float64) * 1.2 - 0.1  # more than is worked on at a time
    weights = noise(7, channels, 211, 305, seed=1)
    gradients = []
    for rounding in ("straight-through", "smooth"):
        inputs = x.clone().requires_grad_(), torch.linspace(5, 95, 7, dtype=torch.float64).requires_grad_()
        out = differentiable_jpeg(*inputs, subsampling=subsampling, rounding=rounding)
        gradients.append(torch.autograd.grad((out * weights).sum(), inputs))
    for ours, soft in zip(*gradients, strict=True):
        assert soft.abs().max() > 1e-3
        torch.testing.assert_close(ours, soft)


def test_straight_through_gives_either_gradient_alone():
    x, quality = noise().requires_grad_(), torch.tensor(40.0, requires_grad=True)
    both = torch.autograd.grad(differentiable_jpeg(x, quality).square().sum(), (x, quality))
    assert both[1].shape == ()
    torch.testing.assert_close(torch.autograd.grad(differentiable_jpeg(x, 40).square().sum(), x)[0], both[0])
    alone = differentiable_jpeg(x.detach(), quality).square().sum()
    torch.testing.assert_close(torch.autograd.grad(alone, quality)[0], both[1])


@pytest.mark.parametrize("rounding", ["straight-through", "smooth"])
@pytest.mark.parametrize("quality", [1.0, 50.0, 100.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_are_finite(rounding, quality, dtype):
    for x in (noise(), torch.zeros(1, 3, 9, 9), torch.ones(1, 3, 9, 9), torch.full((1, 1, 3, 3), 0.5)):
        inputs = x.to(dtype).requires_grad_(), torch.tensor(quality, requires_grad=True)
        out = differentiable_jpeg(*inputs, rounding=rounding)
        assert out.dtype == dtype
        assert out.isfinite().all()
        assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(out.sum(), inputs))


def test_autocast_changes_nothing():
    x = noise().requires_grad_()
    plain = differentiable_jpeg(x, 50), differentiable_jpeg(x, 50, rounding="smooth")
    with torch.autocast("cpu", torch.bfloat16):
        mixed = differentiable_jpeg(x, 50), differentiable_jpeg(x, 50, rounding="smooth")
    assert torch.equal(plain[0], mixed[0])
    assert torch.equal(plain[1], mixed[1])


def test_the_exact_one_has_no_graph():
    assert not jpeg(noise().requires_grad_(), torch.tensor(50.0, requires_grad=True)).requires_grad


def test_the_largest_side():
    x = torch.zeros(1, 1, 1, 65500)
    assert jpeg(x, 5).shape == x.shape
    with pytest.raises(ValueError, match="at most 65500 px"):
        jpeg(torch.zeros(1, 1, 65501, 1), 5)


@pytest.mark.parametrize("function", [jpeg, differentiable_jpeg])
@pytest.mark.parametrize(
    ("quality", "options", "message"),
    [
        (0, {}, r"quality must be in \[1, 100\]"),
        (101, {}, r"quality must be in \[1, 100\]"),
        (float("nan"), {}, r"quality must be in \[1, 100\]"),
        (torch.tensor([50, 0]), {}, r"quality must be in \[1, 100\]"),
        (torch.tensor([50, 50, 50]), {}, "one for each of the 2 pictures"),
        (50, {"subsampling": "4:1:1"}, "subsampling must be one of 4:4:4, 4:2:2, 4:2:0, got '4:1:1'"),
    ],
)
def test_bad_options(function, quality, options, message):
    with pytest.raises(ValueError, match=message):
        function(noise(), quality, **options)


@pytest.mark.parametrize("function", [jpeg, differentiable_jpeg])
def test_bad_pictures(function):
    with pytest.raises(ValueError, match=r"1 channel .* or 3"):
        function(noise(channels=4), 50)
    with pytest.raises(TypeError, match="floating-point"):
        function(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), 50)
    with pytest.raises(TypeError, match="quality"):
        function(noise(), "50")


def test_bad_quality_and_rounding_of_one_alone():
    with pytest.raises(ValueError, match=r"whole number, got 50.5; differentiable_jpeg takes"):
        jpeg(noise(), 50.5)
    with pytest.raises(ValueError, match="rounding must be one of straight-through, smooth"):
        differentiable_jpeg(noise(), 50, rounding="hard")


def test_the_order_in_memory_does_not_matter():
    x = torch.rand(2, 3, 33, 64, generator=torch.Generator().manual_seed(0))
    strided = x.contiguous(memory_format=torch.channels_last)
    assert torch.equal(
        differentiable_jpeg(strided, 40, rounding="smooth"), differentiable_jpeg(x, 40, rounding="smooth")
    )
