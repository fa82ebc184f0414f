"""SSIM as it is commonly written: a dense window of 11 x 11, once for each channel and moment, valid borders.

piq computes it like this. Its package imports torchvision, whose wheels in the registry need CUDA's torch, so where it
is not installed this stands for it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def dense_window_ssim(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean SSIM of each picture."""
    channels = target.shape[1]
    offsets = torch.arange(11, dtype=target.dtype) - 5
    weights = torch.exp(-(offsets**2) / (2 * 1.5**2))
    window = torch.outer(weights, weights)
    kernel = (window / window.sum()).expand(channels, 1, 11, 11).contiguous()

    def blurred(x: Tensor) -> Tensor:
        return F.conv2d(x, kernel, groups=channels)

    mean_p, mean_t = blurred(prediction), blurred(target)
    variances = blurred(prediction**2) - mean_p**2 + blurred(target**2) - mean_t**2
    covariance = blurred(prediction * target) - mean_p * mean_t
    structure = (2 * covariance + 0.03**2) / (variances + 0.03**2)
    return (structure * (2 * mean_p * mean_t + 0.01**2) / (mean_p**2 + mean_t**2 + 0.01**2)).mean((1, 2, 3))
