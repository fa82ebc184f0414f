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
