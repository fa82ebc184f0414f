"""The laws that all augmentations of pairs keep; each one's own distribution is in its own file."""

import math
import pickle
from functools import partial

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch.autograd import gradcheck

from restorekit.augment import blend, cutblur, cutmix, cutmixup, cutout, mixup, permute_rgb

rectangle = partial(cutout, shape="rectangle")
drops = partial(cutout, alpha=0.3)
METHODS = {
    "blend": blend,
    "permute_rgb": permute_rgb,
    "mixup": mixup,
    "drops": drops,
    "rectangle": rectangle,
    "cutmix": cutmix,
    "cutmixup": cutmixup,
    "cutblur": cutblur,
}
WITH_POSITIONS = {"drops", "rectangle", "cutmix", "cutmixup", "cutblur"}
CUTOUTS = {"drops", "rectangle"}
every = pytest.mark.parametrize("name", METHODS)


def seed(number):
    return torch.Generator().manual_seed(number)


def pair(n=4, height=6, width=5, scale=2, dtype=torch.float32):
    lq = torch.rand(n, 3, height, width, dtype=torch.float64, generator=seed(0)).to(dtype)
    hq = torch.rand(n, 3, height * scale, width * scale, dtype=torch.float64, generator=seed(1)).to(dtype)
    return lq, hq


def large(lq, name, scale):
    """What ``name`` leaves of a picture that it does not change."""
    return lq.repeat_interleave(scale, -1).repeat_interleave(scale, -2) if name == "cutblur" else lq


@settings(max_examples=150)
@given(
    st.sampled_from(sorted(METHODS)),
    st.integers(1, 3),
    st.integers(1, 8),
    st.integers(1, 8),
    st.integers(1, 4),
    st.booleans(),
    st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16]),
    st.integers(0, 999),
)
def test_laws(name, n, height, width, scale, same, dtype, number):
    lq, hq = pair(n, height, width, scale, dtype)
    before = lq.clone(), hq.clone()
    options = {"same_on_batch": same, "generator": seed(number)}
    out, target, params = METHODS[name](lq, hq, p=0.7, return_params=True, **options)

    assert torch.equal(lq, before[0])
    assert torch.equal(hq, before[1])
    assert out.shape == (hq if name == "cutblur" else lq).shape
    assert target.shape == hq.shape
    assert out.dtype == target.dtype == dtype
    assert out.data_ptr() != lq.data_ptr()
    assert (target is hq) == (name in {"cutblur", *CUTOUTS})
    assert 0 <= out.min() <= out.max() <= 1

    untouched = ~params.applied
    assert torch.equal(out[untouched], large(lq, name, scale)[untouched])
    assert torch.equal(target[untouched], hq[untouched])
    again = METHODS[name](lq, hq, replay=params)
    assert torch.equal(again[0], out)
    assert torch.equal(again[1], target)


@every
@pytest.mark.parametrize("scale", [1, 3])
def test_p_zero_and_alpha_zero_change_nothing(name, scale):
    lq, hq = pair(scale=scale)
    for options in [{"p": 0}] + [{"alpha": 0}] * (name != "permute_rgb"):
        out, target, params = METHODS[name](lq, hq, generator=seed(0), return_params=True, **options)
        assert torch.equal(out, large(lq, name, scale))
        assert torch.equal(target, hq)
        assert not params.applied.any()


@every
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_broken_picture_stays_away_from_those_that_are_not_augmented(name, value):
    lq, hq = pair(40)
    lq[7], hq[7] = value, value
    for number in range(8):
        out, target, params = METHODS[name](lq, hq, p=0.5, generator=seed(number), return_params=True)
        untouched = ~params.applied
        untouched[7] = False
        assert torch.equal(out[untouched], large(lq, name, 2)[untouched])
        assert torch.equal(target[untouched], hq[untouched])


@every
@pytest.mark.parametrize("p", [0.5, 1.0])
def test_frequency(name, p):
    n = 2000
    *_, params = METHODS[name](*pair(n, 2, 2, 1), p=p, generator=seed(2), return_params=True)
    assert abs(params.applied.double().mean().item() - p) <= 4 * math.sqrt(p * (1 - p) / n)


@every
def test_a_pickled_replay_repeats_exactly_and_needs_no_draw(name):
    lq, hq = pair()
    out, target, params = METHODS[name](lq, hq, p=0.8, generator=seed(3), return_params=True)
    state = torch.get_rng_state()
    again = METHODS[name](lq, hq, p=0, replay=pickle.loads(pickle.dumps(params)), return_params=True)
    assert torch.equal(again[0], out)
    assert torch.equal(again[1], target)
    assert torch.equal(again[2].applied, params.applied)
    assert torch.equal(torch.get_rng_state(), state)


@every
def test_a_replay_treats_another_pair_alike(name):
    """On pictures that are copies of pixels of the first ones, at another scale."""
    lq, _ = pair(scale=1)
    out, _, params = METHODS[name](lq, lq, generator=seed(4), return_params=True)
    small, target = METHODS[name](lq, large(lq, "cutblur", 3), replay=params)
    assert torch.equal(small, large(out, name, 3))
    if name not in CUTOUTS | {"cutblur"}:
        assert torch.equal(target, large(out, "cutblur", 3))


