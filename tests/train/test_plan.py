"""The settings: what is refused, and what a checkpoint has to share."""

import pytest
from torch import nn

from restorekit.train import Adaptive, constant, halve_every, supervised
from restorekit.train.plan import Plan

GOOD = {
    "steps": 10,
    "batch_size": 4,
    "step": supervised(),
    "learning_rate": 0.1,
    "schedule": constant,
    "clip_norm": None,
    "ema_decay": None,
    "mixed_precision": None,
    "seed": 0,
}


def _plan(**changes):
    return Plan(**{**GOOD, **changes})


def _settings(step=0, model=None, items=3, **changes):
    return _plan(**changes).settings(nn.Conv2d(3, 3, 1) if model is None else model, items)(step)


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("steps", 0, ValueError),
        ("steps", 1.0, TypeError),
        ("batch_size", 0, ValueError),
        ("seed", -1, ValueError),
        ("step", "supervised", TypeError),
        ("learning_rate", 0.0, ValueError),
        ("learning_rate", float("nan"), ValueError),
        ("learning_rate", float("inf"), ValueError),
        ("clip_norm", -1.0, ValueError),
        ("mixed_precision", "fp16", ValueError),
    ],
)
def test_a_bad_setting_is_named(name, value, error):
    with pytest.raises(error, match=f"{name} must be"):
        _plan(**{name: value})


def test_the_factor_is_that_of_the_schedule():
    plan = _plan(schedule=halve_every(3))
    assert [plan.factor(step, []) for step in (0, 2, 3, 6)] == [1.0, 1.0, 0.5, 0.25]


def test_an_adaptive_schedule_sees_what_was_measured():
    class AsMeasured(Adaptive):
        def factor(self, step, measured):
            return step + sum(measured)

    plan = _plan(schedule=AsMeasured(), measure=lambda model: 1.0)
    assert plan.factor(2, [0.5, 0.25]) == 2.75


@pytest.mark.parametrize(
    "change",
    [
        {"batch_size": 2},
        {"learning_rate": 0.2},
        {"clip_norm": 1.0},
        {"ema_decay": 0.9},
        {"mixed_precision": "bf16"},
        {"seed": 1},
        {"items": 4},
        {"model": nn.Linear(1, 1)},
        {"model": nn.Conv2d(3, 3, 1).requires_grad_(False)},
        {"schedule": lambda step: 0.5},
    ],
)
def test_what_decides_the_weights_is_told_apart(change):
    assert _settings(**change) != _settings()


def test_the_schedule_is_told_by_the_step_to_come():
    assert _settings(schedule=halve_every(5), step=4) == _settings(step=4)
    assert _settings(schedule=halve_every(5), step=5) != _settings(step=5)


def test_a_longer_run_is_the_same_run():
    assert _settings(steps=20) == _settings(steps=10)


def test_the_constructor_arguments_of_a_model_count():
    first, second = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
    first.config, second.config = {"groups": 1}, {"groups": 3}
    assert _settings(model=first) != _settings(model=second)
