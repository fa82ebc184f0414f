"""One number per picture or per network; no training."""

from restorekit.metrics.average import Average
from restorekit.metrics.counting import count_multadds, count_parameters
from restorekit.metrics.lpips import LPIPS, load_lpips, lpips
from restorekit.metrics.mean_average_precision import AveragePrecision, mean_average_precision
from restorekit.metrics.ms_ssim import ms_ssim
from restorekit.metrics.mse import mse, rmse
from restorekit.metrics.nima import NIMA, nima, rating_moments
from restorekit.metrics.niqe import fit_niqe, niqe
from restorekit.metrics.niqe_model import NiqeModel
from restorekit.metrics.power_spectral_density import power_spectral_density
from restorekit.metrics.psnr import psnr
from restorekit.metrics.ssim import ssim

__all__ = [
    "LPIPS",
    "NIMA",
    "Average",
    "AveragePrecision",
    "NiqeModel",
    "count_multadds",
    "count_parameters",
    "fit_niqe",
    "load_lpips",
    "lpips",
    "mean_average_precision",
    "ms_ssim",
    "mse",
    "nima",
    "niqe",
    "power_spectral_density",
    "psnr",
    "rating_moments",
    "rmse",
    "ssim",
]
