"""One number per picture or per network; no training."""

from restorekit.metrics.counting import count_multadds, count_parameters
from restorekit.metrics.power_spectral_density import power_spectral_density
from restorekit.metrics.psnr import psnr
from restorekit.metrics.ssim import ssim

__all__ = ["count_multadds", "count_parameters", "power_spectral_density", "psnr", "ssim"]
