import hypothesis.strategies as st
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from torch.autograd import gradcheck

from restorekit.augment import flip_rotate
from restorekit.augment.geometric import FlipRotateParams
from restorekit.image import DIHEDRAL, dihedral


def seed(number):
    return torch.Generator().manual_seed(number)


def pair(n=3, channels=2, height=4, width=4, scale=2, dtype=torch.float32):
    shapes = ((n, channels, height, width), (n, channels, height * scale, width * scale))
    return tuple(torch.rand(shape, generator=seed(i)).to(dtype) for i, shape in enumerate(shapes))


def drawn(n, height, width, **options):
    x = torch.zeros(n, 1, height, width)
    return flip_rotate(x, x, return_params=True, **options)[2].k


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 4),
    st.integers(1, 6),
    st.integers(1, 6),
    st.integers(1, 3),
    st.sampled_from([0, 0.5, 1]),
    st.booleans(),
    st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
    st.integers(0, 999),
)
def test_laws(n, height, width, scale, p, same, dtype, number):
    lq, hq = pair(n, 2, height, width, scale, dtype)
    before = lq.clone(), hq.clone()
    options = {"p": p, "same_on_batch": same, "generator": seed(number)}
    *out, params = flip_rotate(lq, hq, return_params=True, **options)

    for x, kept, result in zip((lq, hq), before, out, strict=True):
        assert torch.equal(x, kept)
        assert result.dtype == dtype
        assert result.is_contiguous()
        assert result.data_ptr() != x.data_ptr()
        assert all(torch.equal(y, dihedral(picture, int(k))) for y, picture, k in zip(result, x, params.k, strict=True))
    assert params.k.shape == (n,)
    if p == 0:
        assert not params.k.any()
    if same:
        assert len(set(params.k.tolist())) == 1
    elif height != width:
        assert not (params.k % 2).any()

    for replayed in (flip_rotate(lq, hq, replay=params), flip_rotate(lq, hq, p=0, same_on_batch=True, replay=params)):
        assert all(torch.equal(a, b) for a, b in zip(replayed, out, strict=True))


@pytest.mark.parametrize("k", DIHEDRAL)
@pytest.mark.parametrize("size", [(4, 4), (3, 5), (5, 1), (1, 1)])
def test_numbers_are_those_of_dihedral(k, size):
    lq, hq = pair(2, 3, *size, 3)
    out = flip_rotate(lq, hq, replay=FlipRotateParams(torch.tensor([k, k])))
    assert torch.equal(out[0], dihedral(lq, k))
    assert torch.equal(out[1], dihedral(hq, k))


@pytest.mark.parametrize(
    ("size", "same", "possible"),
    [((4, 4), False, range(8)), ((4, 6), False, range(0, 8, 2)), ((6, 4), True, range(8)), ((4, 4), True, range(8))],
)
def test_each_way_is_as_likely_as_the_others(size, same, possible):
    generator = seed(1)
    if same:
        found = torch.stack([drawn(3, *size, same_on_batch=True, generator=generator)[0] for _ in range(1600)])
    else:
        found = drawn(1600, *size, generator=generator)
    counts = found.bincount(minlength=8)
    assert counts.sum() == counts[list(possible)].sum()
    assert scipy.stats.chisquare(counts[list(possible)].numpy()).pvalue > 1e-3


@pytest.mark.parametrize("p", [0.2, 0.5])
def test_frequency_of_p(p):
    counts = drawn(4000, 4, 4, p=p, generator=seed(2)).bincount(minlength=8).numpy()
    expected = [4000 * (1 - p + p / 8), *[4000 * p / 8] * 7]
    assert scipy.stats.chisquare(counts, expected).pvalue > 1e-3


def test_samples_differ_unless_one_draw_is_asked_for():
    assert len(set(drawn(40, 3, 3, generator=seed(3)).tolist())) == 8


def test_draws_depend_on_nothing_but_the_batch():
    states = []
    for size, options in (((4, 4), {}), ((2, 7), {}), ((4, 4), {"p": 0}), ((4, 4), {"p": 0.5})):
        generator = seed(4)
        drawn(5, *size, generator=generator, **options)
        states.append(generator.get_state())
    assert all(torch.equal(state, states[0]) for state in states)
    generator = seed(4)
    flip_rotate(*pair(2), generator=generator, replay=FlipRotateParams(torch.tensor([1, 2])))
    assert torch.equal(generator.get_state(), seed(4).get_state())


def test_same_generator_same_result_and_the_global_stream_stays():
    lq, hq = pair(20)
    state = torch.get_rng_state()
    first, again, other = (flip_rotate(lq, hq, generator=seed(number)) for number in (5, 5, 6))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])


def test_gradient():
    lq, hq = (x.double().requires_grad_() for x in pair(2, 1, 2, 2))
    assert gradcheck(lambda lq, hq: flip_rotate(lq, hq, generator=seed(7)), (lq, hq))


def test_memory_layout_does_not_matter():
    lq, hq = pair(6, 3)
    last = [x.contiguous(memory_format=torch.channels_last) for x in (lq, hq)]
    for a, b in zip(flip_rotate(*last, generator=seed(8)), flip_rotate(lq, hq, generator=seed(8)), strict=True):
        assert torch.equal(a, b)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_cpu_generator_gives_the_same_on_cuda():
    lq, hq = pair(8)
    there = flip_rotate(lq.cuda(), hq.cuda(), generator=seed(9))
    assert all(torch.equal(a.cpu(), b) for a, b in zip(there, flip_rotate(lq, hq, generator=seed(9)), strict=True))


LQ, HQ = torch.zeros(2, 3, 4, 6), torch.zeros(2, 3, 8, 12)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"p": -0.1}, ValueError, "p must be in"),
        ({"p": None}, TypeError, "p must be a number"),
        ({"generator": 0}, TypeError, "generator"),
        ({"replay": torch.zeros(2)}, TypeError, "replay must be the FlipRotateParams"),
        ({"replay": FlipRotateParams(torch.zeros(3, dtype=torch.long))}, ValueError, "replay was drawn for 3 pictures"),
        ({"replay": FlipRotateParams(torch.tensor([0, 1]))}, ValueError, "turns some pictures"),
    ],
)
def test_bad_options(options, error, match):
    with pytest.raises(error, match=match):
        flip_rotate(LQ, HQ, **options)


@pytest.mark.parametrize(
    ("lq", "hq", "error", "match"),
    [
        (LQ, torch.zeros(2, 3, 9, 12), ValueError, "one integer"),
        (LQ[:1], HQ, ValueError, "batch size"),
        (LQ, HQ.double(), ValueError, "dtype"),
        (LQ.int(), HQ.int(), TypeError, "floating-point"),
    ],
)
def test_bad_pair(lq, hq, error, match):
    with pytest.raises(error, match=match):
        flip_rotate(lq, hq)
