"""Pointwise changes of brightness and contrast, and the tones of a picture taken in little light."""

from typing import Literal, get_args

import torch
from torch import Tensor

from restorekit._check import check_batch, check_generator
from restorekit._random import normal
from restorekit.degrade._level import finished, per_picture
from restorekit.degrade._pieces import in_pieces, mean_of_each

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
        >>> out = contrast(torch.tensor([[[[0.0, 0.4, 1.0]]]]), 1.5, reading="factor")
        >>> [round(tone, 3) for tone in out.flatten().tolist()]
        [0.0, 0.349, 1.0]

    Source: Ahn's thesis, section 7.3, gives "[25, 40]-levels" and no formula. "level" is the recipe that goes by this
        name for 8-bit pictures, the likelier reading: 25 and 40 give factors 1.215 and 1.368. "percent" is the other.
    """
    check_batch(x)
    if reading not in get_args(Reading):
        raise ValueError(f"reading must be one of {', '.join(get_args(Reading))}, got {reading!r}")
    if centre not in {"grey", "mean"}:
        raise ValueError(f'centre must be "grey" or "mean", got {centre!r}')
    factor = _factor(x, level, reading)
    middle = mean_of_each(x.to(factor.dtype)) if centre == "mean" else 128 / 255
    return finished(middle + factor * (x - middle), x, clip)


def _factor(x: Tensor, level: float | Tensor, reading: Reading) -> Tensor:
    if reading == "factor":
        return per_picture(level, "level", x, 0, 100)
    if reading == "percent":
        return 1 + per_picture(level, "level", x, -100, 1000, unit="percent") / 100
    level = per_picture(level, "level", x, -255, 255, unit="8-bit levels")
    return 259 * (level + 255) / (255 * (259 - level))


def low_light(
    x: Tensor,
    level: float | Tensor,
    *,
    gamma: float | Tensor = 2.0,
    noise: float | Tensor = 0.0,
    clip: bool = True,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Darken, and add the noise that comes with little light: ``(level * x)^gamma + noise * N(0, 1)``.

    Args:
        x: Pictures (N, C, H, W) in [0, 1]; what lies below 0 counts as black.
        level: Share of the light that is left, in (0, 1], usually .3 to .9; this and the following are numbers or one
            for each picture (N,).
        gamma: Exponent, in (0, 10], usually 1.5 to 3.5.
        noise: Standard deviation of white Gaussian noise, in [0, 1].
        clip: Clamp the result to [0, 1].
        generator: Source of the noise, one draw for each element; nothing is drawn for ``noise=0.0``.

    Returns:
        Pictures (N, C, H, W) of the dtype of ``x``, with gradients for ``x`` and all levels.

    Raises:
        TypeError: ``x`` is not a floating-point tensor, a level no number, or ``generator`` no generator.
        ValueError: A level is outside its range or has the wrong length.

    Example:
        >>> low_light(torch.tensor([[[[0.0, 0.5, 1.0]]]]), 0.5).tolist()
        [[[[0.0, 0.0625, 0.25]]]]

    Source: The usual model of the low-light literature; its ranges are this project's.
    """
    check_batch(x)
    check_generator(generator)
    light = per_picture(level, "level", x, 0, 1, above=True, unit="as a share of the light")
    exponent = per_picture(gamma, "gamma", x, 0, 10, above=True)
    sigma = per_picture(noise, "noise", x, 0, 1, unit="of [0, 1] pictures; divide an 8-bit number by 255")
    out = in_pieces(torch.pow, x.clamp(min=0) * light, exponent)
    if isinstance(noise, Tensor) or noise > 0:
        out = out + sigma * normal(x.shape, device=x.device, generator=generator)
    return finished(out, x, clip)
