"""Learning-rate schedules: a factor that depends on the number of the step alone, so a resumed run needs no state."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

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
