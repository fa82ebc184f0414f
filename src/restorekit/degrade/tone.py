"""Pointwise changes of brightness and contrast."""

from typing import Literal, get_args

from torch import Tensor

from restorekit._check import check_batch
from restorekit.degrade._level import finished, per_picture

Reading = Literal["level", "percent", "factor"]


def brightness(x: Tensor, level: float | Tensor, *, clip: bool = True) -> Tensor:
    """Add a constant: ``x + level``.

    Args:
        x: Pictures (N, C, H, W) in [0, 1].
        level: What is added, in [-1, 1]; a number or one for each picture (N,).
        clip: Clamp the result to [0, 1].

    Returns:
        Pictures (N, C, H, W) of the dtype of ``x``.

    Raises:
        TypeError: ``x`` is not a floating-point tensor, or ``level`` no number.
        ValueError: ``level`` is outside its range or has the wrong length.

    Example:
        >>> import torch
        >>> brightness(torch.tensor([[[[0.25, 0.75]]]]), 0.5).tolist()
        [[[[0.75, 1.0]]]]
    """
    check_batch(x)
    return finished(x + per_picture(level, "level", x, -1, 1), x, clip)


def contrast(
    x: Tensor,
    level: float | Tensor,
    *,
    reading: Reading = "level",
    centre: Literal["grey", "mean"] = "grey",
    clip: bool = True,
) -> Tensor:
    """Stretch or squeeze the tones about a centre: ``centre + factor * (x - centre)``.

    Args:
        x: Pictures (N, C, H, W) in [0, 1].
        level: How much; a number or one for each picture (N,).
        reading: What ``level`` means: "level", in [-255, 255], with
            ``factor = 259 (level + 255) / (255 (259 - level))``; "percent", in [-100, 1000], with
            ``factor = 1 + level / 100``; or the "factor" itself, in [0, 100].
        centre: The tone that stays: "grey", 128/255, or "mean", that of each picture over all its channels.
        clip: Clamp the result to [0, 1].

    Returns:
        Pictures (N, C, H, W) of the dtype of ``x``.

    Raises:
        TypeError: ``x`` is not a floating-point tensor, or ``level`` no number.
        ValueError: ``level`` is outside its range or has the wrong length, or a name is unknown.

    Example:
        >>> import torch
        >>> contrast(torch.tensor([[[[0.0, 0.4, 1.0]]]]), 1.5, reading="factor").round(decimals=3).tolist()
        [[[[0.0, 0.349, 1.0]]]]

    Source: Ahn's thesis, section 7.3, gives "[25, 40]-levels" and no formula. "level" is the recipe that goes by this
        name for 8-bit pictures, the likelier reading: 25 and 40 give factors 1.215 and 1.368. "percent" is the other.
    """
    check_batch(x)
    if reading not in get_args(Reading):
        raise ValueError(f"reading must be one of {', '.join(get_args(Reading))}, got {reading!r}")
    if centre not in {"grey", "mean"}:
        raise ValueError(f'centre must be "grey" or "mean", got {centre!r}')
    factor = _factor(x, level, reading)
    middle = x.to(factor.dtype).mean((1, 2, 3), keepdim=True) if centre == "mean" else 128 / 255
    return finished(middle + factor * (x - middle), x, clip)


def _factor(x: Tensor, level: float | Tensor, reading: Reading) -> Tensor:
    if reading == "factor":
        return per_picture(level, "level", x, 0, 100)
    if reading == "percent":
        return 1 + per_picture(level, "level", x, -100, 1000, unit="percent") / 100
    level = per_picture(level, "level", x, -255, 255, unit="8-bit levels")
    return 259 * (level + 255) / (255 * (259 - level))
