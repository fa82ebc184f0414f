"""Reading weights: files that hold tensors and nothing else, in this library's layout or a published one."""

import json
import pickle
import zipfile
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from restorekit.models._layouts.layout import UNSAID, Layout, StateDict, guess_family
from restorekit.models.network import Network, check_network

FORMAT = "restorekit"
FORMAT_VERSION = "1"
# Options that a network and the file it reads may have differently; the second line says how the same weights are run.
_FREE = {"scale", "stage", "init", "mean"} | {"pool_size", "hard", "patches", "degradation", "stop_gradient"}
# Where projects nest the tensors, averaged ones first.
_CONTAINERS = ("params_ema", "ema", "params", "state_dict", "model_state_dict", "model", "net", "weights")


class _Followed(Mapping[str, Tensor]):
    """A state dict that remembers which of its tensors were taken."""

    def __init__(self, tensors: StateDict) -> None:
        self.tensors = tensors
        self.taken: set[str] = set()

    def __getitem__(self, key: str) -> Tensor:
        tensor = self.tensors[key]
        self.taken.add(key)
        return tensor

    def __contains__(self, key: object) -> bool:
        return key in self.tensors

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)


def read_tensors(path: str | PathLike[str]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors of a safetensors or PyTorch file onto the CPU, without running anything from it.

    Returns:
        Tensors by name, without wrapping containers and without a common prefix, and the file's metadata. Those of a
        list of state dicts are named "<index>.<key>".
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; give a checkpoint file")
    with path.open("rb") as file:
        start = file.read(9)
    if not start:
        raise ValueError(f"{path} is empty")
    tensors, metadata = _read_safetensors(path) if start[8:] == b"{" else (_read_torch(path), {})
    for prefix in ("module.", "_orig_mod."):  # of data-parallel and compiled networks
        while tensors and all(key.startswith(prefix) for key in tensors):
            tensors = {key.removeprefix(prefix): value for key, value in tensors.items()}
    return tensors, metadata


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except (SafetensorError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path} is no readable safetensors file: {error}") from error


def _read_torch(path: Path) -> dict[str, Tensor]:
    try:
        _check_expansion(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} is refused: it holds more than tensors, and reading it could run code, or it is damaged. "
            "Only state dicts of tensors are read. If it holds a whole network, load it where its authors' code is "
            "installed, and save there what is read here: torch.save(model.state_dict(), 'weights.pth')."
        ) from error
    except Exception as error:  # torch.load raises whatever the damaged bytes lead it to
        raise ValueError(
            f"{path} is no readable checkpoint (safetensors, or torch.save of tensors): {error}"
        ) from error
    if isinstance(content, list | tuple) and content and all(isinstance(part, Mapping) for part in content):
        content = {f"{i}.{key}": value for i, part in enumerate(content) for key, value in part.items()}
    for name in _CONTAINERS:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
    if not isinstance(content, Mapping):
        raise ValueError(f"{path} must hold a state dict of tensors, got {type(content).__name__}")
    if not content:
        raise ValueError(f"{path} holds no tensors")
    for key, value in content.items():
        if not isinstance(key, str) or not _is_plain(value):
            hint = f"; if that is the state dict, save content[{key!r}] alone" if isinstance(value, Mapping) else ""
            raise ValueError(
                f"{path} must hold plain dense tensors of real numbers by name, "
                f"got {key!r}: {type(value).__name__}{hint}"
            )
    return dict(content)


def _check_expansion(path: Path) -> None:
    """Refuse a zip archive that would fill the memory: PyTorch writes its own without compression, but reads any."""
    with path.open("rb") as file:
        zipped = file.read(4) == b"PK\x03\x04"  # as PyTorch tells; zipfile would find archives in other files' numbers
    if zipped:
        with zipfile.ZipFile(path) as archive:
            total = sum(entry.file_size for entry in archive.infolist())
        if total > path.stat().st_size:
            raise ValueError(f"compressed, or its parts overlap: {total} bytes would be read")


