"""The Charbonnier loss, L1 with a smooth bottom."""

from typing import final

import torch
from torch import Tensor, nn

from restorekit._check import check_interval, check_pair
from restorekit.losses._reduction import Reduction, check_reduction, reduce


def charbonnier_loss(prediction: Tensor, target: Tensor, *, eps: float = 1e-3, reduction: Reduction = "mean") -> Tensor:
    """The Charbonnier penalty of a difference: quadratic well below ``eps``, absolute well above it.

        sqrt((prediction - target)^2 + eps^2)

    It is ``eps``, not 0, where the pictures agree. NaN comes out where it goes in. Half types are computed in float32.

    Args:
        prediction: Restored pictures (N, C, H, W).
        target: The true pictures, of the same shape, dtype and device.
        eps: Where it bends, in units of the pictures, 1e-30 or more.
        reduction: "mean" or "sum" over all elements, or "none".

    Returns:
        Scalar; (N, C, H, W) for "none".

    Raises:
        TypeError: ``prediction`` or ``target`` is no real floating-point tensor, or ``eps`` no number.
        ValueError: The batches differ, or ``eps`` or ``reduction`` is not offered.

    Example:
        >>> four, one = torch.full((1, 3, 2, 2), 4.0), torch.ones(1, 3, 2, 2)
        >>> charbonnier_loss(four, one, eps=4.0)
        tensor(5.)

    Source:
        Lai et al., CVPR 2017 (LapSRN) and Zamir et al., CVPR 2021 (MPRNet): ``eps`` is 1e-3 and squared, for pictures
        in [0, 1]. Code that adds it as it is (ports of LapSRN: 1e-6, BasicSR: 1e-12) means the square of the one here.
        Ports of LapSRN sum over pixels; MPRNet's code takes the mean, which is the default here.
    """
    check_pair(prediction, target)
    _check_eps(eps)
    work = torch.promote_types(prediction.dtype, torch.float32)
    # hypot squares nothing that could leave the range of float32, and takes one pass
    values = torch.hypot(prediction.to(work) - target.to(work), torch.tensor(eps, dtype=work))
    return reduce(values, reduction)


@final
class CharbonnierLoss(nn.Module):
    """``charbonnier_loss`` as a module.

    Args:
        eps: Where it bends, see ``charbonnier_loss``.
        reduction: "mean", "sum" or "none".

    Raises:
        TypeError: ``eps`` is no number.
        ValueError: ``eps`` or ``reduction`` is not offered.

    Example:
        >>> CharbonnierLoss()(torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 2))
        tensor(0.0010)
    """

    def __init__(self, *, eps: float = 1e-3, reduction: Reduction = "mean") -> None:
        super().__init__()
        _check_eps(eps)
        check_reduction(reduction)
        self.eps, self.reduction = eps, reduction

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compare pictures (N, C, H, W); see ``charbonnier_loss``."""
        return charbonnier_loss(prediction, target, eps=self.eps, reduction=self.reduction)

    def extra_repr(self) -> str:
        return f"eps={self.eps}, reduction={self.reduction!r}"


def _check_eps(eps: float) -> None:
    # below, it may be 0 in float32, and the gradient NaN where the pictures agree
    check_interval(eps, "eps", 1e-30, 1e30)
