import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.ndimage
import torch
from hypothesis import given, settings
from torch.autograd import gradcheck

from restorekit.image import collapse_pyramid, laplacian_pyramid

KERNEL = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256


def rand(*shape, dtype=torch.float64, number=0):
    return torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(number)).to(dtype)


def step(plane):
    """Burt and Adelson's REDUCE and EXPAND, by SciPy: the band and the smaller picture."""
    smaller = scipy.ndimage.correlate(plane, KERNEL, mode="mirror")[::2, ::2]
    spread = np.zeros_like(plane)
    spread[::2, ::2] = smaller
    return plane - scipy.ndimage.correlate(spread, 4 * KERNEL, mode="mirror"), smaller


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.one_of(st.none(), st.integers(0, 7)), st.integers(0, 99))
def test_collapsing_undoes_it_at_any_size(height, width, levels, number):
    x = rand(2, 3, height, width, number=number) * 2 - 0.5
    before = x.clone()
    pyramid = laplacian_pyramid(x, levels)
    kept = [band.clone() for band in pyramid]
    torch.testing.assert_close(collapse_pyramid(pyramid), x, rtol=0, atol=1e-12)
    assert torch.equal(x, before)
    assert all(torch.equal(a, b) for a, b in zip(pyramid, kept, strict=True))
    assert len(pyramid) == levels + 1 if levels is not None else min(pyramid[-1].shape[-2:]) < 8
    for band in pyramid:
        assert band.shape == (2, 3, height, width)
        height, width = (height + 1) // 2, (width + 1) // 2


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 20), st.integers(2, 20), st.integers(0, 99))
def test_bands_equal_scipys(height, width, number):
    x = rand(1, 1, height, width, number=number)
    band, smaller = laplacian_pyramid(x, 1)
    theirs = step(x[0, 0].numpy())
    np.testing.assert_allclose(band[0, 0].numpy(), theirs[0], atol=1e-12)
    np.testing.assert_allclose(smaller[0, 0].numpy(), theirs[1], atol=1e-12)


@pytest.mark.parametrize(
    ("size", "sides"), [((64, 64), [64, 32, 16, 8, 4]), ((7, 90), [7]), ((8, 9), [8, 4]), ((31, 50), [31, 16, 8, 4])]
)
def test_by_default_the_shorter_side_ends_below_8(size, sides):
    assert [band.shape[-2] for band in laplacian_pyramid(rand(1, 1, *size))] == sides


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 2), (13, 22)])
def test_a_constant_has_no_bands(size):
    *bands, smallest = laplacian_pyramid(torch.full((1, 2, *size), 0.7, dtype=torch.float64), 3)
    assert max(float(band.abs().max()) for band in bands) < 1e-15
    torch.testing.assert_close(smallest, torch.full_like(smallest, 0.7), rtol=0, atol=1e-15)


def test_no_levels_is_a_copy():
    x = rand(1, 1, 3, 3)
    (only,) = laplacian_pyramid(x, 0)
    assert torch.equal(only, x)
    assert only.data_ptr() != x.data_ptr()
    assert collapse_pyramid([only]).data_ptr() != only.data_ptr()


@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-6), (torch.bfloat16, 2e-2), (torch.float16, 2e-3)])
def test_dtype(dtype, error):
    x = rand(2, 3, 21, 30, dtype=dtype)
    pyramid = laplacian_pyramid(x)
    assert {band.dtype for band in pyramid} == {dtype}
    again = collapse_pyramid(pyramid)
    assert again.dtype == dtype
    torch.testing.assert_close(again, x, rtol=0, atol=error)


def test_pictures_are_split_one_by_one():
    x = rand(3, 2, 19, 14, dtype=torch.float32)
    alone = [laplacian_pyramid(picture[None]) for picture in x]
    for level, band in enumerate(laplacian_pyramid(x)):
        assert torch.equal(band, torch.cat([pyramid[level] for pyramid in alone]))


def test_the_number_of_threads_does_not_matter():
    x = rand(1, 3, 211, 307, dtype=torch.float32)
    threads = torch.get_num_threads()
    found = []
    for number in (1, 2):
        torch.set_num_threads(number)
        pyramid = laplacian_pyramid(x)
        found.append([*pyramid, collapse_pyramid(pyramid)])
    torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_gradient():
    x = rand(1, 1, 5, 4).requires_grad_()
    assert gradcheck(lambda x: tuple(laplacian_pyramid(x, 2)), x)
    bands = [band.detach().requires_grad_() for band in laplacian_pyramid(x, 2)]
    assert gradcheck(lambda *bands: collapse_pyramid(bands), bands)


@pytest.mark.parametrize(
    ("x", "levels", "error", "match"),
    [
        (torch.zeros(1, 1, 4, 4), -1, ValueError, "levels must be at least 0"),
        (torch.zeros(1, 1, 4, 4), 1.5, TypeError, "levels must be an integer"),
        (torch.zeros(4, 4), None, ValueError, "4 dimensions"),
        (torch.zeros(1, 1, 4, 4, dtype=torch.uint8), None, TypeError, "floating-point"),
    ],
)
def test_bad_pictures(x, levels, error, match):
    with pytest.raises(error, match=match):
        laplacian_pyramid(x, levels)


LARGE, SMALL = torch.zeros(1, 2, 5, 4), torch.zeros(1, 2, 3, 2)


@pytest.mark.parametrize(
    ("pyramid", "error", "match"),
    [
        ([], ValueError, "at least one tensor"),
        (LARGE, TypeError, "sequence of tensors, the finest first, got Tensor"),
        ([LARGE, None], TypeError, r"pyramid\[1\] must be a torch.Tensor"),
        ([SMALL, LARGE], ValueError, r"pyramid\[1\] must have the shape \(1, 2, 2, 1\).*got \(1, 2, 5, 4\)"),
        ([LARGE, SMALL[:, :1]], ValueError, r"shape \(1, 2, 3, 2\)"),
        ([LARGE, SMALL.double()], ValueError, "dtype"),
    ],
)
def test_bad_pyramids(pyramid, error, match):
    with pytest.raises(error, match=match):
        collapse_pyramid(pyramid)
