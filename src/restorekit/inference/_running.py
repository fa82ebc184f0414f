"""How a network is run for its result alone: evaluation mode, no graph, its own device and dtype."""

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from restorekit.inference._optimized import Optimized
from restorekit.models import Restorer
from restorekit.models._trace import Trace

_DTYPES = {torch.float16, torch.bfloat16, torch.float32, torch.float64}
_REWRITING = 10**8  # multiply-adds per module of a network, from which rewriting it saves more time than it takes
_dry_runs: WeakKeyDictionary[Restorer, dict[tuple[int, torch.dtype], Trace]] = WeakKeyDictionary()


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Run without graph and in evaluation mode; every module gets its own mode back."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module in training:
            module.training = True


def placed(model: Restorer, device: torch.device | str | None, dtype: torch.dtype | None) -> Restorer:
    """The network on a device and in a dtype: itself where it fits, else a copy, so that the caller's stays put."""
    weight = next(model.parameters())
    device = weight.device if device is None else torch.device(device)
    dtype = check_dtype(dtype or weight.dtype)
    if device.type == weight.device.type and device.index in {None, weight.device.index} and dtype == weight.dtype:
        return model
    return copy.deepcopy(model).to(device=device, dtype=dtype)


def ready(
    model: Restorer,
    scale: int,
    device: torch.device | str | None,
    dtype: torch.dtype | None,
    *,
    pixels: float = math.inf,
) -> Restorer:
    """The network as it restores so many pixels soonest, without a loss: rewritten where that was measured, on a CPU.

    A narrow type is for features alone, whatever the number of pixels, and that needs a rewritten network.
    """
    if isinstance(model, Optimized):
        return _as_optimized(model, device, dtype)
    there = placed(model, device, None)
    own_device, own_dtype = home(there)
    dtype = check_dtype(dtype or own_dtype)
    worth = dtype != own_dtype or pixels == math.inf or _is_work(there, scale, pixels)
    if own_device.type != "cpu" or not worth or has_hooks(there) or broken_weight(there):
        return placed(there, None, dtype)
    return Optimized(there, [scale], dtype)


def _is_work(model: Restorer, scale: int, pixels: float) -> bool:
    """Whether restoring so many pixels takes long beside rewriting the network for it."""
    return dry_run(model, scale).multadds_per_pixel * int(pixels) > _REWRITING * sum(1 for _ in model.modules())


def dry_run(model: Restorer, scale: int) -> Trace:
    """What a dry run of the network sees, made once: it takes longer than restoring a small picture."""
    known, key = _dry_runs.setdefault(model, {}), (scale, home(model)[1])
    if key not in known:
        known[key] = model.trace(scale)
    return known[key]


def _as_optimized(model: Optimized, device: torch.device | str | None, dtype: torch.dtype | None) -> Optimized:
    if (device is not None and torch.device(device).type != home(model)[0].type) or dtype not in {None, model.dtype}:
        raise ValueError(
            f"model was optimized for {home(model)[0]} and {model.dtype}; leave device and dtype out, or give the "
            "original network"
        )
    return model


def has_hooks(model: nn.Module) -> bool:
    """Whether something wants to be called when a part of the network runs."""
    return any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def broken_weight(model: nn.Module) -> str | None:
    """The first weight or statistic that holds something else than numbers; fused activations would hide it."""
    tensors = (*model.named_parameters(), *model.named_buffers())
    return next((name for name, tensor in tensors if not tensor.isfinite().all()), None)


def home(model: Restorer) -> tuple[torch.device, torch.dtype]:
    """Where a network's pictures must be, and in which dtype."""
    weight = next(model.parameters(), None)
    if isinstance(model, Optimized):
        return torch.device("cpu") if weight is None else weight.device, model.picture_dtype
    assert weight is not None
    return weight.device, weight.dtype


def title(model: Restorer) -> str:
    """What messages call a network."""
    return type(model.plan if isinstance(model, Optimized) else model).__name__


def fitted(x: Tensor, model: Restorer) -> Tensor:
    """Pictures in the dtype and on the device of the network, laid out as its convolutions like them best."""
    device, dtype = home(model)
    # On the CPU channels last saves a fifth of the time, because no convolution reorders its input and output.
    layout = torch.channels_last if device.type == "cpu" else torch.contiguous_format
    return x.to(device, dtype).contiguous(memory_format=layout)


def check_dtype(dtype: object) -> torch.dtype:
    """Require a type that a network can compute in, and return it."""
    if dtype not in _DTYPES:
        raise TypeError(f"dtype must be a floating-point type such as torch.bfloat16, got {dtype!r}")
    assert isinstance(dtype, torch.dtype)
    return dtype


def check_restorer(model: object) -> Restorer:
    """Require a network that keeps the contract of ``models.Restorer``, and return it."""
    if not isinstance(model, Restorer):
        raise TypeError(
            f"model must be a network of restorekit.models or a subclass of models.Restorer, got "
            f"{type(model).__name__}; evaluate and self_ensemble take any function, such as lambda x: model(x)"
        )
    return model
