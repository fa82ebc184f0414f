"""Running a network on pictures: whole or in tiles, rewritten for speed, from file to file, a folder at a time."""

from restorekit.inference.optimize import optimize
from restorekit.inference.restore import restore
from restorekit.inference.restore_file import restore_file
from restorekit.inference.restore_folder import FolderResult, restore_folder
from restorekit.inference.self_ensemble import self_ensemble
from restorekit.inference.tiled import tiled

__all__ = ["FolderResult", "optimize", "restore", "restore_file", "restore_folder", "self_ensemble", "tiled"]
