"""Interpreter for the pickles in PyTorch's legacy files, which makes inert records of all that they describe.

It goes through the opcodes one after the other. Names of classes stay names: nothing is looked up, imported or called,
and nothing is built but lists, dicts, tuples and the records below, so that no file can run anything.
"""

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from math import prod
from typing import Any, final

import numpy as np

_MOST_STEPS = 500_000  # opcodes; a discriminator takes some 2500
_MOST_DIMENSIONS = 4
_MOST_LETTERS = 80  # of a name in a message

# The names are those of modules and, behind a space, of what lies in them.
DTYPES: dict[str, np.dtype[Any]] = {
    "torch FloatStorage": np.dtype("<f4"),
    "torch LongStorage": np.dtype("<i8"),
    "torch HalfStorage": np.dtype("<f2"),  # this and the next are in no published file, but in state dicts
    "torch DoubleStorage": np.dtype("<f8"),
}
MODULES = {
    "SinGAN.models WDiscriminator",
    "SinGAN.models ConvBlock",
    "torch.nn.modules.container Sequential",
    "torch.nn.modules.conv Conv2d",
    "torch.nn.modules.batchnorm BatchNorm2d",
    "torch.nn.modules.activation LeakyReLU",
}
_DICT, _TENSOR = "collections OrderedDict", "torch._utils _rebuild_tensor_v2"
_PARAMETER = "torch._utils _rebuild_parameter"
NAMES = {_DICT, _TENSOR, _PARAMETER, *DTYPES, *MODULES}


@dataclass(frozen=True)
class _Name:
    """A class or function that the stream names."""

    name: str


@dataclass(frozen=True)
class StorageRecord:
    """Numbers that come behind the stream."""

    dtype: np.dtype[Any]
    key: str
    count: int


@dataclass(frozen=True, eq=False)
class TensorRecord:
    """A piece of a storage."""

    storage: StorageRecord
    offset: int
    shape: tuple[int, ...]


@dataclass(eq=False)
class ModuleRecord:
    """A module and its attributes."""

    name: str
    state: dict[str, object] | None = None


def shortened(text: str) -> str:
    """A name from a file, as it may stand in a message: a file can hold names of any length and of any letters."""
    return ascii(text) if len(text) <= _MOST_LETTERS else f"{text[:_MOST_LETTERS]!a}..."


def _checked(storage: object, offset: object, shape: object, stride: object) -> TensorRecord:
    """A tensor that lies in its storage, whole and row by row, as all of the published files do."""
    match storage, offset, shape, stride:
        case StorageRecord(), int(offset), tuple(shape), tuple(stride) if len(shape) == len(stride) <= _MOST_DIMENSIONS:
            if not all(type(number) is int and number >= 0 for number in (offset, *shape, *stride)) or 0 in shape:
                raise ValueError("it holds a tensor with sizes that are none")
            if offset + prod(shape) > storage.count:
                raise ValueError(f"it holds a tensor that reaches beyond its storage {shortened(storage.key)}")
            if any(shape[i] > 1 and stride[i] != prod(shape[i + 1 :]) for i in range(len(shape))):
                raise ValueError("it holds a tensor that is not stored row by row")
            return TensorRecord(storage, offset, shape)
    raise ValueError("it holds a tensor that is none")


