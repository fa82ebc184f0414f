"""The pair (lq, hq) that a step trains on: taken out of a batch, and augmented."""

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, distributed, nn

from restorekit.train.keyed import Keyed


class Augment(Protocol):
    """Anything that turns a batch of pairs into another, such as ``augment.cutblur``."""

    def __call__(self, lq: Tensor, hq: Tensor, *, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Return the changed pair; every random choice comes from ``generator``."""
        ...


def at_scale(model: nn.Module, batch: Any) -> tuple[Callable[[Tensor], Tensor], Any]:
    """The model at the scale that a keyed batch is for, and the batch without its key."""
    if not isinstance(batch, Keyed):
        return model, batch
    if not isinstance(batch.key, int):
        raise TypeError(f"the data sets of this step go by their scale, an integer, got {batch.key!r}")
    return partial(model, scale=batch.key), batch.batch


def pair(batch: Any, augment: Augment | None, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Take lq and hq out of a batch and augment them, over all processes as if they were one."""
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        raise TypeError(f"the step expects batches (lq, hq), got {type(batch).__name__}; each item must be a pair")
    lq, hq = batch
    return (lq, hq) if augment is None else _augmented(augment, lq, hq, generator)


def _augmented(augment: Augment, lq: Tensor, hq: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    if not (distributed.is_available() and distributed.is_initialized()):
        return augment(lq, hq, generator=generator)
    share, rank = len(lq), distributed.get_rank()
    lq, hq = augment(_gather(lq), _gather(hq), generator=generator)
    return lq[rank * share : (rank + 1) * share], hq[rank * share : (rank + 1) * share]


def _gather(x: Tensor) -> Tensor:
    x = x.contiguous()
    parts = [torch.empty_like(x) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, x)
    return torch.cat(parts)
