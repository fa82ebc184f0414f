import math

import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
import torch
from hypothesis import given, settings
from torch.autograd import gradcheck

from restorekit.image.filters import filter2d, filter_separable, gaussian_kernel1d, gaussian_kernel2d

SCIPY_MODE = {
    "reflect": "mirror",
    "symmetric": "reflect",
    "replicate": "nearest",
    "zero": "constant",
    "circular": "grid-wrap",
}
BORDERS = [*SCIPY_MODE, "valid"]


def rand(*shape, dtype=torch.float64, seed=0):
    return torch.rand(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def expected(x, kernel, border):
    """SciPy's correlation, plane by plane; "valid" is the part that sees no border."""
    kernels = kernel.expand(len(x), *kernel.shape[-2:])
    planes = [
        [scipy.ndimage.correlate(c.numpy(), k.numpy(), mode=SCIPY_MODE.get(border, "constant")) for c in picture]
        for picture, k in zip(x, kernels, strict=True)
    ]
    out = torch.from_numpy(np.array(planes))
    if border != "valid":
        return out
    ry, rx = kernel.shape[-2] // 2, kernel.shape[-1] // 2
    return out[..., ry : out.shape[-2] - ry, rx : out.shape[-1] - rx]


SIZES = st.integers(1, 9)
TAPS = st.sampled_from([1, 3, 5, 11])


@settings(max_examples=80, deadline=None)
@given(SIZES, SIZES, TAPS, TAPS, st.sampled_from(list(SCIPY_MODE)), st.booleans(), st.integers(0, 99))
def test_filter2d_equals_scipy_down_to_one_pixel(height, width, kh, kw, border, per_sample, seed):
    x = rand(2, 3, height, width, seed=seed)
    kernel = rand(*((2,) if per_sample else ()), kh, kw, seed=seed + 1) - 0.5
    result = filter2d(x, kernel, border=border)
    torch.testing.assert_close(result, expected(x, kernel, border), rtol=0, atol=1e-12)


@settings(max_examples=80, deadline=None)
@given(SIZES, SIZES, TAPS, TAPS, st.sampled_from(list(SCIPY_MODE)), st.integers(0, 99))
def test_separable_equals_scipy_down_to_one_pixel(height, width, kh, kw, border, seed):
    x = rand(2, 3, height, width, seed=seed)
    ky, kx = rand(kh, seed=seed + 1) - 0.5, rand(kw, seed=seed + 2) - 0.5
    result = filter_separable(x, ky, kx, border=border)
    torch.testing.assert_close(result, expected(x, ky[:, None] * kx, border), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("height", "width"), [(7, 5), (3, 5), (8, 11)])
def test_valid_equals_scipy(height, width):
    x, ky, kx = rand(2, 3, height, width), rand(3, seed=1), rand(5, seed=2)
    kernel = ky[:, None] * kx
    reference = expected(x, kernel, "valid")
    assert reference.shape == (2, 3, height - 2, width - 4)
    torch.testing.assert_close(filter2d(x, kernel, border="valid"), reference, rtol=0, atol=1e-12)
    torch.testing.assert_close(filter_separable(x, ky, kx, border="valid"), reference, rtol=0, atol=1e-12)


def test_it_is_a_correlation():
    x = torch.arange(5.0).view(1, 1, 1, 5)
    right = torch.tensor([0.0, 0.0, 1.0])
    assert filter2d(x, right[None], border="zero").flatten().tolist() == [1, 2, 3, 4, 0]
    assert filter_separable(x, torch.ones(1), right, border="zero").flatten().tolist() == [1, 2, 3, 4, 0]


def test_first_kernel_of_the_separable_pair_is_vertical():
    x = rand(1, 1, 4, 4)
    above = filter_separable(x, torch.tensor([1.0, 0, 0]), torch.ones(1), border="zero")
    assert torch.equal(above[..., 1:, :], x[..., :-1, :])


@pytest.mark.parametrize("border", BORDERS)
def test_unit_impulse_is_the_identity(border):
    x = rand(2, 3, 4, 5)
    one = torch.ones(1)
    assert torch.equal(filter_separable(x, one, one, border=border), x)
    assert torch.equal(filter2d(x, one[None], border=border), x)


@pytest.mark.parametrize("border", ["reflect", "symmetric", "replicate", "circular"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_constant_stays(border, dtype):
    x = torch.full((1, 2, 3, 2), 0.25, dtype=dtype)
    k = gaussian_kernel1d(11, 1.5)
    torch.testing.assert_close(filter_separable(x, k, k, border=border), x)
    torch.testing.assert_close(filter2d(x, gaussian_kernel2d(11, 1.5), border=border), x)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precisions_are_computed_in_float32(dtype):
    x = rand(1, 3, 6, 7).to(dtype)
    k, k2 = gaussian_kernel1d(5, 1.0), gaussian_kernel2d(5, 1.0)
    for run in (lambda x: filter_separable(x, k, k), lambda x: filter2d(x, k2)):
        assert run(x).dtype == dtype
        assert torch.equal(run(x), run(x.float()).to(dtype))


def test_kernel_takes_the_precision_of_the_picture():
    x, k = rand(1, 1, 4, 4, dtype=torch.float32), gaussian_kernel1d(3, 1.0, dtype=torch.float64)
    assert torch.equal(filter_separable(x, k, k), filter_separable(x, k.float(), k.float()))
    assert filter2d(x, k[:, None] * k).dtype == torch.float32


@pytest.mark.parametrize("border", BORDERS)
def test_gradients(border):
    x = rand(2, 2, 3, 4).requires_grad_()
    ky, kx = rand(3, seed=1).requires_grad_(), rand(3, seed=2).requires_grad_()
    per_sample = rand(2, 3, 3, seed=3).requires_grad_()
    assert gradcheck(lambda *a: filter_separable(*a, border=border), (x, ky, kx))
    assert gradcheck(lambda *a: filter2d(*a, border=border), (x, per_sample))


def test_arguments_are_unchanged_and_memory_layout_does_not_matter():
    x, k = rand(2, 3, 5, 6), rand(3, seed=1)
    arguments = [x.clone(), k.clone()]
    results = [filter_separable(x, k, k), filter2d(x, k[:, None] * k)]
    assert torch.equal(x, arguments[0])
    assert torch.equal(k, arguments[1])
    last = x.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close([filter_separable(last, k, k), filter2d(last, k[:, None] * k)], results)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 12), st.floats(0.05, 20))
def test_gaussian_equals_the_normal_density(radius, sigma):
    density = scipy.stats.norm.pdf(np.arange(-radius, radius + 1), scale=sigma)
    reference = torch.from_numpy(density / density.sum())
    kernel = gaussian_kernel1d(2 * radius + 1, sigma, dtype=torch.float64)
    torch.testing.assert_close(kernel, reference, rtol=1e-10, atol=1e-15)
    assert torch.equal(kernel, kernel.flip(0))
    assert abs(kernel.sum().item() - 1) < 1e-12
    round_kernel = gaussian_kernel2d(2 * radius + 1, sigma, dtype=torch.float64)
    torch.testing.assert_close(round_kernel, reference[:, None] * reference, rtol=1e-10, atol=1e-15)


@settings(max_examples=40, deadline=None)
@given(st.floats(0.5, 4), st.floats(0.5, 4), st.floats(-math.pi, math.pi))
def test_stretched_gaussian_equals_the_multivariate_density(along, across, angle):
    kernel = gaussian_kernel2d(9, (along, across), angle=angle, dtype=torch.float64)
    # x to the right, y upwards; rows of a picture grow downwards.
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    covariance = turn @ np.diag([along**2, across**2]) @ turn.T
    y, x = np.mgrid[4:-5:-1, -4:5]
    density = scipy.stats.multivariate_normal.pdf(np.stack([x, y], -1), cov=covariance)
    torch.testing.assert_close(kernel, torch.from_numpy(density / density.sum()), rtol=1e-8, atol=1e-12)


def test_angle_turns_counter_clockwise_as_seen():
    kernel = gaussian_kernel2d(5, (3.0, 0.3), angle=math.pi / 4)
    assert kernel[0, 4] > 0.01 > kernel[0, 0]


def test_a_tiny_sigma_gives_the_unit_impulse():
    assert gaussian_kernel1d(5, 1e-300).tolist() == [0, 0, 1, 0, 0]
    assert gaussian_kernel2d(3, 1e-300).flatten().tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 0]


