"""Augmentations of pairs (lq, hq) that keep a restoration problem what it is."""

from restorekit.augment.cutblur import cutblur

__all__ = ["cutblur"]
