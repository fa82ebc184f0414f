"""Folders of pictures, folders of pairs, and random aligned crops for training.

All are map-style data sets: they can be pickled, hold no open file, and give the same items in any worker process.
"""

from restorekit.data.crops import RandomCropPairs
from restorekit.data.folder import ImageFolder
from restorekit.data.paired import PairedFolder

__all__ = ["ImageFolder", "PairedFolder", "RandomCropPairs"]
