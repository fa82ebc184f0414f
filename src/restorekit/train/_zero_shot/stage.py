"""The factors of a run, one after the other: what each starts from, learns and makes."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from restorekit.train._zero_shot.enlarge import enlarged
from restorekit.train._zero_shot.rescaling import Rescaling, rescalings
from restorekit.train._zero_shot.settings import Factors, ZeroShotSettings


@dataclass(frozen=True)
class Stage:
    """A factor to solve.

    Args:
        number: Which one, from 0.
        factors: Beside the given picture, vertical and horizontal.
        rescaling: From the picture that it starts from, and back.
        projections: Back-projections of a result.
        becomes_base: Whether the next one starts from the result.
    """

    number: int
    factors: Factors
    rescaling: Rescaling
    projections: int
    becomes_base: bool

    def enlarge(self, run: Callable[[Tensor], Tensor], lq: Tensor, size: tuple[int, int], *, ensemble: bool) -> Tensor:
        """The result, from the picture that it starts from; ``size`` is that of the given picture."""
        own = (math.ceil(size[0] * self.factors[0]), math.ceil(size[1] * self.factors[1]))
        return enlarged(run, lq, self.rescaling, own, ensemble=ensemble, projections=self.projections)


def stages(settings: ZeroShotSettings, scale: int, kernel: Tensor | Sequence[Tensor] | None) -> tuple[Stage, ...]:
    """All factors in order, the scale last."""
    factors, projections = settings.steps_to(scale), settings.projections(scale)
    bases: list[Factors] = [(1.0, 1.0)]
    for own in factors[:-1]:
        bases.append(own if settings.changes_base(own) else bases[-1])
    parts = zip(factors, rescalings(factors, bases, kernel), projections, strict=True)
    return tuple(
        Stage(number, own, rescaling, count, settings.changes_base(own))
        for number, (own, rescaling, count) in enumerate(parts)
    )
