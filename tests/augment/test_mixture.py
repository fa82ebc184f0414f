import pickle
from functools import partial

import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings

from restorekit import augment
from restorekit.augment import Mixture, blend, cutblur, cutmix, cutout, flip_rotate, frequency_masking, mixup

SEVEN = ["blend", "permute_rgb", "mixup", "cutout", "cutmix", "cutmixup", "cutblur"]


def seed(number):
    return torch.Generator().manual_seed(number)


def pair(n=12, height=5, width=6, scale=2, dtype=torch.float32, channels=3):
    lq = torch.rand(n, channels, height, width, dtype=torch.float64, generator=seed(0)).to(dtype)
    hq = torch.rand(n, channels, height * scale, width * scale, dtype=torch.float64, generator=seed(1)).to(dtype)
    return lq, hq


def enlarged(x, scale):
    return x.repeat_interleave(scale, -1).repeat_interleave(scale, -2)


def darken(lq, hq, *, generator):
    """A method from elsewhere."""
    factor = torch.rand(len(lq), 1, 1, 1, generator=generator)
    return lq * factor.to(lq), hq * factor.to(hq)


def keep(lq, hq, *, generator):
    return lq, hq


def choices(mixture, n, number=0):
    x = torch.zeros(n, 3, 1, 1)
    return mixture(x, x, generator=seed(number), return_params=True)[2].choice.numpy()


@settings(max_examples=60)
@given(
    st.sampled_from([["mixup", "cutblur"], SEVEN, SEVEN[:-1], ["cutout", darken], [partial(cutblur, alpha=0.3)]]),
    st.integers(1, 9),
    st.integers(1, 5),
    st.integers(1, 5),
    st.integers(1, 4),
    st.sampled_from([0, 0.5, 1]),
    st.booleans(),
    st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
    st.integers(0, 99),
)
def test_laws(pool, n, height, width, scale, p, same, dtype, number):
    lq, hq = pair(n, height, width, scale, dtype)
    before = lq.clone(), hq.clone()
    mixture = Mixture(pool, p=p)
    options = {"same_on_batch": same, "return_mask": True, "return_params": True}
    out, target, mask, params = mixture(lq, hq, generator=seed(number), **options)

    assert torch.equal(lq, before[0])
    assert torch.equal(hq, before[1])
    assert mixture.enlarges == (pool[-1] == "cutblur" or isinstance(pool[-1], partial))
    plain = enlarged(lq, scale) if mixture.enlarges else lq
    assert out.shape == plain.shape
    assert target.shape == hq.shape
    assert mask.shape == (n, 1, height * scale, width * scale)
    assert out.dtype == target.dtype == mask.dtype == dtype
    untouched = params.choice == -1
    assert p > 0 or untouched.all()
    assert p < 1 or not untouched.any()
    assert not same or len(params.choice.unique()) == 1
    assert torch.equal(out[untouched], plain[untouched])
    assert torch.equal(target[untouched], hq[untouched])
    names = np.array([*mixture.names, ""])
    assert bool((mask[torch.from_numpy(names[params.choice.numpy()] != "cutout")] == 1).all())

    again = mixture(lq, hq, replay=pickle.loads(pickle.dumps(params)), **options)
    assert torch.equal(again[0], out)
    assert torch.equal(again[1], target)
    assert torch.equal(again[2], mask)


@pytest.mark.parametrize("pool", ["sr", SEVEN[:-1]])
def test_p_zero_is_the_identity(pool):
    for scale in (1, 2):
        lq, hq = pair(scale=scale)
        out, target = Mixture(pool, p=0)(lq, hq)
        assert target is hq
        assert torch.equal(out, enlarged(lq, scale) if pool == "sr" else lq)


@pytest.mark.parametrize(
    ("preset", "p", "ratios"),
    [
        ("sr", 1, [1 / 7] * 7),
        ("realistic-sr", 1, [0.1] * 6 + [0.4]),
        ("restoration", 0.6, [1 / 7] * 7),
        ("small-model", 0.2, [1 / 7] * 7),
    ],
)
def test_published_frequencies(preset, p, ratios):
    mixture = Mixture(preset)
    assert mixture.names == tuple(SEVEN)
    counts = np.bincount(choices(mixture, 6000) + 1, minlength=8)
    expected = 6000 * np.array([1 - p, *np.multiply(p, ratios)])
    possible = expected > 0
    assert not counts[~possible].any()
    assert scipy.stats.chisquare(counts[possible], expected[possible]).pvalue > 1e-3


