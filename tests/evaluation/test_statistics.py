import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from restorekit.evaluation import Estimate, PairedTest, mean_interval, paired_t_test, percentile_interval

SCORES = st.lists(st.floats(10, 60).map(lambda x: round(x, 2)), min_size=2, max_size=12)


def samples(n, seed=0):
    return np.random.default_rng(seed).normal(30, 3, n)


@pytest.mark.parametrize("confidence", [0.95, 0.5])
@pytest.mark.parametrize("n", [2, 5, 100])
def test_interval_of_the_mean_is_that_of_scipy(n, confidence):
    values = samples(n)
    low, high = stats.t.interval(confidence, n - 1, loc=values.mean(), scale=stats.sem(values))
    found = mean_interval(values, confidence=confidence)
    assert (found.value, found.low, found.high) == pytest.approx((values.mean(), low, high), rel=1e-9)


@pytest.mark.parametrize("lower_is_better", [False, True])
@pytest.mark.parametrize("n", [2, 5, 100])
def test_paired_test_is_that_of_scipy(n, lower_is_better):
    first, second = samples(n), samples(n, 1) - 0.4
    expected = stats.ttest_rel(first, second, alternative="less" if lower_is_better else "greater")
    found = paired_t_test(first, second, lower_is_better=lower_is_better)
    assert (found.t, found.p_value) == pytest.approx((expected.statistic, expected.pvalue), rel=1e-9)
    assert found.difference == mean_interval(first - second)
    assert found.pictures == n


def test_pairing_finds_what_differing_pictures_hide():
    first = samples(20)
    second = first - 0.1 - 0.05 * samples(20, 1) / 30
    assert paired_t_test(first, second).significant
    assert stats.ttest_ind(first, second, alternative="greater").pvalue > 0.3


@given(SCORES, SCORES)
def test_the_opposite_claim_has_the_opposite_probability(first, second):
    n = min(len(first), len(second))
    forth, back = paired_t_test(first[:n], second[:n]), paired_t_test(second[:n], first[:n])
    less = paired_t_test(first[:n], second[:n], lower_is_better=True)
    if not math.isnan(forth.p_value):
        assert forth.p_value + back.p_value == pytest.approx(1)
        assert less.p_value == pytest.approx(back.p_value)
        assert (less.t, back.t) == (forth.t, -forth.t)


@pytest.mark.parametrize("percent", [0, 5, 37.5, 95, 100])
@pytest.mark.parametrize("n", [1, 2, 30])
def test_percentile_is_that_of_numpy(n, percent):
    values = samples(n)
    found = percentile_interval(values, percent, resamples=50)
    assert found.value == pytest.approx(np.percentile(values, percent), rel=1e-12)


def test_bootstrap_interval_is_that_of_all_resamples():
    """Three values have 27 equally likely resamples, whose percentiles are enumerated here."""
    values = [20.0, 26.0, 40.0]
    every = np.sort([np.percentile(drawn, 50) for drawn in itertools.product(values, repeat=3)])
    found = percentile_interval(values, 50, confidence=0.6, resamples=4000, generator=torch.Generator().manual_seed(0))
    assert (found.low, found.high) == tuple(np.percentile(every, [20, 80], method="inverted_cdf"))
    assert (found.low, found.high) == (20, 40)


def test_bootstrap_interval_is_close_to_that_of_scipy():
    values = samples(60)
    expected = stats.bootstrap(
        (values,), lambda x, axis: np.percentile(x, 5, axis=axis), method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    found = percentile_interval(values, 5, generator=torch.Generator().manual_seed(0))
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.15)
    assert found.low < found.value < found.high


def test_the_generator_decides_the_draws(monkeypatch):
    values = samples(40)

    def interval(seed):
        return percentile_interval(values, 5, resamples=60, generator=torch.Generator().manual_seed(seed))

    assert interval(3) == interval(3) != interval(4)
    whole = interval(3)
    monkeypatch.setattr("restorekit.evaluation.statistics._AT_A_TIME", 40 * 7)
    assert interval(3) == whole  # drawn in parts


