from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data
from skimage.color import rgb2ycbcr
from skimage.metrics import structural_similarity

from restorekit.metrics import ssim

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def pair(shape, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    target = torch.rand(shape, generator=generator, dtype=torch.float64)
    noise = 0.4 * torch.rand(shape, generator=generator, dtype=torch.float64)
    return (0.6 * target + noise).to(dtype), target.to(dtype)


def reference(prediction, target, data_range=1.0):
    """skimage with the published settings; it averages over the region where the 11x11 window fits."""
    return [
        structural_similarity(
            t,
            p,
            data_range=data_range,
            channel_axis=0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        for p, t in zip(prediction, target, strict=True)
    ]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("shape", [(1, 1, 11, 11), (3, 3, 17, 12), (2, 4, 11, 30)])
def test_equals_skimage_for_each_picture(shape, device):
    prediction, target = pair(shape)
    value = ssim(prediction.to(device), target.to(device))
    assert value.shape == shape[:1]
    assert value.cpu().numpy() == pytest.approx(reference(prediction.numpy(), target.numpy()), rel=1e-10)


def test_photograph_with_flat_and_textured_regions():
    target = torch.from_numpy(data.chelsea()[None, 40:140, 60:190].copy()).permute(0, 3, 1, 2).double()
    prediction = (target / 32).floor() * 32
    expected = reference(prediction.numpy(), target.numpy(), data_range=255)
    assert expected[0] < 0.9
    assert ssim(prediction, target, data_range=255).numpy() == pytest.approx(expected, rel=1e-10)
    single = ssim((prediction / 255).float(), (target / 255).float())
    assert single.numpy() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("shape", [(1, 1, 42, 42), (2, 2, 43, 43), (1, 1, 75, 31), (1, 2, 140, 35), (1, 3, 45, 2100)])
def test_pictures_of_several_strips_equal_skimage(shape):
    """Strips of 32 rows, four to a section, blocks of 16 columns, and groups of planes, whole and not."""
    prediction, target = pair(shape)
    expected = reference(prediction.numpy(), target.numpy())
    assert ssim(prediction, target).numpy() == pytest.approx(expected, rel=1e-10)
    assert ssim(prediction.float(), target.float()).numpy() == pytest.approx(expected, abs=1e-6)


def test_memory_layout_does_not_matter():
    prediction, target = pair((2, 3, 30, 70))
    expected = ssim(prediction[..., 5:60], target[..., 5:60])
    layouts = [
        (prediction[..., 5:60].contiguous(), target[..., 5:60].contiguous()),
        tuple(x[..., 5:60].to(memory_format=torch.channels_last) for x in (prediction, target)),
    ]
    for first, second in layouts:
        torch.testing.assert_close(ssim(first, second), expected)
    still = prediction[:1].expand(2, -1, -1, -1)
    torch.testing.assert_close(ssim(still, target), ssim(still.contiguous(), target))


def test_crop_comes_before_the_window():
    prediction, target = pair((2, 3, 20, 17))
    inner = [x[..., 3:-3, 3:-3].numpy() for x in (prediction, target)]
    assert ssim(prediction, target, crop_border=3).numpy() == pytest.approx(reference(*inner), rel=1e-10)


def test_luma_is_bt601_studio_unrounded():
    prediction, target = pair((2, 3, 15, 14))
    first, second = (rgb2ycbcr(x.numpy(), channel_axis=1)[:, :1] for x in (prediction, target))
    expected = reference(first, second, data_range=255)
    assert ssim(prediction, target, y_channel=True).numpy() == pytest.approx(expected, rel=1e-9)


@given(seed=st.integers(0, 99), dtype=st.sampled_from([torch.float32, torch.float64]))
def test_identical_pictures_give_exactly_one(seed, dtype):
    target = pair((2, 3, 12, 13), seed, dtype)[1]
    assert torch.equal(ssim(target, target.clone()), torch.ones(2, dtype=dtype))


@given(first=st.floats(0, 1), second=st.floats(0, 1), data_range=st.sampled_from([1.0, 255.0]))
def test_constant_pictures_have_a_closed_form(first, second, data_range):
    a, b, c1 = first * data_range, second * data_range, (0.01 * data_range) ** 2
    shape = (1, 2, 13, 11)
    value = ssim(
        torch.full(shape, a, dtype=torch.float64), torch.full(shape, b, dtype=torch.float64), data_range=data_range
    )
    assert value.item() == pytest.approx((2 * a * b + c1) / (a * a + b * b + c1), rel=1e-6)


@given(seed=st.integers(0, 99), y_channel=st.booleans())
def test_symmetric_and_bounded(seed, y_channel):
    prediction, target = pair((2, 3, 12, 13), seed)
    value = ssim(prediction, target, y_channel=y_channel)
    assert torch.equal(value, ssim(target, prediction, y_channel=y_channel))
    assert bool((value.abs() < 1).all())


@given(order=st.permutations(range(4)), border=st.integers(0, 2))
def test_pictures_do_not_see_each_other(order, border):
    prediction, target = pair((4, 3, 16, 15))
    whole = ssim(prediction, target, crop_border=border)
    torch.testing.assert_close(ssim(prediction[order], target[order], crop_border=border), whole[order])


@given(data_range=st.floats(0.01, 1000.0), y_channel=st.booleans())
def test_units_do_not_matter(data_range, y_channel):
    prediction, target = pair((1, 3, 12, 13))
    value = ssim(data_range * prediction, data_range * target, data_range=data_range, y_channel=y_channel)
    torch.testing.assert_close(value, ssim(prediction, target, y_channel=y_channel))


@settings(max_examples=20)
@given(seed=st.integers(0, 99))
def test_opposite_contrast_is_negative(seed):
    target = pair((1, 1, 16, 16), seed)[1]
    assert ssim(1 - target, target).item() < 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_are_computed_in_float32(dtype):
    prediction, target = pair((2, 3, 12, 12), dtype=dtype)
    value = ssim(prediction, target, y_channel=True)
    assert value.dtype == torch.float32
    assert torch.equal(value, ssim(prediction.float(), target.float(), y_channel=True))


@pytest.mark.parametrize("given_dtype", [torch.bfloat16, torch.float32])
def test_dtype_converts_before_anything_is_computed(given_dtype):
    prediction, target = pair((2, 3, 14, 15), dtype=given_dtype)
    value = ssim(prediction, target, crop_border=1, y_channel=True, dtype=torch.float64)
    assert value.dtype == torch.float64
    assert torch.equal(value, ssim(prediction.double(), target.double(), crop_border=1, y_channel=True))


def test_mixed_precision_does_not_reach_the_filters():
    prediction, target = pair((1, 3, 16, 16), dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = ssim(prediction, target)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, ssim(prediction, target))


@pytest.mark.parametrize("options", [{}, {"crop_border": 1, "y_channel": True, "data_range": 2.0}])
def test_gradient(options):
    prediction, target = (x.requires_grad_() for x in pair((1, 3, 14, 13)))
    assert torch.autograd.gradcheck(lambda a, b: ssim(a, b, **options), (prediction, target), fast_mode=True)


def test_second_gradient():
    prediction, target = (x.requires_grad_() for x in pair((1, 2, 13, 12)))
    assert torch.autograd.gradgradcheck(ssim, (prediction, target), fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda x: ssim(x, target.detach()), prediction, fast_mode=True)


def plain_gradients(prediction, target):
    """Through the formula, without strips: a transform cannot follow those."""

    def total(pair):
        return ssim(*pair).sum()

    return torch.func.grad(total)((prediction, target))


@pytest.mark.parametrize("wanted", [(True, False), (False, True), (True, True)])
@pytest.mark.parametrize("shape", [(2, 1, 107, 43), (2, 2, 141, 30), (1, 3, 45, 2100)])
def test_gradient_of_several_strips(shape, wanted):
    pictures = pair(shape)
    expected = [g for g, want in zip(plain_gradients(*pictures), wanted, strict=True) if want]
    leaves = [x.requires_grad_(want) for x, want in zip(pictures, wanted, strict=True)]
    gradients = torch.autograd.grad(ssim(*leaves).sum(), [x for x in leaves if x.requires_grad])
    torch.testing.assert_close(gradients, tuple(expected), rtol=1e-9, atol=1e-14)


def value_and_gradients(prediction, target):
    leaves = prediction.clone().requires_grad_(), target.clone().requires_grad_()
    value = ssim(*leaves)
    return value.detach(), *torch.autograd.grad(value.sum(), leaves)


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_threads_take_sections_and_change_nothing(threads):
    pictures = pair((1, 3, 300, 1100), dtype=torch.float32)
    threads(1)
    alone = value_and_gradients(*pictures)
    for count in (2, 3):
        threads(count)
        for result, expected in zip(value_and_gradients(*pictures), alone, strict=True):
            assert torch.equal(result, expected)


def test_threads_of_others_keep_their_number(threads):
    threads(2)
    value_and_gradients(*pair((1, 3, 300, 1100), dtype=torch.float32))
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == 2
    assert torch.get_num_threads() == 2


def test_modes_of_the_caller_do_not_reach_the_threads(threads):
    prediction, target = pair((1, 1, 300, 1100), dtype=torch.float32)
    expected = ssim(prediction, target)
    threads(2)
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(ssim(prediction.clone(), target), expected)


def test_gradient_of_each_picture_has_its_own_weight():
    prediction, target = pair((2, 3, 20, 20))
    prediction.requires_grad_()
    value = ssim(prediction, target)
    (gradient,) = torch.autograd.grad(value, prediction, torch.tensor([2.0, -1.0]).double(), retain_graph=True)
    (plain,) = torch.autograd.grad(value.sum(), prediction)
    torch.testing.assert_close(gradient, plain * torch.tensor([2.0, -1.0]).view(2, 1, 1, 1))


def test_gradient_in_float32():
    target = torch.from_numpy(data.astronaut()[None, 100:200, 150:260] / 255.0).permute(0, 3, 1, 2)
    prediction = (target * 8).floor() / 8
    expected, _ = plain_gradients(prediction, target)
    single = prediction.float().requires_grad_()
    (gradient,) = torch.autograd.grad(ssim(single, target.float()).sum(), single)
    torch.testing.assert_close(gradient.double(), expected, rtol=0, atol=1e-4 * expected.abs().max().item())


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0, None])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_identical_pictures_have_no_gradient(level, dtype):
    target = pair((1, 3, 60, 45), dtype=dtype)[1] if level is None else torch.full((1, 3, 60, 45), level, dtype=dtype)
    prediction, other = target.clone().requires_grad_(), target.clone().requires_grad_()
    value = ssim(prediction, other)
    assert value.item() == 1
    for gradient in torch.autograd.grad(value, [prediction, other]):
        assert not gradient.any()
    for gradient in plain_gradients(target, target.clone()):
        assert not gradient.any()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_nan_reaches_its_own_picture_only(bad):
    prediction, target = pair((3, 3, 60, 50))
    expected = ssim(prediction, target)
    prediction[1, 2, 30, 20] = bad
    value = ssim(prediction.requires_grad_(), target)
    torch.testing.assert_close(value[[0, 2]], expected[[0, 2]])
    assert value[1].isnan()
    (gradient,) = torch.autograd.grad(value.sum(), prediction)
    assert bool(gradient[[0, 2]].isfinite().all())
    assert bool(gradient[1, 2, 30, 20].isnan())


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")  # torch's own, on its first forward mode
def test_transforms_and_compilers_take_the_formula():
    prediction, target = pair((2, 3, 14, 30))
    expected = ssim(prediction, target)
    one_by_one = torch.vmap(lambda p, t: ssim(p[None], t[None])[0])(prediction, target)
    torch.testing.assert_close(one_by_one, expected)
    step = pair((2, 3, 14, 30), seed=1)[0]
    _, slope = torch.func.jvp(lambda p: ssim(p, target), (prediction,), (step,))
    gradient, _ = plain_gradients(prediction, target)
    torch.testing.assert_close(slope, (gradient * step).sum(dim=(1, 2, 3)))
    exported = torch.export.export(_Similarity(), (prediction, target)).module()
    torch.testing.assert_close(exported(prediction, target), expected)