def test_given_p_and_ratios_replace_those_of_a_preset():
    counts = np.bincount(choices(Mixture("restoration", p=0.5, ratios=[0, 0.25, 0, 0, 0, 0.75, 0]), 4000) + 1)
    assert list(counts[[1, 3, 4, 5]]) == [0, 0, 0, 0]
    assert scipy.stats.chisquare(counts[[0, 2, 6]], [2000, 500, 1500]).pvalue > 1e-3


def test_same_on_batch_draws_one_method_each_time():
    mixture, generator, x = Mixture(["blend", "mixup"], p=0.5), seed(2), torch.zeros(3, 3, 1, 1)
    found = []
    for _ in range(400):
        *_, params = mixture(x, x, same_on_batch=True, generator=generator, return_params=True)
        found += params.choice.unique().tolist()
    assert scipy.stats.chisquare(np.bincount(np.add(found, 1)), [200, 100, 100]).pvalue > 1e-3


@pytest.mark.parametrize("scale", [1, 3])
def test_partners_come_from_the_whole_batch_as_it_was(scale):
    lq, hq = pair(30, scale=scale, dtype=torch.float64)
    mixture = Mixture(["blend", mixup, "cutmix"])
    out, target, params = mixture(lq, hq, generator=seed(3), return_params=True)
    mixed, pasted = params.choice == 1, params.choice == 2
    part = params.parts[1]
    share = part.share.double().view(-1, 1, 1, 1)
    assert (params.choice[part.partner] == 0).any()
    for got, x in ((out, lq), (target, hq)):
        torch.testing.assert_close(got[mixed], share * x[mixed] + (1 - share) * x[part.partner])
        other = x[params.parts[2].partner]
        assert torch.equal(
            (got[pasted] == other) | (got[pasted] == x[pasted]), torch.ones_like(other, dtype=torch.bool)
        )
        assert (got[pasted] == other).any()


@pytest.mark.parametrize("name", SEVEN)
@pytest.mark.parametrize("scale", [1, 2])
def test_a_mixture_of_one_is_that_one(name, scale):
    lq, hq = pair(scale=scale)
    mixture = Mixture([name])
    out, target, params = mixture(lq, hq, generator=seed(4), return_params=True)
    expected = getattr(augment, name)(lq, hq, replay=params.parts[0])
    assert torch.equal(out, expected[0])
    assert torch.equal(target, expected[1])


def test_partials_bring_their_strength():
    lq, hq = torch.zeros(300, 1, 10, 10), torch.ones(300, 1, 10, 10)
    pool = [partial(cutblur, alpha=0.35), partial(cutout, shape="rectangle", alpha=0.25), partial(blend, p=0.5)]
    mixture = Mixture(pool)
    assert mixture.names == ("cutblur(alpha=0.35)", "cutout(shape='rectangle', alpha=0.25)", "blend(p=0.5)")
    out, _, mask, params = mixture(lq, hq, generator=seed(5), return_mask=True, return_params=True)
    blurred = out[params.choice == 0].flatten(1).sum(1)
    assert {9.0, 91.0} <= set(blurred.tolist()) <= {4.0, 9.0, 16.0, 84.0, 91.0, 96.0}
    assert (mask[params.choice == 1].flatten(1).sum(1) == 96).all()
    blended = (out[params.choice == 2] > 0).flatten(1).any(1).double()
    assert abs(blended.mean() - 0.5) < 4 * 0.5 / len(blended) ** 0.5


