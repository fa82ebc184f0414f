"""Clean picture in, damaged picture out: one distortion a function, compositions of them, and recipes that replay."""

from restorekit.degrade.jpeg import differentiable_jpeg, jpeg
from restorekit.degrade.tone import brightness, contrast

__all__ = ["brightness", "contrast", "differentiable_jpeg", "jpeg"]
