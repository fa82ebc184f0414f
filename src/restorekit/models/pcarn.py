"""PCARN: CARN without a ReLU after its fusions, with a global skip; trained for how its pictures look."""

from collections.abc import Sequence
from os import PathLike
from typing import Unpack

from restorekit.models.carn import CARN, CARNOptions, carn, carn_m


def _as_pcarn(options: CARNOptions) -> CARNOptions:
    return {"fusion_relu": False, "global_skip": True, **options}


def pcarn(
    scale: int | Sequence[int] = 4, *, weights: str | PathLike[str] | None = None, **options: Unpack[CARNOptions]
) -> CARN:
    """Build PCARN: CARN with ``fusion_relu=False`` and ``global_skip=True``.

    Args:
        scale: 2, 3, 4 (also 1 and 8), or several: ``pcarn(scale=(2, 3, 4))`` is the published network.
        weights: Checkpoint file to read into it, see ``load_weights``.
        **options: Any option of ``CARN``.

    Returns:
        The network, in training mode, on the CPU.

    Raises:
        TypeError: An unknown option.
        ValueError: A value that is not offered.

    Example:
        >>> sum(p.numel() for p in pcarn(scale=(2, 3, 4)).parameters() if p.ndim == 4)
        1588608

    Source:
        Ahn's thesis, section 2.3.1 and Tables 2.5 to 2.7, which count convolution weights only.
    """
    return carn(scale, weights=weights, **_as_pcarn(options))


def pcarn_m(
    scale: int | Sequence[int] = 4, *, weights: str | PathLike[str] | None = None, **options: Unpack[CARNOptions]
) -> CARN:
    """Build PCARN-M: CARN-M with ``fusion_relu=False`` and ``global_skip=True``.

    Args:
        scale: 2, 3, 4 (also 1 and 8), or several: ``pcarn_m(scale=(2, 3, 4))`` is the published network.
        weights: Checkpoint file to read into it, see ``load_weights``.
        **options: Any option of ``CARN``.

    Returns:
        The network, in training mode, on the CPU.

    Raises:
        TypeError: An unknown option.
        ValueError: A value that is not offered.

    Example:
        >>> sum(p.numel() for p in pcarn_m(scale=(2, 3, 4)).parameters() if p.ndim == 4)
        412032

    Source:
        Ahn's thesis, sections 2.3.1 and 2.3.3 and Tables 2.5 to 2.7. The published file holds the shared unit of a
        block three times.
    """
    return carn_m(scale, weights=weights, **_as_pcarn(options))
