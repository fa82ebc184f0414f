"""Pictures as tensors: reading and writing, colour, filtering, pyramids, flips and rotations, resampling."""

from restorekit.image.colour import rgb_to_y, rgb_to_ycbcr, ycbcr_to_rgb
from restorekit.image.convert import to_image, to_tensor
from restorekit.image.files import atomic_path, write_image
from restorekit.image.filters import filter2d, filter_separable, gaussian_kernel1d, gaussian_kernel2d
from restorekit.image.geometry import DIHEDRAL, dihedral, dihedral_inverse
from restorekit.image.pyramid import collapse_pyramid, laplacian_pyramid
from restorekit.image.reading import MAX_PIXELS, picture_size, read_image
from restorekit.image.resize import resize, resize_uint8

__all__ = [
    "DIHEDRAL",
    "MAX_PIXELS",
    "atomic_path",
    "collapse_pyramid",
    "dihedral",
    "dihedral_inverse",
    "filter2d",
    "filter_separable",
    "gaussian_kernel1d",
    "gaussian_kernel2d",
    "laplacian_pyramid",
    "picture_size",
    "read_image",
    "resize",
    "resize_uint8",
    "rgb_to_y",
    "rgb_to_ycbcr",
    "to_image",
    "to_tensor",
    "write_image",
    "ycbcr_to_rgb",
]
