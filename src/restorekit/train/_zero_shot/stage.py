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
        base: The same of the picture that it starts from: the given one, or an earlier result.
        rescaling: From that picture, and back.
        projections: Back-projections of a result.
    """

    number: int
    factors: Factors
    base: Factors
    rescaling: Rescaling
    projections: int

    def enlarge(self, run: Callable[[Tensor], Tensor], lq: Tensor, size: tuple[int, int], *, ensemble: bool) -> Tensor:
        """The result, from the picture that it starts from; ``size`` is that of the given picture."""
        own = (math.ceil(size[0] * self.factors[0]), math.ceil(size[1] * self.factors[1]))
        return enlarged(run, lq, self.rescaling, own, ensemble=ensemble, projections=self.projections)


def stages(settings: ZeroShotSettings, scale: int, kernel: Tensor | Sequence[Tensor] | None) -> tuple[Stage, ...]:
    """All factors in order, the scale last."""
    factors, bases = settings.steps_to(scale), settings.bases(scale)
    parts = zip(factors, bases, rescalings(factors, bases, kernel), settings.projections(scale), strict=True)
    return tuple(Stage(number, *part) for number, part in enumerate(parts))
