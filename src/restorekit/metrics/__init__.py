"""One number per picture or per network; no training."""

from restorekit.metrics.counting import count_multadds, count_parameters
from restorekit.metrics.psnr import psnr
from restorekit.metrics.ssim import ssim

__all__ = ["count_multadds", "count_parameters", "psnr", "ssim"]