class _Similarity(torch.nn.Module):
    def forward(self, prediction, target):
        return ssim(prediction, target)


def test_arguments_stay_as_they_were():
    prediction, target = pair((1, 3, 14, 14))
    before = prediction.clone(), target.clone()
    ssim(prediction, target, crop_border=1, y_channel=True)
    assert torch.equal(prediction, before[0])
    assert torch.equal(target, before[1])


@pytest.mark.parametrize(
    ("shape", "options", "error", "message"),
    [
        ((1, 3, 10, 30), {}, ValueError, "at least 11x11 pixels, got 10x30"),
        ((1, 3, 14, 30), {"crop_border": 2}, ValueError, r"got 10x26 \(14x30 before crop_border=2\)"),
        ((1, 3, 14, 30), {"crop_border": 7}, ValueError, "leaves nothing of pictures of 14x30"),
        ((1, 3, 14, 14), {"crop_border": True}, TypeError, "crop_border must be an integer"),
        ((1, 3, 14, 14), {"data_range": -1.0}, ValueError, "data_range must be positive"),
        ((1, 3, 14, 14), {"dtype": torch.float16}, ValueError, "torch.float32, torch.float64 or None"),
        ((1, 1, 14, 14), {"y_channel": True}, ValueError, "needs RGB pictures, got 1 channels"),
    ],
)
def test_bad_options(shape, options, error, message):
    with pytest.raises(error, match=message):
        ssim(*pair(shape), **options)


@pytest.mark.parametrize(
    ("prediction", "target", "error"),
    [
        (torch.zeros(1, 3, 12, 12), torch.zeros(1, 3, 12, 13), ValueError),
        (torch.zeros(3, 12, 12), torch.zeros(3, 12, 12), ValueError),
        (torch.zeros(0, 3, 12, 12), torch.zeros(0, 3, 12, 12), ValueError),
        (torch.zeros(1, 3, 12, 12, dtype=torch.int64), torch.zeros(1, 3, 12, 12, dtype=torch.int64), TypeError),
    ],
)
def test_bad_pictures(prediction, target, error):
    with pytest.raises(error, match="prediction"):
        ssim(prediction, target)
