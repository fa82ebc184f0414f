"""Scores that carry their protocol: what was compared, how, with which weights, on which pictures."""

from restorekit.evaluation.evaluate import evaluate
from restorekit.evaluation.protocol import PROTOCOLS, Protocol
from restorekit.evaluation.result import Evaluation, Record

__all__ = ["PROTOCOLS", "Evaluation", "Protocol", "Record", "evaluate"]
