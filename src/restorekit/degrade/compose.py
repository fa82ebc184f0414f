"""Compositions of distortions: one after the other, in any order, one of several, or now and then."""

import math
from collections.abc import Sequence
from typing import final

from restorekit._check import check_interval
from restorekit.degrade._law import Draw
from restorekit.degrade.distortion import Composition, Program, check_parts


class _Group(Composition):
    """Several parts."""

    def __init__(self, *parts: Composition) -> None:
        check_parts(parts, type(self).__name__)
        self.parts = parts

    def _parts(self) -> tuple[Composition, ...]:
        return self.parts

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.parts))})"


@final
class Chain(_Group):
    """One part after the other.

    Args:
        parts: At least one composition.

    Raises:
        TypeError: A part is no composition.
        ValueError: There is none, or two of the user's functions share a name.

    Example:
        >>> import torch
        >>> from restorekit.degrade import Distortion
        >>> camera = Chain(Distortion("defocus_blur", (0, 3)), Distortion("gaussian_noise", (0, 0.1)))
        >>> camera(torch.rand(1, 3, 8, 8)).shape
        torch.Size([1, 3, 8, 8])
    """

    def _draw(self, draw: Draw) -> Program:
        return [step for part in self.parts for step in part._draw(draw)]


@final
class RandomOrder(_Group):
    """All parts, in an order drawn for each picture.

    Args:
        parts: At least one composition.

    Raises:
        TypeError: A part is no composition.
        ValueError: There is none, or two of the user's functions share a name.

    Example:
        >>> import torch
        >>> from restorekit.degrade import Distortion
        >>> any_order = RandomOrder(Distortion("jpeg", 40), Distortion("gaussian_blur", 1.0))
        >>> any_order(torch.rand(1, 3, 8, 8)).shape
        torch.Size([1, 3, 8, 8])
    """

    def _draw(self, draw: Draw) -> Program:
        return [step for i in draw.permutation(len(self.parts)) for step in self.parts[i]._draw(draw)]


@final
class OneOf(_Group):
    """One of the parts, drawn for each picture.

    Args:
        parts: At least one composition.
        weights: Probabilities of the parts, of sum 1; equal if None.

    Raises:
        TypeError: A part is no composition, or ``weights`` no list of numbers.
        ValueError: There is no part, or ``weights`` has the wrong length, a negative number, or does not sum to 1.

    Example:
        >>> import torch
        >>> from restorekit.degrade import Distortion
        >>> noisy = OneOf(Distortion("gaussian_noise", 0.1), Identity(), weights=[0.3, 0.7])
        >>> noisy(torch.rand(1, 3, 8, 8)).shape
        torch.Size([1, 3, 8, 8])
    """

    def __init__(self, *parts: Composition, weights: Sequence[float] | None = None) -> None:
        super().__init__(*parts)
        self.weights = None if weights is None else _probabilities(weights, len(parts))

    def _draw(self, draw: Draw) -> Program:
        return self.parts[self._choose(draw)]._draw(draw)

    def _choose(self, draw: Draw) -> int:
        if self.weights is None:
            return draw.integer(0, len(self.parts) - 1)
        place = draw.uniform()
        possible = [i for i, weight in enumerate(self.weights) if weight > 0]
        for i in possible:
            place -= self.weights[i]
            if place < 0:
                return i
        return possible[-1]  # rounding may leave the weights a little short of 1

    def __repr__(self) -> str:
        if self.weights is None:
            return super().__repr__()
        return f"{super().__repr__()[:-1]}, weights={list(self.weights)})"


def _probabilities(weights: Sequence[float], count: int) -> tuple[float, ...]:
    if not isinstance(weights, Sequence):
        raise TypeError(f"weights must be a list of numbers, got {weights!r}")
    if len(weights) != count:
        raise ValueError(f"weights must hold one number for each of the {count} parts, got {len(weights)}")
    for weight in weights:
        check_interval(weight, "each weight", 0, 1)
    if not math.isclose(sum(weights), 1, abs_tol=1e-6):
        raise ValueError(f"weights must sum to 1, got {list(weights)} with sum {sum(weights)}")
    return tuple(weights)


@final
class Sometimes(Composition):
    """A part with probability ``p``, otherwise nothing.

    Args:
        part: A composition.
        p: Probability, in [0, 1].

    Raises:
        TypeError: ``part`` is no composition, or ``p`` no number.
        ValueError: ``p`` is outside [0, 1].

    Example:
        >>> import torch
        >>> from restorekit.degrade import Distortion
        >>> Sometimes(Distortion("jpeg", 30), 0.5)(torch.rand(1, 3, 8, 8)).shape
        torch.Size([1, 3, 8, 8])
    """

    def __init__(self, part: Composition, p: float) -> None:
        check_parts((part,), "Sometimes")
        check_interval(p, "p", 0, 1)
        self.part = part
        self.p = p

    def _parts(self) -> tuple[Composition, ...]:
        return (self.part,)

    def _draw(self, draw: Draw) -> Program:
        return self.part._draw(draw) if draw.uniform() < self.p else []

    def __repr__(self) -> str:
        return f"Sometimes({self.part!r}, {self.p})"


@final
class Identity(Composition):
    """Leave the picture as it is.

    Example:
        >>> import torch
        >>> x = torch.rand(1, 3, 8, 8)
        >>> torch.equal(Identity()(x), x)
        True
    """

    def _draw(self, draw: Draw) -> Program:
        return []

    def __repr__(self) -> str:
        return "Identity()"
