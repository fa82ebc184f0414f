"""Augmentations of pairs (lq, hq) that keep a restoration problem what it is."""

from restorekit.augment.colour import blend, permute_rgb
from restorekit.augment.cutblur import cutblur
from restorekit.augment.cutmix import cutmix, cutmixup
from restorekit.augment.cutout import cutout
from restorekit.augment.frequency import frequency_masking
from restorekit.augment.geometric import flip_rotate
from restorekit.augment.mixture import Mixture
from restorekit.augment.mixup import mixup

__all__ = [
    "Mixture",
    "blend",
    "cutblur",
    "cutmix",
    "cutmixup",
    "cutout",
    "flip_rotate",
    "frequency_masking",
    "mixup",
    "permute_rgb",
]
