"""The base of the networks that enlarge their picture first and work at full size."""

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor

from restorekit._check import check_integer
from restorekit.layers import BicubicUpsampler
from restorekit.models._arguments import check_scale
from restorekit.models.restorer import Restorer

_KERNEL_REACH = 2  # low-resolution pixels that the cubic kernel adds to each side


class EnlargedRestorer(Restorer, ABC):
    """Base of SRCNN, VDSR and ZSSR: bicubic enlargement, then convolutions at the full size.

    The weights do not depend on the factor. With ``scale=1`` the network takes a picture that is enlarged already, as
    the authors' code does.

    Args:
        scale: Enlargement factor 1, 2, 3, 4 or 8.
        in_channels: Channels of the picture, at least 1.
        config: The constructor's arguments.

    Raises:
        TypeError: ``in_channels`` is no integer.
        ValueError: A scale that is not offered, or ``in_channels`` below 1.
    """

    def __init__(self, scale: int, *, in_channels: int, config: dict[str, Any]) -> None:
        check_scale(scale)
        check_integer(in_channels, "in_channels", 1)
        super().__init__([scale], size_multiple=1, in_channels=in_channels, config=config)
        self.enlarge = BicubicUpsampler(scale)

    def forward(self, x: Tensor, scale: int | None = None) -> Tensor:
        """Enlarge pictures (N, in_channels, H, W) in [0, 1] to (N, in_channels, scale * H, scale * W).

        Args:
            x: Pictures of at least 1x1 px.
            scale: The network's factor, which may be left out.

        Returns:
            Restored pictures, not clamped.

        Raises:
            TypeError: ``x`` is no floating-point tensor of the weights' dtype.
            ValueError: A wrong shape, or another scale.
        """
        self.check_input(x)
        self.pick_scale(scale)
        return self.refine(self.enlarge(x))

    @abstractmethod
    def refine(self, enlarged: Tensor) -> Tensor:
        """Restore pictures of full size; the result has the same shape."""

    @property
    def receptive_radius(self) -> int | None:
        """Input pixels to each side that an output pixel can depend on; None if there is no such limit."""
        radius = super().receptive_radius
        return None if radius is None else radius + (_KERNEL_REACH if self.scales[0] > 1 else 0)
