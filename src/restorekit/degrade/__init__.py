"""Clean picture in, damaged picture out: one distortion a function, compositions of them, and recipes that replay."""

from restorekit.degrade.scramble import scramble
from restorekit.degrade.tone import brightness, contrast

__all__ = ["brightness", "contrast", "scramble"]
