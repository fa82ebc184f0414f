import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from skimage.util import random_noise
from torch.autograd import gradcheck

from restorekit.degrade import gaussian_noise, poisson_noise, salt_and_pepper

FUNCTIONS = [(gaussian_noise, [0.1, 0.2]), (poisson_noise, [20, 500]), (salt_and_pepper, [0.1, 0.6])]
functions = pytest.mark.parametrize(("function", "levels"), FUNCTIONS)


def seed(number):
    return torch.Generator().manual_seed(number)


def pictures(n=2, channels=3, height=5, width=7, dtype=torch.float32):
    return torch.rand(n, channels, height, width, generator=seed(0)).to(dtype)


def grey(value, n=1, channels=3, side=64):
    return torch.full((n, channels, side, side), value)


@functions
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_shape_dtype_and_same_generator_same_result(function, levels, dtype):
    x = pictures(dtype=dtype)
    before, levels = x.clone(), torch.tensor(levels)
    out = function(x, levels, generator=seed(1))
    assert torch.equal(x, before)
    assert out.shape == x.shape
    assert out.dtype == dtype
    assert 0 <= out.min() <= out.max() <= 1
    assert torch.equal(out, function(x, levels, generator=seed(1)))
    assert not torch.equal(out, function(x, levels, generator=seed(2)))


@functions
def test_one_level_for_all_is_that_level_for_each(function, levels):
    x = pictures()
    each = torch.tensor([levels[1]] * 2)
    assert torch.equal(function(x, levels[1], generator=seed(1)), function(x, each, generator=seed(1)))


@functions
def test_a_batch_of_one_is_the_first_of_more(function, levels):
    """What is drawn for a picture may depend on its place in the batch, what is done with it does not."""
    x = pictures(height=16, width=16)
    out = function(x, torch.tensor(levels), generator=seed(1))
    assert torch.equal(out[:1], function(x[:1], levels[0], generator=seed(1)))


@functions
def test_any_number_of_threads(function, levels):
    x = pictures(1, 3, 211, 307)
    outs = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            outs.append(function(x, levels[0], generator=seed(1)))
            if function is not salt_and_pepper:
                outs[-1] += function(x, levels[0], grey=True, generator=seed(1))
    finally:
        torch.set_num_threads(1)
    assert torch.equal(outs[0], outs[1])


@functions
@given(size=st.tuples(*[st.integers(1, 5)] * 4))
def test_any_size(function, levels, size):
    x = torch.rand(size, generator=seed(0))
    assert function(x, levels[0], generator=seed(1)).shape == x.shape


@functions
@pytest.mark.parametrize("value", [-0.1, 2e6, float("nan"), torch.tensor([0.5, -1.0])])
def test_levels_outside_their_range(function, levels, value):
    with pytest.raises(ValueError, match=r"level must be in [\[(]0, "):
        function(pictures(), value)


@functions
def test_other_bad_input(function, levels):
    with pytest.raises(ValueError, match="one for each of the 2 pictures"):
        function(pictures(), torch.ones(3))
    with pytest.raises(TypeError, match="floating-point"):
        function(torch.zeros(1, 3, 4, 4, dtype=torch.uint8), 0.1)
    with pytest.raises(TypeError, match="generator"):
        function(pictures(), 0.1, generator=1)
    with pytest.raises(TypeError, match="level must be a number"):
        function(pictures(), "0.1")


def test_sigma_of_8_bit_papers_is_explained():
    with pytest.raises(ValueError, match="divide a paper's 8-bit number by 255"):
        gaussian_noise(pictures(), 25)


def test_gaussian_noise_is_normal_with_the_level_of_each_picture():
    x = grey(0.5, n=2)
    noise = gaussian_noise(x, torch.tensor([0.1, 0.4]), clip=False, generator=seed(1)) - x
    for field, sigma in zip(noise, (0.1, 0.4), strict=True):
        assert stats.kstest(field.flatten().numpy(), stats.norm(0, sigma).cdf).pvalue > 0.01
        assert abs(np.corrcoef(field.flatten(1).numpy())[np.triu_indices(3, 1)]).max() < 0.05


def test_variance_is_the_square_of_sigma():
    x = pictures()
    out = gaussian_noise(x, torch.tensor([0.01, 0.04]), variance=True, generator=seed(1))
    torch.testing.assert_close(out, gaussian_noise(x, torch.tensor([0.1, 0.2]), generator=seed(1)))


def test_gaussian_noise_has_the_statistics_of_skimage():
    ours = gaussian_noise(grey(0.9), 0.02, variance=True, generator=seed(1))
    theirs = random_noise(grey(0.9).numpy(), "gaussian", rng=1, var=0.02)
    assert stats.ks_2samp(ours.flatten().numpy(), theirs.ravel()).pvalue > 0.01


