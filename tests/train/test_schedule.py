"""Schedules against their closed forms and torch's own schedulers."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from restorekit.train import constant, cosine, cosine_restarts, halve_every

# torch reminds of the order of optimizer.step and scheduler.step; nothing is optimised here
pytestmark = pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")


def _torch_rates(make, steps):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = make(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(scheduler.get_last_lr()[0])
        scheduler.step()
    return rates


def test_constant_is_one():
    assert {constant(step) for step in (0, 1, 10**9)} == {1.0}


@pytest.mark.parametrize("every", [1, 3, 10])
def test_halve_every_is_torch_step_lr(every):
    expected = _torch_rates(lambda o: torch.optim.lr_scheduler.StepLR(o, every, gamma=0.5), 35)
    assert [halve_every(every)(step) for step in range(35)] == pytest.approx(expected)


@pytest.mark.parametrize("floor", [0.0, 0.1])
def test_cosine_is_torch_cosine_annealing(floor):
    make = lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 20, eta_min=floor)  # noqa: E731
    assert [cosine(20, floor=floor)(step) for step in range(21)] == pytest.approx(_torch_rates(make, 21), abs=1e-12)


@given(st.integers(1, 1000), st.integers(0, 5000), st.floats(0, 1))
def test_cosine_falls_from_one_and_stays_at_the_floor(length, step, floor):
    factor = cosine(length, floor=floor)
    assert factor(0) == 1.0
    assert factor(step + 1) <= factor(step) + 1e-12
    assert factor(length + step) == pytest.approx(floor, abs=1e-12)


@pytest.mark.parametrize("make", [halve_every, cosine])
@pytest.mark.parametrize(("steps", "error"), [(0, ValueError), (-3, ValueError), (2.5, TypeError), (True, TypeError)])
def test_a_length_must_be_a_positive_integer(make, steps, error):
    with pytest.raises(error, match="steps must be"):
        make(steps)


@pytest.mark.parametrize("floor", [-0.1, 1.1, float("nan")])
def test_cosine_refuses_a_floor_outside_0_1(floor):
    with pytest.raises(ValueError, match="floor must be in"):
        cosine(10, floor=floor)


def test_restarts_of_equal_periods_are_those_of_torch():
    make = lambda o: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, 7, eta_min=0.1)  # noqa: E731
    factor = cosine_restarts((7, 7, 7), (1, 1, 1), (0.1, 0.1, 0.1))
    assert [factor(step) for step in range(21)] == pytest.approx(_torch_rates(make, 21))


def test_each_fall_has_its_own_height_and_floor():
    factor = cosine_restarts([4, 8], [1, 0.3], [0.2, 0.01])
    assert factor(0) == 1.0
    assert factor(2) == pytest.approx((1 + 0.2) / 2)
    assert factor(4) == pytest.approx(0.01 + 0.3 * 0.99)
    assert factor(8) == pytest.approx(0.01 + 0.3 * 0.99 / 2)
    assert factor(12) == factor(10**6) == pytest.approx(0.01, abs=1e-12)


@given(st.lists(st.tuples(st.integers(1, 40), st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=4))
def test_restarts_stay_between_the_floor_and_one_and_fall_inside_a_period(falls):
    factor, start = cosine_restarts(*zip(*falls, strict=True)), 0
    for period, _, floor in falls:
        values = [factor(start + step) for step in range(period)]
        assert all(floor - 1e-12 <= value <= 1 + 1e-12 for value in values)
        assert values == sorted(values, reverse=True)
        start += period


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (((), (), ()), ValueError, "at least one, got 0, 0 and 0"),
        (((3, 4), (1, 1), (0,)), ValueError, "as many, at least one, got 2, 2 and 1"),
        (((3, 0), (1, 1), (0, 0)), ValueError, "periods must be at least 1"),
        (((3.0,), (1,), (0,)), TypeError, "periods must be an integer"),
        (((3,), (1.5,), (0,)), ValueError, "weights must be in"),
        (((3,), (1,), (-0.1,)), ValueError, "floors must be in"),
    ],
)
def test_restarts_refuse(arguments, error, message):
    with pytest.raises(error, match=message):
        cosine_restarts(*arguments)
