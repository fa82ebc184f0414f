"""Structural similarity."""

import torch
from torch import Tensor

from restorekit.image import filter_separable, gaussian_kernel1d
from restorekit.metrics._prepare import prepare

_WINDOW, _SIGMA, _K1, _K2 = 11, 1.5, 0.01, 0.03


def ssim(
    prediction: Tensor,
    target: Tensor,
    *,
    crop_border: int = 0,
    y_channel: bool = False,
    data_range: float = 1.0,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Structural similarity of each picture, averaged over channels and over the region where the window fits.

        ssim = mean((2 m_p m_t + c1)(2 v_pt + c2) / ((m_p^2 + m_t^2 + c1)(v_p + v_t + c2)))

    with Gaussian-weighted local means ``m``, (co)variances ``v`` and ``c_i = (K_i data_range)^2``. Pictures are not
    down-sampled. Differentiable; ``1 - ssim(...)`` is the usual loss.

    Args:
        prediction: Pictures to judge, (N, C, H, W), in [0, data_range].
        target: The true pictures, of the same shape, dtype and device.
        crop_border: Pixels left out on every side before anything else; super-resolution papers take the scale.
        y_channel: Compare the BT.601 studio luma (16/255 to 235/255 of ``data_range``, unrounded) of RGB pictures.
        data_range: Largest value that a pixel can have.
        dtype: ``torch.float32`` or ``torch.float64`` to compute in. None keeps the pictures' own, with half types in
            float32. Float32 agrees with float64 to about 1e-5; published values are float64.

    Returns:
        One value per picture in [-1, 1], (N,).

    Raises:
        TypeError: Either argument is no real floating-point tensor, or an option has the wrong type.
        ValueError: The batches differ, ``y_channel`` meets other than 3 channels, another ``dtype`` is asked for, or
            a side is shorter than the 11-pixel window after the crop.

    Example:
        >>> black, white = torch.zeros(1, 3, 16, 16), torch.ones(1, 3, 16, 16)
        >>> [round(value.item(), 4) for value in (ssim(white, white), ssim(black, white))]
        [1.0, 0.0001]

    Source:
        Wang et al., "Image quality assessment: from error visibility to structural similarity", 2004: 11x11 Gaussian
        window of sigma 1.5, K = (0.01, 0.03), valid region, weighted (biased) covariance.
    """
    if dtype not in (None, torch.float32, torch.float64):
        raise ValueError(f"dtype must be torch.float32, torch.float64 or None, got {dtype}")
    first, second = prepare(
        prediction, target, crop_border=crop_border, y_channel=y_channel, data_range=data_range, dtype=dtype
    )
    height, width = first.shape[-2:]
    if min(height, width) < _WINDOW:
        raise ValueError(
            f"ssim needs at least {_WINDOW}x{_WINDOW} pixels, got {height}x{width} "
            f"({height + 2 * crop_border}x{width + 2 * crop_border} before crop_border={crop_border})"
        )
    return _similarity_map(first, second, data_range).mean(dim=(1, 2, 3))


def _similarity_map(first: Tensor, second: Tensor, data_range: float) -> Tensor:
    kernel = gaussian_kernel1d(_WINDOW, _SIGMA, dtype=first.dtype, device=first.device)

    def local_mean(x: Tensor) -> Tensor:
        return filter_separable(x, kernel, kernel, border="valid")

    c1, c2 = (_K1 * data_range) ** 2, (_K2 * data_range) ** 2
    mean_first, mean_second = local_mean(first), local_mean(second)
    product = mean_first * mean_second
    power = mean_first.square() + mean_second.square()
    covariance = local_mean(first * second) - product
    # The formula needs the sum of the two variances only, so four filterings do instead of five.
    variances = local_mean(first.square() + second.square()) - power
    return (2 * product + c1) * (2 * covariance + c2) / ((power + c1) * (variances + c2))
