"""Clean picture in, damaged picture out: one distortion a function, compositions of them, and recipes that replay."""

from restorekit.degrade.blind import blind_degradation
from restorekit.degrade.compose import Chain, Identity, OneOf, RandomOrder, Sometimes
from restorekit.degrade.distortion import Composition, Distortion
from restorekit.degrade.generalized import generalized_blur
from restorekit.degrade.presets import flickr_distortion, mixed_distortion, shdd, sr_blur, sr_dn
from restorekit.degrade.recipe import Recipe, applied_types, boxes, level_map, replay, type_map
from restorekit.degrade.resample import resample
from restorekit.degrade.sinc import sinc_blur
from restorekit.degrade.spatial import Boxes, Cuts, SmoothMask, Spatial
from restorekit.degrade.tone import brightness, contrast

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
