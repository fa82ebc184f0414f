"""Several data sets in one run, of which each batch comes from one."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from torch.utils.data import Dataset, default_collate

Key = int | str


class Pairs(Protocol):
    """A data set that is used like a list."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


class Keyed(NamedTuple):
    """A batch, and which of several data sets it comes from.

    Args:
        key: The key of the data set in the mapping that `fit` got: a scale, or the name of a degradation.
        batch: What the data set gave.

    Example:
        >>> Keyed(4, batch=None).key
        4
    """

    key: Key
    batch: Any


class Joined(Dataset[Keyed]):
    """Data sets by key, as one that is asked for (key, index)."""

    def __init__(self, parts: Mapping[Key, Pairs]) -> None:
        self.parts = dict(parts)

    def __getitem__(self, place: tuple[Key, int]) -> Keyed:
        key, index = place
        return Keyed(key, self.parts[key][index])


def collate(items: list[Keyed]) -> Keyed:
    """Make a batch of items of one data set."""
    return Keyed(items[0].key, default_collate([item.batch for item in items]))


def lengths(pairs: Pairs | Mapping[Key, Pairs]) -> dict[Key, int] | int:
    """Count the items of a data set, or of each of several; what cannot be one is refused."""
    if not isinstance(pairs, Mapping):
        return _length(pairs, "pairs")
    if not pairs:
        raise ValueError("pairs must hold at least one data set, got an empty mapping")
    for key in pairs:
        if not isinstance(key, int | str):
            raise TypeError(f"the keys of pairs must be integers or strings, got {key!r}")
    return {key: _length(part, f"pairs[{key!r}]") for key, part in pairs.items()}


def _length(pairs: Pairs, name: str) -> int:
    if not (hasattr(pairs, "__len__") and hasattr(pairs, "__getitem__")):
        raise TypeError(f"{name} must be a data set with a length and items, got {type(pairs).__name__}")
    if len(pairs) == 0:
        raise ValueError(f"{name} must hold at least one item, got an empty data set")
    return len(pairs)
