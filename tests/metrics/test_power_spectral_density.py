import math

import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.signal
import torch
from hypothesis import given, settings
from torch.autograd import gradcheck

from restorekit.metrics import power_spectral_density


def seed(number):
    return torch.Generator().manual_seed(number)


def noise(n=2, channels=3, height=8, width=8, number=0):
    return torch.randn(n, channels, height, width, dtype=torch.float64, generator=seed(number))


def ring_of(u, v, bins):
    """The ring, from 1, that a frequency belongs to; None outside."""
    frequency = math.hypot(u, v)
    return None if frequency == 0 or frequency > 0.5 + 1e-9 else max(1, round(frequency * 2 * bins))


def expected(picture, bins, window):
    """One picture (C, H, W), frequency by frequency."""
    _, height, width = picture.shape
    rows, columns = (np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 2 for size in (height, width))
    weight = rows[:, None] * columns if window else np.ones((height, width))
    rings = [[] for _ in range(bins)]
    for u in range(height):
        for v in range(width):
            frequency = (
                ((u + height // 2) % height - height // 2) / height,
                ((v + width // 2) % width - width // 2) / width,
            )
            ring = ring_of(*frequency, bins)
            if ring is None:
                continue
            wave = np.exp(-2j * np.pi * (u * np.arange(height)[:, None] / height + v * np.arange(width) / width))
            centred = [plane - (plane * weight).sum() / weight.sum() for plane in picture]
            power = np.mean([abs((plane * weight * wave).sum()) ** 2 for plane in centred])
            rings[ring - 1].append(power / (weight**2).sum())
    return [np.mean(ring) for ring in rings]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 8), st.integers(1, 8), st.integers(1, 2), st.sampled_from(["hann", None]), st.data())
def test_equals_the_definition_at_any_size(height, width, channels, window, data):
    if height == width == 1:
        height = 2
    x = noise(2, channels, height, width)
    bins = data.draw(st.integers(1, max(height, width) // 2))
    frequencies, density = power_spectral_density(x, bins=bins, window=window)
    assert frequencies.tolist() == pytest.approx([k / (2 * bins) for k in range(1, bins + 1)])
    reference = torch.tensor([expected(picture.numpy(), bins, window) for picture in x])
    torch.testing.assert_close(density, reference, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("width", [16, 30])
def test_a_row_of_pixels_equals_scipys_periodogram(width):
    x = noise(1, 1, 1, width)
    _, density = power_spectral_density(x, bins=width // 2, window=None)
    _, theirs = scipy.signal.periodogram(x[0, 0, 0].numpy(), return_onesided=False)
    np.testing.assert_allclose(density[0].numpy(), theirs[1 : width // 2 + 1], rtol=1e-9)


@pytest.mark.parametrize("size", [(12, 12), (9, 14), (15, 7)])
def test_parseval(size):
    """Without a window, and without the corners, the power of all frequencies is the variance of every pixel."""
    height, width = size
    x = noise(2, 3, *size) + 5
    plane = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    x = torch.fft.ifft2(torch.fft.fft2(x) * torch.from_numpy(plane <= 0.5 + 1e-9)).real
    frequencies, density = power_spectral_density(x, window=None)
    bins = len(frequencies)
    assert bins == min(size) // 2
    rings = [ring_of(u, v, bins) for u in np.fft.fftfreq(height) for v in np.fft.fftfreq(width)]
    counts = torch.tensor([rings.count(k) for k in range(1, bins + 1)])
    total = (density * counts).sum(1) / (height * width)
    torch.testing.assert_close(total, x.var((-2, -1), correction=0).mean(1))


@pytest.mark.parametrize("window", ["hann", None])
@pytest.mark.parametrize("size", [(128, 128), (96, 150)])
def test_white_noise_is_flat_at_its_variance(size, window):
    _, density = power_spectral_density(0.1 * noise(8, 3, *size), window=window)
    # the first rings hold few frequencies; the window puts a little of one into its neighbours
    assert ((density.mean(0)[2:] / 0.01 - 1).abs() < 0.15).all()
    assert density[:, 2:].mean().item() == pytest.approx(0.01, rel=0.02)


@pytest.mark.parametrize("window", ["hann", None])
@pytest.mark.parametrize("power", [1, 2])
def test_the_slope_of_a_field_that_falls_off(window, power):
    """Amplitudes 1 / f^(power / 2) make a periodic field of density 1 / f^power."""
    plane = torch.from_numpy(np.hypot(np.fft.fftfreq(128)[:, None], np.fft.fftfreq(128)))
    plane[0, 0] = 1
    x = torch.fft.ifft2(torch.fft.fft2(noise(4, 3, 128, 128)) / plane ** (power / 2)).real
    frequencies, density = power_spectral_density(x, window=window)
    slope, _ = np.polyfit(frequencies[3:].log().numpy(), density.mean(0)[3:].log().numpy(), 1)
    assert slope == pytest.approx(-power, abs=0.05)


@pytest.mark.parametrize("window", ["hann", None])
@pytest.mark.parametrize(("rows", "columns", "ring"), [(0, 5, 5), (7, 0, 7), (6, 8, 10), (0, 16, 16), (0, 1, 1)])
def test_a_wave_lands_in_its_ring(rows, columns, ring, window):
    y, x = torch.meshgrid(torch.arange(32) / 32, torch.arange(32) / 32, indexing="ij")
    wave = torch.cos(2 * math.pi * (rows * y + columns * x))[None, None].double()
    frequencies, density = power_spectral_density(wave, window=window)
    assert density[0].argmax() == ring - 1
    assert frequencies[ring - 1].item() == pytest.approx(ring / 32)
    if window is None:
        assert density[0, ring - 1] > 1e6 * density[0].sort().values[-2]
    else:
        far = (torch.arange(1, 17) - ring).abs() > 2
        assert density[0, far].max() < 1e-6 * density[0, ring - 1]


def test_the_window_keeps_the_border_out():
    """A ramp is smooth, but its ends do not meet."""
    ramp = torch.linspace(0, 1, 64, dtype=torch.float64).expand(1, 1, 64, 64)
    _, faded = power_spectral_density(ramp)
    _, cut = power_spectral_density(ramp, window=None)
    assert faded[0, -1] < 1e-5 * cut[0, -1]


@pytest.mark.parametrize("window", ["hann", None])
def test_brightness_does_not_count_and_contrast_does_squared(window):
    x = noise()
    density = power_spectral_density(x, window=window)[1]
    torch.testing.assert_close(power_spectral_density(3 * x + 7, window=window)[1], 9 * density)
    flat = torch.full((1, 1, 5, 6), 0.3, dtype=torch.float64)
    assert power_spectral_density(flat, window=window)[1].max() < 1e-28


def test_channels_of_opposite_sign_do_not_cancel():
    grey = noise(1, 1)
    density = power_spectral_density(torch.cat([grey, -grey], 1))[1]
    torch.testing.assert_close(density, power_spectral_density(grey)[1])


def test_pictures_are_measured_one_by_one():
    x = noise(3, 3, 9, 12)
    _, together = power_spectral_density(x)
    assert together.shape == (3, 4)
    alone = torch.cat([power_spectral_density(picture[None])[1] for picture in x])
    torch.testing.assert_close(together, alone)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_dtype(dtype):
    x = torch.rand(2, 3, 12, 10, generator=seed(1)).to(dtype)
    before = x.clone()
    frequencies, density = power_spectral_density(x)
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    assert frequencies.dtype == density.dtype == wide
    assert torch.equal(x, before)
    torch.testing.assert_close(density.double(), power_spectral_density(x.double())[1], rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("window", ["hann", None])
def test_gradient(window):
    x = noise(2, 2, 3, 4).requires_grad_()
    assert gradcheck(lambda x: power_spectral_density(x, window=window)[1], x)


@pytest.mark.parametrize(
    ("x", "options", "error", "match"),
    [
        (torch.zeros(1, 1, 1, 1), {}, ValueError, "at least 2 pixels"),
        (torch.zeros(1, 1, 8, 6), {"bins": 5}, ValueError, "half the longer side, 4, got 5"),
        (torch.zeros(1, 1, 8, 6), {"bins": 0}, ValueError, "bins must be at least 1"),
        (torch.zeros(1, 1, 8, 6), {"bins": 2.0}, TypeError, "bins must be an integer"),
        (torch.zeros(1, 1, 8, 6), {"window": "hamming"}, ValueError, 'window must be "hann" or None'),
        (torch.zeros(1, 8, 6), {}, ValueError, "4 dimensions"),
        (torch.zeros(1, 1, 8, 6, dtype=torch.uint8), {}, TypeError, "floating-point"),
    ],
)
def test_bad_arguments(x, options, error, match):
    with pytest.raises(error, match=match):
        power_spectral_density(x, **options)


def test_the_default_device_does_not_matter():
    x = torch.rand(1, 3, 9, 12)
    expected = power_spectral_density(x)
    with torch.device("meta"):
        found = power_spectral_density(x)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
