"""Training: one loop, and recipes that are steps of the lines that differ."""

from restorekit.train.ema import Ema
from restorekit.train.fit import FitOptions, FitResult, fit
from restorekit.train.keyed import Keyed
from restorekit.train.mdf import MDFCurves, MDFFit, fit_mdf
from restorekit.train.schedule import Adaptive, Schedule, constant, cosine, halve_every
from restorekit.train.supervised import Step, supervised
from restorekit.train.turns import Partner, Turns, frozen
from restorekit.train.zero_shot import ZERO_SHOT_SETTINGS, ZeroShotResult, ZeroShotSettings, zero_shot

__all__ = [
    "ZERO_SHOT_SETTINGS",
    "Adaptive",
    "Ema",
    "FitOptions",
    "FitResult",
    "Keyed",
    "MDFCurves",
    "MDFFit",
    "Partner",
    "Schedule",
    "Step",
    "Turns",
    "ZeroShotResult",
    "ZeroShotSettings",
    "constant",
    "cosine",
    "fit",
    "fit_mdf",
    "frozen",
    "halve_every",
    "supervised",
    "zero_shot",
]
