"""Training: one loop, and recipes that are steps of the lines that differ."""

from restorekit.train.ema import Ema
from restorekit.train.fit import FitResult, fit
from restorekit.train.mdf import MDFCurves, MDFFit, fit_mdf
from restorekit.train.schedule import Schedule, constant, cosine, cosine_restarts, halve_every
from restorekit.train.supervised import Step, supervised

__all__ = [
    "Ema",
    "FitResult",
    "MDFCurves",
    "MDFFit",
    "Schedule",
    "Step",
    "constant",
    "cosine",
    "cosine_restarts",
    "fit",
    "fit_mdf",
    "halve_every",
    "supervised",
]
