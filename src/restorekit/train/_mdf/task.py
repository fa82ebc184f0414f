"""What is done to a picture before its restoration: the distortion that the loss is to learn to see."""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from restorekit.degrade import Distortion

Function = Callable[..., Tensor]

# All draw anew in every step: a generator that knows the one distorted picture by heart would leave nothing to be seen.
NAMED: Mapping[str, Function] = {
    "sisr": Distortion("low_pass", (1 / 4, 1 / 2), options={"kernel": "bicubic", "antialias": True}),
    "denoising": Distortion("gaussian_noise", (0.0, 25 / 255), options={"clip": False}),
    "jpeg": Distortion("jpeg", (5, 20), decimals=0),
}


@dataclass(frozen=True)
class Task:
    """A distortion of pictures in [0, 1], applied to pictures in [-1, 1]."""

    name: str
    function: Function
    draws: bool

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Distort pictures (1, 3, h, w); one that draws does so from the generator."""
        picture = ((x + 1) / 2).clamp(0, 1)
        out = self.function(picture, generator=generator) if self.draws else self.function(picture)
        if not isinstance(out, Tensor) or not out.is_floating_point():
            got = out.dtype if isinstance(out, Tensor) else type(out).__name__
            raise TypeError(f"task must return a floating-point picture, {self.name} returned {got}")
        if out.shape != x.shape:
            raise ValueError(
                f"task must keep the size of the picture, {self.name} made {tuple(out.shape)} of {tuple(x.shape)}; "
                "resize what it returns to the size of what it got"
            )
        return 2 * out.to(x) - 1


def make_task(task: str | Function) -> Task:
    """Look up a task by name, or take the function as it is."""
    if isinstance(task, str):
        if task not in NAMED:
            raise ValueError(f"task must be one of {', '.join(NAMED)} or a function of a picture, got {task!r}")
        return Task(task, NAMED[task], draws=True)
    if not callable(task):
        raise TypeError(f"task must be a name or a function of a picture, got {type(task).__name__}")
    return Task(re.sub(r" at 0x[0-9a-fA-F]+", "", repr(task)), task, _draws(task))


def _draws(function: Function) -> bool:
    try:
        return "generator" in inspect.signature(function).parameters
    except ValueError:  # a builtin does not tell
        return False
