"""Turning a trained network with BatchNorm into the equal network without."""

import torch
from torch import Tensor, nn

from restorekit.models.restorer import Restorer

_BUFFERS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def merge_batch_norm(model: Restorer) -> Restorer:
    """Merge every BatchNorm into the convolution before it.

    In evaluation a BatchNorm is one factor and one constant for each channel, which a convolution can hold. The result
    computes what ``model`` computes in evaluation mode, for less work and memory; it does not depend on its mode.

    Args:
        model: Network built with ``batch_norm=True``; left as it is.

    Returns:
        A new network with ``batch_norm=False``, in the same mode, dtype and on the same device.

    Raises:
        TypeError: ``model`` is no network of this library.
        ValueError: The network has no BatchNorm.

    Example:
        >>> import restorekit
        >>> merge_batch_norm(restorekit.models.dncnn(depth=3)).config["batch_norm"]
        False

    Source:
        The released weights of DnCNN (Zhang et al., TIP 2017) are merged so; exact up to one rounding of each weight.
    """
    if not isinstance(model, Restorer):
        raise TypeError(f"model must be a network of restorekit.models, got {type(model).__name__}")
    if model.config.get("batch_norm") is not True:
        raise ValueError(f"model must have batch_norm=True, got a {type(model).__name__} with {model.config!r}")
    with torch.random.fork_rng(devices=[]):  # its initial weights are overwritten; no draw of the caller's is lost
        merged = type(model)(**{**model.config, "batch_norm": False})
    weight = next(model.parameters())
    merged.to(device=weight.device, dtype=weight.dtype).train(model.training)
    state = dict(model.state_dict())
    trained = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    for name, layer in model.named_modules():
        if isinstance(layer, nn.BatchNorm2d):
            conv = _convolution_before(name)
            _merge(state, name, conv, layer.eps)
            trained.setdefault(f"{conv}.bias", trained[f"{name}.bias"])
    merged.load_state_dict(state)
    for name, parameter in merged.named_parameters():
        parameter.requires_grad_(trained[name])
    return merged


def _convolution_before(norm: str) -> str:
    """Networks here name the two alike: ``body.0.norm1`` follows ``body.0.conv1``."""
    parent, dot, name = norm.rpartition(".")
    return parent + dot + name.replace("norm", "conv")


def _merge(state: dict[str, Tensor], norm: str, conv: str, eps: float) -> None:
    gain, offset, mean, variance, _ = (state.pop(f"{norm}.{kind}").double() for kind in _BUFFERS)
    factor = gain / (variance + eps).sqrt()
    kernel = state[f"{conv}.weight"]
    bias = state.get(f"{conv}.bias", torch.zeros_like(mean)).double()
    state[f"{conv}.weight"] = (kernel.double() * factor.view(-1, 1, 1, 1)).to(kernel.dtype)
    state[f"{conv}.bias"] = ((bias - mean) * factor + offset).to(kernel.dtype)
