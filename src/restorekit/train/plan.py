"""The settings that decide with which weights a run ends."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from torch import nn

from restorekit._check import check_integer, check_interval
from restorekit.train.keyed import Key
from restorekit.train.schedule import Adaptive, Schedule
from restorekit.train.supervised import Step
from restorekit.train.turns import MODEL, Partner, Turns

Setting = str | int | float | None
Settings = Callable[[int], Mapping[str, Setting]]  # what must be the same to go on from a given step
Measure = Callable[[nn.Module], float]


@dataclass(frozen=True)
class Plan:
    """The arguments of `fit` that decide the weights, checked."""

    steps: int
    batch_size: int
    step: Step | Turns
    learning_rate: float
    schedule: Schedule | Adaptive
    clip_norm: float | None
    ema_decay: float | None
    mixed_precision: str | None
    seed: int
    rate_factors: Mapping[str, float] = field(default_factory=dict)
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    accumulate: int = 1
    measure: Measure | None = None
    measure_every: int = 1000

    def __post_init__(self) -> None:
        for name, minimum in (("steps", 1), ("batch_size", 1), ("seed", 0), ("accumulate", 1), ("measure_every", 1)):
            check_integer(getattr(self, name), name, minimum)
        if not (callable(self.step) or isinstance(self.step, Turns)):
            raise TypeError(f"step must be a function (model, batch, generator) -> loss or Turns, got {self.step!r}")
        if not (callable(self.schedule) or isinstance(self.schedule, Adaptive)):
            raise TypeError(f"schedule must be a function of the step, such as cosine(1000), got {self.schedule!r}")
        if self.measure is not None and not callable(self.measure):
            raise TypeError(f"measure must be a function of the model, got {self.measure!r}")
        if isinstance(self.schedule, Adaptive) and self.measure is None:
            raise ValueError("an adaptive schedule needs measure= to have something to look at")
        if self.mixed_precision not in (None, "bf16"):
            raise ValueError(f"mixed_precision must be 'bf16' or None, got {self.mixed_precision!r}")
        self._check_numbers()

    def _check_numbers(self) -> None:
        rates = {f"learning_rate of {name!r}": partner.learning_rate for name, partner in self.partners.items()}
        positive = {"learning_rate": self.learning_rate, "clip_norm": self.clip_norm, **rates}
        for name, value in positive.items():
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name} must be positive and finite, got {value}")
        others = {f"rate_factors[{name!r}]": factor for name, factor in self.rate_factors.items()}
        for name, value in {"weight_decay": self.weight_decay, **others}.items():
            if not 0 <= value < math.inf:
                raise ValueError(f"{name} must be at least 0 and finite, got {value}")
        if len(self.betas) != 2:
            raise ValueError(f"betas must be two numbers, got {self.betas}")
        for beta in self.betas:
            check_interval(beta, "betas", 0.0, 1.0)

    @property
    def partners(self) -> Mapping[str, Partner]:
        """The networks that learn beside the model."""
        if not isinstance(self.step, Turns):
            return {}
        if MODEL in self.step.partners:
            raise ValueError(f"a partner must not be called {MODEL!r}, which is the trained model")
        return self.step.partners

    def factor(self, number: int, measured: Sequence[float]) -> float:
        """Factor of the learning rates of step ``number``, from 0."""
        if isinstance(self.schedule, Adaptive):
            return self.schedule.factor(number, measured)
        return self.schedule(number)

    def settings(self, model: nn.Module, items: int | Mapping[Key, int]) -> Settings:
        """Describe the run, for a checkpoint to be compared with.

        The length of the run and the functions are left out: a run may be made longer, and functions have no name that
        lasts. A schedule shows itself by the learning rate of the step to come.
        """
        fixed: dict[str, Setting] = {
            "model": f"{type(model).__name__}({getattr(model, 'config', '')})",
            "trainable": sum(parameter.requires_grad for parameter in model.parameters()),
            "items": items if isinstance(items, int) else _listed(items),
            "batch_size": self.batch_size,
            "accumulate": self.accumulate,
            "seed": self.seed,
            "learning_rate": self.learning_rate,
            "rate_factors": _listed(self.rate_factors),
            "betas": str(tuple(self.betas)),
            "weight_decay": self.weight_decay,
            "clip_norm": self.clip_norm,
            "ema_decay": self.ema_decay,
            "mixed_precision": self.mixed_precision,
            "measure_every": None if self.measure is None else self.measure_every,
            "partner_rates": _listed({name: partner.learning_rate for name, partner in self.partners.items()}),
        }
        return lambda number: {**fixed, "next_learning_rate": self._next_rate(number)}

    def _next_rate(self, number: int) -> Setting:
        """The learning rate of a step, or the name of a schedule that has to look at what was measured."""
        if isinstance(self.schedule, Adaptive):
            return type(self.schedule).__name__
        return self.learning_rate * self.schedule(number)


def _listed(values: Mapping[Key, float | None] | Mapping[str, float | None]) -> str:
    return ", ".join(f"{key}: {value}" for key, value in values.items())
