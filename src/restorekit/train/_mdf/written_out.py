"""BatchNorm in plain operations, for the penalty on a slope: its second derivative takes most of a training's time."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn


@contextmanager
def written_out_norms(network: nn.Module) -> Iterator[None]:
    """Let the BatchNorms of a network normalise by sums: the second derivative of torch's own is slower.

    The result is the same but for rounding, the running statistics included.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.forward = partial(_normalise, norm)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for norm in norms:
            del norm.forward  # the method of the class is seen again


def _normalise(norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """What ``norm`` does in training mode; the statistics are float32 also of bfloat16."""
    count = x.numel() // x.shape[1]
    mean = x.sum(dim=(0, 2, 3), dtype=torch.float32) / count
    centred = x - _spread(mean, x)
    variance = centred.square().sum(dim=(0, 2, 3), dtype=torch.float32) / count
    _track(norm, mean.detach(), variance.detach() * count / (count - 1))
    scale = norm.weight * (variance + norm.eps).rsqrt()
    return centred * _spread(scale, x) + _spread(norm.bias, x)


def _spread(values: Tensor, x: Tensor) -> Tensor:
    """One value for each channel (C,) as (C, 1, 1), in the dtype of ``x``."""
    return values.to(x.dtype)[:, None, None]


def _track(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor) -> None:
    """Count the batch, and move the running statistics towards its own.

    They are replaced, not written to: graphs of passes through the norm itself hold them.
    """
    assert norm.momentum is not None
    assert norm.num_batches_tracked is not None
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.num_batches_tracked = norm.num_batches_tracked + 1
    norm.running_mean = norm.running_mean.lerp(mean, norm.momentum)
    norm.running_var = norm.running_var.lerp(variance, norm.momentum)
