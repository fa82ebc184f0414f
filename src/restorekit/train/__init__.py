"""Training: one loop, and recipes that are steps of the lines that differ."""

from restorekit.train.adversarial import adversarial
from restorekit.train.ema import Ema
from restorekit.train.fit import FitResult, fit
from restorekit.train.mdf import MDFCurves, MDFFit, fit_mdf
from restorekit.train.progressive import ProgressiveStage, progressive
from restorekit.train.schedule import Schedule, constant, cosine, halve_every
from restorekit.train.supervised import Step, supervised

__all__ = [
    "Ema",
    "FitResult",
    "MDFCurves",
    "MDFFit",
    "ProgressiveStage",
    "Schedule",
    "Step",
    "adversarial",
    "constant",
    "cosine",
    "fit",
    "fit_mdf",
    "halve_every",
    "progressive",
    "supervised",
]