def _is_plain(value: object) -> bool:
    """Whether this is a real dense tensor with every element in the file; an expanded one would grow when copied."""
    if not isinstance(value, Tensor) or value.layout != torch.strided:
        return False
    if value.is_quantized or value.is_meta or value.is_complex():
        return False
    return value.untyped_storage().nbytes() >= value.numel() * value.element_size()


def interpret(
    tensors: StateDict,
    metadata: Mapping[str, str],
    layouts: Mapping[str, tuple[Layout, ...]],
    path: str | PathLike[str],
) -> tuple[str, dict[str, Any], StateDict]:
    """Find out which network a file holds.

    Returns:
        Name of the class, its constructor arguments, and the tensors under this library's names.

    Raises:
        ValueError: No layout fits.
    """
    if metadata.get("format") == FORMAT:
        return _interpret_own(tensors, metadata, layouts, path)
    fitting = [
        (name, layout) for name, candidates in layouts.items() for layout in candidates if layout.matches(tensors)
    ]
    if len(fitting) == 1:
        [(architecture, layout)] = fitting
        return architecture, *_read_layout(layout, tensors, path)
    if fitting:
        raise ValueError(
            f"{path} fits several layouts: {', '.join(layout.name for _, layout in fitting)}; "
            "build the network that it should be and read it with models.load_weights"
        )
    known = ", ".join(layout.name for candidates in layouts.values() for layout in candidates)
    raise ValueError(
        f"{path} looks like {guess_family(tensors)} (first key {next(iter(tensors), None)!r}); "
        f"layouts that are read here: {known}, and files of models.save_weights. "
        "A bare state dict says nothing about its network: build that and read it with models.load_weights"
    )


def _interpret_own(
    tensors: StateDict,
    metadata: Mapping[str, str],
    layouts: Mapping[str, tuple[Layout, ...]],
    path: str | PathLike[str],
) -> tuple[str, dict[str, Any], StateDict]:
    architecture, version = metadata.get("model", ""), metadata.get("format_version")
    if version != FORMAT_VERSION:
        raise ValueError(f"{path} has format version {version!r}, this restorekit reads version {FORMAT_VERSION!r}")
    try:
        config = json.loads(metadata.get("config", ""))
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path} has damaged metadata: its config is no JSON") from error
    if not isinstance(config, dict):
        raise ValueError(f"{path} has damaged metadata: its config must be a JSON object, got {type(config).__name__}")
    if architecture not in layouts:
        raise ValueError(
            f"{path} holds weights of {architecture!r}; networks known here: {', '.join(layouts)}. "
            "A network of another kind, such as a discriminator, is built first and reads them with models.load_weights"
        )
    return architecture, config, tensors


def _read_layout(layout: Layout, tensors: StateDict, path: str | PathLike[str]) -> tuple[dict[str, Any], StateDict]:
    followed = _Followed(tensors)
    try:
        config, renamed = layout.read(followed)
    except KeyError as error:
        raise ValueError(f"{path} looks like {layout.name} but misses the key {error.args[0]!r}") from error
    except (ValueError, TypeError, RuntimeError, IndexError, ZeroDivisionError) as error:
        raise ValueError(f"{path} looks like {layout.name} but cannot be read as such: {error}") from error
    if unexpected := sorted(set(tensors) - followed.taken):
        raise ValueError(f"{path} looks like {layout.name} but has the unexpected key {unexpected[0]!r}")
    return config, renamed


