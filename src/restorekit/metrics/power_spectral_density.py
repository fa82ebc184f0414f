"""How the contrast of a picture is spread over the spatial frequencies."""

import math
from typing import Literal

import torch
from torch import Tensor

from restorekit._check import check_batch, check_integer


def power_spectral_density(
    x: Tensor, *, bins: int | None = None, window: Literal["hann"] | None = "hann"
) -> tuple[Tensor, Tensor]:
    """Power spectral density of each picture, averaged over rings of equal frequency.

        density(u, v) = |DFT(w (x - m))(u, v)|^2 / sum(w^2)

    with the window w and the mean m of each channel (weighted by w), so that frequency 0 is empty and left out. The
    density is averaged over the channels, whose power is added up whether or not their signs agree, and over rings of
    frequencies at ``k / (2 bins)`` cycles per pixel, k = 1..bins, give or take half a step; the first takes all lower
    ones, too. Frequencies above 0.5, in the corners of the plane, are left out. White noise of variance v has the
    density v everywhere (with the window a quarter less in the first ring, as the mean is taken out);
    without a window, the density summed over the whole plane is H W times the variance.

    Args:
        x: Pictures (N, C, H, W), any size of at least 2 px along one side; float16 and bfloat16 are computed in
            float32.
        bins: Number of rings, 1 to half the longer side; None: half the shorter side, and at least 1.
        window: "hann" fades the picture out towards its border. None does not: then the jumps between opposite edges,
            which the transform takes for neighbours, add power at all frequencies, more than photographs have at high
            ones.

    Returns:
        Frequencies (bins,) in cycles per pixel, rising up to 0.5, and densities (N, bins), one row per picture, in
        squared pixel values per squared cycle per pixel.

    Raises:
        TypeError: ``x`` is no real floating-point tensor, or ``bins`` no integer.
        ValueError: ``x`` has another rank, is empty or of one pixel, ``bins`` is out of range or ``window`` is unknown.

    Example:
        >>> stripes = torch.tensor([1.0, 0.0]).repeat(1, 1, 8, 4)
        >>> frequencies, density = power_spectral_density(stripes, window=None)
        >>> frequencies[density[0].argmax()].item()
        0.5

    Source: the periodogram with a window of Hann, sampled half a pixel off its ends, so that no pixel gets the weight
        0. Ahn's thesis draws such curves in Figures 4.3 and 4.4 and says nothing about windows, rings or colour.
    """
    check_batch(x)
    height, width = x.shape[-2:]
    if window not in {"hann", None}:
        raise ValueError(f'window must be "hann" or None, got {window!r}')
    if max(height, width) < 2:
        raise ValueError("power_spectral_density needs at least 2 pixels along one side, got 1x1")
    bins = max(1, min(height, width) // 2) if bins is None else bins
    check_integer(bins, "bins", 1)
    if bins > max(height, width) // 2:
        raise ValueError(f"bins must be at most half the longer side, {max(height, width) // 2}, got {bins}")
    work = x.to(torch.promote_types(x.dtype, torch.float32))
    frequencies = torch.arange(1, bins + 1, dtype=torch.float64, device="cpu") / (2 * bins)
    return frequencies.to(work), _ring_means(_periodogram(work, window == "hann"), bins)


def _periodogram(x: Tensor, faded: bool) -> Tensor:
    """(N, H, W), the mean over channels."""
    height, width = x.shape[-2:]
    weight = (_hann(height)[:, None] * _hann(width)).to(x) if faded else x.new_ones(height, width)
    centred = x - (x * weight).sum((-2, -1), keepdim=True) / weight.sum()
    spectrum: Tensor = torch.fft.fft2(centred * weight)
    return (spectrum.real.square() + spectrum.imag.square()).mean(1) / weight.square().sum()


def _hann(size: int) -> Tensor:
    place = torch.arange(size, dtype=torch.float64, device="cpu") + 0.5
    return 0.5 - 0.5 * torch.cos(2 * math.pi / size * place)


def _ring_means(power: Tensor, bins: int) -> Tensor:
    """Means (N, bins) of a plane (N, H, W) over rings of frequencies up to 0.5."""
    rows, columns = (torch.fft.fftfreq(size, dtype=torch.float64, device="cpu") for size in power.shape[-2:])
    frequency = (rows[:, None].square() + columns.square()).sqrt().flatten()
    ring = (frequency * 2 * bins).round().clamp(min=1).long()
    # Slot 0 takes what is left out. The small excess keeps 0.5 itself, however its root was rounded.
    ring = torch.where((frequency == 0) | (frequency > 0.5 + 1e-9), 0, ring)
    count = ring.bincount(minlength=bins + 1).to(power)
    sums = power.new_zeros(power.shape[0], bins + 1).index_add(1, ring.to(power.device), power.flatten(1))
    return (sums / count)[:, 1:]