def test_level_0_changes_nothing():
    x = pictures()
    assert torch.equal(gaussian_noise(x, 0.0), x)
    assert torch.equal(salt_and_pepper(x, 0.0), x)


@pytest.mark.parametrize(("function", "level"), [(gaussian_noise, 0.1), (poisson_noise, 20)])
def test_grey_noise_is_the_same_in_all_channels(function, level):
    x = pictures(height=32, width=32) / 2 + 0.25
    noise = function(x, level, grey=True, clip=False, generator=seed(1)) - x
    torch.testing.assert_close(noise, noise[:, :1].expand_as(noise))
    assert noise.std() > 0.05


def test_gradients_of_gaussian_noise():
    x = pictures(height=2, width=2, dtype=torch.float64).requires_grad_()
    level = torch.tensor([0.1, 0.3], dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x, level: gaussian_noise(x, level, clip=False, generator=seed(1)), (x, level))
    assert gradcheck(
        lambda x, level: gaussian_noise(x, level, variance=True, clip=False, generator=seed(1)), (x, level)
    )


@pytest.mark.parametrize(("value", "photons"), [(0.5, 6), (0.75, 40)])
def test_photons_are_counted_by_the_law_of_poisson(value, photons):
    counts = poisson_noise(grey(value), photons, clip=False, generator=seed(1)) * photons
    torch.testing.assert_close(counts, counts.round())
    law = stats.poisson(value * photons)
    edges = np.arange(law.ppf(0.01), law.ppf(0.99) + 1)
    observed = np.histogram(counts.round().numpy(), [-1, *(edges + 0.5), 1000])[0]
    expected = np.diff([0, *law.cdf(edges), 1]) * counts.numel()
    assert stats.chisquare(observed, expected).pvalue > 0.01


def test_poisson_noise_of_each_picture_has_variance_x_over_level():
    x = grey(0.4, n=2)
    noise = poisson_noise(x, torch.tensor([100, 10000]), clip=False, generator=seed(1)) - x
    torch.testing.assert_close(noise.var((1, 2, 3)), torch.tensor([0.4 / 100, 0.4 / 10000]), rtol=0.05, atol=0)
    torch.testing.assert_close(noise.mean(), torch.tensor(0.0), atol=1e-3, rtol=0)


def test_grey_photons_are_counted_at_the_mean_of_the_channels():
    x = torch.tensor([0.1, 0.2, 0.6]).view(1, 3, 1, 1).expand(1, 3, 128, 128)
    noise = poisson_noise(x, 100, grey=True, clip=False, generator=seed(1)) - x
    assert noise[:, 0].var().item() == pytest.approx(0.3 / 100, rel=0.05)


def test_black_and_below_have_no_photons():
    x = torch.tensor([[[[0.0, -0.5]]]])
    assert torch.equal(poisson_noise(x, 10, clip=False), x)
    assert torch.equal(poisson_noise(x, 10), torch.zeros(1, 1, 1, 2))


def test_poisson_noise_is_a_constant_for_gradients():
    x, level = pictures().requires_grad_(), torch.tensor([5.0, 9.0], requires_grad=True)
    poisson_noise(x, level, clip=False).sum().backward()
    assert torch.equal(x.grad, torch.ones_like(x))
    assert level.grad is None


def test_salt_and_pepper_have_equal_shares_of_the_level_of_each_picture():
    out = salt_and_pepper(grey(0.5, n=3), torch.tensor([0.05, 0.5, 1.0]), generator=seed(1))
    for picture, level in zip(out, (0.05, 0.5, 1.0), strict=True):
        observed = [int((picture == value).sum()) for value in (0, 1, 0.5)]
        expected = np.array([level / 2, level / 2, 1 - level]) * picture.numel()
        assert sum(observed) == picture.numel()
        assert stats.chisquare(observed[: 2 + (level < 1)], expected[: 2 + (level < 1)]).pvalue > 0.01


def test_salt_and_pepper_fall_on_elements_not_pixels():
    changed = (salt_and_pepper(grey(0.5), 0.3, generator=seed(1)) != 0.5).float()
    assert changed.prod(1).mean().item() == pytest.approx(0.3**3, abs=0.01)


def test_gradient_of_salt_and_pepper_is_where_elements_were_kept():
    x = pictures().requires_grad_()
    out = salt_and_pepper(x, torch.tensor(0.5, requires_grad=True), generator=seed(1))
    out.sum().backward()
    assert torch.equal(x.grad, (out == x).float())
    assert 0 < x.grad.mean() < 1
