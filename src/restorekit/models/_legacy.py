"""The files of the MDF loss's authors: whole networks in PyTorch's format of before 2020, read without unpickling."""

from collections.abc import Iterator
from io import BytesIO
from math import prod
from os import PathLike
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from restorekit.models._interpreter import NAMES, Interpreter, ModuleRecord, StorageRecord, TensorRecord, shortened

K = TypeVar("K")

# Every such file begins with two pickles, of a magic number and of the version 1001.
_START = b"\x80\x02\x8a\x0a" + (0x1950A86A20F9469CFC6C).to_bytes(10, "little") + b".\x80\x02M\xe9\x03."
_MOST_BYTES = 64 * 2**20  # 16 million weights; the largest of the published files has 1 million
_MOST_PARTS = 64  # discriminators
_MOST_TENSORS = 64 * _MOST_PARTS  # a discriminator has 30
_MOST_LEVELS = 4  # of modules in modules: discriminator, body, block, convolution
_LONGEST_NAME = 80
# Another value would compute something else from the same tensors.
_SETTINGS: dict[str, dict[str, object]] = {
    "torch.nn.modules.conv Conv2d": {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1},
    "torch.nn.modules.batchnorm BatchNorm2d": {"eps": 1e-5},
    "torch.nn.modules.activation LeakyReLU": {"negative_slope": 0.2},
}


def is_legacy(path: Path) -> bool:
    """Whether this is a file of PyTorch's legacy format."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_START)) == _START


def read_legacy(path: str | PathLike[str]) -> dict[str, Tensor]:
    """Read the tensors of a list of networks or state dicts as "<index>.<key>", or of a state dict, without running it.

    Raises:
        ValueError: A damaged file, or one that holds anything else.
    """
    with Path(path).open("rb") as file:
        data = file.read(_MOST_BYTES + 1)
    try:
        return _tensors(data)
    except (ValueError, LookupError) as error:
        reason = str(error)[:300] if isinstance(error, ValueError) else "its instructions are damaged"
        raise ValueError(
            f"{path} is refused: {reason}. Of PyTorch's legacy files, only those of the MDF loss and state dicts of "
            "float32, float16 or float64 are read. If you trust this one, load it where its authors' code is "
            "installed, and save there what is read here: "
            "torch.save([d.state_dict() for d in discriminators], 'discriminators.pth')."
        ) from None  # the cause may quote any amount of the file


def _tensors(data: bytes) -> dict[str, Tensor]:
    if len(data) > _MOST_BYTES:
        raise ValueError(f"it has more than {_MOST_BYTES} bytes")
    file = BytesIO(data)
    file.seek(len(_START))
    described: dict[str, StorageRecord] = {}
    system = Interpreter(set(), {}).read(file)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise ValueError("it was not written by a little-endian machine")
    found = _flat(Interpreter(NAMES, described).read(file))
    keys = Interpreter(set(), {}).read(file)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise ValueError("its list of storages is none")
    # as sets: sorting would compare one long key with itself, as often as the file names it
    if len(keys) != len(described) or set(keys) != set(described):
        raise ValueError("its list of storages is not that of its tensors")
    if sum(prod(tensor.shape) for tensor in found.values()) > sum(storage.count for storage in described.values()):
        raise ValueError("its tensors share their storages")
    storages = {key: _read_storage(file, data, described[key]) for key in keys}
    if file.tell() != len(data):
        raise ValueError("it goes on behind its end")
    return {
        key: storages[tensor.storage.key][tensor.offset : tensor.offset + prod(tensor.shape)].view(tensor.shape)
        for key, tensor in found.items()
    }


def _read_storage(file: BytesIO, data: bytes, storage: StorageRecord) -> Tensor:
    count = int.from_bytes(file.read(8), "little", signed=True)
    start, size = file.tell(), storage.count * storage.dtype.itemsize
    if count != storage.count or start + size > len(data):
        raise ValueError(f"its storage {shortened(storage.key)} is cut off or of another size than it says")
    file.seek(size, 1)
    numbers = np.frombuffer(data, storage.dtype, count, start)
    return torch.from_numpy(numbers.astype(storage.dtype.newbyteorder("=")))


def _flat(content: object) -> dict[str, TensorRecord]:
    """The tensors of all networks by name; nothing is gone through twice, so that no small file takes long."""
    if isinstance(content, dict) and 0 < len(content) <= _MOST_TENSORS:
        return dict(_named(content, TensorRecord))  # a state dict, with these names already
    if not isinstance(content, list | tuple) or not 0 < len(content) <= _MOST_PARTS:
        raise ValueError(f"it holds no list of 1 to {_MOST_PARTS} networks")
    found: dict[str, TensorRecord] = {}
    seen: set[int] = set()
    waiting = [(str(i), part, 1) for i, part in enumerate(content)]
    while waiting:
        prefix, part, level = waiting.pop()
        if id(part) in seen or level > _MOST_LEVELS:
            raise ValueError(f"its module {shortened(prefix)} is there twice or lies too deep")
        seen.add(id(part))
        tensors, modules = _opened(part, seen)
        for name, tensor in tensors:
            if (key := f"{prefix}.{name}") in found or len(found) >= _MOST_TENSORS:
                raise ValueError(f"it holds {shortened(key)} twice, or more than {_MOST_TENSORS} tensors")
            found[key] = tensor
        waiting += [(f"{prefix}.{name}", module, level + 1) for name, module in modules]
    return found


def _opened(part: object, seen: set[int]) -> tuple[list[tuple[str, TensorRecord]], list[tuple[str, object]]]:
    """Names and tensors of a module or state dict, and names and modules inside."""
    if isinstance(part, dict):
        return list(_named(part, TensorRecord)), []
    if not isinstance(part, ModuleRecord):
        raise ValueError(f"it holds {type(part).__name__} where a network belongs")
    state = part.state or {}
    for option, value in _SETTINGS.get(part.name, {}).items():
        if state.get(option, value) != value:
            raise ValueError(f"it has a {part.name.split()[-1]} with another {option} than {value}")
    parameters, buffers, modules = (state.get(name) for name in ("_parameters", "_buffers", "_modules"))
    own = {id(members) for members in (parameters, buffers, modules)}
    if own & seen:
        raise ValueError("two of its modules share their parts")
    seen |= own
    tensors = [*_named(parameters, TensorRecord), *_named(buffers, TensorRecord)]
    return tensors, list(_named(modules, ModuleRecord))


def _named(members: object, kind: type[K]) -> Iterator[tuple[str, K]]:
    """What a dict holds of a kind; None stands for what a module could have and has not."""
    if not isinstance(members, dict):
        raise ValueError("it holds a module without parts")
    for name, member in members.items():
        if len(name) > _LONGEST_NAME:
            raise ValueError(f"it holds the name {shortened(name)}")
        if member is not None and not isinstance(member, kind):
            raise ValueError(f"its {shortened(name)} is no {kind.__name__.removesuffix('Record').lower()}")
        if member is not None:
            yield name, member