@given(SCORES)
def test_intervals_hold_their_value(values):
    mean = mean_interval(values)
    assert mean.low <= mean.value <= mean.high
    tail = percentile_interval(values, 95, resamples=20)
    assert min(values) <= tail.low <= tail.high <= max(values) + 1e-9


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (mean_interval([30.0]), (30.0, math.nan, math.nan)),
        (mean_interval([30.0, math.inf]), (math.inf, math.nan, math.nan)),
        (mean_interval([30.0, math.nan]), (math.nan, math.nan, math.nan)),
        (mean_interval([30.0, 30.0]), (30.0, 30.0, 30.0)),
        (percentile_interval([30.0], 5, resamples=9), (30.0, 30.0, 30.0)),
        (percentile_interval([30.0, math.nan], 5, resamples=9), (math.nan, math.nan, math.nan)),
        (percentile_interval([math.inf] * 3, 5, resamples=9), (math.inf, math.inf, math.inf)),
    ],
)
def test_too_little_to_tell(found, expected):
    assert (found.value, found.low, found.high) == pytest.approx(expected, nan_ok=True)


def test_a_perfect_picture_does_not_spoil_the_worst():
    found = percentile_interval([20.0, 21.0, 22.0, math.inf], 100 / 3, resamples=9)
    assert found.value == 21


@pytest.mark.parametrize(
    ("first", "second", "t", "p"),
    [
        ([30.0], [29.0], math.nan, math.nan),
        ([30.0, 31.0], [30.0, 31.0], math.nan, math.nan),
        ([31.0, 32.0], [30.0, 31.0], math.inf, 0),
        ([30.0, 31.0], [31.0, 32.0], -math.inf, 1),
        ([math.inf, 31.0], [math.inf, 30.0], math.nan, math.nan),
        ([math.inf, 31.0], [30.0, 30.0], math.nan, math.nan),
    ],
)
def test_differences_without_spread(first, second, t, p):
    found = paired_t_test(first, second)
    assert (found.t, found.p_value) == pytest.approx((t, p), nan_ok=True)
    assert found.significant == (p == 0)


def test_significance_is_below_a_twentieth():
    estimate = Estimate(1.0, 0.0, 2.0)
    assert [PairedTest(estimate, 1.0, p, 9).significant for p in (0.049, 0.05, math.nan)] == [True, False, False]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: mean_interval([]), ValueError, "values must hold at least one number"),
        (lambda: mean_interval(["good"]), TypeError, "values must be a sequence of numbers"),
        (lambda: mean_interval(["30.5"]), TypeError, "values must be a sequence of numbers, .* got '30.5'"),
        (lambda: mean_interval("12"), TypeError, "values must be a sequence of numbers"),
        (lambda: mean_interval(3.0), TypeError, "values must be a sequence of numbers"),
        (lambda: mean_interval([1.0], confidence=1.0), ValueError, "confidence must lie between 0 and 1, got 1"),
        (lambda: mean_interval([1.0], confidence=95), ValueError, r"confidence must be in \[0, 1\], got 95"),
        (lambda: percentile_interval([1.0], 101), ValueError, r"percent must be in \[0, 100\], got 101"),
        (lambda: percentile_interval([1.0], 5, resamples=0), ValueError, "resamples must be at least 1"),
        (lambda: percentile_interval([1.0], 5, generator=0), TypeError, "generator must be a torch.Generator"),
        (lambda: paired_t_test([1.0], [1.0, 2.0]), ValueError, "scores of the same pictures, got 1 and 2"),
        (lambda: paired_t_test([], []), ValueError, "first must hold at least one number"),
        (lambda: paired_t_test([1.0], [None]), TypeError, "second must be a sequence of numbers"),
    ],
)
def test_bad_calls(call, error, message):
    with pytest.raises(error, match=message):
        call()
