"""Structural similarity, at one scale and at several, as losses."""

from typing import final

from torch import Tensor, nn

from restorekit.losses._reduction import Reduction, check_reduction, reduce
from restorekit.metrics import ms_ssim, ssim


@final
class SSIMLoss(nn.Module):
    """One minus ``metrics.ssim``: 0 where the pictures agree, 2 at most.

    Args:
        y_channel: Compare the luma of RGB pictures.
        data_range: Largest value that a pixel can have.
        reduction: "mean" or "sum" over the pictures, or "none": one value for each.

    Raises:
        ValueError: ``reduction`` is unknown. What ``metrics.ssim`` raises comes with the first pictures.

    Example:
        >>> import torch
        >>> black, white = torch.zeros(1, 3, 16, 16), torch.ones(1, 3, 16, 16)
        >>> round(SSIMLoss()(black, white).item(), 4)
        0.9999

    Source:
        Zhao et al., "Loss functions for image restoration with neural networks", 2017, which judges the
        centre of a patch; this is the mean over the region where the window fits. The code of the MDF loss pads with
        zeros instead, and leaves the 1 out, which changes no gradient.
    """

    def __init__(self, *, y_channel: bool = False, data_range: float = 1.0, reduction: Reduction = "mean") -> None:
        super().__init__()
        check_reduction(reduction)
        self.y_channel, self.data_range, self.reduction = y_channel, data_range, reduction

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compare pictures (N, C, H, W) of at least 11x11 px; a scalar, or (N,) for "none"."""
        similarity = ssim(prediction, target, y_channel=self.y_channel, data_range=self.data_range)
        return reduce(1 - similarity, self.reduction)

    def extra_repr(self) -> str:
        return f"y_channel={self.y_channel}, data_range={self.data_range}, reduction={self.reduction!r}"


@final
class MSSSIMLoss(nn.Module):
    """One minus ``metrics.ms_ssim``: 0 where the pictures agree, 1 at most.

    A channel whose structure is opposite to the target's at one of the scales costs 1 and has no gradient.

    Args:
        y_channel: Compare the luma of RGB pictures.
        data_range: Largest value that a pixel can have.
        reduction: "mean" or "sum" over the pictures, or "none": one value for each.

    Raises:
        ValueError: ``reduction`` is unknown. What ``metrics.ms_ssim`` raises comes with the first pictures; many a
            training patch is too small for it.

    Example:
        >>> import torch
        >>> picture = torch.rand(1, 3, 176, 176)
        >>> MSSSIMLoss()(picture, picture).abs().item() < 1e-6
        True

    Source:
        Wang et al., "Multiscale structural similarity for image quality assessment", 2003. Zhao et al. (2017) widen the
        window from scale to scale where this halves the picture, and give all scales the weight 1.
    """

    def __init__(self, *, y_channel: bool = False, data_range: float = 1.0, reduction: Reduction = "mean") -> None:
        super().__init__()
        check_reduction(reduction)
        self.y_channel, self.data_range, self.reduction = y_channel, data_range, reduction

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compare pictures (N, C, H, W) of at least 161x161 px; a scalar, or (N,) for "none"."""
        similarity = ms_ssim(prediction, target, y_channel=self.y_channel, data_range=self.data_range)
        return reduce(1 - similarity, self.reduction)

    def extra_repr(self) -> str:
        return f"y_channel={self.y_channel}, data_range={self.data_range}, reduction={self.reduction!r}"
