"""Rain and haze in front of a scene, by the simple physics of streaks and of scattered light."""

import math

import torch
from torch import Tensor

from restorekit._check import check_batch, check_generator, check_interval
from restorekit._random import uniform
from restorekit.degrade._level import finished, per_picture
from restorekit.degrade.blur import motion_blur
from restorekit.image import resize

_FAR = 10.0  # depth of the farthest place that is drawn: beta = 0.2 leaves exp(-2) of its light
_GRID = 5  # a side of the coarse noise that makes a drawn depth uneven


def rain(
    x: Tensor,
    level: float | Tensor,
    *,
    length: float | Tensor = 20.0,
    angle: float | Tensor = 0.0,
    density: float = 0.01,
    screen: bool = False,
    clip: bool = True,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Add streaks of rain: ``x + level * R``, or with ``screen`` the part of it that white leaves room for.

    ``R`` (N, 1, H, W) in [0, 1] is the same for all channels: drops lie at a share ``density`` of the pixels, with a
    brightness of U(0, 1), and are drawn out to lines; where lines cross they add up to 1 at most.

    Args:
        x: Pictures (N, C, H, W) in [0, 1].
        level: Gain of the streaks, in [0, 1]; a number or one for each picture (N,).
        length: Of a streak in pixels, in [1, 255]; a number or one for each picture (N,).
        angle: Of the streaks in radians, from the vertical, counter-clockwise as seen in the picture, in [-pi/2, pi/2];
            a number or one for each picture (N,).
        density: Share of the pixels that start a streak, in [0, 1].
        screen: Combine as ``1 - (1 - x) (1 - level * R)``, which never leaves [0, 1].
        clip: Clamp the result to [0, 1].
        generator: Source of the draws.

    Returns:
        Pictures (N, C, H, W) of the dtype of ``x``.

    Raises:
        TypeError: ``x`` is not a floating-point tensor, or another argument is not what its name says.
        ValueError: A number is outside its range or has the wrong length.

    Example:
        >>> wet = rain(torch.zeros(1, 3, 32, 32), 0.4, generator=torch.Generator().manual_seed(0))
        >>> bool(wet.max() > 0.05), bool(wet.max() <= 0.4)
        (True, True)

    Source: The additive and the screen model of the deraining literature; how streaks are drawn is this project's.
    """
    check_batch(x)
    check_interval(density, "density", 0, 1)
    check_generator(generator)
    gain = per_picture(level, "level", x, 0, 1)
    lengths = per_picture(length, "length", x, 1, 255, unit="px")
    turn = per_picture(angle, "angle", x, -math.pi / 2, math.pi / 2, unit="radians")
    draws = uniform((x.shape[0], 1, *x.shape[-2:]), device=x.device, generator=generator).to(gain.dtype)
    # What exceeds the threshold, stretched to U(0, 1): whether there is a drop and how bright it is in one draw.
    drops = (draws - (1 - density)).clamp(min=0) / max(density, 1e-6)
    streaks = motion_blur(drops, lengths.flatten(), angle=turn.flatten() + math.pi / 2, border="circular")
    layer = gain * (streaks * lengths).clamp(max=1)
    return finished(x + layer * (1 - x) if screen else x + layer, x, clip)


def haze(
    x: Tensor,
    level: float | Tensor,
    *,
    airlight: float | Tensor = 0.9,
    depth: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Veil the picture with depth: ``x t + airlight (1 - t)`` with ``t = exp(-level * depth)``.

    Args:
        x: Pictures (N, C, H, W) in [0, 1].
        level: Scattering coefficient per unit of depth, in [0, 10]; a number or one for each picture (N,).
        airlight: Brightness of the air, in [0, 1]; a number or one for each picture (N,).
        depth: Distance (N, 1, H, W), or (1, 1, H, W) for all, at least 0, in any unit. None draws one in [0, 10], near
            at the bottom, far at the top and uneven in between, for which a ``level`` of 0.04 to 0.2 is light to dense.
        generator: Source of a drawn depth.

    Returns:
        Pictures (N, C, H, W) of the dtype of ``x``.

    Raises:
        TypeError: ``x`` or ``depth`` is not a floating-point tensor, or another argument is not what its name says.
        ValueError: A number is outside its range or has the wrong length, or ``depth`` has the wrong shape.

    Example:
        >>> haze(torch.zeros(1, 1, 1, 2), 1.0, airlight=1.0, depth=torch.tensor([[[[0.0, 100.0]]]])).tolist()
        [[[[0.0, 1.0]]]]

    Source: The model of scattering of the dehazing literature; ``level`` and ``airlight`` in the sense of the outdoor
        training set of RESIDE (0.04 to 0.2 and 0.8 to 1.0). The drawn depth is this project's.
    """
    check_batch(x)
    check_generator(generator)
    beta = per_picture(level, "level", x, 0, 10)
    air = per_picture(airlight, "airlight", x, 0, 1)
    far = _drawn_depth(x, generator) if depth is None else _given_depth(depth, x)
    veil = -torch.expm1(-beta * far.to(beta.dtype))
    return finished(x + veil * (air - x), x, clip=False)


def _given_depth(depth: Tensor, x: Tensor) -> Tensor:
    check_batch(depth, "depth", channels=1)
    if depth.shape[-2:] != x.shape[-2:] or depth.shape[0] not in {1, x.shape[0]}:
        raise ValueError(
            f"depth must be (N, 1, H, W) with the size of x, {tuple(x.shape)}, got shape {tuple(depth.shape)}"
        )
    if depth.device != x.device:
        raise ValueError(f"depth must be on the device of x, {x.device}, got {depth.device}")
    return depth


def _drawn_depth(x: Tensor, generator: torch.Generator | None) -> Tensor:
    n, _, height, width = x.shape
    coarse = uniform((n, 1, _GRID, _GRID), device=x.device, generator=generator)
    uneven = torch.cat([resize(picture, size=(height, width)) for picture in coarse.unsqueeze(1)]).clamp(0, 1)
    # From the top downwards, at the centres of the rows.
    ramp = 1 - (torch.arange(height, device=x.device) + 0.5) / height
    return _FAR * (0.7 * ramp[:, None] + 0.3 * uneven)
