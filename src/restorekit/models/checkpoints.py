"""Writing networks to files and building the network that a file holds."""

import json
import math
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from restorekit.image import atomic_path
from restorekit.models._layouts.layout import UNSAID, StateDict
from restorekit.models._loading import FORMAT, FORMAT_VERSION, check_tensors, interpret, load_weights, read_tensors
from restorekit.models.carn import CARN
from restorekit.models.edsr import EDSR
from restorekit.models.idr import IDR
from restorekit.models.network import Network, check_network
from restorekit.models.progressive_carn import ProgressiveCARN
from restorekit.models.rcan import RCAN
from restorekit.models.restorer import Restorer
from restorekit.models.restormer import Restormer
from restorekit.models.srresnet import MSRResNet, SRResNet

__all__ = ["load_checkpoint", "load_weights", "save_weights"]

_CLASSES: dict[str, type[Restorer]] = {
    "CARN": CARN,
    "ProgressiveCARN": ProgressiveCARN,
    "EDSR": EDSR,
    "RCAN": RCAN,
    "SRResNet": SRResNet,
    "MSRResNet": MSRResNet,
    "Restormer": Restormer,
    "IDR": IDR,
}


def save_weights(model: Network, path: str | PathLike[str]) -> None:
    """Write a network to a safetensors file, with the arguments that build it again in the metadata.

    The file is written beside and renamed, so that an old one survives a full disk or a killed process.

    Args:
        model: Network from this library, on any device.
        path: Target with the suffix ``.safetensors``.

    Raises:
        TypeError: ``model`` is no network of this library.
        ValueError: Another suffix.

    Example:
        >>> import tempfile, restorekit
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_weights(restorekit.models.carn_m(scale=2), f"{folder}/carn_m.safetensors")
        ...     load_checkpoint(f"{folder}/carn_m.safetensors").scale
        2
    """
    check_network(model)
    if Path(path).suffix != ".safetensors":
        raise ValueError(f"path must end in .safetensors, got {Path(path).name!r}")
    config = json.dumps(model.config, sort_keys=True)
    metadata = {"format": FORMAT, "format_version": FORMAT_VERSION, "model": type(model).__name__, "config": config}
    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in model.state_dict().items()}
    with atomic_path(path) as beside:
        save_file(tensors, beside, metadata=metadata)


def load_checkpoint(path: str | PathLike[str]) -> Restorer:
    """Build the network that a checkpoint holds, recognising architecture and options from the file.

    Reads files of ``save_weights`` and the published ones of CARN, CARN-M, PCARN, PCARN-M and CutBlur's CARN.

    Args:
        path: Checkpoint: safetensors, or a PyTorch file that holds tensors only. Nothing in it is executed.

    Returns:
        The network with its weights, in float32, on the CPU, in evaluation mode.

    Raises:
        FileNotFoundError: No such file.
        ValueError: An unreadable file, a file that could run code, or weights of a network unknown here; the message
            says what the file looks like.

    Example:
        >>> import tempfile, restorekit
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     restorekit.models.save_weights(restorekit.models.carn((2, 4)), f"{folder}/carn.safetensors")
        ...     load_checkpoint(f"{folder}/carn.safetensors").scales
        (2, 4)
    """
    stored, metadata = read_tensors(path)
    layouts = {name: architecture.layouts for name, architecture in _CLASSES.items()}
    name, config, tensors = interpret(stored, metadata, layouts, path)
    unsaid = [option for option, value in config.items() if value is UNSAID]
    if unsaid:
        raise ValueError(
            f"{path} holds {name}, but its tensors do not tell {', '.join(unsaid)}: "
            "build the network and read the file with models.load_weights"
        )
    _check_sizes(config, tensors, path)
    with torch.device("meta"):
        sketch = _build(name, config, path)  # shapes are compared before any memory is taken
    check_tensors(sketch, tensors, path)
    with torch.random.fork_rng(devices=[]):  # initial weights are overwritten; no draw of the caller's is lost
        model = _build(name, config, path)
    model.load_state_dict(tensors)
    return model.eval()


def _check_sizes(config: Mapping[str, Any], tensors: StateDict, path: str | PathLike[str]) -> None:
    """Refuse widths and depths that no file of this size can have: damaged metadata may name any number."""
    # Some kernel of every network has as many elements as its width squared.
    largest = max(len(tensors), math.isqrt(sum(tensor.numel() for tensor in tensors.values())))
    for option, value in config.items():
        if isinstance(value, int) and value > largest:
            raise ValueError(f"{path} has damaged metadata: {option}={value} is more than the file can hold")


def _build(name: str, config: dict[str, Any], path: str | PathLike[str]) -> Restorer:
    try:
        return _CLASSES[name](**config)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} describes a {name} that cannot be built: {error}") from error
