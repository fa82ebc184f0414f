"""The plain training step: compare what the model makes of ``lq`` with ``hq``."""

from collections.abc import Callable
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, distributed, nn

from restorekit._check import check_pair

Loss = Callable[[Tensor, Tensor], Tensor]
Step = Callable[[nn.Module, Any, torch.Generator], Tensor]  # (model, collated batch, generator) -> scalar loss


class Augment(Protocol):
    """Anything that turns a batch of pairs into another, such as ``augment.cutblur``."""

    def __call__(self, lq: Tensor, hq: Tensor, *, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Return the changed pair; every random choice comes from ``generator``."""
        ...


def supervised(*, loss: Loss = F.l1_loss, augment: Augment | None = None) -> Step:
    """Make the step ``loss(model(lq), hq)`` for batches ``(lq, hq)``.

    Args:
        loss: ``(prediction, target) -> scalar``; a mean over the batch, so that processes can be averaged.
        augment: ``(lq, hq, *, generator) -> (lq, hq)``, applied to the whole batch: with several processes the parts
            are gathered first and split afterwards, so partners and draws do not depend on how many there are.

    Returns:
        The step for `fit`.

    Raises:
        ValueError: From the step, if the prediction's shape is not the target's.
        TypeError: From the step, if a batch is not a pair.

    Example:
        >>> step = supervised(loss=torch.nn.functional.mse_loss)
        >>> step(torch.nn.Identity(), (torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2)), torch.Generator())
        tensor(1.)

    Source: Ahn et al., ECCV 2018, section 4.2 (L1); Yoo et al., CVPR 2020, section 3 (augmented pairs).
    """

    def step(model: nn.Module, batch: Any, generator: torch.Generator) -> Tensor:
        if not isinstance(batch, (tuple, list)) or len(batch) != 2:
            raise TypeError(
                f"supervised expects batches (lq, hq), got {type(batch).__name__}; each item must be a pair"
            )
        lq, hq = batch
        if augment is not None:
            lq, hq = _augment_whole_batch(augment, lq, hq, generator)
        prediction = model(lq)
        check_pair(prediction, hq)
        return loss(prediction, hq)

    return step


def _augment_whole_batch(augment: Augment, lq: Tensor, hq: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
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
