import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.color import rgb2ycbcr

from restorekit.evaluation import PROTOCOLS, Protocol, evaluate

LEVELS = torch.arange(256, dtype=torch.float32)


def test_named_protocols_are_what_papers_use():
    assert {name: (p.quantise, p.color, p.round_y, p.crop_border) for name, p in PROTOCOLS.items()} == {
        "sr-y": ("round", "y", False, None),
        "sr-y-matlab": ("round", "y", True, None),
        "sr-y-truncated": ("truncate", "y", True, None),
        "rgb": ("round", "rgb", False, None),
        "jpeg-y": ("round", "y", True, 4),
    }
    assert all(name == protocol.name for name, protocol in PROTOCOLS.items())


def test_named_protocols_cannot_be_replaced():
    with pytest.raises(TypeError):
        PROTOCOLS["sr-y"] = Protocol("other")
    with pytest.raises(AttributeError):
        PROTOCOLS["sr-y"].round_y = True


@pytest.mark.parametrize(
    ("crop_border", "scale", "border"), [(None, 3, 3), (None, 2, 2), (None, 1, 4), (4, 2, 4), (0, 1, 0), (0, 4, 0)]
)
def test_border_is_the_scale_unless_said_otherwise(crop_border, scale, border):
    assert Protocol("mine", crop_border=crop_border).border(scale) == border


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=str)
def test_picture_is_what_an_8_bit_file_would_hold(protocol):
    x = torch.linspace(-0.2, 1.2, 3 * 64).reshape(1, 3, 8, 8)
    levels = (255 * x).clamp(0, 255)
    expected = levels.floor() if protocol.quantise == "truncate" else (levels + 0.5).floor()
    assert torch.equal(protocol.picture(x), expected.double() / 255)


@pytest.mark.parametrize("quantise", ["round", "truncate"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_8_bit_pictures_stay_as_they_are(quantise, dtype):
    protocol = Protocol("rgb", quantise=quantise, color="rgb")
    x = (LEVELS.to(dtype) / 255).expand(1, 3, 1, 256)
    assert torch.equal(protocol.prediction(x) * 255, LEVELS.double().expand(1, 3, 1, 256))


@pytest.mark.parametrize(
    ("quantise", "expected"),
    [("round", [0, 0, 1, 1, 2, 2, 255, 255]), ("truncate", [0, 0, 0, 0, 1, 1, 254, 255])],
)
def test_what_lies_between_levels(quantise, expected):
    levels = torch.tensor([-3.0, 0.25, 0.5, 0.75, 1.5, 1.75, 254.75, 400.0])
    x = (levels / 255).expand(1, 3, 1, 8)
    protocol = Protocol("rgb", quantise=quantise, color="rgb")
    assert (protocol.prediction(x)[0, 0, 0] * 255).round(decimals=9).tolist() == expected


def test_target_is_rounded_whatever_happens_to_the_prediction():
    protocol = Protocol("rgb", quantise="truncate", color="rgb")
    x = torch.full((1, 3, 2, 2), 99.75 / 255)
    assert torch.equal(protocol.target(x) * 255, torch.full((1, 3, 2, 2), 100.0, dtype=torch.float64))
    assert torch.equal(protocol.prediction(x) * 255, torch.full((1, 3, 2, 2), 99.0, dtype=torch.float64))


@given(seed=st.integers(0, 99), round_y=st.booleans())
def test_luma_is_the_one_of_matlab(seed, round_y):
    pixels = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    x = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    luma = rgb2ycbcr(pixels)[..., 0]
    expected = np.round(luma) if round_y else luma
    found = Protocol("y", round_y=round_y).prediction(x)
    assert found.shape == (1, 1, 5, 7)
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found[0, 0].numpy() * 255, expected, rtol=0, atol=1e-9)


def test_gradients_and_half_types_are_left_behind():
    x = torch.rand(1, 3, 4, 4, dtype=torch.bfloat16, requires_grad=True)
    found = Protocol("y").prediction(x)
    assert not found.requires_grad
    assert torch.equal(found, Protocol("y").prediction(x.detach().float()))


@pytest.mark.parametrize(
    ("protocol", "text"),
    [
        (PROTOCOLS["sr-y"], "sr-y: output rounded to 8 bits, Y unrounded"),
        (PROTOCOLS["sr-y-matlab"], "sr-y-matlab: output rounded to 8 bits, Y rounded"),
        (Protocol("mine", quantise="truncate", color="rgb"), "mine: output truncated to 8 bits, RGB"),
    ],
)
def test_says_what_it_does(protocol, text):
    assert str(protocol) == text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quantise": "floor"}, "quantise must be 'round' or 'truncate', got 'floor'"),
        ({"color": "yuv"}, "color must be 'y' or 'rgb', got 'yuv'"),
        ({"color": "rgb", "round_y": True}, "round_y=True needs color='y'"),
        ({"crop_border": -1}, "crop_border must be at least 0, got -1"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        Protocol("bad", **options)


def test_border_is_a_number():
    with pytest.raises(TypeError, match="crop_border must be an integer"):
        Protocol("bad", crop_border="scale")


def test_unknown_name_lists_the_known(tmp_path):
    with pytest.raises(ValueError, match=r"unknown protocol 'sr-rgb'; known: sr-y, sr-y-matlab, .*, rgb, jpeg-y"):
        evaluate(lambda x: x, tmp_path, scale=2, protocol="sr-rgb")
