"""The settings that decide with which weights a run ends."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import nn

from restorekit._check import check_integer
from restorekit.train.schedule import Schedule
from restorekit.train.supervised import Step

Setting = str | int | float | None
Settings = Callable[[int], Mapping[str, Setting]]  # what must be the same to go on from a given step


@dataclass(frozen=True)
class Plan:
    """The arguments of `fit` that decide the weights, checked."""

    steps: int
    batch_size: int
    step: Step
    learning_rate: float
    schedule: Schedule
    clip_norm: float | None
    ema_decay: float | None
    mixed_precision: str | None
    seed: int

    def __post_init__(self) -> None:
        check_integer(self.steps, "steps", 1)
        check_integer(self.batch_size, "batch_size", 1)
        check_integer(self.seed, "seed", 0)
        if not callable(self.step):
            raise TypeError(f"step must be a function (model, batch, generator) -> loss, got {self.step!r}")
        if not callable(self.schedule):
            raise TypeError(f"schedule must be a function of the step, such as cosine(1000), got {self.schedule!r}")
        for name, value in (("learning_rate", self.learning_rate), ("clip_norm", self.clip_norm)):
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name} must be positive and finite, got {value}")
        if self.mixed_precision not in (None, "bf16"):
            raise ValueError(f"mixed_precision must be 'bf16' or None, got {self.mixed_precision!r}")

    def rate(self, number: int) -> float:
        """Learning rate of step ``number``, from 0."""
        return self.learning_rate * self.schedule(number)

    def settings(self, model: nn.Module, items: int) -> Settings:
        """Describe the run, for a checkpoint to be compared with.

        The length of the run and the functions are left out: a run may be made longer, and functions have no name that
        lasts. A schedule shows itself by the learning rate of the step to come.
        """
        fixed: dict[str, Setting] = {
            "model": f"{type(model).__name__}({getattr(model, 'config', '')})",
            "trainable": sum(parameter.requires_grad for parameter in model.parameters()),
            "items": items,
            "batch_size": self.batch_size,
            "seed": self.seed,
            "learning_rate": self.learning_rate,
            "clip_norm": self.clip_norm,
            "ema_decay": self.ema_decay,
            "mixed_precision": self.mixed_precision,
        }
        return lambda number: {**fixed, "next_learning_rate": self.rate(number)}
