"""Clean picture in, damaged picture out: one distortion a function, compositions of them, and recipes that replay."""

from restorekit.degrade.at_psnr import at_psnr
from restorekit.degrade.f_noise import f_noise
from restorekit.degrade.grating import sinusoidal_grating
from restorekit.degrade.noise import gaussian_noise, poisson_noise, salt_and_pepper
from restorekit.degrade.quantize import quantize
from restorekit.degrade.tone import brightness, contrast, low_light

__all__ = [
    "at_psnr",
    "brightness",
    "contrast",
    "f_noise",
    "gaussian_noise",
    "low_light",
    "poisson_noise",
    "quantize",
    "salt_and_pepper",
    "sinusoidal_grating",
]
