"""Clean picture in, damaged picture out: one distortion a function, compositions of them, and recipes that replay."""

from restorekit.degrade.scramble import scramble
from restorekit.degrade.blur import defocus_blur, gaussian_blur, motion_blur
from restorekit.degrade.nlm import nlm_denoise
from restorekit.degrade.resampling import downscale, low_pass
from restorekit.degrade.blind import blind_degradation
from restorekit.degrade.compose import Chain, Identity, OneOf, RandomOrder, Sometimes
from restorekit.degrade.distortion import Composition, Distortion
from restorekit.degrade.generalized import generalized_blur
from restorekit.degrade.presets import flickr_distortion, mixed_distortion, shdd, sr_blur, sr_dn
from restorekit.degrade.recipe import Recipe, applied_types, boxes, level_map, replay, type_map
from restorekit.degrade.resample import resample
from restorekit.degrade.sinc import sinc_blur
from restorekit.degrade.spatial import Boxes, Cuts, SmoothMask, Spatial
from restorekit.degrade.jpeg import differentiable_jpeg, jpeg
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
__all__ = [
    "Boxes",
    "Chain",
    "Composition",
    "Cuts",
    "Distortion",
    "Identity",
    "OneOf",
    "RandomOrder",
    "Recipe",
    "SmoothMask",
    "Sometimes",
    "Spatial",
    "applied_types",
    "blind_degradation",
    "boxes",
    "brightness",
    "contrast",
    "flickr_distortion",
    "generalized_blur",
    "level_map",
    "mixed_distortion",
    "replay",
    "resample",
    "shdd",
    "sinc_blur",
    "sr_blur",
    "sr_dn",
    "type_map",
]
__all__ = ["brightness", "contrast", "differentiable_jpeg", "jpeg"]
