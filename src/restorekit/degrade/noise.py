"""Noise of sensors and transmission: Gaussian, of photons, and of dead and hot elements."""

import torch
from torch import Tensor

from restorekit._check import check_batch, check_generator
from restorekit._random import normal, uniform
from restorekit.degrade._level import finished, per_picture

_SIGMA = "of [0, 1] pictures; divide a paper's 8-bit number by 255 (a variance by 255^2)"


def gaussian_noise(
    x: Tensor,
    level: float | Tensor,
    *,
    variance: bool = False,
    grey: bool = False,
    clip: bool = True,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Add white Gaussian noise: ``x + sigma * N(0, 1)``, independent for every element.

    Args:
        x: Pictures (N, C, H, W) in [0, 1].
        level: Standard deviation sigma, in [0, 1]; a number or one for each picture (N,).
        variance: Read ``level`` as the variance, sigma^2, instead.
        grey: One value for all channels of a pixel.
        clip: Clamp the result to [0, 1].
        generator: Source of the draws, N * C * H * W of them, or N * H * W for ``grey``, whatever the level.

    Returns:
        Pictures (N, C, H, W) of the dtype of ``x``, with gradients for ``x`` and ``level`` (infinite at variance 0).

    Raises:
        TypeError: ``x`` is not a floating-point tensor, ``level`` no number, or ``generator`` no generator.
        ValueError: ``level`` is outside its range or has the wrong length.

    Example:
        >>> noisy = gaussian_noise(torch.full((1, 3, 64, 64), 0.5), 25 / 255)
        >>> 0.09 < noisy.std() < 0.11
        tensor(True)
    """
    check_batch(x)
    check_generator(generator)
    sigma = per_picture(level, "level", x, 0, 1, unit=_SIGMA)
    sigma = sigma.sqrt() if variance else sigma
    n, channels, height, width = x.shape
    field = normal((n, 1 if grey else channels, height, width), device=x.device, generator=generator)
    return finished(x + sigma * field, x, clip)


def poisson_noise(
    x: Tensor,
    level: float | Tensor,
    *,
    grey: bool = False,
    clip: bool = True,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Count photons: ``Poisson(level * x) / level``, whose variance is ``x / level``.

    Args:
        x: Pictures (N, C, H, W) in [0, 1]; what lies below 0 is passed on without noise.
        level: Photons expected at white, in (0, 1e6]; a number or one for each picture (N,). Less light, more noise.
        grey: Count at the mean of the channels and add the same error to all of them.
        clip: Clamp the result to [0, 1].
        generator: Source of the draws.

    Returns:
        Pictures (N, C, H, W) of the dtype of ``x``. For gradients the error is a constant that was added: 1 for ``x``
        (which is the gradient of the expected picture), none for ``level``.

    Raises:
        TypeError: ``x`` is not a floating-point tensor, ``level`` no number, or ``generator`` no generator.
        ValueError: ``level`` is outside its range or has the wrong length.

    Example:
        >>> counts = 4 * poisson_noise(torch.full((1, 1, 2, 2), 0.5), 4, clip=False)
        >>> torch.equal(counts, counts.round())
        True

    Source: The one field for all channels is an option of Real-ESRGAN (arXiv:2107.10833), which counts at the luma
        of an RGB picture; here it is the plain mean, for any number of channels.
    """
    check_batch(x)
    check_generator(generator)
    photons = per_picture(level, "level", x, 0, 1e6, above=True, unit="photons at white")
    work = x.to(photons.dtype)
    with torch.no_grad():
        # Where it is drawn, from the pixels on: how many numbers a draw takes depends on the last bit of its rate.
        light, scale = (part if generator is None else part.to(generator.device) for part in (work, photons))
        rate = (_mean_of_channels(light) if grey else light).clamp(min=0) * scale
        error = (torch.poisson(rate, generator=generator) - rate) / scale
    return finished(work + error.to(x.device), x, clip)


def _mean_of_channels(x: Tensor) -> Tensor:
    """(N, 1, H, W), added up channel by channel, an order that no number of threads changes."""
    total = x[:, :1]
    for i in range(1, x.shape[1]):
        total = total + x[:, i : i + 1]
    return total / x.shape[1]


def salt_and_pepper(x: Tensor, level: float | Tensor, *, generator: torch.Generator | None = None) -> Tensor:
    """Replace a share of the elements by 0 or 1, with equal chances.

    Args:
        x: Pictures (N, C, H, W) in [0, 1].
        level: Probability that an element (one channel of one pixel) is replaced, in [0, 1]; a number or one for each
            picture (N,).
        generator: Source of the draws, one for each element, whatever the level.

    Returns:
        Pictures (N, C, H, W) of the dtype of ``x``. The gradient is 1 where an element was kept and 0 where it was
        replaced; there is none for ``level``.

    Raises:
        TypeError: ``x`` is not a floating-point tensor, ``level`` no number, or ``generator`` no generator.
        ValueError: ``level`` is outside its range or has the wrong length.

    Example:
        >>> sorted(set(salt_and_pepper(torch.full((1, 1, 32, 32), 0.5), 0.2).flatten().tolist()))
        [0.0, 0.5, 1.0]

    Source: Ahn's thesis, section 6.2: amounts .0125, .025 and .05, element by element and half of each kind in the
        author's generator of distortions.
    """
    check_batch(x)
    check_generator(generator)
    share = per_picture(level, "level", x, 0, 1, unit="as a share of the elements").detach()
    draw = uniform(x.shape, device=x.device, generator=generator)
    value = (draw >= share / 2).to(x.dtype)
    return torch.where(draw < share, value, x)
