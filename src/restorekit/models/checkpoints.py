"""Writing networks to files and building the network that a file holds."""

import json
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch.overrides import TorchFunctionMode

from restorekit.image import atomic_path
from restorekit.models._layouts.layout import UNSAID
from restorekit.models._loading import FORMAT, FORMAT_VERSION, check_tensors, interpret, load_weights, read_tensors
from restorekit.models.carn import CARN
from restorekit.models.dncnn import DnCNN
from restorekit.models.edsr import EDSR
from restorekit.models.fsrcnn import FSRCNN
from restorekit.models.idr import IDR
from restorekit.models.mepsnet import MEPSNet
from restorekit.models.network import Network, check_network
from restorekit.models.owan import OWAN
from restorekit.models.progressive_carn import ProgressiveCARN
from restorekit.models.rcan import RCAN
from restorekit.models.rdn import RDN
from restorekit.models.restorer import Restorer
from restorekit.models.restormer import Restormer
from restorekit.models.ridnet import RIDNet
from restorekit.models.rnan import RNAN
from restorekit.models.sparse_resnet import SparseResNet
from restorekit.models.srcnn import SRCNN
from restorekit.models.srresnet import MSRResNet, SRResNet
from restorekit.models.vdsr import VDSR
from restorekit.models.zssr import ZSSR

__all__ = ["load_checkpoint", "load_weights", "save_weights"]

_CLASSES: dict[str, type[Restorer]] = {
    "CARN": CARN,
    "DnCNN": DnCNN,
    "EDSR": EDSR,
    "FSRCNN": FSRCNN,
    "IDR": IDR,
    "MEPSNet": MEPSNet,
    "MSRResNet": MSRResNet,
    "OWAN": OWAN,
    "ProgressiveCARN": ProgressiveCARN,
    "RCAN": RCAN,
    "RDN": RDN,
    "Restormer": Restormer,
    "RIDNet": RIDNet,
    "RNAN": RNAN,
    "SparseResNet": SparseResNet,
    "SRCNN": SRCNN,
    "SRResNet": SRResNet,
    "VDSR": VDSR,
    "ZSSR": ZSSR,
}
_LARGEST = 4096  # no width or depth of a network here comes near


def save_weights(model: Network, path: str | PathLike[str]) -> None:
    """Write a network to a safetensors file, with the arguments that build it again in the metadata.

    The file is written beside and renamed, so that an old one survives a full disk or a killed process. That of a
    network changed by ``layers.share_parameters`` or ``layers.sparsify`` does not say so: read it with ``load_weights``
    into one that was changed alike.

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


def load_checkpoint(path: str | PathLike[str], **unsaid: Any) -> Restorer:
    """Build the network that a checkpoint holds, recognising architecture and options from the file.

    Reads files of ``save_weights``, and those that authors published of the networks here: CARN and its relatives,
    EDSR, RCAN, SRResNet, RDN, RNAN, RIDNet, OWAN, DnCNN, MEPSNet, NSR, Restormer, IDR and the small early ones. All
    take pictures in [0, 1]: a file made for 0 to 255 is converted, and a mean colour that was trained is absorbed.

    Args:
        path: Checkpoint: safetensors, or a PyTorch file that holds tensors only. Nothing in it is executed.
        **unsaid: Options that change what is computed and that the tensors do not tell, such as ``scale`` for FSRCNN;
            the error names them where they are needed.

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
    config |= _answers(name, config, unsaid, path)
    _check_sizes(config, path)
    with torch.device("meta"), _Budget(len(tensors)):
        sketch = _build(name, config, path)  # shapes are compared before any memory is taken
    check_tensors(sketch, tensors, path)
    with torch.random.fork_rng(devices=[]):  # initial weights are overwritten; no draw of the caller's is lost
        model = _build(name, config, path)
    model.load_state_dict(tensors)
    return model.eval()


def _answers(
    name: str, config: Mapping[str, Any], given: Mapping[str, Any], path: str | PathLike[str]
) -> Mapping[str, Any]:
    """The caller's values of the options that the file leaves open: of all of those and of no others."""
    asked = {option for option, value in config.items() if value is UNSAID}
    if told := sorted(set(given) - asked):
        raise ValueError(
            f"{path} holds {name} and leaves no {', '.join(told)} open; read it without, "
            "and name a scale where the network is called"
        )
    if missing := sorted(asked - set(given)):
        example = ", ".join(f"{option}=..." for option in missing)
        raise ValueError(
            f"{path} holds {name}, but its tensors do not tell {', '.join(missing)}: "
            f"say it, models.load_checkpoint(path, {example})"
        )
    return given


def _check_sizes(config: Mapping[str, Any], path: str | PathLike[str]) -> None:
    """Refuse widths and depths that no network here has: damaged metadata may name any number."""
    for option, value in config.items():
        for number in value if isinstance(value, list | tuple) else [value]:
            if isinstance(number, int) and number > _LARGEST and option != "pool_size":  # a window takes no memory
                raise ValueError(f"{path} has damaged metadata: {option}={value} is more than any network here has")


class _Budget(TorchFunctionMode):
    """Stop the construction of a network that makes far more tensors than its file can hold."""

    def __init__(self, tensors: int) -> None:
        super().__init__()
        self.calls = 1000 + 100 * tensors  # a layer takes about ten to make its tensors and draw their values

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.calls -= 1
        if self.calls < 0:
            raise ValueError("it has far more layers than the file has tensors")
        return func(*args, **(kwargs or {}))


def _build(name: str, config: dict[str, Any], path: str | PathLike[str]) -> Restorer:
    try:
        return _CLASSES[name](**config)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} describes a {name} that cannot be built: {error}") from error
