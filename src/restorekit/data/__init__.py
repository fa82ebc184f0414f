"""Folders of pictures, pairs of clean and degraded ones, sets of them on disk, and random aligned crops for training.

All are map-style data sets: they can be pickled, hold no open file, and give the same items in any worker process.
"""

from restorekit.data.crop_cache import CropCache
from restorekit.data.crops import RandomCropPairs
from restorekit.data.degraded import DegradedFolder, collate_labels
from restorekit.data.degraded_set import DegradedSet
from restorekit.data.folder import ImageFolder
from restorekit.data.paired import PairedFolder
from restorekit.data.pseudo_pairs import PseudoPairs
from restorekit.data.writing import write_degraded

__all__ = [
    "CropCache",
    "DegradedFolder",
    "DegradedSet",
    "ImageFolder",
    "PairedFolder",
    "PseudoPairs",
    "RandomCropPairs",
    "collate_labels",
    "write_degraded",
]
