import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck

from restorekit.degrade import sinusoidal_grating


def pictures(n=2, channels=3, height=5, width=7, dtype=torch.float32):
    return torch.rand(n, channels, height, width, generator=torch.Generator().manual_seed(0)).to(dtype)


@given(
    size=st.tuples(*[st.integers(1, 9)] * 4),
    frequency=st.floats(1e-3, 0.5),
    angle=st.floats(-6.28, 6.28),
    phase=st.floats(-6.28, 6.28),
)
def test_by_the_formula(size, frequency, angle, phase):
    rows, columns = np.indices(size[2:])
    wave = np.sin(2 * np.pi * frequency * (columns * np.cos(angle) - rows * np.sin(angle)) + phase)
    x = torch.zeros(size, dtype=torch.float64)
    out = sinusoidal_grating(x, 0.3, frequency=frequency, angle=angle, phase=phase, clip=False)
    np.testing.assert_allclose(out.numpy(), np.broadcast_to(0.3 * wave, size), atol=1e-12)


def test_the_wave_is_where_its_frequency_and_angle_say():
    """0.25 cycles per pixel towards the top right: 8 in 64 both to the right and upwards."""
    out = sinusoidal_grating(
        torch.full((1, 1, 64, 64), 0.5), 0.2, frequency=0.125 * math.sqrt(2), angle=math.pi / 4, clip=False
    )
    spectrum = torch.fft.fft2(out[0, 0] - 0.5).abs() / 64**2
    assert spectrum[-8, 8].item() == pytest.approx(0.1, rel=1e-4)
    assert spectrum[8, 8].item() < 1e-5


def test_far_from_the_origin_it_is_still_exact():
    x = torch.zeros(1, 1, 1, 4096)
    out = sinusoidal_grating(x, 1.0, frequency=0.3, clip=False)
    np.testing.assert_allclose(out[0, 0, 0].numpy(), np.sin(0.6 * np.pi * np.arange(4096)), atol=1e-6)


def test_clip_and_level_0():
    x = torch.full((1, 1, 4, 16), 0.5)
    out = sinusoidal_grating(x, 1.0)
    assert (out.amin(), out.amax()) == (0, 1)
    assert torch.equal(out, sinusoidal_grating(x, 1.0, clip=False).clamp(0, 1))
    assert torch.equal(sinusoidal_grating(x, 0.0), x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_batch_is_singles(dtype):
    x = pictures(3, dtype=dtype)
    before = x.clone()
    options = {"frequency": [0.1, 0.2, 0.3], "angle": [0.0, 1.0, -2.0], "phase": [0.0, 0.5, 3.0]}
    levels = [0.1, 0.2, 0.9]
    tensors = {name: torch.tensor(values, dtype=torch.float64) for name, values in options.items()}
    out = sinusoidal_grating(x, torch.tensor(levels, dtype=torch.float64), **tensors)
    assert torch.equal(x, before)
    assert (out.shape, out.dtype) == (x.shape, dtype)
    for i, level in enumerate(levels):
        alone = sinusoidal_grating(x[i : i + 1], level, **{name: values[i] for name, values in options.items()})
        assert torch.equal(out[i : i + 1], alone)


def test_any_number_of_threads():
    x, wide = pictures(3, 3, 211, 307), pictures(3, 1, 1, 40001)
    outs = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            outs.append([sinusoidal_grating(x, 0.2, frequency=0.11, angle=0.7, clip=False) for x in (x, wide)])
    finally:
        torch.set_num_threads(1)
    assert torch.equal(outs[0][0], outs[1][0])
    assert torch.equal(outs[0][1], outs[1][1])


def test_gradients():
    x = pictures(height=3, width=2, dtype=torch.float64).requires_grad_()
    level, frequency, angle, phase = (
        torch.tensor(values, dtype=torch.float64, requires_grad=True)
        for values in ([0.1, 0.2], [0.1, 0.3], [0.5, -1.0], [0.2, 2.0])
    )
    assert gradcheck(
        lambda x, level, frequency, angle, phase: sinusoidal_grating(
            x, level, frequency=frequency, angle=angle, phase=phase, clip=False
        ),
        (x, level, frequency, angle, phase),
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": 1.5}, r"level must be in \[0, 1\]"),
        ({"frequency": 0}, r"frequency must be in \(0, 0.5\] cycles per pixel"),
        ({"frequency": 8}, r"frequency must be in \(0, 0.5\] cycles per pixel"),
        ({"angle": 45}, "angle must be in .* radians"),
        ({"phase": 90}, "phase must be in .* radians"),
        ({"phase": torch.zeros(3)}, "phase must be one number or one for each of the 2 pictures"),
    ],
)
def test_bad_levels(options, message):
    with pytest.raises(ValueError, match=message):
        sinusoidal_grating(**{"x": pictures(), "level": 0.1, **options})


def test_integers_are_refused():
    with pytest.raises(TypeError, match="floating-point"):
        sinusoidal_grating(torch.zeros(1, 3, 4, 4, dtype=torch.uint8), 0.1)
