import sys
from collections import Counter

import hypothesis.strategies as st
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from torch.autograd import gradcheck

from restorekit.degrade import scramble
from restorekit.image import collapse_pyramid, laplacian_pyramid


def seed(number):
    return torch.Generator().manual_seed(number)


def pictures(n=2, channels=3, height=9, width=14, dtype=torch.float64):
    return torch.rand(n, channels, height, width, dtype=torch.float64, generator=seed(0)).to(dtype)


def colours(band):
    """How often each colour occurs in a band (C, H, W)."""
    return Counter(map(tuple, band.flatten(1).T.tolist()))


@pytest.fixture
def joined(monkeypatch):
    """The bands that the function puts together."""
    seen = []
    module = sys.modules[scramble.__module__]  # its name in the package is the function's
    monkeypatch.setattr(module, "collapse_pyramid", lambda bands: seen.append(bands) or collapse_pyramid(bands))
    return seen


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (16, 9), (33, 21)])
@pytest.mark.parametrize("levels", [None, 0, 2])
def test_every_band_keeps_its_colours(joined, size, levels):
    x = pictures(2, 3, *size)
    out = scramble(x, levels=levels, generator=seed(1))
    bands = laplacian_pyramid(x, levels)
    assert [band.shape for band in joined[0]] == [band.shape for band in bands]
    for before, after in zip(bands, joined[0], strict=True):
        assert [colours(a) for a in after] == [colours(b) for b in before]
        if before[0, 0].numel() > 8:
            assert not torch.equal(before, after)
    torch.testing.assert_close(out, collapse_pyramid(joined[0]))


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 30),
    st.integers(1, 30),
    st.one_of(st.none(), st.integers(0, 5)),
    st.sampled_from([torch.float64, torch.float32, torch.bfloat16]),
)
def test_laws(height, width, levels, dtype):
    x = pictures(2, 2, height, width, dtype)
    before = x.clone()
    out = scramble(x, levels=levels, generator=seed(2))
    assert torch.equal(x, before)
    assert out.shape == x.shape
    assert out.dtype == dtype
    assert torch.equal(out, scramble(x, levels=levels, generator=seed(2)))
    flat = torch.full_like(x, 0.25)
    torch.testing.assert_close(scramble(flat, levels=levels), flat, rtol=0, atol=1e-6)
    if levels == 0:
        assert [colours(a) for a in out] == [colours(b) for b in x]


def test_pixels_go_everywhere_alike():
    x = torch.arange(6.0).view(1, 1, 2, 3).repeat(3000, 1, 1, 1)
    out = scramble(x, levels=0, generator=seed(3)).flatten(1).long()
    for place in range(6):
        assert scipy.stats.chisquare(out[:, place].bincount(minlength=6).numpy()).pvalue > 1e-3
    assert len(set(map(tuple, out.tolist()))) > 0.95 * 720


def test_pictures_and_generators_differ_and_the_global_stream_stays():
    x = pictures(1).repeat(2, 1, 1, 1)
    state = torch.get_rng_state()
    out = scramble(x, generator=seed(4))
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(out[0], out[1])
    assert not torch.equal(out, scramble(x, generator=seed(5)))


def test_the_picture_is_lost():
    x = torch.linspace(0, 1, 64, dtype=torch.float64).expand(40, 1, 64, 64)
    out = scramble(x, generator=seed(6))
    pairs = torch.stack([x.flatten(1), out.flatten(1)], 1)
    correlations = torch.stack([torch.corrcoef(pair)[0, 1] for pair in pairs])
    assert abs(correlations.mean()) < 4 * correlations.std() / 40**0.5


def test_the_number_of_threads_does_not_matter():
    x = pictures(1, 3, 211, 307, torch.float32)
    threads = torch.get_num_threads()
    found = []
    for number in (1, 2):
        torch.set_num_threads(number)
        found.append(scramble(x, generator=seed(7)))
    torch.set_num_threads(threads)
    assert torch.equal(*found)


def test_half_types_are_computed_in_float32():
    x = pictures(dtype=torch.bfloat16)
    assert torch.equal(scramble(x, generator=seed(8)), scramble(x.float(), generator=seed(8)).bfloat16())


def test_gradient():
    x = pictures(1, 2, 3, 4).requires_grad_()
    assert gradcheck(lambda x: scramble(x, levels=1, generator=seed(9)), x)


@pytest.mark.parametrize(
    ("x", "options", "error", "match"),
    [
        (torch.zeros(1, 1, 4, 4), {"levels": -1}, ValueError, "levels must be at least 0"),
        (torch.zeros(1, 1, 4, 4), {"generator": 3}, TypeError, "generator"),
        (torch.zeros(4, 4), {}, ValueError, "4 dimensions"),
        (torch.zeros(1, 1, 4, 4, dtype=torch.uint8), {}, TypeError, "floating-point"),
    ],
)
def test_bad_arguments(x, options, error, match):
    with pytest.raises(error, match=match):
        scramble(x, **options)
