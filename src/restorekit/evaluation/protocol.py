"""How a restored picture is compared with the true one."""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from torch import Tensor

from restorekit.image import rgb_to_y


@dataclass(frozen=True)
class Protocol:
    """How a restored picture is compared with the true one; the border crop is ``scale`` pixels in all of them.

    Args:
        name: What results are labelled with.
        quantise: How the model's output becomes 8-bit: "round" to the nearest level or "truncate" to the one below.
        color: "y" compares the BT.601 studio luma (16 to 235, against a peak of 255), "rgb" all three channels.
        round_y: Round the luma to integers too, as MATLAB's ``rgb2ycbcr`` does for 8-bit pictures.

    Raises:
        ValueError: An option has none of its values, or the luma is to be rounded but not compared.

    Example:
        >>> print(Protocol("carn-tables", quantise="truncate", round_y=True))
        carn-tables: output truncated to 8 bits, Y rounded
    """

    name: str
    quantise: Literal["round", "truncate"] = "round"
    color: Literal["y", "rgb"] = "y"
    round_y: bool = False

    def __post_init__(self) -> None:
        if self.quantise not in ("round", "truncate"):
            raise ValueError(f"quantise must be 'round' or 'truncate', got {self.quantise!r}")
        if self.color not in ("y", "rgb"):
            raise ValueError(f"color must be 'y' or 'rgb', got {self.color!r}")
        if self.round_y and self.color != "y":
            raise ValueError("round_y=True needs color='y'")

    def __str__(self) -> str:
        color = f"Y {'rounded' if self.round_y else 'unrounded'}" if self.color == "y" else "RGB"
        return f"{self.name}: output {self.quantise.removesuffix('e')}ed to 8 bits, {color}"

    def prediction(self, x: Tensor) -> Tensor:
        """What of the model's output is compared: 8-bit values or their luma, float64, in units of the peak.

        Args:
            x: Output of the model, (N, 3, H, W), nominally in [0, 1]; what lies outside is clamped.

        Returns:
            (N, 1, H, W) for the luma, (N, 3, H, W) for RGB, on the CPU.
        """
        return self._compared(x, self.quantise)

    def target(self, x: Tensor) -> Tensor:
        """The same of the true picture, which is always rounded.

        Args:
            x: True pictures, (N, 3, H, W), in [0, 1].

        Returns:
            As ``prediction``.
        """
        return self._compared(x, "round")

    def _compared(self, x: Tensor, quantise: Literal["round", "truncate"]) -> Tensor:
        # The product is taken in float32 because there k / 255 * 255 is k exactly, which truncation relies on.
        levels = (x.detach().cpu().float() * 255).clamp(0, 255).double()
        levels = _round(levels) if quantise == "round" else levels.floor()
        if self.color == "rgb":
            return levels / 255
        luma = rgb_to_y(levels / 255)
        return _round(luma * 255) / 255 if self.round_y else luma


def _round(levels: Tensor) -> Tensor:
    """To the nearest integer, half up as in MATLAB; torch rounds half to even."""
    return (levels + 0.5).floor()


PROTOCOLS = MappingProxyType(
    {protocol.name: protocol for protocol in (Protocol("sr-y"), Protocol("sr-y-matlab", round_y=True))}
)


def find_protocol(protocol: str | Protocol) -> Protocol:
    """The protocol of that name, or the protocol itself."""
    if isinstance(protocol, Protocol):
        return protocol
    if protocol not in PROTOCOLS:
        raise ValueError(f"unknown protocol {protocol!r}; known: {', '.join(PROTOCOLS)}")
    return PROTOCOLS[protocol]
