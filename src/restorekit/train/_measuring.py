"""What is measured of a model while it trains."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import nn

from restorekit.train.checkpoint import State

if TYPE_CHECKING:
    from accelerate import Accelerator


def measured(measure: Callable[[nn.Module], float], state: State, number: int, accelerator: "Accelerator") -> float:
    """Ask ``measure`` about the averaged model, or the model, as it is after step ``number``."""
    with evaluating(state.model if state.ema is None else state.ema.model) as model:
        value = float(measure(model))
    here = torch.tensor([value], dtype=torch.float64, device=accelerator.device)
    value = float(accelerator.gather(here)[0])  # that of the first process, so that all go the same way
    if not math.isfinite(value):
        raise FloatingPointError(f"measure must return a finite number, got {value} after step {number} (from 0)")
    return value


@contextmanager
def evaluating(model: nn.Module) -> Iterator[nn.Module]:
    """The model in evaluation mode without gradients, and each of its modules back in its own mode afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        with torch.no_grad():
            yield model.eval()
    finally:
        for module, mode in modes:
            module.training = mode
