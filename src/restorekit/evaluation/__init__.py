"""Scores that carry their protocol: what was compared, how, with which weights, on which pictures."""

from restorekit.evaluation.compare import compare
from restorekit.evaluation.comparison import Comparison, Summary, Verdict
from restorekit.evaluation.evaluate import evaluate
from restorekit.evaluation.protocol import PROTOCOLS, Protocol
from restorekit.evaluation.result import Evaluation, Record
from restorekit.evaluation.statistics import Estimate, PairedTest, mean_interval, paired_t_test, percentile_interval

__all__ = [
    "PROTOCOLS",
    "Comparison",
    "Estimate",
    "Evaluation",
    "PairedTest",
    "Protocol",
    "Record",
    "Summary",
    "Verdict",
    "compare",
    "evaluate",
    "mean_interval",
    "paired_t_test",
    "percentile_interval",
]
