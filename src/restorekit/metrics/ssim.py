"""Structural similarity."""

import torch
from torch import Tensor

from restorekit.metrics._filtering import WINDOW
from restorekit.metrics._prepare import check_size, prepare
from restorekit.metrics._similarity import similarity


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
    down-sampled. NaN anywhere in a picture makes its value NaN.

    Differentiable, also twice; ``1 - ssim(...)`` is the usual loss. Identical pictures give exactly 1 and a gradient of
    exactly 0. On a CPU the first gradient is computed along with the value, in strips that stay in cache and that each
    of torch's threads takes whole, so that of all intermediate maps one picture is kept for each batch that requires
    it; call it under ``torch.no_grad`` if no gradient is needed. ``torch.compile`` works, but is slower there: it takes
    the formula as it stands.

    Args:
        prediction: Pictures to judge, (N, C, H, W), in [0, data_range].
        target: The true pictures, of the same shape, dtype and device.
        crop_border: Pixels left out on every side before anything else; super-resolution papers take the scale.
        y_channel: Compare the BT.601 studio luma (16/255 to 235/255 of ``data_range``, unrounded) of RGB pictures.
        data_range: Largest value that a pixel can have.
        dtype: ``torch.float32`` or ``torch.float64`` to compute in. None keeps the pictures' own, with half types in
            float32. Float32 agrees with float64 to about 1e-7; published values are float64.

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
    first, second = prepare(
        prediction, target, crop_border=crop_border, y_channel=y_channel, data_range=data_range, dtype=dtype
    )
    check_size(first, WINDOW, "ssim", f"its window has {WINDOW} pixels a side", crop_border)
    return similarity(first, second, data_range).mean(dim=1)
