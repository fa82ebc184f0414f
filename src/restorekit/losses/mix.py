"""MS-SSIM together with L1: the first for structure, the second for colour and brightness."""

import math
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from restorekit._check import check_interval
from restorekit.image import gaussian_kernel1d
from restorekit.losses._reduction import Reduction, check_reduction, reduce
from restorekit.metrics import ms_ssim


def mix_loss(
    prediction: Tensor,
    target: Tensor,
    *,
    alpha: float = 0.84,
    sigma: float | None = 8.0,
    data_range: float = 1.0,
    reduction: Reduction = "mean",
) -> Tensor:
    """MS-SSIM mixed with the absolute difference.

        alpha * (1 - ms_ssim) + (1 - alpha) * mean(weight * |prediction - target|) / data_range

    A Gaussian slides over the picture wherever it fits, and the weight of a pixel is its share in all the places: the
    same for all, but for a margin of the Gaussian's size, towards whose edge it falls to almost 0, as it does in
    MS-SSIM. The weights have the mean 1.

    Args:
        prediction: Restored pictures (N, C, H, W) of at least 161x161 px, in [0, data_range].
        target: The true pictures, of the same shape, dtype and device.
        alpha: Share of the MS-SSIM, 0 to 1.
        sigma: Of the Gaussian in pixels; it is cut off at twice that. None: all pixels weigh the same, plain L1.
        data_range: Largest value that a pixel can have.
        reduction: "mean" or "sum" over the pictures, or "none".

    Returns:
        Scalar; (N,) for "none".

    Raises:
        TypeError: ``prediction`` or ``target`` is no real floating-point tensor, or an option has the wrong type.
        ValueError: The batches differ, an option is out of range, or the pictures are smaller than the Gaussian or
            than ``metrics.ms_ssim`` needs.

    Example:
        >>> grey = torch.full((1, 3, 176, 176), 0.5)
        >>> round(mix_loss(grey + 0.1, grey, alpha=0.0).item(), 4)
        0.1

    Source:
        Zhao et al., "Loss functions for image restoration with neural networks", 2017, with 0.84 and the coarsest of
        their sigmas, 8. They judge the centre of 31x31 patches, to which a single Gaussian is laid, where this one
        slides; their MS-SSIM differs, see ``MSSSIMLoss``, and their code has alpha 0.025. ``sigma=None`` is the form in
        the code of the MDF loss, which leaves the 1 out.
    """
    _check(alpha, sigma)
    similarity = ms_ssim(prediction, target, data_range=data_range)
    work = similarity.dtype
    error = F.l1_loss(prediction.to(work), target.to(work), reduction="none")
    if sigma is not None:
        error = error * _share(error, sigma)
    distance = error.mean(dim=(1, 2, 3)) / data_range
    return reduce(alpha * (1 - similarity) + (1 - alpha) * distance, reduction)


@final
class MixLoss(nn.Module):
    """``mix_loss`` as a module: as published by default, with ``sigma=None`` the plain form.

    Args:
        alpha: Share of the MS-SSIM, 0 to 1.
        sigma: Of the Gaussian that weighs the differences in pixels; None weighs all the same.
        data_range: Largest value that a pixel can have.
        reduction: "mean", "sum" or "none", as for ``mix_loss``.

    Raises:
        TypeError: ``alpha`` or ``sigma`` is no number.
        ValueError: ``alpha``, ``sigma`` or ``reduction`` is not offered.

    Example:
        >>> MixLoss(sigma=None)
        MixLoss(alpha=0.84, sigma=None, data_range=1.0, reduction='mean')
    """

    def __init__(
        self,
        *,
        alpha: float = 0.84,
        sigma: float | None = 8.0,
        data_range: float = 1.0,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        _check(alpha, sigma)
        check_reduction(reduction)
        self.alpha, self.sigma, self.data_range, self.reduction = alpha, sigma, data_range, reduction

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compare pictures (N, C, H, W); see ``mix_loss``."""
        return mix_loss(
            prediction,
            target,
            alpha=self.alpha,
            sigma=self.sigma,
            data_range=self.data_range,
            reduction=self.reduction,
        )

    def extra_repr(self) -> str:
        options = f"alpha={self.alpha}, sigma={self.sigma}, data_range={self.data_range}"
        return f"{options}, reduction={self.reduction!r}"


def _check(alpha: float, sigma: float | None) -> None:
    check_interval(alpha, "alpha", 0, 1)
    if sigma is not None:
        check_interval(sigma, "sigma", 1e-3, 1e6)


def _share(error: Tensor, sigma: float) -> Tensor:
    """The weight of each pixel (H, W), 1 on average, in a picture over which the Gaussian slides.

    The mean of a filtered picture is a weighted mean of its pixels, so nothing has to be filtered.
    """
    height, width = error.shape[-2:]
    kernel = gaussian_kernel1d(2 * math.ceil(2 * sigma) + 1, sigma, dtype=torch.float64, device=error.device)
    if min(height, width) < len(kernel):
        raise ValueError(
            f"sigma={sigma} needs pictures of at least {len(kernel)}x{len(kernel)} px, got {height}x{width}; "
            "sigma=None has no window"
        )
    return (_share1d(kernel, height)[:, None] * _share1d(kernel, width)).to(error.dtype)


def _share1d(kernel: Tensor, size: int) -> Tensor:
    """Sum of the taps that fall on each of ``size`` pixels in all places where the kernel fits, 1 on average."""
    places = size - len(kernel) + 1
    reached = kernel.cumsum(0)
    entering, leaving = F.pad(reached, (0, places - 1), value=1.0), F.pad(reached[:-1], (places, 0))
    return (entering - leaving) * (size / places)
