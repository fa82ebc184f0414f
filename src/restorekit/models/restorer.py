"""The contract that every restoration network keeps."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from restorekit._check import check_batch
from restorekit.layers import SparseGroupConv2d
from restorekit.models._trace import Trace, trace
from restorekit.models.network import Network


class Restorer(Network, ABC):
    """Base of the networks that map a damaged picture to a restored one.

    A network takes float pictures (N, in_channels, H, W) in [0, 1] of any size from 1 px, pads itself where it must
    and returns exactly ``scale`` times the size. Tiling, evaluation and checkpoints need nothing beyond the attributes
    named here.

    Attributes:
        scales: Enlargement factors that ``forward`` offers, in ascending order.
        size_multiple: Multiple of pixels that the network pads its input to.
        in_channels: Channels of the picture.
        whole_pixels: Pixels from which the network takes a picture in parts by itself; None if it never does.
    """

    whole_pixels: int | None = None

    def __init__(self, scales: Sequence[int], *, size_multiple: int, in_channels: int, config: dict[str, Any]) -> None:
        super().__init__(config)
        self.scales = tuple(sorted(scales))
        self.size_multiple = size_multiple
        self.in_channels = in_channels

    @abstractmethod
    def forward(self, x: Tensor, scale: int | None = None) -> Tensor:
        """Restore pictures; ``scale`` picks the factor of a network that has several."""

    @property
    def scale(self) -> int | None:
        """The enlargement factor; None if the network has several, see ``scales``."""
        return self.scales[0] if len(self.scales) == 1 else None

    @property
    def receptive_radius(self) -> int | None:
        """Input pixels to each side that an output pixel can depend on; None if there is no such limit."""
        if any(isinstance(layer, SparseGroupConv2d) for layer in self.modules()):
            return None  # gates read the whole picture, or windows that lie where its corner is
        return max(self.trace(scale).receptive_radius for scale in self.scales)

    def trace(self, scale: int | None = None) -> Trace:
        """Run on the meta device: convolutions with their resolution, multiply-adds, peak memory."""
        side = 16 * self.size_multiple
        arguments = {"scale": self.pick_scale(scale)}
        return trace(self, in_channels=self.in_channels, side=side, arguments=arguments)

    def unused_parameters(self, scale: int | None = None) -> list[str]:
        """Names of the parameters that ``forward`` leaves out at this scale, in the state the network is in.

        They get no gradient: an optimiser or DDP that expects one for each parameter must be given the others only.
        """
        return []

    def in_parts(self, x: Tensor, scale: int, run: Callable[[Tensor, int], Tensor]) -> Tensor:
        """What ``run`` makes of pictures and a scale, taken whole unless the network takes large pictures in parts."""
        return run(x, scale)

    def pad(self, x: Tensor) -> Tensor:
        """Repeat the last row and column up to a multiple of ``size_multiple``."""
        if self.size_multiple == 1:
            return x
        bottom, right = (-x.shape[-2]) % self.size_multiple, (-x.shape[-1]) % self.size_multiple
        return F.pad(x, (0, right, 0, bottom), mode="replicate")

    def crop(self, out: Tensor, x: Tensor, scale: int = 1) -> Tensor:
        """Cut what ``pad`` added to the picture ``x`` off its result."""
        if self.size_multiple == 1:
            return out
        height, width = x.shape[-2] * scale, x.shape[-1] * scale
        # An exported slice would tie the program to sizes that need padding, or to those that do not.
        if torch.compiler.is_exporting():
            return F.pad(out, (0, width - out.shape[-1], 0, height - out.shape[-2]))
        return out[..., :height, :width]

    def check_input(self, x: Tensor) -> None:
        """Require pictures that the network can take.

        Raises:
            TypeError: ``x`` is no floating-point tensor, or not of the weights' dtype (autocast aside).
            ValueError: A wrong rank, another number of channels, or an empty batch.
        """
        check_batch(x, channels=self.in_channels)
        dtype = next((parameter.dtype for parameter in self.parameters()), x.dtype)
        if x.dtype != dtype and not torch.is_autocast_enabled(x.device.type):
            raise TypeError(f"x must have the dtype of the weights, {dtype}, got {x.dtype}; convert one with .to")

    def pick_scale(self, scale: int | None) -> int:
        """The factor to run: ``scale``, which may be left out if the network has one only.

        Raises:
            ValueError: ``scale`` is not offered, or missing where there is a choice.
        """
        if scale is None and len(self.scales) == 1:
            return self.scales[0]
        if not isinstance(scale, int) or scale not in self.scales:
            known = ", ".join(map(str, self.scales))
            hint = "; models.fold_desubpixel makes it enlarge" if self.config.get("head") == "desubpixel" else ""
            raise ValueError(f"scale must be one of the network's scales ({known}), got {scale!r}{hint}")
        return scale