def test_a_function_from_elsewhere_gets_its_pictures_and_is_replayed():
    lq, hq = pair(40)
    mixture = Mixture([darken, "cutout"])
    out, target, params = mixture(lq, hq, generator=seed(6), return_params=True)
    mine = params.choice == 0
    assert 0 < mine.sum() < 40
    expected = darken(lq[mine], hq[mine], generator=seed(params.parts[0]))
    assert not torch.equal(out[mine], expected[0])  # the seed is not used as it is
    ratio = out[mine] / lq[mine]
    torch.testing.assert_close(ratio, ratio[:, :1, :1, :1].expand_as(ratio))
    torch.testing.assert_close(target[mine] / hq[mine], ratio[:, :1, :1, :1].expand(-1, 3, 10, 12))
    assert torch.equal(mixture(lq, hq, replay=params)[0], out)
    assert torch.equal(Mixture([keep])(lq, hq)[0], lq)


@pytest.mark.parametrize("pool", [["flip_rotate", "frequency_masking"], [flip_rotate, frequency_masking, cutblur]])
@pytest.mark.parametrize("width", [5, 6])
def test_the_geometric_and_the_frequency_view_can_be_in_a_pool(pool, width):
    lq, hq = pair(30, 6, width)
    mixture = Mixture(pool)
    assert mixture.names[:2] == ("flip_rotate", "frequency_masking")
    out, target, params = mixture(lq, hq, generator=seed(7), return_params=True)
    assert torch.equal(target[params.choice != 0], hq[params.choice != 0])
    for index, function in enumerate([flip_rotate, frequency_masking]):
        mine = params.choice == index
        expected = function(lq[mine], hq[mine], replay=params.parts[index])
        torch.testing.assert_close(out[mine], enlarged(expected[0], 2) if mixture.enlarges else expected[0])
        assert torch.equal(target[mine], expected[1])
    again = mixture(lq, hq, replay=pickle.loads(pickle.dumps(params)))
    assert torch.equal(again[0], out)
    assert torch.equal(again[1], target)


def test_a_whole_batch_may_be_turned():
    lq, hq = pair(3, 2, 5)
    shapes = set()
    for number in range(12):
        options = {"same_on_batch": True, "return_mask": True, "return_params": True}
        *out, mask, params = Mixture(["flip_rotate", "cutout"])(lq, hq, generator=seed(number), **options)
        assert mask.shape[-2:] == out[1].shape[-2:]
        shapes.add(tuple(out[0].shape[-2:]))
        again = Mixture(["flip_rotate", "cutout"])(lq, hq, replay=params)
        assert all(torch.equal(a, b) for a, b in zip(again, out, strict=True))
    assert shapes == {(2, 5), (5, 2)}


def test_the_default_device_does_not_matter():
    lq, hq = pair(20)
    pool = [*SEVEN, "flip_rotate", "frequency_masking"]
    expected = Mixture(pool)(lq, hq, generator=seed(8), return_mask=True)
    generator = seed(8)
    with torch.device("meta"):
        out = Mixture(pool)(lq, hq, generator=generator, return_mask=True)
    assert all(torch.equal(a, b) for a, b in zip(out, expected, strict=True))


def test_mixtures_can_be_nested():
    lq, hq = pair()
    mixture = Mixture([Mixture("sr"), "mixup"], ratios=[0.7, 0.3])
    out, target, params = mixture(lq, hq, generator=seed(7), return_params=True)
    assert out.shape == hq.shape
    assert torch.equal(mixture(lq, hq, replay=params)[0], out)
    assert not torch.equal(target, hq)


@pytest.mark.parametrize(
    ("returned", "error", "match"),
    [
        (lambda lq, hq, generator: lq, TypeError, r"must return \(lq, hq\), got Tensor"),
        (lambda lq, hq, generator: (hq, hq), ValueError, "must keep the sizes"),
        (lambda lq, hq, generator: (lq[..., :3], hq[..., :6]), ValueError, "must keep the sizes"),
    ],
)
def test_a_function_that_returns_something_else(returned, error, match):
    with pytest.raises(error, match=match):
        Mixture([returned])(*pair())


def test_it_is_pickled_and_shows_what_it_holds():
    mixture = Mixture(["mixup", partial(cutblur, alpha=0.5), darken], p=0.5, ratios=[0.2, 0.3, 0.5])
    assert repr(mixture) == "Mixture(p=0.5, mixup: 0.2, cutblur(alpha=0.5): 0.3, darken: 0.5)"
    lq, hq = pair()
    copied = Mixture("sr", p=0.5)
    first = copied(lq, hq, generator=seed(8))
    again = pickle.loads(pickle.dumps(copied))(lq, hq, generator=seed(8))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])


