"""Noise whose amplitude falls as one over the frequency."""

import functools
import math

import numpy as np
import scipy.fft
import torch
from numpy.typing import NDArray
from torch import Tensor

from restorekit._check import check_batch, check_generator, check_integer
from restorekit._random import uniform
from restorekit.degrade._level import finished, per_picture

_FLOOR = 1e-5  # keeps the mean of the field finite


def f_noise(
    x: Tensor,
    level: float | Tensor,
    *,
    reference_size: int | tuple[int, int] | None = None,
    clip: bool = True,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Add 1/f noise: ``x + level * field``, soft clouds that differ from channel to channel.

    The field is the real part of the inverse Fourier transform, 1/(HW) in front, of
    ``(u^2 + v^2 + 1e-5)^(-1/2) * exp(i phase)`` with u, v in cycles per pixel and independent uniform phases. Its
    standard deviation, ``sqrt(sum of squared amplitudes / 2) / (HW)``, falls with the size of the picture, about
    as 4 / sqrt(HW): .0158 at 256 x 256, .0079 at 512 x 512. The same level therefore means less on a larger picture.

    Args:
        x: Pictures (N, C, H, W) in [0, 1].
        level: Scale of the field, in [0, 100]; a number or one for each picture (N,). The papers take 2.5 to 10.
        reference_size: Give each element the standard deviation that it would have in a picture of this size, an
            integer or (height, width), so that a crop is as noisy as the whole picture. None: the picture's own size.
        clip: Clamp the result to [0, 1].
        generator: Source of the phases, one for each element. On a CPU the field is the same for any number of
            threads.

    Returns:
        Pictures (N, C, H, W) of the dtype of ``x``, with gradients for ``x`` and ``level``.

    Raises:
        TypeError: ``x`` is not a floating-point tensor, ``level`` no number, ``reference_size`` no size, or
            ``generator`` no generator.
        ValueError: ``level`` or ``reference_size`` is outside its range, or ``level`` has the wrong length.

    Example:
        >>> crop = torch.full((1, 3, 64, 64), 0.5)
        >>> bool((f_noise(crop, 8) - crop).std() > (f_noise(crop, 8, reference_size=256) - crop).std())
        True

    Source: Ahn's thesis, sections 6.2 (levels 2.5, 5, 10) and 7.3 (6 to 10), which gives no formula; the formula is
        that of the author's public generator of distortions. ``reference_size`` is ours.
    """
    check_batch(x)
    check_generator(generator)
    scale = per_picture(level, "level", x, 0, 100)
    height, width = x.shape[-2:]
    wanted = (height, width) if reference_size is None else _size(reference_size)
    phase = uniform(x.shape, device=x.device if generator is None else generator.device, generator=generator)
    field = _field(phase * (2 * math.pi)).to(x.device)
    if wanted != (height, width):
        field = field * (_deviation(*wanted) / _deviation(height, width))
    return finished(x + scale * field, x, clip)


def _size(size: int | tuple[int, int]) -> tuple[int, int]:
    sizes = size if isinstance(size, tuple) else (size, size)
    if len(sizes) != 2:
        raise ValueError(f"reference_size must be an integer or (height, width), got {size!r}")
    for side in sizes:
        check_integer(side, "reference_size", 1)
    return sizes


def _power(height: int, width: int) -> NDArray[np.float64]:
    """Squared amplitudes of the field (H, W), in the order of the FFT."""
    rows, columns = np.fft.fftfreq(height), np.fft.fftfreq(width)
    return np.asarray(1 / (rows[:, None] ** 2 + columns**2 + _FLOOR))


@functools.lru_cache(maxsize=256)
def _deviation(height: int, width: int) -> float:
    """Standard deviation of an element of the field: random phases leave half of each squared amplitude."""
    return math.sqrt(float(_power(height, width).sum()) / 2) / (height * width)


def _field(phase: Tensor) -> Tensor:
    """Phases (N, C, H, W) to fields; on a CPU through SciPy, picture by picture, which uses one thread."""
    amplitude = np.sqrt(_power(*phase.shape[-2:])).astype(np.float32)
    if phase.device.type != "cpu":
        on_device = torch.from_numpy(amplitude).to(phase.device)
        waves: Tensor = torch.fft.ifft2(torch.polar(on_device.expand_as(phase), phase))
        return waves.real
    field = np.empty(phase.shape, np.float32)
    for out, angle in zip(field, phase.numpy(), strict=True):
        spectrum = np.empty(angle.shape, np.complex64)
        np.multiply(amplitude, np.cos(angle), out=spectrum.real)
        np.multiply(amplitude, np.sin(angle), out=spectrum.imag)
        out[...] = scipy.fft.ifft2(spectrum, workers=1, overwrite_x=True).real
    return torch.from_numpy(field)
