import math

import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.fft
import scipy.stats
import torch
from hypothesis import given, settings
from torch.autograd import gradcheck

from restorekit.augment import frequency_masking
from restorekit.augment.frequency import FrequencyMaskingParams


def seed(number):
    return torch.Generator().manual_seed(number)


def rand(*shape, dtype=torch.float32):
    return torch.rand(shape, dtype=torch.float64, generator=seed(0)).to(dtype)


def band(*ends):
    """Parameters for one picture after the other: inner, outer, inner, outer, ..."""
    return FrequencyMaskingParams(torch.tensor(ends[::2]), torch.tensor(ends[1::2]))


def drawn(n, **options):
    x = torch.zeros(n, 1, 2, 2)
    params = frequency_masking(x, x, return_params=True, **options)[2]
    return params.inner.numpy(), params.outer.numpy()


def expected(x, params):
    """SciPy's transform, picture by picture, and the radius as it is written down."""
    out = []
    for picture, inner, outer in zip(x.double().numpy(), params.inner.numpy(), params.outer.numpy(), strict=True):
        spectrum = scipy.fft.dctn(picture, axes=(1, 2), norm="ortho")
        _, height, width = picture.shape
        for i in range(height):
            for j in range(width):
                if inner < math.sqrt(((i / height) ** 2 + (j / width) ** 2) / 2) < outer:
                    spectrum[:, i, j] = 0
        out.append(scipy.fft.idctn(spectrum, axes=(1, 2), norm="ortho"))
    return torch.from_numpy(np.array(out))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(1, 3),
    st.sampled_from(["central", "targeted"]),
    st.sampled_from([0, 0.5, 1]),
    st.booleans(),
    st.integers(0, 999),
)
def test_laws(height, width, scale, mode, p, same, number):
    lq, hq = rand(3, 2, height, width, dtype=torch.float64), rand(3, 2, height * scale, width * scale).double()
    before = lq.clone()
    options = {"mode": mode, "p": p, "same_on_batch": same, "generator": seed(number)}
    out, target, params = frequency_masking(lq, hq, return_params=True, **options)
    assert torch.equal(lq, before)
    assert target is hq
    assert out.data_ptr() != lq.data_ptr()
    torch.testing.assert_close(out, expected(lq, params), rtol=0, atol=1e-12)
    torch.testing.assert_close(out.mean((-2, -1)), lq.mean((-2, -1)), rtol=0, atol=1e-12)
    # a projection: once is enough, and what is taken out is orthogonal to what stays
    torch.testing.assert_close(frequency_masking(out, hq, replay=params)[0], out, rtol=0, atol=1e-12)
    assert abs(float((out * (lq - out)).sum())) < 1e-10
    assert torch.equal(frequency_masking(lq, hq, p=0, mode="targeted", replay=params)[0], out)
    left_out = params.outer <= params.inner
    assert torch.equal(out[left_out], lq[left_out])
    if p == 0:
        assert left_out.all()
    if same:
        assert len(set(params.inner.tolist())) == 1


def test_it_takes_out_a_cosine_inside_the_band_and_no_other():
    rows = torch.arange(16, dtype=torch.float64) + 0.5
    cosines = torch.stack([torch.cos(math.pi / 16 * k * rows) for k in range(16)]).view(16, 1, 16, 1).repeat(1, 1, 1, 4)
    params = FrequencyMaskingParams(torch.full((16,), 0.3), torch.full((16,), 0.5))  # k/16/sqrt(2): 6.8 < k < 11.3
    out, _ = frequency_masking(cosines, cosines, replay=params)
    gone = out.abs().amax((1, 2, 3)) < 1e-12
    assert gone.nonzero().flatten().tolist() == [7, 8, 9, 10, 11]
    torch.testing.assert_close(out[~gone], cosines[~gone], rtol=0, atol=1e-12)


def test_square_pictures_have_the_published_radius():
    """sqrt(i^2 + j^2) of sqrt(H^2 + W^2): (3, 4) of 8 x 8 lies at 5 / (8 sqrt(2)) = 0.442."""
    spectrum = np.zeros((8, 8))
    spectrum[3, 4] = 1
    x = torch.from_numpy(scipy.fft.idctn(spectrum, norm="ortho"))[None, None]
    assert frequency_masking(x, x, replay=band(0.44, 0.444))[0].abs().max() < 1e-12
    for outside in (band(0.443, 1.0), band(0.0, 0.441)):
        torch.testing.assert_close(frequency_masking(x, x, replay=outside)[0], x)