def test_gradient_reaches_every_picture():
    lq, hq = (x.requires_grad_() for x in pair(30, dtype=torch.float64))
    out, target = Mixture("sr")(lq, hq, generator=seed(9))
    (out.sum() + target.sum()).backward()
    assert (lq.grad != 0).flatten(1).any(1).sum() >= 28
    assert (hq.grad != 0).flatten(1).any(1).all()


def test_grey_pictures_need_a_pool_without_permute_rgb():
    lq, hq = pair(channels=1)
    with pytest.raises(ValueError, match="lq must have 3 channels"):
        Mixture("sr", p=0)(lq, hq)
    Mixture(["blend", "mixup", "cutout", "cutmix", "cutmixup", "cutblur"])(lq, hq)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        (
            {"pool": "photo"},
            ValueError,
            r"pool must be one of sr, realistic-sr, restoration, small-model, or .*'photo'",
        ),
        ({"pool": []}, ValueError, "pool must not be empty"),
        ({"pool": ["mixup", "cutfog"]}, ValueError, "unknown augmentation 'cutfog'; the known ones are blend, perm"),
        ({"pool": [3]}, TypeError, "pool must hold names and functions"),
        ({"pool": cutblur}, TypeError, "pool must be .* a sequence of methods such as .*, got function"),
        ({"pool": ["flip_rotate", partial(flip_rotate, alpha=1)]}, ValueError, "flip_rotate can be given p, got alpha"),
        ({"pool": [partial(frequency_masking, mode="all")]}, ValueError, "mode must be one of"),
        ({"pool": [partial(mixup, replay=None)]}, ValueError, "in a pool mixup can be given alpha, p, got replay"),
        ({"pool": [partial(cutmix, alpha=1.5)]}, ValueError, r"alpha must be in \[0, 1\]"),
        ({"p": 1.1}, ValueError, r"p must be in \[0, 1\]"),
        ({"p": "1"}, TypeError, "p must be a number"),
        ({"pool": ["mixup", "blend"], "ratios": [0.5, 0.4]}, ValueError, "ratios must sum to 1, got 0.9"),
        ({"pool": ["mixup", "blend"], "ratios": [0.5, 0.500002]}, ValueError, "ratios must sum to 1"),
        ({"pool": ["mixup", "blend"], "ratios": [1.0]}, ValueError, "one number for each of the 2 methods, got 1"),
        ({"pool": ["mixup", "blend"], "ratios": [-0.5, 1.5]}, ValueError, "ratios must be in"),
        ({"pool": ["mixup", "blend"], "ratios": [0.5, None]}, TypeError, "ratios must be a number"),
    ],
)
def test_bad_construction(options, error, match):
    with pytest.raises(error, match=match):
        Mixture(**options)


def test_bad_calls():
    lq, hq = pair()
    mixture = Mixture(["mixup", "blend"])
    *_, params = mixture(lq, hq, return_params=True)
    with pytest.raises(ValueError, match="drawn for 12 pictures"):
        mixture(lq[:5], hq[:5], replay=params)
    with pytest.raises(ValueError, match="positions in an lq"):
        mixture(lq[..., :3], hq[..., :6], replay=params)
    with pytest.raises(ValueError, match="replay is of a mixture of mixup, blend, this has blend, mixup"):
        Mixture(["blend", "mixup"])(lq, hq, replay=params)
    with pytest.raises(TypeError, match="replay must be MixtureParams"):
        mixture(lq, hq, replay=params.parts[0])
    with pytest.raises(TypeError, match="generator"):
        mixture(lq, hq, generator=3)
    with pytest.raises(ValueError, match="one integer"):
        mixture(lq, hq[..., :-1])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_cpu_generator_and_a_replay_give_the_same_on_cuda():
    lq, hq = pair(30)
    *here, params = Mixture("sr")(lq, hq, generator=seed(10), return_mask=True, return_params=True)
    for options in ({"generator": seed(10)}, {"replay": params}):
        there = Mixture("sr")(lq.cuda(), hq.cuda(), return_mask=True, **options)
        for a, b in zip(here, there, strict=True):
            torch.testing.assert_close(a, b.cpu())
