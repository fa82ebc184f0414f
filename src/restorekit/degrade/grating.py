"""A sinusoidal wave over the picture, of MDF's comparison of distortions."""

import math

import torch
from torch import Tensor

from restorekit._check import check_batch
from restorekit.degrade._level import finished, per_picture
from restorekit.degrade._pieces import in_pieces


def sinusoidal_grating(
    x: Tensor,
    level: float | Tensor,
    *,
    frequency: float | Tensor = 0.125,
    angle: float | Tensor = 0.0,
    phase: float | Tensor = 0.0,
    clip: bool = True,
) -> Tensor:
    """Add a plane wave: ``x + level * sin(2 pi frequency * (column cos(angle) - row sin(angle)) + phase)``.

    Args:
        x: Pictures (N, C, H, W) in [0, 1]; rows and columns are counted from the top left pixel, 0.
        level: Amplitude, in [0, 1]; this and the following are numbers or one for each picture (N,).
        frequency: Cycles per pixel along the wave, in (0, 0.5].
        angle: Direction in which the wave changes, in radians from the horizontal, counter-clockwise as seen in the
            picture, in [-2 pi, 2 pi]: 0 gives upright stripes.
        phase: Phase at the top left pixel in radians, in [-2 pi, 2 pi]. A phase of 0 at frequency 0.5 and angle 0
            meets the zeros of the sine only.
        clip: Clamp the result to [0, 1].

    Returns:
        Pictures (N, C, H, W) of the dtype of ``x``, with gradients for all arguments.

    Raises:
        TypeError: ``x`` is not a floating-point tensor, or a level no number.
        ValueError: A level is outside its range or has the wrong length.

    Example:
        >>> sinusoidal_grating(torch.full((1, 1, 1, 4), 0.5), 0.5, frequency=0.25).tolist()
        [[[[0.5, 1.0, 0.5, 0.0]]]]

    Source: Mustafa, Mikhailiuk et al., MDF (arXiv:2103.14616), supplement, which gives no parameters: the frequency,
        angle and phase here are ours.
    """
    check_batch(x)
    amplitude = per_picture(level, "level", x, 0, 1)
    exact = x[:, :1, :1, :1].double()  # a frequency rounded to float32 is a period off in 10^7
    cycles = per_picture(frequency, "frequency", exact, 0, 0.5, above=True, unit="cycles per pixel")
    turn = per_picture(angle, "angle", exact, -2 * math.pi, 2 * math.pi, unit="radians")
    start = per_picture(phase, "phase", exact, -2 * math.pi, 2 * math.pi, unit="radians")
    column = torch.arange(x.shape[-1], dtype=torch.float64, device=x.device)
    row = torch.arange(x.shape[-2], dtype=torch.float64, device=x.device)[:, None]
    # sin(a + b) from the sines of one row and one column: H + W of them instead of H * W, in float64.
    along = 2 * math.pi * cycles * turn.cos() * column + start
    down = -2 * math.pi * cycles * turn.sin() * row
    (sin_a, cos_a), (sin_d, cos_d) = _sin_cos(along, amplitude), _sin_cos(down, amplitude)
    return finished(x + amplitude * (sin_a * cos_d + cos_a * sin_d), x, clip)


def _sin_cos(angle: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    return in_pieces(torch.sin, angle).to(like.dtype), in_pieces(torch.cos, angle).to(like.dtype)
