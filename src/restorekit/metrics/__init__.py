"""One number per picture or per network; no training."""

from restorekit.metrics.psnr import psnr
from restorekit.metrics.ssim import ssim

__all__ = ["psnr", "ssim"]
