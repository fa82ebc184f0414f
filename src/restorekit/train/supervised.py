"""The plain training step: compare what the model makes of ``lq`` with ``hq``."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from restorekit._check import check_integer, check_pair

Loss = Callable[[Tensor, Tensor], Tensor]
Step = Callable[[nn.Module, Any, torch.Generator], Tensor]  # (model, collated batch, generator) -> scalar loss


class Augment(Protocol):
    """Anything that turns a batch of pairs into another, such as ``augment.cutblur``."""

    def __call__(self, lq: Tensor, hq: Tensor, *, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Return the changed pair; every random choice comes from ``generator``."""
        ...


def supervised(*, loss: Loss = F.l1_loss, augment: Augment | None = None, micro_batch: int | None = None) -> Step:
    """Make the step ``loss(model(lq), hq)`` for batches ``(lq, hq)``.

    With ``micro_batch`` the batch goes through the model in parts, and each part's gradient is taken before the next
    one starts. The sum is the same, but only one part's features are held: less memory, and on a CPU, where getting
    large tensors from the system takes time, faster.

    Args:
        loss: ``(prediction, target) -> scalar``; a mean over the batch, so that processes can be averaged.
        augment: ``(lq, hq, *, generator) -> (lq, hq)``, applied to the whole batch: with several processes the parts
            are gathered first and split afterwards, so partners and draws do not depend on how many there are.
        micro_batch: Pictures that the model gets at a time, at least 1; None for all. Then the loss must be a mean over
            pictures, and the model must not mix them (batch norm does). All parts but the last have added their
            gradients to the weights when the step returns the loss of the whole batch.

    Returns:
        The step for `fit`.

    Raises:
        ValueError: ``micro_batch`` below 1; from the step, if the prediction's shape is not the target's.
        TypeError: ``micro_batch`` is no integer; from the step, if a batch is not a pair.

    Example:
        >>> step = supervised(loss=torch.nn.functional.mse_loss)
        >>> step(torch.nn.Identity(), (torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2)), torch.Generator())
        tensor(1.)

    Source: Ahn et al., ECCV 2018, section 4.2 (L1); Yoo et al., CVPR 2020, section 3 (augmented pairs).
    """
    if micro_batch is not None:
        check_integer(micro_batch, "micro_batch", 1)

    def compare(model: nn.Module, lq: Tensor, hq: Tensor) -> Tensor:
        prediction = model(lq)
        check_pair(prediction, hq)
        return loss(prediction, hq)

    def step(model: nn.Module, batch: Any, generator: torch.Generator) -> Tensor:
        if not isinstance(batch, (tuple, list)) or len(batch) != 2:
            raise TypeError(
                f"supervised expects batches (lq, hq), got {type(batch).__name__}; each item must be a pair"
            )
        lq, hq = batch
        if augment is not None:
            lq, hq = _augment_whole_batch(augment, lq, hq, generator)
        if micro_batch is None:
            return compare(model, lq, hq)
        return _in_parts(compare, model, lq.split(micro_batch), hq.split(micro_batch))

    return step


def _in_parts(
    compare: Callable[[nn.Module, Tensor, Tensor], Tensor],
    model: nn.Module,
    lq: Sequence[Tensor],
    hq: Sequence[Tensor],
) -> Tensor:
    """The mean loss over all pictures, of which the last part's gradient is still to be taken."""
    total = sum(len(part) for part in lq)
    done = hq[0].new_zeros(())
    alone = model.no_sync if isinstance(model, DistributedDataParallel) else nullcontext
    with alone():  # processes exchange gradients once, with the last part
        for part, target in zip(lq[:-1], hq[:-1], strict=True):
            share = compare(model, part, target) * (len(part) / total)
            share.backward()  # type: ignore[no-untyped-call]
            done = done + share.detach()
    return done + compare(model, lq[-1], hq[-1]) * (len(lq[-1]) / total)


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
