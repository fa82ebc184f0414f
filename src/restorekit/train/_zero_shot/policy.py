"""ZSSR's learning rate: it falls when the reconstruction error does no more, and the run ends with the third fall."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from restorekit.train._zero_shot.settings import ZeroShotSettings
from restorekit.train.schedule import Adaptive


@final
@dataclass(frozen=True)
class SlopePolicy(Adaptive):
    """The factor of the learning rate, from the reconstruction errors that were measured so far."""

    settings: ZeroShotSettings

    def factor(self, step: int, measured: Sequence[float]) -> float:
        """A tenth for each fall before ``step``; 0, the end, once the rate is below the least."""
        factor = 0.1 ** self.falls(step, measured)
        return factor if self.settings.learning_rate * factor >= self.settings.min_learning_rate else 0.0

    def falls(self, step: int, measured: Sequence[float]) -> int:
        """How often the rate fell before ``step``: what the past looks decided, one after the other."""
        count, last = 0, 0
        for look in range(self.settings.check_every - 1, step, self.settings.check_every):
            known = measured[: look // self.settings.test_every + 1]
            if look - last > self.settings.patience and self._is_level(known[-self.settings.slope_tests :]):
                count, last = count + 1, look
        return count

    def _is_level(self, errors: Sequence[float]) -> bool:
        slope, spread = fitted_slope(errors, self.settings.test_every)
        return -self.settings.slope_ratio * slope < spread


def fitted_slope(values: Sequence[float], distance: float) -> tuple[float, float]:
    """Slope of the least-squares line through values at equal distances, and the slope's standard error."""
    count = len(values)
    places = [distance * (i - (count - 1) / 2) for i in range(count)]
    mean, power = sum(values) / count, sum(place**2 for place in places)
    slope = sum(place * value for place, value in zip(places, values, strict=True)) / power
    left = sum((value - mean - slope * place) ** 2 for place, value in zip(places, values, strict=True))
    return slope, math.sqrt(left / (count - 2) / power)
