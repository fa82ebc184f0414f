"""Training: one loop, and recipes that are steps of the lines that differ."""

from restorekit.train.adversarial import adversarial
from restorekit.train.ema import Ema
from restorekit.train.fit import FitOptions, FitResult, fit
from restorekit.train.keyed import Keyed
from restorekit.train.mdf import MDFCurves, MDFFit, fit_mdf
from restorekit.train.progressive import ProgressiveStage, progressive
from restorekit.train.schedule import Adaptive, Schedule, constant, cosine, halve_every
from restorekit.train.supervised import Step, supervised
from restorekit.train.turns import Partner, Turns, frozen

__all__ = [
    "Adaptive",
    "Ema",
    "FitOptions",
    "FitResult",
    "Keyed",
    "MDFCurves",
    "MDFFit",
    "Partner",
    "ProgressiveStage",
    "Schedule",
    "Step",
    "Turns",
    "adversarial",
    "constant",
    "cosine",
    "fit",
    "fit_mdf",
    "frozen",
    "halve_every",
    "progressive",
    "supervised",
]