@final
class Interpreter:
    """Reader of the opcodes that PyTorch wrote its legacy files with."""

    def __init__(self, names: set[str], storages: dict[str, StorageRecord]) -> None:
        self.names = names
        self.storages = storages
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []  # the stacks under each mark
        self.memo: dict[int, object] = {}

    def read(self, file: BytesIO) -> object:
        for step, (opcode, argument, _) in enumerate(pickletools.genops(file)):
            if step >= _MOST_STEPS:
                raise ValueError("it has more parts than any list of discriminators")
            if opcode.name == "STOP":
                return self.stack.pop()
            if opcode.name in _CONSTANTS:
                self.stack.append(argument)
            elif opcode.name in _EMPTY:
                self.stack.append(_EMPTY[opcode.name]())
            elif opcode.name in _STEPS:
                _STEPS[opcode.name](self, argument)
            else:
                raise ValueError(f"it holds the instruction {opcode.name}, which no such file needs")
        raise ValueError("it ends early")

    def pop(self, kind: type) -> Any:
        value = self.stack.pop()
        if not isinstance(value, kind):
            raise ValueError(f"it holds {type(value).__name__} where {kind.__name__} belongs")
        return value

    def mark(self, _: object) -> None:
        self.below.append(self.stack)
        self.stack = []

    def marked(self) -> list[Any]:
        """What was put on the stack since the mark."""
        items, self.stack = self.stack, self.below.pop()
        return items

    def take(self, count: int) -> list[Any]:
        return [self.stack.pop() for _ in range(count)][::-1]

    def pack(self, items: list[Any]) -> None:
        self.stack.append(tuple(items))

    def append(self, items: list[Any]) -> None:
        self.top(list).extend(items)

    def top(self, kind: type) -> Any:
        self.stack.append(self.pop(kind))
        return self.stack[-1]

    def put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def set_items(self, items: list[Any]) -> None:
        target = self.top(dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str):  # a hash may run deep
                raise ValueError(f"it holds a dict with a key of {type(key).__name__}")
            target[key] = value

    def name(self, argument: str) -> None:
        if argument not in self.names:
            raise ValueError(f"it names {shortened(argument.replace(' ', '.'))}, which it has no need of")
        self.stack.append(_Name(argument))

    def call(self, _: object) -> None:
        arguments, function = self.pop(tuple), self.pop(_Name).name
        if function == _DICT and not arguments:
            self.stack.append({})
        elif function == _TENSOR and len(arguments) in {6, 7}:
            self.stack.append(_checked(*arguments[:4]))
        elif function == _PARAMETER and len(arguments) == 3 and isinstance(arguments[0], TensorRecord):
            self.stack.append(arguments[0])
        else:
            raise ValueError(f"it calls {function.replace(' ', '.')} with {len(arguments)} arguments")

    def create(self, _: object) -> None:
        arguments, name = self.pop(tuple), self.pop(_Name).name
        if name not in MODULES or arguments:
            raise ValueError(f"it makes a {name.replace(' ', '.')} with {len(arguments)} arguments")
        self.stack.append(ModuleRecord(name))

    def build(self, _: object) -> None:
        state = self.pop(dict)
        if not isinstance(self.stack[-1], ModuleRecord):
            self.top(dict)  # a state dict has versions of modules beside its tensors, which nothing here needs
        elif self.stack[-1].state is not None:
            raise ValueError("it sets the attributes of a module twice")
        else:
            self.stack[-1].state = state  # no copy: many modules may be given one state

    def persistent(self, _: object) -> None:
        match self.pop(tuple):
            case ("module", _Name(name) as kind, _, _) if name in MODULES:
                self.stack.append(kind)
            case ("storage", _Name(name), str(key), str(), int(count), None) if name in DTYPES and count >= 0:
                storage = StorageRecord(DTYPES[name], key, count)
                if self.storages.setdefault(key, storage) != storage:
                    raise ValueError(f"it describes storage {shortened(key)} twice and differently")
                self.stack.append(storage)
            case _:
                raise ValueError("it refers to something that is neither a module nor a storage")


_CONSTANTS = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE"}
_EMPTY: dict[str, Callable[[], object]] = {
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_TUPLE": tuple,
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
}
_STEPS: dict[str, Callable[[Interpreter, Any], object]] = {
    "PROTO": lambda stream, version: None,
    "MARK": Interpreter.mark,
    "TUPLE": lambda stream, _: stream.pack(stream.marked()),
    "TUPLE1": lambda stream, _: stream.pack(stream.take(1)),
    "TUPLE2": lambda stream, _: stream.pack(stream.take(2)),
    "TUPLE3": lambda stream, _: stream.pack(stream.take(3)),
    "APPEND": lambda stream, _: stream.append(stream.take(1)),
    "APPENDS": lambda stream, _: stream.append(stream.marked()),
    "SETITEM": lambda stream, _: stream.set_items(stream.take(2)),
    "SETITEMS": lambda stream, _: stream.set_items(stream.marked()),
    "BINPUT": Interpreter.put,
    "LONG_BINPUT": Interpreter.put,
    "BINGET": lambda stream, index: stream.stack.append(stream.memo[index]),
    "LONG_BINGET": lambda stream, index: stream.stack.append(stream.memo[index]),
    "GLOBAL": Interpreter.name,
    "REDUCE": Interpreter.call,
    "NEWOBJ": Interpreter.create,
    "BUILD": Interpreter.build,
    "BINPERSID": Interpreter.persistent,
}
