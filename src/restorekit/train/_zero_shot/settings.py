"""How ZSSR trains and enlarges, checked, and the variants that were published."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType

from restorekit._check import check_integer, check_interval

Factors = tuple[float, float]  # vertical, horizontal


@dataclass(frozen=True)
class ZeroShotSettings:
    """How ZSSR learns from one picture and enlarges it.

    Those of ``ZERO_SHOT_SETTINGS``:

    - "default": to the full scale at once, for a picture that was shrunk by the bicubic kernel.
    - "gradual": by 2 in six factors, of which each result is learnt from at the next; better, and six times as long.
    - "kernel": the kernel that shrank the picture is known, and may be lopsided: nothing is turned.
    - "real": a photograph with some noise, whose kernel is known or guessed.
    - "doubling": by 4 in two steps of 2, the second from the first one's result. Not from the authors.

    Args:
        gradual: Factors on the way to the scale, in order: a number, or (vertical, horizontal).
        base_changes: Those of ``gradual`` after which the result takes the place of the picture, so that what follows
            enlarges it by what is left.
        back_projections: How often a result is corrected to have the picture as its shrunk version: a number, or one
            for each of ``gradual`` and one for the scale.
        ensemble: Enlarge all flips and rotations, and take the median.
        turn: Rotate and mirror what is learnt from.
        noise: Standard deviation of the noise that shrunk crops get.
        untouched: Probability of a crop of the picture as it is.
        turned: Probability of a crop that is rotated by quarter turns and mirrored at most; what is left is for affine
            transforms. The thesis does better without these on noisy pictures: ``turned=0.95``.
        min_scale: Least scale of a father beside the picture, in (0, 1].
        scale_spread: Standard deviation by which the two axes of an affine transform differ in scale.
        shear_spread: Standard deviation of its shear along each axis.
        crop_size: Side of the crops in pixels, at least 1.
        learning_rate: Adam's, at first; it is divided by 10 when the reconstruction error falls no more.
        min_learning_rate: A factor is solved when the rate falls below.
        test_every: Steps between two measurements of the reconstruction error.
        check_every: Steps between two looks at them.
        patience: Steps that a learning rate lasts at least.
        slope_tests: Measurements that a line is fitted to, at least 3.
        slope_ratio: The rate falls when the line does not descend by more than its standard error over this.

    Raises:
        TypeError: If a count is no integer, or a number none.
        ValueError: If a setting is out of range, or there are too few measurements within ``patience``.

    Example:
        >>> ZeroShotSettings(turned=0.95).steps_to(2)
        ((2.0, 2.0),)

    Source: the configurations of the authors' code of Shocher, Cohen and Irani, CVPR 2018.
    """

    gradual: tuple[float | Factors, ...] = ()
    base_changes: tuple[float | Factors, ...] = ()
    back_projections: int | tuple[int, ...] = 10
    ensemble: bool = True
    turn: bool = True
    noise: float = 0.0
    untouched: float = 0.05
    turned: float = 0.45
    min_scale: float = 0.5
    scale_spread: float = 0.25
    shear_spread: float = 0.1
    crop_size: int = 128
    learning_rate: float = 1e-3
    min_learning_rate: float = 9e-6
    test_every: int = 50
    check_every: int = 60
    patience: int = 256
    slope_tests: int = 5
    slope_ratio: float = 1.5

    def __post_init__(self) -> None:
        for name in ("untouched", "turned"):
            check_interval(getattr(self, name), name, 0, 1)
        if self.untouched + self.turned > 1:
            raise ValueError(f"untouched and turned are at most 1 together, got {self.untouched} and {self.turned}")
        check_interval(self.min_scale, "min_scale", 1e-3, 1)
        for name in ("noise", "scale_spread", "shear_spread", "slope_ratio"):
            check_interval(getattr(self, name), name, 0, 100)
        for name in ("learning_rate", "min_learning_rate"):
            check_interval(getattr(self, name), name, 1e-30, 1e3)
        for name in ("crop_size", "test_every", "check_every", "patience"):
            check_integer(getattr(self, name), name, 1)
        check_integer(self.slope_tests, "slope_tests", 3)
        if self.slope_tests > self.patience // self.test_every + 1:
            raise ValueError(
                f"patience={self.patience} steps hold {self.patience // self.test_every + 1} tests, "
                f"fewer than slope_tests={self.slope_tests}; test more often or wait longer"
            )
        for count in self._counts():
            check_integer(count, "back_projections", 0)
        missing = set(map(_pair, self.base_changes)) - set(map(_pair, self.gradual))
        if missing:
            raise ValueError(f"base_changes must be among gradual, got {sorted(missing)}")

    def steps_to(self, scale: int) -> tuple[Factors, ...]:
        """The factors to solve one after the other, the scale last; of the picture, not of each other's result."""
        factors = tuple(map(_pair, (*self.gradual, scale)))
        if any(not 1 <= value <= scale for pair in factors for value in pair):
            raise ValueError(f"gradual must hold factors from 1 to scale={scale}, got {self.gradual}")
        if len(set(factors)) < len(factors):
            raise ValueError(f"gradual must hold each factor once, and not the scale {scale}, got {self.gradual}")
        return factors

    def projections(self, scale: int) -> tuple[int, ...]:
        """How many back-projections each of these factors gets."""
        counts, wanted = self._counts(), len(self.steps_to(scale))
        if len(counts) not in (1, wanted):
            raise ValueError(
                f"back_projections must be one number or {wanted}, for gradual and the scale, got {len(counts)}"
            )
        return counts * wanted if len(counts) == 1 else counts

    def bases(self, scale: int) -> tuple[Factors, ...]:
        """What each of these factors starts from: (1, 1), the picture, or the last result that took its place."""
        changes, found = set(map(_pair, self.base_changes)), [(1.0, 1.0)]
        for before, own in pairwise(self.steps_to(scale)):
            base = before if before in changes else found[-1]
            if own[0] < base[0] or own[1] < base[1]:
                raise ValueError(f"{own} does not enlarge the result of {base}, which takes the place of the picture")
            found.append(base)
        return tuple(found)

    def _counts(self) -> tuple[int, ...]:
        counts = self.back_projections
        return tuple(counts) if isinstance(counts, Sequence) else (counts,)


