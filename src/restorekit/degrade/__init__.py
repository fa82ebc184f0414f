"""Clean picture in, damaged picture out: one distortion a function, compositions of them, and recipes that replay."""

from restorekit.degrade.at_psnr import at_psnr
from restorekit.degrade.blind import blind_degradation
from restorekit.degrade.blur import defocus_blur, gaussian_blur, motion_blur
from restorekit.degrade.compose import Chain, Identity, OneOf, RandomOrder, Sometimes
from restorekit.degrade.distortion import Composition, Distortion
from restorekit.degrade.f_noise import f_noise
from restorekit.degrade.generalized import generalized_blur
from restorekit.degrade.grating import sinusoidal_grating
from restorekit.degrade.jpeg import differentiable_jpeg, jpeg
from restorekit.degrade.nlm import nlm_denoise
from restorekit.degrade.noise import gaussian_noise, poisson_noise, salt_and_pepper
from restorekit.degrade.presets import flickr_distortion, mixed_distortion, shdd, sr_blur, sr_dn
from restorekit.degrade.quantize import quantize
from restorekit.degrade.recipe import Recipe, applied_types, boxes, level_map, replay, type_map
from restorekit.degrade.resample import resample
from restorekit.degrade.resolution import downscale, low_pass
from restorekit.degrade.scramble import scramble
from restorekit.degrade.sinc import sinc_blur
from restorekit.degrade.spatial import Boxes, Cuts, SmoothMask, Spatial
from restorekit.degrade.tone import brightness, contrast, low_light
from restorekit.degrade.weather import haze, rain

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
    "at_psnr",
    "blind_degradation",
    "boxes",
    "brightness",
    "contrast",
    "defocus_blur",
    "differentiable_jpeg",
    "downscale",
    "f_noise",
    "flickr_distortion",
    "gaussian_blur",
    "gaussian_noise",
    "generalized_blur",
    "haze",
    "jpeg",
    "level_map",
    "low_light",
    "low_pass",
    "mixed_distortion",
    "motion_blur",
    "nlm_denoise",
    "poisson_noise",
    "quantize",
    "rain",
    "replay",
    "resample",
    "salt_and_pepper",
    "scramble",
    "shdd",
    "sinc_blur",
    "sinusoidal_grating",
    "sr_blur",
    "sr_dn",
    "type_map",
]
