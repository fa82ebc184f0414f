"""How sure a mean, a bad case and a difference of methods are, over pictures that all methods restored."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from scipy.special import stdtr, stdtrit
from torch import Tensor

from restorekit._check import check_generator, check_integer, check_interval

_AT_A_TIME = 1 << 20  # values of resamples in memory


@dataclass(frozen=True)
class Estimate:
    """A number and the interval that it is believed to lie in.

    Args:
        value: The number.
        low: Lower end of the interval; NaN where there is none, as for the mean of one value.
        high: Upper end of the interval.

    Example:
        >>> Estimate(30.0, low=29.5, high=30.5).high
        30.5
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class PairedTest:
    """What a paired t-test found.

    Args:
        difference: Mean of first - second, with its two-sided 95 % confidence interval.
        t: Mean difference over its standard error.
        p_value: Probability of a difference at least as much in favour of the first if there were none in truth.
        pictures: Number of pairs.

    Example:
        >>> PairedTest(Estimate(0.2, 0.1, 0.3), t=4.3, p_value=0.001, pictures=14).significant
        True
    """

    difference: Estimate
    t: float
    p_value: float
    pictures: int

    @property
    def significant(self) -> bool:
        """Whether ``p_value`` is below 0.05; not for NaN."""
        return self.p_value < 0.05


def mean_interval(values: Sequence[float], *, confidence: float = 0.95) -> Estimate:
    """Mean with the confidence interval of Student's t.

        mean -+ t_{n-1, (1 + confidence) / 2} s / sqrt(n)

    NaN propagates. One value alone, or an infinite one among them, has a mean but no interval: its ends are NaN.

    Args:
        values: Scores, one per picture.
        confidence: In (0, 1).

    Returns:
        The mean and its interval.

    Raises:
        TypeError: The values are no numbers.
        ValueError: There is no value, or ``confidence`` is out of range.

    Example:
        >>> estimate = mean_interval([30.0, 31.0, 35.0])
        >>> [round(x, 2) for x in (estimate.value, estimate.low, estimate.high)]
        [32.0, 25.43, 38.57]
    """
    numbers = _numbers(values, "values")
    _check_confidence(confidence)
    mean = numbers.mean().item()
    half = _standard_error(numbers) * float(stdtrit(max(len(numbers) - 1, 1), (1 + confidence) / 2))
    return Estimate(mean, mean - half, mean + half)


def percentile_interval(
    values: Sequence[float],
    percent: float,
    *,
    confidence: float = 0.95,
    resamples: int = 10_000,
    generator: torch.Generator | None = None,
) -> Estimate:
    """Percentile of the values with a bootstrap interval.

    Between two values it is interpolated linearly. The interval holds the middle ``confidence`` of the percentiles of
    as many values drawn with replacement ("percentile" bootstrap). An extreme percentile of few values rests on one or
    two of them, and its interval is too narrow: the resamples never see anything worse. NaN propagates.

    Args:
        values: Scores, one per picture.
        percent: In [0, 100].
        confidence: In (0, 1).
        resamples: Number of draws.
        generator: Source of randomness, on the CPU; None is torch's global one.

    Returns:
        The percentile and its interval; of one value, three times that value.

    Raises:
        TypeError: The values are no numbers, or an option has the wrong type.
        ValueError: There is no value, or an option is out of range.

    Example:
        >>> estimate = percentile_interval(range(101), 5, generator=torch.Generator().manual_seed(0))
        >>> estimate.value, estimate.low < 5 < estimate.high
        (5.0, True)

    Source:
        Mustafa et al., "Training a task-specific image reconstruction loss", WACV 2022, which bootstraps the 5th
        percentile and states neither the kind of bootstrap nor the number of draws.
    """
    numbers = _numbers(values, "values")
    check_interval(percent, "percent", 0, 100)
    _check_confidence(confidence)
    check_integer(resamples, "resamples", 1)
    check_generator(generator)
    if numbers.isnan().any():
        return Estimate(math.nan, math.nan, math.nan)
    drawn = _resampled(numbers, percent / 100, resamples, generator)
    ends = [_quantile(drawn, (1 + side * confidence) / 2).item() for side in (-1, 1)]
    return Estimate(_quantile(numbers, percent / 100).item(), *ends)


