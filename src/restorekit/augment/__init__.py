"""Augmentations of pairs (lq, hq) that keep a restoration problem what it is."""

from restorekit.augment.cutblur import cutblur
from restorekit.augment.frequency import frequency_masking
from restorekit.augment.geometric import flip_rotate

__all__ = ["cutblur", "flip_rotate", "frequency_masking"]