def load_weights(model: Network, path: str | PathLike[str]) -> None:
    """Read a checkpoint into an existing network, in place.

    Reads files of ``save_weights``, plain state dicts of the same network, and the authors' published files, with
    their aliases, containers and prefixes (``module.``, ``_orig_mod.``). Where a file holds averaged weights beside the
    raw ones (``params_ema``, or a checkpoint of ``train.fit``), the averaged are read. A file with more scales than the
    network gives those it needs.

    Args:
        model: Network from this library; it keeps its device, dtype and mode.
        path: Checkpoint: safetensors, or a PyTorch file that holds tensors only.

    Raises:
        FileNotFoundError: No such file.
        TypeError: ``model`` is no network of this library.
        ValueError: An unreadable file, a file that could run code, or weights of another network; the message says
            what the file looks like and names the first missing and unexpected keys.

    Example:
        >>> import tempfile, restorekit
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     restorekit.models.save_weights(restorekit.models.carn_m(2), f"{folder}/carn_m.safetensors")
        ...     load_weights(restorekit.models.carn_m(2), f"{folder}/carn_m.safetensors")
    """
    check_network(model)
    stored, metadata = read_tensors(path)
    tensors: StateDict = stored
    config: Mapping[str, Any] = {}
    if metadata.get("format") == FORMAT or any(layout.matches(stored) for layout in model.layouts):
        name = type(model).__name__
        found, config, tensors = interpret(stored, metadata, {name: model.layouts}, path)
        _check_config(model, found, config, path)
    wanted = {key: value for key, value in tensors.items() if not model.can_spare(key)}
    before = model.config.get("mean")
    mean = config.get("mean", _stored_mean(tensors))
    if before is not None and mean is not None and len(mean) == len(before):
        model.set_mean(mean)
    try:
        check_tensors(model, wanted, path)
    except ValueError:
        if before is not None:
            model.set_mean(before)
        raise
    model.load_state_dict(wanted)


def _stored_mean(tensors: StateDict) -> tuple[float, ...] | None:
    """The mean colour in a plain state dict of this library, which holds one that is no constant."""
    shift = tensors.get("take_mean.shift")
    return None if shift is None else tuple(round(-value, 7) for value in shift.flatten().tolist())


def _check_config(model: Network, name: str, config: Mapping[str, Any], path: str | PathLike[str]) -> None:
    """Refuse options that change the function but not the tensors: loading would succeed and compute something else."""
    if unlike := difference(model, config):
        raise ValueError(
            f"{path} holds {name} {unlike}; models.load_checkpoint(path) builds the network that fits the file"
        )


def difference(model: Network, config: Mapping[str, Any]) -> str:
    """How the options of a file differ from the network's; nothing where its weights are the network's own."""
    missing = _factors(model.config) - _factors(config)
    if missing and _factors(config) - {1}:  # a network for scale 1 holds nothing of its own for a scale
        return f"for scale {_listed(_factors(config))}, not for {_listed(missing)}"
    for option, value in config.items():
        own = model.config.get(option)
        if option not in _FREE and value is not UNSAID and _plain(own) != _plain(value):
            return f"with {option}={value!r}, but the network has {option}={own!r}"
    return ""


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _factors(config: Mapping[str, Any]) -> set[Any]:
    scale = config.get("scale", UNSAID)
    if scale is UNSAID:
        return set()
    return set(scale) if isinstance(scale, tuple | list) else {scale}


def _listed(factors: set[Any]) -> str:
    return ", ".join(map(str, sorted(factors)))


def check_tensors(model: Network, tensors: StateDict, path: str | PathLike[str]) -> None:
    """Require exactly the names, shapes and kinds of numbers of the network's state dict."""
    own = model.state_dict()
    missing, unexpected = sorted(set(own) - set(tensors)), sorted(set(tensors) - set(own))
    if missing or unexpected:
        raise ValueError(
            f"{path} does not fit {type(model).__name__}: it looks like {guess_family(tensors)}; "
            f"first missing key {next(iter(missing), None)!r}, first unexpected key {next(iter(unexpected), None)!r}"
        )
    for key, tensor in own.items():
        if tensor.shape != tensors[key].shape:
            raise ValueError(
                f"{path} does not fit {type(model).__name__}: {key!r} has shape {tuple(tensors[key].shape)}, "
                f"the network needs {tuple(tensor.shape)}"
            )
        if tensor.is_floating_point() != tensors[key].is_floating_point():
            raise ValueError(
                f"{path} does not fit {type(model).__name__}: {key!r} holds {tensors[key].dtype}, "
                f"the network needs {tensor.dtype}"
            )
