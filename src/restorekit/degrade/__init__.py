"""Clean picture in, damaged picture out: one distortion a function, compositions of them, and recipes that replay."""

from restorekit.degrade.scramble import scramble
from restorekit.degrade.blur import defocus_blur, gaussian_blur, motion_blur
from restorekit.degrade.nlm import nlm_denoise
from restorekit.degrade.resampling import downscale, low_pass
from restorekit.degrade.tone import brightness, contrast
from restorekit.degrade.weather import haze, rain

__all__ = ["brightness", "contrast", "scramble"]
__all__ = [
    "brightness",
    "contrast",
    "defocus_blur",
    "downscale",
    "gaussian_blur",
    "haze",
    "low_pass",
    "motion_blur",
    "nlm_denoise",
    "rain",
]
