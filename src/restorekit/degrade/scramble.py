"""Scrambling: the energy of every band stays, what the bands show does not."""

import torch
from torch import Tensor

from restorekit._check import check_batch, check_generator
from restorekit._random import uniform
from restorekit.image import collapse_pyramid, laplacian_pyramid


def scramble(x: Tensor, *, levels: int | None = None, generator: torch.Generator | None = None) -> Tensor:
    """Shuffle the pixels of each level of the Laplacian pyramid, and put the levels together again.

    Every picture and level has a permutation of its own, which all channels share. Each band keeps its values and so
    its mean and energy; their order, and with it everything that the picture shows, is lost.

    Args:
        x: Pictures (N, C, H, W), any size of at least 1 px; float16 and bfloat16 are computed in float32.
        levels: How many times the picture is halved, at least 0, which shuffles the pixels themselves; None: until its
            shorter side is below 8 pixels. The smallest picture is shuffled, too.
        generator: Source of the draws.

    Returns:
        Pictures (N, C, H, W) of the dtype of ``x``. They may leave [0, 1]; clamping them changes the bands.

    Raises:
        TypeError: ``x`` is not a real floating-point tensor, ``levels`` not an integer, or ``generator`` no generator.
        ValueError: ``x`` has another rank or is empty, or ``levels`` is below 0.

    Example:
        >>> ramp = torch.arange(6.0).view(1, 1, 2, 3)
        >>> sorted(scramble(ramp, levels=0).flatten().tolist())
        [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]

    Source: the supplement of "Multi-scale discriminative feature loss" (MDF), which permutes the pixels "on each level
        of the Laplacian pyramid". How many levels there are, that channels share a permutation, and that the smallest
        picture takes part, is not said there.
    """
    check_batch(x)
    check_generator(generator)
    work = x.to(torch.promote_types(x.dtype, torch.float32))
    bands = [_shuffled(band, generator) for band in laplacian_pyramid(work, levels)]
    return collapse_pyramid(bands).to(x.dtype)


def _shuffled(band: Tensor, generator: torch.Generator | None) -> Tensor:
    n, channels, height, width = band.shape
    keys = uniform((n, height * width), device=band.device, generator=generator)
    order = keys.argsort(dim=1, stable=True)  # keys may be equal: float32 has 2^24 of them
    return band.flatten(2).gather(2, order.unsqueeze(1).expand(n, channels, -1)).view(band.shape)
