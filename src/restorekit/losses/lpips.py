"""The learned perceptual distance as a loss."""

from typing import final

from torch import Tensor, nn

from restorekit.losses._frozen import Frozen
from restorekit.losses._reduction import Reduction, check_reduction, reduce
from restorekit.metrics.lpips import LPIPS, lpips


@final
class LPIPSLoss(nn.Module):
    """``metrics.lpips`` over a batch.

    The network moves along with the loss (``.to(...)``, and everybody else who holds it sees that), but it is none of
    its parameters, and not in its state dict.

    Args:
        network: What ``metrics.load_lpips`` returns.
        reduction: "mean" or "sum" over the pictures, or "none": one value for each.

    Raises:
        TypeError: ``network`` is no ``metrics.LPIPS``.
        ValueError: An unknown ``reduction``.

    Example:
        >>> import torch; from restorekit import metrics, models
        >>> network = metrics.LPIPS(models.VGG16Features(channels=4), [torch.ones(4)], taps=["relu1_2"])
        >>> LPIPSLoss(network)(torch.ones(2, 3, 8, 8), torch.ones(2, 3, 8, 8)).item()
        0.0

    Source:
        Zhang et al., CVPR 2018. Networks trained for it are commonly judged by AlexNet's and trained on VGG's.
    """

    def __init__(self, network: LPIPS, *, reduction: Reduction = "mean") -> None:
        if not isinstance(network, LPIPS):
            raise TypeError(f"network must be a metrics.LPIPS, as load_lpips returns it, got {type(network).__name__}")
        check_reduction(reduction)
        super().__init__()
        self.held = Frozen(network)
        self.reduction = reduction

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Scalar, or (N,) for "none", for RGB pictures (N, 3, H, W) in [0, 1]; raises what ``metrics.lpips`` does."""
        return reduce(lpips(prediction, target, self.held.network), self.reduction)

    def extra_repr(self) -> str:
        return f"taps={self.held.network.taps}, reduction={self.reduction!r}"
