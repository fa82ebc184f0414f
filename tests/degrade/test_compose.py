import itertools
import pickle

import pytest
import torch
from scipy.stats import binomtest, chisquare

from restorekit.degrade import Chain, Distortion, Identity, OneOf, RandomOrder, Sometimes, brightness, replay


def seed(number):
    return torch.Generator().manual_seed(number)


def pictures(n=2, channels=3, height=8, width=10):
    return torch.rand(n, channels, height, width, generator=seed(0))


A, B, C = Distortion("brightness", 0.1), Distortion("contrast", 30), Distortion("gaussian_noise", (0.0, 0.2))


def orders(composition, count=3000):
    """For each picture the names of what is done to it, in order."""
    programs = composition._programs(count, (8, 8), seed(0))
    return [tuple(step["type"][0] for step in steps) for steps in programs]


def test_chain_does_all_in_order():
    x = pictures()
    out = Chain(A, A)(x)
    assert torch.equal(out, brightness(brightness(x, 0.1), 0.1))
    assert set(orders(Chain(A, B, C), 10)) == {("b", "c", "g")}


def test_random_order_takes_each_order_equally_often():
    drawn = orders(RandomOrder(A, B, C))
    counts = [drawn.count(order) for order in itertools.permutations("bcg")]
    assert sum(counts) == len(drawn)
    assert chisquare(counts).pvalue > 0.001


@pytest.mark.parametrize("weights", [None, [0.2, 0.5, 0.3], [0, 0.25, 0.75], [1, 0, 0]])
def test_one_of(weights):
    drawn = orders(OneOf(A, B, C, weights=weights))
    counts = [drawn.count((name,)) for name in "bcg"]
    expected = [len(drawn) * w for w in weights or [1 / 3] * 3]
    for count, wanted in zip(counts, expected, strict=True):
        if wanted == 0:
            assert count == 0
    possible = [i for i in range(3) if expected[i] > 0]
    assert sum(counts) == len(drawn)
    if len(possible) > 1:
        assert chisquare([counts[i] for i in possible], [expected[i] for i in possible]).pvalue > 0.001


@pytest.mark.parametrize("p", [0, 0.5, 0.8, 1])
def test_sometimes(p):
    count = sum(len(order) for order in orders(Sometimes(A, p)))
    assert count == 3000 * p if p in {0, 1} else binomtest(count, 3000, p).pvalue > 0.001


def test_identity_is_a_copy():
    x = pictures()
    out, recipe = Identity()(x, return_recipe=True)
    assert torch.equal(out, x)
    assert out.data_ptr() != x.data_ptr()
    assert recipe["pictures"] == [{"size": [8, 10], "steps": []}] * 2
    alone = Identity()(x[:1])
    assert alone.data_ptr() != x.data_ptr()


NESTED = Chain(RandomOrder(A, OneOf(B, Chain(C, A), weights=[0.4, 0.6])), Sometimes(OneOf(C, Identity()), 0.5))


def test_nesting():
    assert NESTED.types == ("brightness", "contrast", "gaussian_noise")
    x = pictures(4)
    lq, recipe = NESTED(x, generator=seed(1), return_recipe=True)
    assert torch.equal(NESTED(x, generator=seed(1)), lq)
    assert torch.equal(replay(x, recipe), lq)


def test_pickle_and_repr():
    again = pickle.loads(pickle.dumps(NESTED))
    assert torch.equal(again(pictures(), generator=seed(1)), NESTED(pictures(), generator=seed(1)))
    assert repr(again) == repr(NESTED)
    assert repr(OneOf(A, Sometimes(B, 0.5), weights=[0.4, 0.6])) == (
        "OneOf(Distortion('brightness', 0.1), Sometimes(Distortion('contrast', 30), 0.5), weights=[0.4, 0.6])"
    )


def test_pictures_of_different_sizes_cannot_be_one_batch():
    shrink = Distortion("resample", [0.5, 0.75])
    with pytest.raises(ValueError, match=r"different shapes, \(3, 4, 5\) and \(3, 6, 7\); end the composition"):
        shrink(pictures(8), generator=seed(0))
    assert Chain(shrink, Distortion("resample", 1.0, options={"size": [(4, 4)]}))(pictures(8)).shape[-2:] == (4, 4)


@pytest.mark.parametrize("group", [Chain, RandomOrder, OneOf])
def test_empty_and_foreign_parts(group):
    with pytest.raises(ValueError, match=f"{group.__name__} is empty"):
        group()
    with pytest.raises(TypeError, match="takes compositions such as Distortion"):
        group("jpeg")
    with pytest.raises(TypeError, match="takes compositions"):
        group(A, brightness)


def test_two_functions_of_one_name():
    def other():
        def mine(x, level):
            return x

        return Distortion(mine, 1)

    with pytest.raises(ValueError, match="two different functions named 'mine'"):
        Chain(other(), OneOf(A, other()))


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        ([0.5, 0.4], ValueError, "must sum to 1"),
        ([0.5], ValueError, "each of the 2 parts"),
        ([-0.5, 1.5], ValueError, r"\[0, 1\]"),
        (["a", "b"], TypeError, "each weight"),
        (1.0, TypeError, "weights must be a list of numbers, got 1.0"),
    ],
)
def test_bad_weights(weights, error, message):
    with pytest.raises(error, match=message):
        OneOf(A, B, weights=weights)


def test_bad_probability():
    with pytest.raises(ValueError, match=r"p must be in \[0, 1\]"):
        Sometimes(A, 1.5)
    with pytest.raises(TypeError, match="takes compositions"):
        Sometimes(0.5, A)
