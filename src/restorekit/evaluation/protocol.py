"""How a restored picture is compared with the true one."""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from torch import Tensor

from restorekit._check import check_integer
from restorekit.image import rgb_to_y

EQUAL_SIZE_BORDER = 4
"""Pixels left out on every side where nothing is enlarged: denoising and JPEG, as in the published CutBlur code."""


@dataclass(frozen=True)
class Protocol:
    """How a restored picture is compared with the true one.

    Those of ``PROTOCOLS``:

    - "sr-y": output rounded to 8 bits, luma unrounded; most Python code for super-resolution.
    - "sr-y-matlab": luma rounded, too; tables made with MATLAB from rounded pictures.
    - "sr-y-truncated": output truncated to 8 bits, luma rounded; the tables of CARN, PCARN and progressive CARN.
    - "rgb": output rounded, all three channels; colour denoising, and super-resolution of the NTIRE challenges.
    - "jpeg-y": output and luma rounded, 4 pixels of border left out; JPEG artefact removal as in CutBlur's code.

    Args:
        name: What results are labelled with.
        quantise: How the model's output becomes 8-bit: "round" to the nearest level or "truncate" to the one below.
        color: "y" compares the BT.601 studio luma (16 to 235, against a peak of 255), "rgb" all three channels.
        round_y: Round the luma to integers too, as MATLAB's ``rgb2ycbcr`` does for 8-bit pictures.
        crop_border: Pixels left out on every side. None: ``scale`` where pictures are enlarged, and 4 where they keep
            their size, as CutBlur's code does; much other work on denoising leaves nothing out: 0.

    Raises:
        TypeError: ``crop_border`` is neither an integer nor None.
        ValueError: An option has none of its values, or the luma is to be rounded but not compared.

    Example:
        >>> print(Protocol("carn-tables", quantise="truncate", round_y=True))
        carn-tables: output truncated to 8 bits, Y rounded
    """

    name: str
    quantise: Literal["round", "truncate"] = "round"
    color: Literal["y", "rgb"] = "y"
    round_y: bool = False
    crop_border: int | None = None

    def __post_init__(self) -> None:
        if self.quantise not in ("round", "truncate"):
            raise ValueError(f"quantise must be 'round' or 'truncate', got {self.quantise!r}")
        if self.color not in ("y", "rgb"):
            raise ValueError(f"color must be 'y' or 'rgb', got {self.color!r}")
        if self.round_y and self.color != "y":
            raise ValueError("round_y=True needs color='y'")
        if self.crop_border is not None:
            check_integer(self.crop_border, "crop_border", 0)

    def __str__(self) -> str:
        color = f"Y {'rounded' if self.round_y else 'unrounded'}" if self.color == "y" else "RGB"
        return f"{self.name}: output {self.quantise.removesuffix('e')}ed to 8 bits, {color}"

    def border(self, scale: int) -> int:
        """Pixels left out on every side of a picture that was enlarged ``scale`` times."""
        if self.crop_border is not None:
            return self.crop_border
        return scale if scale > 1 else EQUAL_SIZE_BORDER

    def picture(self, x: Tensor) -> Tensor:
        """The model's output as an 8-bit picture, before any luma is taken.

        Args:
            x: Output of the model, (N, 3, H, W), nominally in [0, 1]; what lies outside is clamped.

        Returns:
            (N, 3, H, W), multiples of 1/255 in [0, 1], float64, on the CPU.
        """
        return _levels(x, self.quantise) / 255

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
        picture = _levels(x, quantise) / 255
        if self.color == "rgb":
            return picture
        luma = rgb_to_y(picture)
        return _round(luma * 255) / 255 if self.round_y else luma


def _levels(x: Tensor, quantise: Literal["round", "truncate"]) -> Tensor:
    # The product is taken in float32 because there k / 255 * 255 is k exactly, which truncation relies on.
    levels = (x.detach().cpu().float() * 255).clamp(0, 255).double()
    return _round(levels) if quantise == "round" else levels.floor()


def _round(levels: Tensor) -> Tensor:
    """To the nearest integer, half up as in MATLAB; torch rounds half to even."""
    return (levels + 0.5).floor()


_NAMED = (
    Protocol("sr-y"),
    Protocol("sr-y-matlab", round_y=True),
    Protocol("sr-y-truncated", quantise="truncate", round_y=True),
    Protocol("rgb", color="rgb"),
    Protocol("jpeg-y", round_y=True, crop_border=EQUAL_SIZE_BORDER),
)
PROTOCOLS = MappingProxyType({protocol.name: protocol for protocol in _NAMED})


def find_protocol(protocol: str | Protocol) -> Protocol:
    """The protocol of that name, or the protocol itself."""
    if isinstance(protocol, Protocol):
        return protocol
    if protocol not in PROTOCOLS:
        raise ValueError(f"unknown protocol {protocol!r}; known: {', '.join(PROTOCOLS)}")
    return PROTOCOLS[protocol]
