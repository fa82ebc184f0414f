import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck

from restorekit.degrade import f_noise
from restorekit.degrade.f_noise import _deviation


def seed(number):
    return torch.Generator().manual_seed(number)


def field(height, width, n=1, channels=3, number=1, **options):
    x = torch.zeros(n, channels, height, width)
    return f_noise(x, 1.0, clip=False, generator=seed(number), **options)


def test_by_the_formula():
    """The inverse transform written out as a sum of waves."""
    height, width = 3, 4
    phase = torch.rand(1, 2, height, width, generator=seed(1)).double().numpy() * 2 * np.pi
    rows, columns = np.arange(height), np.arange(width)
    expected = np.zeros((1, 2, height, width))
    for j, u in enumerate([0, 1 / 3, -1 / 3]):
        for k, v in enumerate([0, 1 / 4, -1 / 2, -1 / 4]):
            amplitude = (u * u + v * v + 1e-5) ** -0.5
            wave = 2 * np.pi * (u * rows[:, None] + v * columns)
            expected += amplitude * np.cos(wave + phase[..., j, k, None, None]) / (height * width)
    ours = f_noise(torch.zeros(1, 2, height, width), 1.0, clip=False, generator=seed(1))
    np.testing.assert_allclose(ours.numpy(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("side", "published"), [(256, 0.0158), (300, 0.0135), (512, 0.0079)])
def test_strength_falls_with_the_size(side, published):
    """The mean of the field is drawn too, so its square is averaged over several fields."""
    strength = field(side, side, channels=12).square().mean().sqrt().item()
    assert strength == pytest.approx(published, rel=0.03)
    assert _deviation(side, side) == pytest.approx(published, abs=1e-4)


@pytest.mark.parametrize(("reference", "published"), [(256, 0.0158), ((300, 300), 0.0135), ((1356, 2040), 0.0024)])
def test_reference_size_gives_the_strength_of_that_size(reference, published):
    for height, width in ((64, 64), (96, 40)):
        strength = field(height, width, channels=150, reference_size=reference).square().mean().sqrt().item()
        assert strength == pytest.approx(published, rel=0.05)


def test_reference_size_only_scales_and_the_own_size_is_the_default():
    small, scaled = field(40, 56), field(40, 56, reference_size=80)
    torch.testing.assert_close(scaled / small, (scaled / small).mean().expand_as(small))
    assert torch.equal(field(40, 56, reference_size=(40, 56)), small)


def test_amplitude_falls_as_one_over_the_frequency():
    spectrum = torch.fft.rfft2(field(128, 128, channels=24)).abs().square().mean((0, 1))
    u, v = torch.fft.fftfreq(128)[:, None], torch.fft.rfftfreq(128)
    radius = (u**2 + v**2).sqrt()
    inside = (radius > 0.03) & (radius < 0.5)
    slope = np.polyfit(radius[inside].log().numpy(), spectrum[inside].log().numpy(), 1)[0]
    assert slope == pytest.approx(-2, abs=0.1)


def test_channels_and_pictures_differ():
    rows = field(32, 32, n=2).flatten(2).flatten(0, 1)
    assert np.abs(np.corrcoef(rows.numpy())[np.triu_indices(6, 1)]).max() < 0.5


def test_level_of_each_picture_and_clip():
    x = torch.full((2, 3, 16, 16), 0.5)
    out = f_noise(x, torch.tensor([0.0, 8.0]), generator=seed(1))
    assert torch.equal(out[0], x[0])
    free = f_noise(x, torch.tensor([0.0, 8.0]), clip=False, generator=seed(1))
    torch.testing.assert_close(free, x + 8 * field(16, 16, n=2) * torch.tensor([0.0, 1.0]).view(2, 1, 1, 1))
    assert free.amin() < 0
    assert torch.equal(free.clamp(0, 1), out)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_dtype_and_same_generator_same_result(dtype):
    x = torch.rand(2, 3, 9, 7, generator=seed(0)).to(dtype)
    before = x.clone()
    out = f_noise(x, 0.1, generator=seed(1))
    assert torch.equal(x, before)
    assert (out.shape, out.dtype) == (x.shape, dtype)
    assert torch.equal(out, f_noise(x, 0.1, generator=seed(1)))
    assert not torch.equal(out, f_noise(x, 0.1, generator=seed(2)))


def test_any_number_of_threads():
    outs = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            outs.append(field(211, 307, n=2, reference_size=512))
    finally:
        torch.set_num_threads(1)
    assert torch.equal(outs[0], outs[1])


@given(size=st.tuples(*[st.integers(1, 6)] * 4))
def test_any_size(size):
    assert f_noise(torch.zeros(size), 1.0, clip=False, generator=seed(1)).isfinite().all()


def test_one_pixel_is_its_mean():
    phase = torch.rand(1, 1, 1, 1, generator=seed(1)).item() * 2 * math.pi
    assert field(1, 1, channels=1).item() == pytest.approx(math.cos(phase) * 1e-5**-0.5, rel=1e-4)


def test_gradients():
    x = torch.rand(2, 1, 2, 3, dtype=torch.float64, generator=seed(0)).requires_grad_()
    level = torch.tensor([0.5, 2.0], dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x, level: f_noise(x, level, clip=False, generator=seed(1)), (x, level))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"level": 101}, ValueError, r"\[0, 100\]"),
        ({"level": torch.ones(3)}, ValueError, "one for each of the 2 pictures"),
        ({"reference_size": 0}, ValueError, "reference_size must be at least 1"),
        ({"reference_size": (4, 4, 4)}, ValueError, "height, width"),
        ({"reference_size": 2.5}, TypeError, "reference_size must be an integer"),
        ({"reference_size": "512"}, TypeError, "reference_size must be an integer"),
        ({"generator": 3}, TypeError, "generator"),
        ({"x": torch.zeros(1, 3, 4, 4, dtype=torch.uint8)}, TypeError, "floating-point"),
    ],
)
def test_bad_input(options, error, message):
    with pytest.raises(error, match=message):
        f_noise(**{"x": torch.zeros(2, 3, 4, 4), "level": 8.0, **options})


def test_without_data_the_shape_is_known():
    x = torch.empty(2, 3, 5, 7, device="meta", dtype=torch.bfloat16)
    out = f_noise(x, 8.0, reference_size=64)
    assert (out.shape, out.dtype, out.device) == (x.shape, x.dtype, x.device)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_cpu_generator_gives_one_field_on_every_device():
    x = torch.zeros(1, 3, 32, 24)
    ours = f_noise(x.cuda(), 1.0, clip=False, generator=seed(1))
    assert torch.equal(ours.cpu(), f_noise(x, 1.0, clip=False, generator=seed(1)))
    drawn_there = f_noise(x.cuda(), 1.0, clip=False, generator=torch.Generator("cuda").manual_seed(1))
    phases = torch.rand(x.shape, device="cuda", generator=torch.Generator("cuda").manual_seed(1))
    u, v = torch.fft.fftfreq(32)[:, None], torch.fft.fftfreq(24)
    amplitude = (u**2 + v**2 + 1e-5) ** -0.5
    waves = torch.fft.ifft2(torch.polar(amplitude.expand_as(x), phases.cpu() * (2 * math.pi)))
    torch.testing.assert_close(drawn_there.cpu(), waves.real, rtol=1e-4, atol=1e-5)
