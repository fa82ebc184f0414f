import math

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate
from torch.autograd import gradcheck

from restorekit.degrade import generalized_blur
from restorekit.image import filter2d, gaussian_kernel2d


def pictures(n=2, channels=3, height=9, width=11, dtype=torch.float32):
    return torch.rand(n, channels, height, width, generator=torch.Generator().manual_seed(0)).to(dtype)


def on_threads(function):
    """What a function gives on one thread and on two."""
    before, out = torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            out.append(function())
    finally:
        torch.set_num_threads(before)
    return out


def test_a_shape_of_one_is_the_gaussian():
    x = pictures(1, 3, 30, 20, torch.float64)
    kernel = gaussian_kernel2d(11, (2.0, 0.8), angle=0.4, dtype=torch.float64)
    out = generalized_blur(x, (2.0, 0.8), angle=0.4, kernel_size=11)
    torch.testing.assert_close(out, filter2d(x, kernel))


@pytest.mark.parametrize(("beta", "plateau"), [(0.5, False), (4.0, False), (1.0, True), (2.0, True)])
def test_equals_scipy(beta, plateau):
    x = pictures(1, 1, 30, 25, torch.float64)
    rows, columns = np.mgrid[:13, :13] - 6
    # The covariance form of a turned ellipse; rows grow downwards, so the angle turns the other way.
    turn = np.array([[math.cos(-0.7), -math.sin(-0.7)], [math.sin(-0.7), math.cos(-0.7)]])
    inverse = np.linalg.inv(turn @ np.diag([2.5**2, 1.2**2]) @ turn.T)
    points = np.stack([columns, rows], -1)
    q = np.einsum("...i,ij,...j", points, inverse, points)
    kernel = 1 / (1 + q**beta) if plateau else np.exp(-0.5 * q**beta)
    expected = correlate(x[0, 0].numpy(), kernel / kernel.sum(), mode="mirror")
    out = generalized_blur(x, (2.5, 1.2), beta=beta, plateau=plateau, angle=0.7, kernel_size=13)
    np.testing.assert_allclose(out[0, 0].numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_batch_is_its_pictures(dtype):
    x = pictures(3, 3, 41, 37, dtype)
    before = x.clone()
    levels = torch.tensor([0.6, 1.5, 3.0])
    out = generalized_blur(x, levels, beta=0.7)
    assert out.dtype == dtype
    assert torch.equal(x, before)
    for i in range(3):
        assert torch.equal(out[i : i + 1], generalized_blur(x[i : i + 1], levels[i].item(), beta=0.7))


@pytest.mark.parametrize("size", [7, 21])
def test_a_batch_of_doubles_is_its_pictures(size):
    x = pictures(5, 3, 41, 37, torch.float64)
    levels = torch.tensor([0.61, 1.5, 2.7588864090933552, 1.693712835038536, 3.3], dtype=torch.float64)
    out = generalized_blur(x, levels, beta=2.832626394837368, angle=2.1, kernel_size=size)
    for i in range(5):
        alone = generalized_blur(x[i : i + 1], levels[i : i + 1], beta=2.832626394837368, angle=2.1, kernel_size=size)
        assert torch.equal(out[i : i + 1], alone)


def test_threads_leave_no_trace():
    x = pictures(1, 3, 211, 307)
    one, two = on_threads(lambda: generalized_blur(x, (2.0, 1.0), beta=0.6))
    assert torch.equal(one, two)


def test_a_pair_may_be_a_list():
    x = pictures(1, 1, 7, 7)
    assert torch.equal(generalized_blur(x, [2.0, 1.0]), generalized_blur(x, (2.0, 1.0)))


@pytest.mark.parametrize("plateau", [False, True])
def test_flat_pictures_stay_flat(plateau):
    x = torch.full((1, 1, 1, 7), 0.3, dtype=torch.float64)
    torch.testing.assert_close(generalized_blur(x, 5.0, beta=0.5, plateau=plateau), x)


@pytest.mark.parametrize("plateau", [False, True])
@pytest.mark.parametrize("beta", [0.5, 2.0])
def test_gradients(beta, plateau):
    x = pictures(1, 1, 3, 3, torch.float64).requires_grad_()
    level = torch.tensor([1.3], dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x, level: generalized_blur(x, level, beta=beta, plateau=plateau, kernel_size=3), (x, level))


@pytest.mark.parametrize(
    ("level", "options", "message"),
    [
        (0.0, {}, r"\[0.01, 100\] px"),
        ((1.0, 2.0, 3.0), {}, "pair"),
        (torch.ones(3), {}, "one for each of the 2"),
        (1.0, {"beta": 0.01}, "beta"),
        (1.0, {"angle": 90.0}, "angle"),
        (1.0, {"kernel_size": 8}, "odd"),
        (1.0, {"border": "valid"}, "border must be one of reflect"),
    ],
)
def test_bad_arguments(level, options, message):
    with pytest.raises(ValueError, match=message):
        generalized_blur(pictures(), level, **options)


def test_integers_are_refused():
    with pytest.raises(TypeError, match="floating-point"):
        generalized_blur(torch.zeros(1, 1, 4, 4, dtype=torch.uint8), 1.0)
