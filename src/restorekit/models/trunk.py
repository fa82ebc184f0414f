"""What perceptual metrics and losses look through: a chain of layers that returns what some of them give."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restorekit._check import check_batch
from restorekit.models.network import Network

_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's RGB pictures in [0, 1]


class FeatureTrunk(Network):
    """A chain of layers with names, which returns what comes out of some of them.

    It is frozen and in eval mode, and ``train()`` leaves it there; ``requires_grad_()`` thaws it for fine-tuning.
    Parameters are named as in torchvision, so that ``load_weights`` and ``load_trunk`` read its files; what they hold
    of the classifier is left out. Until then the weights are random, and features mean nothing.

    Args:
        layers: The layers by name, in the order in which they run.
        config: The constructor's arguments, as for every ``Network``.

    Attributes:
        taps: Names of the layers, first to last.
        widths: Channels that each of them returns.

    Example:
        >>> trunk = FeatureTrunk({"conv": nn.Conv2d(3, 4, 3, padding=1), "pool": nn.MaxPool2d(2)}, {})
        >>> [tuple(found.shape) for found in trunk(torch.rand(2, 3, 32, 24), ["conv", "pool"])]
        [(2, 4, 32, 24), (2, 4, 16, 12)]
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, layers: Mapping[str, nn.Module], config: dict[str, Any]) -> None:
        super().__init__(config)
        self.features = nn.Sequential(*layers.values())
        self.taps = tuple(layers)
        self.widths = dict(zip(layers, _widths(layers.values()), strict=True))
        self.register_buffer("mean", torch.tensor(_MEAN).view(-1, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(_DEVIATION).view(-1, 1, 1), persistent=False)
        self.requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> Self:
        """Stay in eval mode, whatever ``mode`` says."""
        return super().train(False)

    def can_spare(self, key: str) -> bool:
        """Files of torchvision hold the classifier, too."""
        return key.startswith("classifier.")

    def normalize(self, x: Tensor) -> Tensor:
        """ImageNet's normalisation of RGB pictures in [0, 1]: (x - mean) / deviation for each channel."""
        return (x - self.mean) / self.deviation

    def minimum_side(self, taps: Sequence[str]) -> int:
        """Pixels that each side of a picture needs for all ``taps`` to return something."""
        side = 1
        for layer in reversed(list(self.features)[: self._end(taps)]):
            side = _needed(layer, side)
        return side

    def check(self, x: Tensor, taps: Sequence[str], name: str = "x") -> None:
        """Require RGB pictures of sufficient size on the trunk's device; ``name`` is what errors call them."""
        check_batch(x, name)
        if x.shape[1] != 3:
            raise ValueError(
                f"{name} must have 3 channels (RGB), got shape {tuple(x.shape)}; expand(-1, 3, -1, -1) makes grey RGB"
            )
        if x.device != self.mean.device:
            raise ValueError(f"{name} is on {x.device} and the trunk on {self.mean.device}; move one of them")
        if min(x.shape[-2:]) < (side := self.minimum_side(taps)):
            raise ValueError(f"{name} must be of at least {side}x{side} px for these taps, got shape {tuple(x.shape)}")

    def forward(self, x: Tensor, taps: Sequence[str]) -> list[Tensor]:
        """Run as far as the last of ``taps`` and return what they give, in their order.

        Args:
            x: RGB pictures (N, 3, H, W), commonly ``normalize(picture)``; computed in the trunk's dtype.
            taps: Names out of the attribute ``taps``.

        Raises:
            TypeError: ``x`` is no real floating-point tensor.
            ValueError: No tap or an unknown one, other than 3 channels, or a side below ``minimum_side(taps)``.
        """
        self.check(x, taps)
        end = self._end(taps)
        found: dict[str, Tensor] = {}
        out = x.to(next(self.parameters(), self.mean).dtype)
        for name, layer in zip(self.taps[:end], self.features, strict=False):
            # In place, which halves the memory, unless that is the picture's or a tap's.
            in_place = isinstance(layer, nn.ReLU) and not any(out is kept for kept in (x, *found.values()))
            out = F.relu_(out) if in_place else layer(out)
            if name in taps:
                found[name] = out
        return [found[name] for name in taps]

    def _end(self, taps: Sequence[str]) -> int:
        """Number of layers that have to run."""
        if isinstance(taps, str) or not taps or not set(taps) <= set(self.taps):
            raise ValueError(f"taps must be a list of names out of {', '.join(self.taps)}, got {taps!r}")
        return max(map(self.taps.index, taps)) + 1


def _widths(layers: Iterable[nn.Module]) -> list[int]:
    """Channels behind each layer; those without a width of their own keep that of the layer before."""
    widths: list[int] = []
    for layer in layers:
        widths.append(int(getattr(layer, "out_channels", widths[-1] if widths else 3)))
    return widths


def _needed(layer: nn.Module, side: int) -> int:
    """The smallest input that gives at least ``side`` pixels, on the axis that needs more."""
    if not isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d) or getattr(layer, "padding", 0) == "same":
        return side
    return max(_needed_on(layer, side, axis) for axis in (0, 1))


def _needed_on(layer: nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d, side: int, axis: int) -> int:
    def option(name: str) -> int:
        value = getattr(layer, name, 1)  # AvgPool2d has no dilation
        return int(value[axis] if isinstance(value, Sequence) else value)

    padding = 0 if layer.padding == "valid" else option("padding")
    reach = option("dilation") * (option("kernel_size") - 1) + 1 - 2 * padding
    partial = option("stride") - 1 if getattr(layer, "ceil_mode", False) else 0
    return max(1, (side - 1) * option("stride") + reach - partial)