def paired_t_test(first: Sequence[float], second: Sequence[float], *, lower_is_better: bool = False) -> PairedTest:
    """One-tailed paired t-test of whether the first method is better than the second on the same pictures.

        t = mean(first - second) / (s / sqrt(n)),  p = P(T_{n-1} > t)

    or P(T < t) where lower is better. ``t`` and ``p_value`` are NaN where nothing can be said: one picture, no
    difference on any, NaN, or infinite scores. A p-value is meant for one question asked beforehand: among twenty
    comparisons of equal methods, one is below 0.05.

    Args:
        first: Scores of the method that is claimed to be better, one per picture.
        second: Scores of the other on the same pictures in the same order.
        lower_is_better: For metrics such as LPIPS.

    Returns:
        The difference and how likely it is without a cause.

    Raises:
        TypeError: The scores are no numbers.
        ValueError: There is no score, or the lengths differ.

    Example:
        >>> test = paired_t_test([30.2, 28.3, 33.1], [30.0, 28.0, 33.0])
        >>> round(test.t, 3), round(test.p_value, 3)
        (3.464, 0.037)

    Source:
        Mustafa et al., "Training a task-specific image reconstruction loss", WACV 2022: one-tailed t-test at 0.05,
        whether paired or not is unstated; the pictures are the same, so the paired one is right.
    """
    one, other = _numbers(first, "first"), _numbers(second, "second")
    if len(one) != len(other):
        raise ValueError(f"first and second must be scores of the same pictures, got {len(one)} and {len(other)}")
    difference = one - other
    mean, error = difference.mean().item(), _standard_error(difference)
    t = mean / error if error > 0 else _t_without_spread(mean, error)
    p = float(stdtr(max(len(one) - 1, 1), t if lower_is_better else -t))
    return PairedTest(mean_interval(difference.tolist()), t, p, len(one))


def _numbers(values: Sequence[float], name: str) -> Tensor:
    try:
        given = list(values)
        text = [value for value in given if isinstance(value, str)]
        if text:
            raise TypeError(f"got {text[0]!r}")  # float would read it
        numbers = torch.tensor([float(value) for value in given], dtype=torch.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be a sequence of numbers, one per picture: {error}") from None
    if not len(numbers):
        raise ValueError(f"{name} must hold at least one number, got none")
    return numbers


def _check_confidence(confidence: float) -> None:
    check_interval(confidence, "confidence", 0, 1)
    if confidence in (0, 1):
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")


def _standard_error(numbers: Tensor) -> float:
    """Of the mean; NaN for a single number and where one is not finite."""
    return numbers.std().item() / math.sqrt(len(numbers)) if len(numbers) > 1 else math.nan


def _t_without_spread(mean: float, error: float) -> float:
    return math.nan if mean == 0 or math.isnan(error) else math.copysign(math.inf, mean)


def _quantile(numbers: Tensor, share: float) -> Tensor:
    """Along the last axis; unlike ``torch.quantile`` it may have infinities above or below it."""
    place = share * (numbers.shape[-1] - 1)
    ordered, below = numbers.sort(dim=-1).values, math.floor(place)
    if place == below:
        return ordered[..., below]
    return (below + 1 - place) * ordered[..., below] + (place - below) * ordered[..., below + 1]


def _resampled(numbers: Tensor, share: float, resamples: int, generator: torch.Generator | None) -> Tensor:
    n = len(numbers)
    rows = max(1, _AT_A_TIME // n)
    parts = []
    for start in range(0, resamples, rows):
        drawn = torch.randint(n, (min(rows, resamples - start), n), generator=generator)
        parts.append(_quantile(numbers[drawn], share))
    return torch.cat(parts)
