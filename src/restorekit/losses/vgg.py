"""The distance of two pictures in the features of a classifier."""

import sys
from collections.abc import Callable, Mapping
from typing import Literal, final, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restorekit._check import check_interval, check_pair
from restorekit.losses._frozen import Frozen
from restorekit.losses._reduction import check_reduction
from restorekit.models.trunk import FeatureTrunk

Reduction = Literal["mean", "channel_sum"]


@final
class VGGLoss(nn.Module):
    """Perceptual loss: the mean squared distance of features.

        loss = sum over layers of weight * mean((features(prediction) - features(target))^2)

    The target's features are computed without a graph. The trunk moves along with the loss (``.to(...)``, and everybody
    else who holds it sees that), but it is none of its parameters, and not in its state dict.

    Args:
        trunk: Commonly ``models.VGG19Features`` with ImageNet's weights: ``models.load_trunk``.
        layers: Weight of each layer by its name: ``conv5_4`` is in front of the ReLU, ``relu5_4`` behind it. None:
            ``conv5_4`` alone, which VGG-19 has.
        normalize: Give the trunk what it was trained on: pictures shifted and scaled by ImageNet's mean and deviation.
            The published code gives it [0, 1].
        reduction: "mean" over batch, channels and positions, as in the published code; "channel_sum" sums up over
            channels, as in the thesis' equation: 512 times as much for ``conv5_4``.
        distance: What compares features, and takes a mean: ``torch.nn.functional.l1_loss``, say.

    Raises:
        TypeError: ``trunk`` is no feature trunk, ``layers`` no mapping to numbers or ``distance`` no function.
        ValueError: An unknown layer or ``reduction``, a negative or infinite weight, or no layer.

    Example:
        >>> from restorekit.models import VGG19Features
        >>> loss = VGGLoss(VGG19Features(channels=4), layers={"relu2_2": 0.1, "conv3_4": 1.0}, normalize=True)
        >>> loss(torch.ones(2, 3, 8, 8), torch.ones(2, 3, 8, 8)).item()
        0.0

    Source:
        Ahn's thesis, equation 2.5, and PCARN's code: ``conv5_4`` of VGG-19, the mean, no normalisation. The thesis
        says "i = j = 5" and ReLU, but the fifth block has four convolutions; ``relu5_4`` is the nearest. Its sum of
        squares over channels, divided by width and height, is "channel_sum".
    """

    def __init__(
        self,
        trunk: FeatureTrunk,
        *,
        layers: Mapping[str, float] | None = None,
        normalize: bool = False,
        reduction: Reduction = "mean",
        distance: Callable[[Tensor, Tensor], Tensor] = F.mse_loss,
    ) -> None:
        layers = {"conv5_4": 1.0} if layers is None else layers
        _check(trunk, layers, reduction, distance)
        super().__init__()
        self.held = Frozen(trunk)
        self.layers = dict(layers)
        self.normalize, self.reduction, self.distance = normalize, reduction, distance

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Scalar for RGB pictures (N, 3, H, W) in [0, 1], in the dtype of the trunk, or float32 where that is half.

        Raises:
            TypeError: Either is no real floating-point tensor.
            ValueError: The batches differ, are not RGB or elsewhere than the trunk, a side is too short for the deepest
                layer, below 16 px for the fifth block, or ``distance`` gives no scalar.
        """
        check_pair(prediction, target)
        self.held.network.check(prediction, list(self.layers), "prediction")
        # First, so that its maps are gone before the graph of the prediction is there.
        with torch.no_grad():
            second = self._features(target)
        first = self._features(prediction)
        return torch.stack([
            weight * self._distance(name, a, b)
            for (name, weight), a, b in zip(self.layers.items(), first, second, strict=True)
        ]).sum()  # fmt: skip

    def _features(self, x: Tensor) -> list[Tensor]:
        trunk = self.held.network
        found = trunk(trunk.normalize(x) if self.normalize else x, list(self.layers))
        return [out.to(torch.promote_types(out.dtype, torch.float32)) for out in found]

    def _distance(self, name: str, first: Tensor, second: Tensor) -> Tensor:
        distance = self.distance(first, second)
        if distance.ndim != 0:
            raise ValueError(f"distance must give a scalar for {name}, got shape {tuple(distance.shape)}; take a mean")
        return distance * self.held.network.widths[name] if self.reduction == "channel_sum" else distance

    def extra_repr(self) -> str:
        return f"layers={self.layers}, normalize={self.normalize}, reduction={self.reduction!r}"


def _check(trunk: FeatureTrunk, layers: Mapping[str, float], reduction: str, distance: object) -> None:
    if not isinstance(trunk, FeatureTrunk):
        raise TypeError(f"trunk must be a models.FeatureTrunk, got {type(trunk).__name__}")
    if not isinstance(layers, Mapping):
        raise TypeError(f"layers must map names to weights, got {type(layers).__name__}")
    trunk.minimum_side(list(layers))  # refuses unknown names
    for name, weight in layers.items():
        check_interval(weight, f"the weight of {name}", 0, sys.float_info.max)
    check_reduction(reduction, get_args(Reduction))
    if not callable(distance):
        raise TypeError(f"distance must be a function of two tensors, got {type(distance).__name__}")