def test_gaussian_dtype():
    assert gaussian_kernel1d(3, 1.0).dtype == torch.float32
    assert gaussian_kernel2d(3, 1.0, dtype=torch.float64, device="cpu").dtype == torch.float64


@pytest.mark.parametrize("make", [gaussian_kernel1d, gaussian_kernel2d])
@pytest.mark.parametrize(
    ("size", "sigma", "error", "match"),
    [
        (4, 1.0, ValueError, "odd"),
        (0, 1.0, ValueError, "at least 1"),
        (-3, 1.0, ValueError, "at least 1"),
        (3.0, 1.0, TypeError, "integer"),
        (True, 1.0, TypeError, "integer"),
        (3, 0.0, ValueError, "above 0"),
        (3, -1.0, ValueError, "above 0"),
        (3, math.nan, ValueError, "above 0"),
        (3, math.inf, ValueError, "finite"),
        (3, "1", TypeError, "number"),
        (3, True, TypeError, "number"),
    ],
)
def test_bad_gaussian(make, size, sigma, error, match):
    with pytest.raises(error, match=match):
        make(size, sigma)


@pytest.mark.parametrize(
    ("sigma", "angle", "error", "match"),
    [
        ((1.0, 0.0), 0.0, ValueError, "above 0"),
        ((1.0, 1.0, 1.0), 0.0, ValueError, "pair"),
        ((1.0, None), 0.0, TypeError, "number"),
        ((1.0, 2.0), 45.0, ValueError, "angle"),
        ((1.0, 2.0), math.nan, ValueError, "angle"),
        ((1.0, 2.0), "up", TypeError, "angle"),
    ],
)
def test_bad_stretched_gaussian(sigma, angle, error, match):
    with pytest.raises(error, match=match):
        gaussian_kernel2d(3, sigma, angle=angle)


