"""What a mixture can choose from: the augmentations of this package, by name, and callables of others."""

import functools
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from restorekit._random import draw_seed, seeded
from restorekit.augment._pair import Pair, Record, Source, check_pair, taken
from restorekit.augment.colour import blend, draw_blend, draw_permute_rgb, permute_rgb
from restorekit.augment.cutblur import cutblur, draw_cutblur
from restorekit.augment.cutmix import cutmix, cutmixup, draw_cutmix, draw_cutmixup
from restorekit.augment.cutout import cutout, draw_cutout
from restorekit.augment.frequency import draw_frequency_masking, frequency_masking
from restorekit.augment.geometric import draw_flip_rotate, flip_rotate
from restorekit.augment.mixup import draw_mixup, mixup

Augmentation = Callable[..., Any]


class Method(ABC):
    """One entry of a pool: decides for some rows of a batch, and does to them what was decided."""

    name: str
    enlarges: bool
    needs_rgb: bool

    @abstractmethod
    def draw(self, source: Source) -> Record | int:
        """Decide for the rows of the source: a record or, for what has none, the seed of its draws."""

    @abstractmethod
    def apply(self, decisions: Any, lq: Tensor, hq: Tensor, rows: Tensor | None) -> Pair:
        """Augment these rows of the batch (all for None); a target that stays may be ``hq`` as it came."""


@dataclass(frozen=True)
class OwnMethod(Method):
    """An augmentation of this package, with the options that it was given."""

    name: str
    drawn_by: Callable[..., Record]
    options: Mapping[str, Any]
    enlarges: bool
    needs_rgb: bool

    def draw(self, source: Source) -> Record:
        return self.drawn_by(source, **self.options)

    def apply(self, decisions: Record, lq: Tensor, hq: Tensor, rows: Tensor | None) -> Pair:
        return decisions.to(lq.device).apply(lq, hq, rows)


@dataclass(frozen=True)
class ForeignMethod(Method):
    """Any ``f(lq, hq, *, generator)``, which sees the chosen pictures alone."""

    name: str
    function: Augmentation
    enlarges: bool
    needs_rgb: bool = False

    def draw(self, source: Source) -> int:
        return draw_seed(device=source.lq.device, generator=source.generator)

    def apply(self, decisions: int, lq: Tensor, hq: Tensor, rows: Tensor | None) -> Pair:
        given = taken(lq, rows), taken(hq, rows)
        result = self.function(*given, generator=seeded(decisions))
        if not isinstance(result, tuple) or len(result) != 2:
            raise TypeError(f"{self.name} in the pool must return (lq, hq), got {type(result).__name__}")
        check_pair(*result)
        expected = given[self.enlarges].shape
        if result[0].shape != expected or result[1].shape != given[1].shape:
            raise ValueError(
                f"{self.name} in the pool must keep the sizes {tuple(expected)} and {tuple(given[1].shape)}, got "
                f"{tuple(result[0].shape)} and {tuple(result[1].shape)}; one that returns lq at the size of hq has an "
                "attribute enlarges = True"
            )
        return result


# In the order of the authors' code.
_PUBLISHED: dict[str, tuple[Augmentation, Callable[..., Record]]] = {
    "blend": (blend, draw_blend),
    "permute_rgb": (permute_rgb, draw_permute_rgb),
    "mixup": (mixup, draw_mixup),
    "cutout": (cutout, draw_cutout),
    "cutmix": (cutmix, draw_cutmix),
    "cutmixup": (cutmixup, draw_cutmixup),
    "cutblur": (cutblur, draw_cutblur),
}
NAMES = tuple(_PUBLISHED)
_OWN = _PUBLISHED | {
    "flip_rotate": (flip_rotate, draw_flip_rotate),
    "frequency_masking": (frequency_masking, draw_frequency_masking),
}


def method(entry: str | Augmentation) -> Method:
    """The entry of a pool for a name, an augmentation of this package, a partial of one, or any other callable."""
    function, options = _unwrapped(entry)
    for name, (own, draw) in _OWN.items():
        if function is own or function == name:
            return _own_method(name, draw, options)
    if isinstance(entry, str):
        raise ValueError(f"unknown augmentation {entry!r}; the known ones are {', '.join(_OWN)}")
    if not callable(entry):
        raise TypeError(f"pool must hold names and functions (lq, hq, *, generator), got {type(entry).__name__}")
    name = getattr(function, "__name__", type(function).__name__)
    return ForeignMethod(_listed(name, options), entry, bool(getattr(entry, "enlarges", False)))


def _unwrapped(entry: str | Augmentation) -> tuple[str | Augmentation, dict[str, Any]]:
    """A function and the keywords that a partial binds."""
    if isinstance(entry, functools.partial) and not entry.args:
        return entry.func, entry.keywords
    return entry, {}


def _listed(name: str, options: dict[str, Any]) -> str:
    return f"{name}({', '.join(f'{key}={value!r}' for key, value in options.items())})" if options else name


def _own_method(name: str, draw: Callable[..., Record], options: dict[str, Any]) -> OwnMethod:
    known = list(inspect.signature(draw).parameters)[1:]
    if unknown := sorted(set(options) - set(known)):
        raise ValueError(f"in a pool {name} can be given {', '.join(known)}, got {', '.join(unknown)}")
    tiny = torch.zeros(1, 3, 1, 1, device="cpu")
    draw(Source(tiny, False, torch.Generator("cpu")), **options)  # are the options in their ranges?
    return OwnMethod(_listed(name, options), draw, options, name == "cutblur", name == "permute_rgb")
