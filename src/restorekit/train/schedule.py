"""Learning-rate schedules: a factor that depends on the number of the step alone, so a resumed run needs no state."""

import math
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate

from restorekit._check import check_integer, check_interval

Schedule = Callable[[int], float]


class Adaptive(ABC):
    """A schedule that looks at what was measured on the way, for `fit` together with its ``measure``.

    Example:
        >>> class UntilGood(Adaptive):
        ...     def factor(self, step, measured): return 0.0 if measured and measured[-1] > 30 else 1.0
        >>> UntilGood().factor(100, [28.5, 30.1])
        0.0
    """

    @abstractmethod
    def factor(self, step: int, measured: Sequence[float]) -> float:
        """Factor of the learning rate, a function of its arguments alone, so that a resumed run needs no state.

        Args:
            step: Number of the step, from 0.
            measured: All values so far: after the updates of the steps 0, ``measure_every``, 2 ``measure_every``, ...

        Returns:
            The factor; 0 ends the run before this step.
        """


def constant(step: int) -> float:
    """Keep the learning rate as it is: the factor is 1 at every step.

    Args:
        step: Number of the step, from 0.

    Returns:
        The factor.

    Example:
        >>> constant(1000)
        1.0
    """
    return 1.0


def halve_every(steps: int) -> Schedule:
    """Halve the learning rate again and again: ``factor(step) = 0.5 ** (step // steps)``.

    Args:
        steps: Number of steps between two halvings, at least 1.

    Returns:
        The factor as a function of the step, from 0.

    Raises:
        ValueError: If ``steps`` is below 1.

    Example:
        >>> [halve_every(200_000)(step) for step in (0, 199_999, 200_000, 600_000)]
        [1.0, 1.0, 0.5, 0.125]

    Source: Ahn et al., ECCV 2018, section 4.2 (CARN: every 400,000 steps); Yoo et al., CVPR 2020 (200,000).
    """
    check_integer(steps, "steps", 1)
    return lambda step: 0.5 ** (step // steps)


def cosine(steps: int, *, floor: float = 0.0) -> Schedule:
    """Let the learning rate fall along half a cosine from 1 to ``floor``, then stay there.

        factor(step) = floor + (1 - floor) (1 + cos(pi min(step / steps, 1))) / 2

    Args:
        steps: Length of the fall in steps, at least 1; as a rule the length of the run.
        floor: Factor at the end, in [0, 1].

    Returns:
        The factor as a function of the step, from 0.

    Raises:
        ValueError: If ``steps`` is below 1 or ``floor`` is outside [0, 1].

    Example:
        >>> [round(cosine(100)(step), 3) for step in (0, 50, 100, 150)]
        [1.0, 0.5, 0.0, 0.0]

    Source: Loshchilov and Hutter, ICLR 2017, equation 5, without restarts.
    """
    check_integer(steps, "steps", 1)
    check_interval(floor, "floor", 0.0, 1.0)
    return lambda step: floor + (1 - floor) * (1 + math.cos(math.pi * min(step / steps, 1.0))) / 2


def cosine_restarts(periods: Sequence[int], weights: Sequence[float], floors: Sequence[float]) -> Schedule:
    """Let the learning rate fall along half a cosine again and again, each time from a height of its own.

        factor(step) = floor + weight (1 - floor) (1 + cos(pi t / period)) / 2,   t steps into the period

    After the last period it stays at the last floor.

    Args:
        periods: Length of each fall in steps, at least 1.
        weights: How high each fall starts, as a share of what is above its floor, in [0, 1].
        floors: Factor at the end of each fall, in [0, 1].

    Returns:
        The factor as a function of the step, from 0.

    Raises:
        ValueError: If there is no period, the lengths differ, or a value is out of range.

    Example:
        >>> factor = cosine_restarts((100, 50), weights=(1, 0.5), floors=(0.2, 0.0))
        >>> [round(factor(step), 3) for step in (0, 50, 100, 125, 150)]
        [1.0, 0.6, 0.5, 0.25, 0.0]

    Source: Loshchilov and Hutter, ICLR 2017, equation 5, with weights and floors as in BasicSR's code and that of Zhang
        et al., CVPR 2023 (IDR). There, a fall begins one step later.
    """
    if not 0 < len(periods) == len(weights) == len(floors):
        raise ValueError(
            "periods, weights and floors must be as many, at least one, "
            f"got {len(periods)}, {len(weights)} and {len(floors)}"
        )
    for period, weight, floor in zip(periods, weights, floors, strict=True):
        check_integer(period, "periods", 1)
        check_interval(weight, "weights", 0.0, 1.0)
        check_interval(floor, "floors", 0.0, 1.0)
    ends = list(accumulate(periods))
    falls = [cosine(period) for period in periods]

    def factor(step: int) -> float:
        number = min(bisect_right(ends, step), len(ends) - 1)
        floor = floors[number]
        return floor + weights[number] * (1 - floor) * falls[number](step - ends[number] + periods[number])

    return factor
