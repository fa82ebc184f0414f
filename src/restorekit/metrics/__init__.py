"""One number per picture or per network; no training."""

from restorekit.metrics.counting import count_multadds, count_parameters
from restorekit.metrics.lpips import LPIPS, load_lpips, lpips
from restorekit.metrics.nima import NIMA, nima, rating_moments
from restorekit.metrics.power_spectral_density import power_spectral_density
from restorekit.metrics.psnr import psnr
from restorekit.metrics.ssim import ssim

__all__ = [
    "LPIPS",
    "NIMA",
    "count_multadds",
    "count_parameters",
    "load_lpips",
    "lpips",
    "nima",
    "power_spectral_density",
    "psnr",
    "rating_moments",
    "ssim",
]