X = torch.zeros(2, 3, 4, 5)
BAD_COMMON = [
    (X[0], torch.ones(3), "reflect", ValueError, "4 dimensions"),
    (X.int(), torch.ones(3), "reflect", TypeError, "floating-point"),
    (X.to(torch.complex64), torch.ones(3), "reflect", TypeError, "floating-point"),
    (X[:, :, :0], torch.ones(3), "reflect", ValueError, "empty"),
    (X, torch.ones(4), "reflect", ValueError, "odd"),
    (X, torch.ones(0), "reflect", ValueError, "at least 1"),
    (X, torch.ones(3).int(), "reflect", TypeError, "kernel"),
    (X, torch.ones(3, device="meta"), "reflect", ValueError, "device"),
    (X, torch.ones(3), "mirror", ValueError, "reflect, symmetric, replicate, zero, circular, valid"),
    (X, torch.ones(5), "valid", ValueError, "at least"),
]


@pytest.mark.parametrize(("x", "k", "border", "error", "match"), BAD_COMMON)
def test_bad_input(x, k, border, error, match):
    with pytest.raises(error, match=match):
        filter_separable(x, k, k, border=border)
    with pytest.raises(error, match=match):
        filter2d(x, k.expand(k.shape[0], -1), border=border)


@pytest.mark.parametrize(
    ("kernel", "error", "match"),
    [
        (torch.ones(3), ValueError, r"\(kh, kw\)"),
        (torch.ones(1, 1, 3, 3), ValueError, r"\(kh, kw\)"),
        (torch.ones(3, 3, 3), ValueError, "2 pictures"),
        ([[1.0]], TypeError, "kernel"),
    ],
)
def test_bad_kernel2d(kernel, error, match):
    with pytest.raises(error, match=match):
        filter2d(X, kernel)


def test_bad_separable_kernel():
    with pytest.raises(ValueError, match=r"kernel_y must be \(K,\)"):
        filter_separable(X, torch.ones(3, 1), torch.ones(3))
    with pytest.raises(TypeError, match="kernel_x"):
        filter_separable(X, torch.ones(3), [1.0])
    with pytest.raises(ValueError, match="odd"):
        filter_separable(X, torch.ones(3), torch.ones(2))


def test_autocast_does_not_blur_the_arithmetic():
    x, kernel = torch.rand(1, 3, 20, 20), gaussian_kernel2d(9, 1.5)
    with torch.autocast("cpu", torch.bfloat16):
        filtered = filter2d(x, kernel)
    assert torch.equal(filtered, filter2d(x, kernel))


@pytest.mark.parametrize("border", BORDERS)
def test_large_planes_equal_scipy(border):
    """On a CPU they are products with bands, whole and overlapping blocks."""
    x, ky, kx = rand(1, 2, 71, 90), rand(5, seed=1), rand(11, seed=2)
    result = filter_separable(x, ky, kx, border=border)
    torch.testing.assert_close(result, expected(x, ky[:, None] * kx, border), rtol=0, atol=1e-12)


def test_gradients_of_large_planes_and_their_kernels():
    x = rand(1, 1, 64, 64).requires_grad_()
    ky, kx = rand(3, seed=1).requires_grad_(), rand(5, seed=2).requires_grad_()
    assert gradcheck(filter_separable, (x, ky, kx), fast_mode=True)


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")  # torch's own, on its first forward mode
def test_large_planes_under_transforms_and_compilers():
    x, kernel = rand(3, 1, 2, 64, 64), gaussian_kernel1d(5, 1.0, dtype=torch.float64)

    def energy(x):
        return filter_separable(x, kernel, kernel).square().sum()

    by_vmap = torch.vmap(torch.func.grad(energy))(x)
    for one, gradient in zip(x, by_vmap, strict=True):
        one.requires_grad_()
        (theirs,) = torch.autograd.grad(energy(one), one)
        torch.testing.assert_close(gradient, theirs)
    _, tangent = torch.func.jvp(energy, (x[0].detach(),), (x[1].detach(),))
    torch.testing.assert_close(tangent, (by_vmap[0] * x[1].detach()).sum())
    exported = torch.export.export(_Filter(), (x[0].detach(),)).module()
    torch.testing.assert_close(exported(x[1].detach()), filter_separable(x[1].detach(), kernel, kernel))


class _Filter(torch.nn.Module):
    def forward(self, x):
        kernel = gaussian_kernel1d(5, 1.0, dtype=torch.float64)
        return filter_separable(x, kernel, kernel)
