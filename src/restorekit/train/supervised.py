"""The plain training step: compare what the model makes of ``lq`` with ``hq``."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from restorekit._check import check_integer, check_pair
from restorekit.train._pair import Augment, at_scale, pair

Loss = Callable[[Tensor, Tensor], Tensor]
Predict = Callable[[Tensor], Tensor]
Step = Callable[[nn.Module, Any, torch.Generator], Tensor]  # (model, collated batch, generator) -> scalar loss


def supervised(*, loss: Loss = F.l1_loss, augment: Augment | None = None, micro_batch: int | None = None) -> Step:
    """Make the step ``loss(model(lq), hq)`` for batches ``(lq, hq)``.

    From several data sets, one for each scale of a multi-scale network, as `fit` takes them by their keys, the step is
    ``loss(model(lq, scale=key), hq)``: one scale for each batch.

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

    Source: Ahn et al., ECCV 2018, section 4.2 (L1, one scale for each batch); Yoo et al., CVPR 2020, section 3
        (augmented pairs).
    """
    if micro_batch is not None:
        check_integer(micro_batch, "micro_batch", 1)

    def compare(predict: Predict, lq: Tensor, hq: Tensor) -> Tensor:
        prediction = predict(lq)
        check_pair(prediction, hq)
        return loss(prediction, hq)

    def step(model: nn.Module, batch: Any, generator: torch.Generator) -> Tensor:
        predict, batch = at_scale(model, batch)
        lq, hq = pair(batch, augment, generator)
        if micro_batch is None:
            return compare(predict, lq, hq)
        last = len(lq) % micro_batch or micro_batch
        with _alone(model):  # processes exchange gradients once, with the last part
            done = _all_but_last(partial(compare, predict), lq, hq, micro_batch, len(lq) - last)
        return done + compare(predict, lq[-last:], hq[-last:]) * (last / len(lq))

    return step


def _alone(model: nn.Module) -> AbstractContextManager[None]:
    return model.no_sync() if isinstance(model, DistributedDataParallel) else nullcontext()


def _all_but_last(compare: Callable[[Tensor, Tensor], Tensor], lq: Tensor, hq: Tensor, size: int, stop: int) -> Tensor:
    """Take the gradients of the parts in front of ``stop``; return their share of the mean loss over all pictures."""
    done = hq.new_zeros(())
    for start in range(0, stop, size):
        part = slice(start, start + size)
        share = compare(lq[part], hq[part]) * (size / len(lq))
        share.backward()  # type: ignore[no-untyped-call]
        done = done + share.detach()
    return done
