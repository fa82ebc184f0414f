import hypothesis.strategies as st
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from torch.autograd import gradcheck

from restorekit.degrade import downscale, low_pass
from restorekit.image import resize


def seed(number):
    return torch.Generator().manual_seed(number)


def pictures(n=2, channels=3, height=9, width=7, dtype=torch.float32, number=0):
    return torch.rand(n, channels, height, width, generator=seed(number), dtype=torch.float64).to(dtype)


@pytest.mark.parametrize(("function", "level"), [(low_pass, 0.4), (downscale, 2.5)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_dtype_and_nothing_written(function, level, dtype):
    x = pictures(dtype=dtype)
    before = x.clone()
    out = function(x, level)
    assert out.dtype == dtype
    assert torch.equal(x, before)
    assert out.shape[:2] == x.shape[:2]
    assert torch.equal(function(x, torch.tensor([level, level])), out)


def test_a_batch_is_its_pictures():
    x = pictures(3, 3, 31, 45)
    ratios = torch.tensor([0.1, 0.5, 1.0])
    out = low_pass(x, ratios)
    for i in range(3):
        assert torch.equal(out[i : i + 1], low_pass(x[i : i + 1], ratios[i : i + 1]))
        assert torch.equal(downscale(x, 3)[i : i + 1], downscale(x[i : i + 1], 3))
    assert torch.equal(out[2], x[2])


@pytest.mark.parametrize("function", [lambda x: low_pass(x, 0.3), lambda x: downscale(x, 2), lambda x: downscale(x, 3)])
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


@pytest.mark.parametrize(("level", "side", "small"), [(1.01, 202, 200), (2.37, 711, 300), (7.31, 731, 100)])
def test_a_factor_is_not_rounded_to_float32(level, side, small):
    assert downscale(pictures(1, 1, side, 3), level).shape[2] == small


def test_a_ratio_is_not_rounded_to_float32():
    x = pictures(1, 1, 10, 10)
    small = resize(x, size=(4, 4), kernel="bilinear", antialias=False)  # round(3.5); float32 holds less than 0.35
    assert torch.equal(low_pass(x, 0.35), resize(small, size=(10, 10), kernel="bilinear"))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 20), st.integers(1, 20), st.floats(0.01, 1))
def test_low_pass_equals_torch_down_and_up(height, width, ratio):
    x = pictures(1, 2, height, width, torch.float64, height)
    small = [max(1, round(ratio * side)) for side in (height, width)]
    theirs = F.interpolate(F.interpolate(x, small, mode="bilinear"), (height, width), mode="bilinear")
    torch.testing.assert_close(low_pass(x, ratio), theirs, rtol=0, atol=1e-12)


def test_what_is_too_fine_is_gone_only_with_antialiasing():
    stripes = torch.tensor([1.0, 0.0, 0.0, 0.0]).repeat(8).expand(1, 1, 32, 32)
    assert low_pass(stripes, 0.3, antialias=True)[..., 8:24].std() < 0.02
    assert low_pass(stripes, 0.3)[..., 8:24].std() > 0.1


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 2.5])
def test_downscale_is_matlabs(factor):
    x = pictures(1, 3, 24, 30)
    assert torch.equal(downscale(x, factor), resize(x, 1 / factor).clamp(0, 1))


def test_overshoot_is_clipped_when_asked():
    edge = torch.zeros(1, 1, 16, 16)
    edge[..., 7:] = 1
    for call in (
        lambda clip: downscale(edge, 2, clip=clip),
        lambda clip: low_pass(edge, 0.5, kernel="bicubic", clip=clip),
    ):
        assert call(False).min() < -1e-3
        assert torch.equal(call(True), call(False).clamp(0, 1))


def test_one_pixel():
    x = pictures(1, 3, 1, 1)
    assert torch.equal(low_pass(x, 0.01), x)
    torch.testing.assert_close(downscale(x, 7), x)


def test_gradients():
    x = pictures(1, 1, 5, 4, torch.float64).requires_grad_()
    assert gradcheck(lambda x: low_pass(x, 0.5, clip=False), (x,))
    assert gradcheck(lambda x: downscale(x, 2, clip=False), (x,))


@pytest.mark.parametrize(
    ("function", "level", "options", "message"),
    [
        (low_pass, 0.0, {}, r"\(0, 1\]"),
        (low_pass, 1.5, {}, r"\(0, 1\]"),
        (low_pass, torch.ones(3), {}, "one for each of the 2 pictures"),
        (low_pass, 0.5, {"kernel": "cubic"}, "kernel must be one of"),
        (downscale, 0.5, {}, r"\[1, 64\]"),
        (downscale, torch.tensor([2, 4]), {}, r"same for all pictures of a batch, got \[2.0, 4.0\]"),
        (downscale, 2, {"kernel": "cubic"}, "kernel must be one of"),
    ],
)
def test_bad_levels(function, level, options, message):
    with pytest.raises(ValueError, match=message):
        function(pictures(), level, **options)


@pytest.mark.parametrize("function", [low_pass, downscale])
def test_integers_are_refused(function):
    with pytest.raises(TypeError, match="floating-point"):
        function(torch.zeros(1, 3, 4, 4, dtype=torch.uint8), 1)
