"""How a number of a distortion is drawn, and the place where a composition stands while it draws."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from restorekit._check import check_interval

Value = float | tuple[float, float] | str | bool | None
Law = Value | list[Any] | Callable[[torch.Generator], Any]

SEED_LIMIT = 2**53  # whole numbers up to here survive every JSON reader
MAX_LAYERS = 64  # all of a smooth mask are in memory at once
LARGEST = torch.finfo(torch.float32).max


class Draw:
    """The draws for one picture: its generator, on the CPU, and the size that it has reached."""

    def __init__(self, size: tuple[int, int], generator: torch.Generator) -> None:
        self.origin = size
        self.size = size
        self.generator = generator

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """A number of [low, high)."""
        return low + (high - low) * torch.rand((), dtype=torch.float64, generator=self.generator, device="cpu").item()

    def uniforms(self, rows: int, columns: int) -> NDArray[np.float64]:
        """A table of numbers of [0, 1)."""
        table: NDArray[np.float64] = torch.rand(
            rows, columns, dtype=torch.float64, generator=self.generator, device="cpu"
        ).numpy()
        return table

    def integer(self, low: int, high: int) -> int:
        """A whole number of [low, high], both included."""
        return int(torch.randint(low, high + 1, (), generator=self.generator, device="cpu").item())

    def seed(self) -> int:
        """A seed for a step that draws its own field."""
        return self.integer(0, SEED_LIMIT - 1)

    def permutation(self, count: int) -> list[int]:
        """A random order of 0 ... count - 1."""
        order: list[int] = torch.randperm(count, generator=self.generator, device="cpu").tolist()
        return order

    def value(self, law: Law, decimals: int | None = None) -> Any:
        """One draw of a law, rounded, in the form that JSON keeps."""
        if callable(law):
            drawn = law(self.generator)
            check_value(drawn, "the value that a law returned")
        elif isinstance(law, list):
            drawn = law[self.integer(0, len(law) - 1)]
        else:
            drawn = self.uniform(*law) if isinstance(law, tuple) else law
        return _rounded(drawn, decimals)


def _rounded(value: Any, decimals: int | None) -> Any:
    if isinstance(value, (tuple, list)):
        return [_rounded(one, decimals) for one in value]
    if decimals is None or isinstance(value, (bool, str)) or value is None:
        return value
    return round(value, decimals) if decimals else round(value)


def is_number(value: object) -> bool:
    """Whether it is a real number that float32 holds, as maps of levels do."""
    # Compared, not handed to math.isfinite, which fails on whole numbers that no float holds.
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= LARGEST


def is_pair(value: object) -> bool:
    """Whether it is two finite real numbers."""
    return isinstance(value, (tuple, list)) and len(value) == 2 and all(map(is_number, value))


def check_value(value: object, name: str, *, numeric: bool = False) -> None:
    """Require a finite number or a pair of them; for an option a string, a bool or None may stand there too."""
    if is_number(value) or is_pair(value):
        return
    if not numeric and (value is None or isinstance(value, (str, bool))):
        return
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise ValueError(f"{name} must be finite, within the range of float32, got {value!r:.20}")
    wanted = "a number or a pair of numbers" if numeric else "a number, a pair of numbers, a string, a bool or None"
    raise TypeError(f"{name} must be {wanted}, got {value!r:.80}")


def check_law(law: Law, name: str, *, numeric: bool = False) -> None:
    """Require a fixed value, a pair (low, high), a list to choose from, or a function of a generator."""
    if callable(law):
        return
    if isinstance(law, list):
        if not law:
            raise ValueError(f"{name} must not be an empty list; give the values to choose from")
        for value in law:
            check_value(value, f"each value of {name}", numeric=numeric)
    elif isinstance(law, tuple):
        if not is_pair(law):
            raise ValueError(f"{name} must be a pair (low, high) of finite numbers, got {law!r}")
        check_interval(law[0], f"low end of {name}", -math.inf, law[1])
    else:
        check_value(law, name, numeric=numeric)


def ends(law: Law, draw: Draw, decimals: int | None) -> list[Any]:
    """The values on which a law is tried out: its ends and something between, or all of a list."""
    if isinstance(law, list):
        return [_rounded(value, decimals) for value in law]
    if isinstance(law, tuple):
        low, high = law
        # A place between that is no round number shows a level that ought to be rounded.
        return [_rounded(value, decimals) for value in (low, high, low + (high - low) * 0.6180339)]
    return [draw.value(law, decimals)]
