"""Checks of the constructor arguments that several networks share."""

from collections.abc import Mapping, Sequence
from typing import Any

from restorekit._check import check_mean
from restorekit.layers import DIV2K_MEAN

SCALES = (1, 2, 3, 4, 8)
HEADS = ("conv", "desubpixel")


def check_scale(scale: int, offered: Sequence[int] = SCALES) -> None:
    """Require an enlargement factor that the network offers; 1 means none."""
    if not _is_scale(scale) or scale not in offered:
        raise ValueError(f"scale must be one of {', '.join(map(str, offered))}, got {scale!r}")


def check_scales(scale: int | Sequence[int]) -> list[int]:
    """The enlargement factors of a network that may hold several."""
    factors = list(scale) if isinstance(scale, Sequence) and not isinstance(scale, str) else [scale]
    if not all(_is_scale(factor) for factor in factors):
        raise ValueError(f"scale must be one of {', '.join(map(str, SCALES))} or several of them, got {scale!r}")
    if not factors or len(set(factors)) < len(factors):
        raise ValueError(f"scale must name at least one factor and none twice, got {scale!r}")
    return factors


def check_flags(config: Mapping[str, Any], *names: str) -> None:
    """Require that these arguments are True or False: any text would count as True."""
    for name in names:
        if not isinstance(config[name], bool):
            raise TypeError(f"{name} must be True or False, got {config[name]!r}")


def check_head(head: str, factors: Sequence[int]) -> int:
    """The factor that the head folds an already enlarged picture by: 1 unless it is a desubpixel head."""
    if head not in HEADS:
        raise ValueError(f"head must be one of {', '.join(HEADS)}, got {head!r}")
    if head == "conv":
        return 1
    if len(factors) > 1:
        raise ValueError(f"head='desubpixel' takes a single scale, got {tuple(factors)!r}")
    return factors[0]


def mean_for(mean: Sequence[float] | None, in_channels: int) -> tuple[float, ...]:
    """The mean colour that is meant: None is DIV2K's for colour pictures and nothing for others."""
    if mean is None:
        return DIV2K_MEAN if in_channels == len(DIV2K_MEAN) else (0.0,) * in_channels
    check_mean(mean, in_channels)
    return tuple(map(float, mean))


def _is_scale(factor: object) -> bool:
    return isinstance(factor, int) and not isinstance(factor, bool) and factor in SCALES