@every
def test_a_replay_for_others_is_refused(name):
    *_, params = METHODS[name](*pair(), generator=seed(5), return_params=True)
    with pytest.raises(ValueError, match="drawn for 4 pictures, got lq of shape"):
        METHODS[name](*pair(3), replay=params)
    if name in WITH_POSITIONS:
        with pytest.raises(ValueError, match=r"positions in an lq of \(6, 5\), got \(5, 6\)"):
            METHODS[name](*pair(height=5, width=6), replay=params)
    else:
        METHODS[name](*pair(height=5, width=6), replay=params)
    for other in set(METHODS) - CUTOUTS - {name}:
        with pytest.raises(TypeError, match=r"replay must be the .*Params that the same function gave"):
            METHODS[other](*pair(), replay=params)


@every
def test_same_generator_same_result(name):
    lq, hq = pair()
    state = torch.get_rng_state()
    first, again, other = (METHODS[name](lq, hq, generator=seed(number)) for number in (6, 6, 7))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])
    assert torch.equal(torch.get_rng_state(), state)


@every
def test_how_many_numbers_are_drawn_does_not_depend_on_strengths(name):
    states = []
    for options in [{}, {"p": 0}, {"p": 0.5}] + [{"alpha": 0}, {"alpha": 1}] * (name != "permute_rgb"):
        generator = seed(8)
        METHODS[name](*pair(), generator=generator, **options)
        states.append(generator.get_state())
    assert all(torch.equal(state, states[0]) for state in states)
    assert not torch.equal(states[0], seed(8).get_state())


@every
def test_pictures_differ_unless_one_draw_is_asked_for(name):
    lq, hq = (x[:1].expand(16, -1, -1, -1) for x in pair(1, 12, 11))
    *_, each = METHODS[name](lq, hq, generator=seed(9), return_params=True)
    *_, shared = METHODS[name](lq, hq, same_on_batch=True, generator=seed(9), return_params=True)
    drawn = set(vars(each)) - {"applied", "size", "partner", "inside"}
    assert drawn
    for field in drawn:
        assert len(getattr(each, field).flatten(1 if getattr(each, field).ndim > 1 else 0).unique(dim=0)) > 4
        assert len(getattr(shared, field).unique(dim=0)) == 1
    if hasattr(shared, "partner"):
        assert len(shared.partner.unique()) == 16


@every
def test_a_batch_of_one_has_only_itself(name):
    lq, hq = pair(1)
    for number in range(5):
        out, target = METHODS[name](lq, hq, generator=seed(number))
        if name in {"mixup", "cutmix", "cutmixup"}:
            torch.testing.assert_close(out, lq)
            torch.testing.assert_close(target, hq)


@every
@pytest.mark.parametrize("scale", [1, 2])
def test_gradient_reaches_both(name, scale):
    lq, hq = pair(2, 2, 2, scale, torch.float64)
    *_, params = METHODS[name](lq, hq, generator=seed(10), return_params=True)
    inputs = lq.requires_grad_(), hq.requires_grad_()
    assert gradcheck(lambda lq, hq: METHODS[name](lq, hq, replay=params), inputs)


@every
def test_half_precision_is_computed_in_float32(name):
    lq, hq = pair(dtype=torch.bfloat16)
    out, target, params = METHODS[name](lq, hq, generator=seed(11), return_params=True)
    wide = METHODS[name](lq.float(), hq.float(), replay=params)
    assert torch.equal(out, wide[0].bfloat16())
    assert torch.equal(target, wide[1].bfloat16())


@every
def test_memory_layout_does_not_matter(name):
    lq, hq = pair()
    layout = {"memory_format": torch.channels_last}
    out, target = METHODS[name](lq.contiguous(**layout), hq.contiguous(**layout), generator=seed(12))
    expected = METHODS[name](lq, hq, generator=seed(12))
    assert torch.equal(out, expected[0])
    assert torch.equal(target, expected[1])


@every
@pytest.mark.parametrize(
    ("lq", "hq", "error", "match"),
    [
        (torch.zeros(2, 3, 4, 6), torch.zeros(2, 3, 8, 13), ValueError, "one integer"),
        (torch.zeros(1, 3, 4, 6), torch.zeros(2, 3, 8, 12), ValueError, "batch size"),
        (torch.zeros(2, 3, 4, 6), torch.zeros(2, 3, 8, 12).double(), ValueError, "dtype"),
        (torch.zeros(2, 3, 4, 6).int(), torch.zeros(2, 3, 8, 12).int(), TypeError, "floating-point"),
        (torch.zeros(3, 4, 6), torch.zeros(3, 8, 12), ValueError, "4 dimensions"),
    ],
)
def test_bad_pair(name, lq, hq, error, match):
    with pytest.raises(error, match=match):
        METHODS[name](lq, hq)


@every
def test_bad_arguments(name):
    bad = [({"p": 1.1}, "p must be"), ({"p": math.nan}, "p must be"), ({"generator": 0}, "generator")]
    if name != "permute_rgb":
        bad += [({"alpha": -0.1}, "alpha must be"), ({"alpha": "1"}, "alpha must be")]
    for options, match in bad:
        with pytest.raises((TypeError, ValueError), match=match):
            METHODS[name](*pair(), **options)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@every
def test_a_cpu_generator_and_a_replay_give_the_same_on_cuda(name):
    lq, hq = pair()
    here = METHODS[name](lq, hq, generator=seed(13), return_params=True)
    for options in ({"generator": seed(13)}, {"replay": here[2]}):
        there = METHODS[name](lq.cuda(), hq.cuda(), **options)
        torch.testing.assert_close(there[0].cpu(), here[0])
        torch.testing.assert_close(there[1].cpu(), here[1])
