import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.color import rgb2ycbcr
from skimage.metrics import mean_squared_error, normalized_root_mse

from restorekit.metrics import mse, psnr, rmse


def pair(shape, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.rand(shape, generator=generator, dtype=torch.float64).to(dtype) for _ in range(2))


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (3, 3, 7, 9)])
def test_equal_skimage_for_each_picture(shape):
    prediction, target = pair(shape)
    both = [(t.numpy(), p.numpy()) for p, t in zip(prediction, target, strict=True)]
    assert mse(prediction, target).numpy() == pytest.approx([mean_squared_error(*x) for x in both], rel=1e-12)
    roots = [normalized_root_mse(t, p, normalization="mean") * t.mean() for t, p in both]
    assert rmse(prediction, target).numpy() == pytest.approx(roots, rel=1e-12)


@pytest.mark.parametrize("shape", [(1, 3, 700, 510), (2, 1, 3, 270000)])
def test_pictures_of_several_strips_equal_skimage(shape):
    prediction, target = pair(shape)
    expected = [mean_squared_error(t.numpy(), p.numpy()) for p, t in zip(prediction, target, strict=True)]
    assert mse(prediction, target).numpy() == pytest.approx(expected, rel=1e-12)
    assert mse(prediction.float(), target.float()).numpy() == pytest.approx(expected, rel=1e-6)
    torch.testing.assert_close(mse(prediction.requires_grad_(), target).detach(), torch.tensor(expected).double())


def test_crop_and_luma_in_the_unit_of_the_pictures():
    prediction, target = pair((2, 3, 9, 8))
    luma = [rgb2ycbcr(x.numpy(), channel_axis=1)[:, 0, 2:-2, 2:-2] for x in (prediction, target)]
    expected = [mean_squared_error(t, p) for p, t in zip(*luma, strict=True)]
    options = {"crop_border": 2, "y_channel": True, "data_range": 255.0}
    assert mse(255 * prediction, 255 * target, **options).numpy() == pytest.approx(expected, rel=1e-9)
    assert rmse(255 * prediction, 255 * target, **options).square().numpy() == pytest.approx(expected, rel=1e-9)


@given(shift=st.floats(-2, 2), seed=st.integers(0, 99))
def test_a_shift_is_its_own_root(shift, seed):
    target = pair((2, 3, 4, 5), seed)[1]
    assert rmse(target + shift, target).numpy() == pytest.approx([abs(shift)] * 2, rel=1e-9, abs=1e-12)


@given(data_range=st.floats(0.1, 300.0), seed=st.integers(0, 99))
def test_psnr_is_the_logarithm(data_range, seed):
    prediction, target = (data_range * x for x in pair((2, 3, 4, 5), seed))
    expected = 20 * (data_range / rmse(prediction, target, data_range=data_range)).log10()
    torch.testing.assert_close(psnr(prediction, target, data_range=data_range), expected)


@pytest.mark.parametrize("metric", [mse, rmse])
def test_gradient(metric):
    prediction, target = (x.requires_grad_() for x in pair((2, 3, 4, 5)))
    options = {"crop_border": 1, "y_channel": True}
    assert torch.autograd.gradcheck(lambda a, b: metric(a, b, **options), (prediction, target))


@pytest.mark.parametrize("metric", [mse, rmse])
def test_identical_pictures_give_0_with_a_gradient_of_0(metric):
    prediction, target = pair((2, 3, 4, 5))
    prediction[0] = target[0]
    value = metric(prediction.requires_grad_(), target)
    (gradient,) = torch.autograd.grad(value.sum(), prediction)
    assert value[0] == 0
    assert not gradient[0].any()
    assert bool(gradient[1].all())


@pytest.mark.parametrize("metric", [mse, rmse])
def test_nan_reaches_its_own_picture_only(metric):
    prediction, target = pair((2, 3, 4, 5))
    prediction[1, 0, 0, 0] = math.nan
    assert metric(prediction, target).isnan().tolist() == [False, True]


@pytest.mark.parametrize("metric", [mse, rmse])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_half_types_are_computed_in_float32(metric, dtype):
    prediction, target = pair((2, 3, 8, 8), dtype=dtype)
    value = metric(prediction, target)
    assert value.dtype == torch.float32
    assert torch.equal(value, metric(prediction.float(), target.float()))


@pytest.mark.parametrize("metric", [mse, rmse])
@pytest.mark.parametrize(
    ("change", "options", "error", "message"),
    [
        (lambda x: x[..., 1:], {}, ValueError, "same shape"),
        (lambda x: x.to(torch.uint8), {}, TypeError, "floating-point"),
        (lambda x: x.float(), {}, ValueError, "same dtype"),
        (lambda x: x, {"crop_border": 4}, ValueError, "leaves nothing"),
        (lambda x: x, {"data_range": 0.0}, ValueError, "data_range"),
        (lambda x: x, {"y_channel": True}, ValueError, "needs RGB pictures"),
    ],
)
def test_errors(metric, change, options, error, message):
    prediction, target = pair((1, 1, 8, 8))
    with pytest.raises(error, match=message):
        metric(change(prediction), target, **options)
