"""The distance of two distributions of ratings."""

import math
from typing import final

import torch
from torch import Tensor, nn

from restorekit._check import check_interval, check_same_kind
from restorekit.losses._reduction import Reduction, check_reduction, reduce


@final
class EMDLoss(nn.Module):
    """Earth mover's distance of distributions over ordered bins, by which ``metrics.NIMA`` is trained.

        loss = mean over the batch of (mean over bins of |cdf(prediction) - cdf(target)|^r)^(1 / r)

    Args:
        exponent: r, at least 1.
        reduction: "mean" or "sum" over the batch, or "none": one value for each row.

    Raises:
        TypeError: ``exponent`` is no number.
        ValueError: ``exponent`` is out of range, or ``reduction`` is unknown.

    Example:
        >>> EMDLoss()(torch.tensor([[1.0, 0.0, 0.0, 0.0]]), torch.tensor([[0.0, 1.0, 0.0, 0.0]])).item()
        0.5

    Source:
        Talebi and Milanfar, "NIMA: neural image assessment", 2018, equation 1, r = 2 for training. A published
        implementation takes the root over the whole batch instead of over each sample. The gradient at equal
        distributions is 0.
    """

    def __init__(self, *, exponent: float = 2.0, reduction: Reduction = "mean") -> None:
        super().__init__()
        check_interval(exponent, "exponent", 1, float("inf"))
        check_reduction(reduction)
        self.exponent, self.reduction = exponent, reduction

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Scalar, or (N,) for "none", for distributions (N, bins), whose rows have the sum 1.

        Raises:
            TypeError: Either is no real floating-point tensor.
            ValueError: Other than 2 dimensions, or different shapes, dtypes or devices.
        """
        for name, x in (("prediction", prediction), ("target", target)):
            if not isinstance(x, Tensor) or not x.is_floating_point():
                got = getattr(x, "dtype", type(x).__name__)
                raise TypeError(f"{name} must be a real floating-point tensor (N, bins), got {got}")
        if prediction.ndim != 2 or prediction.shape != target.shape or not prediction.numel():
            got = f"{tuple(prediction.shape)} and {tuple(target.shape)}"
            raise ValueError(f"prediction and target must have one shape (N, bins), got {got}")
        check_same_kind(prediction, target, ("prediction", "target"))
        work = torch.promote_types(prediction.dtype, torch.float32)
        difference = (prediction.to(work) - target.to(work)).cumsum(1)
        bins = difference.shape[1]
        norms: Tensor = torch.linalg.vector_norm(difference, self.exponent, dim=1)
        return reduce(norms / math.pow(bins, 1 / self.exponent), self.reduction)

    def extra_repr(self) -> str:
        return f"exponent={self.exponent}, reduction={self.reduction!r}"
