"""What a comparison of methods found, as records and as a table."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from restorekit.evaluation.result import Evaluation, score_format
from restorekit.evaluation.statistics import Estimate, PairedTest


@dataclass(frozen=True)
class Summary:
    """One metric of one method over all pictures.

    Args:
        method: Name of the method.
        metric: Name of the metric.
        lower_is_better: Whether less is better.
        mean: With its 95 % confidence interval.
        tail: What the worst twentieth of the pictures lies beyond, with its 95 % bootstrap interval: the 5th
            percentile, or the 95th where lower is better.

    Example:
        >>> Summary("Bicubic", "psnr", False, Estimate(26.0, 24.1, 27.9), Estimate(21.0, 20.2, 23.0)).percent
        5
    """

    method: str
    metric: str
    lower_is_better: bool
    mean: Estimate
    tail: Estimate

    @property
    def percent(self) -> int:
        """Which percentile ``tail`` is."""
        return 95 if self.lower_is_better else 5


@dataclass(frozen=True)
class Verdict:
    """Whether one method is better than another by one metric.

    Args:
        metric: Name of the metric.
        first: The method that is claimed to be better.
        second: The other.
        test: The one-tailed paired t-test of that claim.

    Example:
        >>> test = PairedTest(Estimate(0.2, 0.1, 0.3), t=4.3, p_value=0.001, pictures=14)
        >>> Verdict("psnr", "CARN", "Bicubic", test).test.significant
        True
    """

    metric: str
    first: str
    second: str
    test: PairedTest


@dataclass(frozen=True)
class Comparison:
    """Several methods on the same pictures by the same protocol; ``print`` shows tables.

    Args:
        methods: Names, in the order given.
        evaluations: What ``evaluate`` found for each of them.
        summaries: One for each metric and method.
        verdicts: One for each metric and ordered pair of methods.

    Example:
        >>> from restorekit.evaluation import PROTOCOLS, Record, compare
        >>> shared = (PROTOCOLS["rgb"], 1, 4, "lq", False, None, None, None, "", "")
        >>> one, other = (Evaluation((Record("cat", 64, 64, psnr, 0.9),), *shared) for psnr in (30.5, 30.0))
        >>> compare({"A": one, "B": other}).best("psnr")
        ('A',)
    """

    methods: tuple[str, ...]
    evaluations: tuple[Evaluation, ...]
    summaries: tuple[Summary, ...]
    verdicts: tuple[Verdict, ...]

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of all metrics, "psnr" and "ssim" first."""
        return self.evaluations[0].metrics

    def summary(self, method: str, metric: str) -> Summary:
        """One metric of one method.

        Args:
            method: One of ``methods``.
            metric: One of ``metrics``.

        Returns:
            Its mean and tail.

        Raises:
            ValueError: The method or the metric is not part of the comparison.
        """
        for summary in self.summaries:
            if (summary.method, summary.metric) == (method, metric):
                return summary
        raise ValueError(f"no {metric!r} of {method!r}; there are {self.metrics} of {self.methods}")

    def test(self, metric: str, first: str, second: str) -> PairedTest:
        """The test of whether ``first`` is better than ``second``.

        Args:
            metric: One of ``metrics``.
            first: One of ``methods``.
            second: Another of them.

        Returns:
            The test.

        Raises:
            ValueError: The metric is not part of the comparison, or the methods are no two of it.
        """
        for verdict in self.verdicts:
            if (verdict.metric, verdict.first, verdict.second) == (metric, first, second):
                return verdict.test
        raise ValueError(f"no test of {first!r} and {second!r} by {metric!r}; there are {self.methods}, {self.metrics}")

    def best(self, metric: str) -> tuple[str, ...]:
        """The method with the best mean, or all that share it; none where all means are NaN.

        Args:
            metric: One of ``metrics``.

        Returns:
            Names of methods.
        """
        rows = [row for row in self.summaries if row.metric == metric]
        best = best_of([row.mean.value for row in rows], metric in self.evaluations[0].lower_is_better)
        return tuple(row.method for row in rows if row.mean.value == best)

    def conditions(self) -> str:
        """Two lines of what all methods have in common."""
        shared = self.evaluations[0]
        return (
            f"{shared.protocol}, crop {shared.crop}, x{shared.scale}\n"
            f"pictures {len(shared.records)} ({shared.data_hash[:12]}), degraded ones from {shared.lq_source}"
        )

    def __str__(self) -> str:
        width = max(len("better than"), *map(len, self.methods))
        return "\n\n".join([self.conditions(), *(self._table(metric, width) for metric in self.metrics)])

    def _table(self, metric: str, width: int) -> str:
        rows = [self.summary(method, metric) for method in self.methods]
        tail = f"{rows[0].percent}th percentile"
        lines = [f"{title(metric):<{width}}  {'mean':>9}  {'95 % interval':<21} {tail:>15}  95 % interval"]
        lines += [
            f"{row.method:<{width}}  {_span(metric, row.mean, 9)} {_span(metric, row.tail, 15)}".rstrip()
            for row in rows
        ]
        columns = [max(len(method), 7) for method in self.methods]
        heads = "  ".join(f"{method:>{size}}" for method, size in zip(self.methods, columns, strict=True))
        lines.append(f"{'better than':<{width}}  {heads}   p, paired t-test")
        for first in self.methods:
            cells = ["" if first == second else p_text(self.test(metric, first, second)) for second in self.methods]
            values = "  ".join(f"{cell:>{size}}" for cell, size in zip(cells, columns, strict=True))
            lines.append(f"{first:<{width}}  {values}".rstrip())
        return "\n".join(lines)


def best_of(values: Iterable[float], lower_is_better: bool) -> float:
    """The best value; NaN, which equals none, where all are NaN."""
    known = [value for value in values if not math.isnan(value)]
    return (min if lower_is_better else max)(known, default=math.nan)


def title(metric: str) -> str:
    """How a metric is written in a heading."""
    return {"psnr": "PSNR, dB", "ssim": "SSIM"}.get(metric, metric)


def number(metric: str, value: float, *, signed: bool = False) -> str:
    """A score with as many decimals as papers give; a dash for NaN."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    form = ".2f" if metric == "psnr" else score_format(metric, value)
    return f"{value:{'+' if signed else ''}{form}}".replace("-", "−")


def p_text(test: PairedTest) -> str:
    """A p-value with as many decimals as make sense."""
    if math.isnan(test.p_value):
        return "–"
    if test.p_value < 0.001:
        return "<0.001"
    return ">0.999" if test.p_value > 0.999 else f"{test.p_value:.3f}"


def _span(metric: str, estimate: Estimate, width: int) -> str:
    low, high = number(metric, estimate.low), number(metric, estimate.high)
    return f"{number(metric, estimate.value):>{width}}  {f'{low} to {high}':<21}"