def _pair(factor: float | Sequence[float]) -> Factors:
    values = tuple(factor) if isinstance(factor, Sequence) else (factor, factor)
    if len(values) != 2:
        raise ValueError(f"a factor must be a number or (vertical, horizontal), got {factor!r}")
    for value in values:
        check_interval(value, "a factor", 1, 64)
    if math.prod(values) == 1:
        raise ValueError("a factor must enlarge at least one axis, got 1")
    return float(values[0]), float(values[1])


ZERO_SHOT_SETTINGS: Mapping[str, ZeroShotSettings] = MappingProxyType(
    {
        "default": ZeroShotSettings(),
        "gradual": ZeroShotSettings(
            gradual=((1.0, 1.5), (1.5, 1.0), (1.5, 1.5), (1.5, 2.0), (2.0, 1.5)),
            back_projections=(6, 6, 8, 10, 10, 12),
        ),
        "kernel": ZeroShotSettings(ensemble=False, turn=False, back_projections=2),
        "real": ZeroShotSettings(
            ensemble=False,
            turn=False,
            back_projections=0,
            noise=0.0125,
            min_scale=0.75,
            scale_spread=0.0,
            shear_spread=0.0,
        ),
        "doubling": ZeroShotSettings(gradual=(2.0,), base_changes=(2.0,)),
    }
)
"""The settings by name, see `ZeroShotSettings`."""


def find_settings(settings: str | ZeroShotSettings) -> ZeroShotSettings:
    """Settings by their name, or as they are."""
    if isinstance(settings, ZeroShotSettings):
        return settings
    if settings not in ZERO_SHOT_SETTINGS:
        known = ", ".join(ZERO_SHOT_SETTINGS)
        raise ValueError(f"settings must be ZeroShotSettings or one of {known}, got {settings!r}")
    return ZERO_SHOT_SETTINGS[settings]