def test_central_radii_are_two_uniform_draws_in_order():
    inner, outer = drawn(3000, generator=seed(1))
    assert (inner <= outer).all()
    assert scipy.stats.kstest(inner, lambda r: 1 - (1 - r) ** 2).pvalue > 1e-3
    assert scipy.stats.kstest(outer, lambda r: r**2).pvalue > 1e-3


def test_targeted_radii_are_half_normal_about_the_middle():
    inner, outer = drawn(3000, mode="targeted", radius=0.8, sigma=0.1, generator=seed(2))
    assert scipy.stats.kstest((0.8 - inner) / 0.1, "halfnorm").pvalue > 1e-3
    assert scipy.stats.kstest((outer - 0.8) / 0.1, "halfnorm").pvalue > 1e-3
    assert abs(scipy.stats.pearsonr(inner, outer).statistic) < 0.06
    low, _ = drawn(3000, mode="targeted", radius=0.0, sigma=1.0, generator=seed(2))
    assert (low == 0).all()


@pytest.mark.parametrize("p", [0.2, 0.5])
@pytest.mark.parametrize("mode", ["central", "targeted"])
def test_frequency_of_p(p, mode):
    inner, outer = drawn(4000, p=p, mode=mode, generator=seed(3))
    assert abs((outer > inner).mean() - p) < 4 * math.sqrt(p * (1 - p) / 4000)


def test_samples_differ_unless_one_draw_is_asked_for():
    assert len(set(drawn(20, generator=seed(4))[0].tolist())) == 20
    assert len(set(drawn(20, same_on_batch=True, generator=seed(4))[0].tolist())) == 1


@pytest.mark.parametrize("mode", ["central", "targeted"])
def test_same_generator_same_result(mode):
    x = rand(4, 3, 6, 7)
    first, again, other = (frequency_masking(x, x, mode=mode, generator=seed(i))[0] for i in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("mode", ["central", "targeted"])
def test_how_many_numbers_are_drawn_depends_on_batch_and_mode_alone(mode):
    states = []
    for options in ({}, {"p": 0}, {"radius": 0.1, "sigma": 0.0}):
        generator = seed(7)
        drawn(5, mode=mode, generator=generator, **options)
        states.append(generator.get_state())
    assert all(torch.equal(state, states[0]) for state in states)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_types_are_computed_in_float32(dtype):
    x = rand(2, 3, 9, 7, dtype=dtype)
    params = band(0.2, 0.6, 0.0, 0.4)
    out, _ = frequency_masking(x, x, replay=params)
    assert out.dtype == dtype
    assert torch.equal(out, frequency_masking(x.float(), x.float(), replay=params)[0].to(dtype))


def test_autocast_changes_nothing():
    x = rand(1, 1, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        inside, _ = frequency_masking(x, x, replay=band(0.2, 0.6))
    assert torch.equal(inside, frequency_masking(x, x, replay=band(0.2, 0.6))[0])


def test_gradient():
    x = rand(2, 1, 3, 4, dtype=torch.float64).requires_grad_()
    assert gradcheck(lambda x: frequency_masking(x, x, replay=band(0.2, 0.6, 0.0, 0.0))[0], x)


LQ, HQ = torch.zeros(2, 3, 4, 6), torch.zeros(2, 3, 8, 12)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"mode": "random"}, ValueError, "mode must be one of central, targeted"),
        ({"radius": 1.1}, ValueError, "radius must be in"),
        ({"sigma": -0.1}, ValueError, "sigma must be in"),
        ({"p": math.nan}, ValueError, "p must be in"),
        ({"p": "1"}, TypeError, "p must be a number"),
        ({"generator": 0}, TypeError, "generator"),
        ({"replay": 3}, TypeError, "replay must be the FrequencyMaskingParams"),
        ({"replay": band(0.1, 0.2)}, ValueError, "replay was drawn for 1 pictures"),
    ],
)
def test_bad_options(options, error, match):
    with pytest.raises(error, match=match):
        frequency_masking(LQ, HQ, **options)


@pytest.mark.parametrize(
    ("lq", "hq", "error", "match"),
    [(LQ, torch.zeros(2, 3, 9, 12), ValueError, "one integer"), (LQ.int(), HQ.int(), TypeError, "floating-point")],
)
def test_bad_pair(lq, hq, error, match):
    with pytest.raises(error, match=match):
        frequency_masking(lq, hq)
