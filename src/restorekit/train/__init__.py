"""Training: one loop, and recipes that are steps of the lines that differ."""

from restorekit.train._preset import Preset
from restorekit.train.adversarial import adversarial
from restorekit.train.ema import Ema
from restorekit.train.fit import FitOptions, FitResult, fit
from restorekit.train.keyed import Keyed
from restorekit.train.mdf import MDFCurves, MDFFit, fit_mdf
from restorekit.train.presets import list_presets, preset
from restorekit.train.progressive import ProgressiveStage, progressive
from restorekit.train.pseudo_pairs import pseudo_pairs
from restorekit.train.schedule import Adaptive, Schedule, constant, cosine, cosine_restarts, halve_every
from restorekit.train.supervised import Step, supervised
from restorekit.train.turns import Partner, Turns, frozen
from restorekit.train.two_stage import two_stage
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
    "Preset",
    "ProgressiveStage",
    "Schedule",
    "Step",
    "Turns",
    "adversarial",
    "ZeroShotResult",
    "ZeroShotSettings",
    "constant",
    "cosine",
    "cosine_restarts",
    "fit",
    "fit_mdf",
    "frozen",
    "halve_every",
    "list_presets",
    "preset",
    "progressive",
    "pseudo_pairs",
    "supervised",
    "two_stage",
    "zero_shot",
]
