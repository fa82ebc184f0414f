"""Conversions checked in exact arithmetic, and by scikit-image."""

import math
import os
from fractions import Fraction

import numpy as np
import pytest
import skimage.util
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from restorekit.image.convert import to_image, to_tensor


def _noise(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (4, 5, 2), (4, 5, 3), (1, 1, 4)])
def test_integers_are_divided_by_the_largest_of_their_type(dtype, shape):
    array = _noise(*shape, dtype=dtype)
    x = to_tensor(array)
    planes = array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
    assert x.dtype == torch.float32
    assert x.is_contiguous()
    np.testing.assert_array_equal(x[0].numpy(), (planes / np.iinfo(dtype).max).astype(np.float32))
    np.testing.assert_allclose(x[0].numpy(), skimage.util.img_as_float32(planes), rtol=1e-6)


@pytest.mark.parametrize(("dtype", "top"), [(np.uint8, 255), (np.uint16, 65535)])
def test_by_type_whatever_the_picture_holds(dtype, top):
    dark = np.ones((2, 2), dtype)
    assert to_tensor(dark).unique().item() == np.float32(1 / top)
    assert to_tensor(torch.ones(1, 2, 2, dtype=getattr(torch, dtype.__name__))).unique().item() == np.float32(1 / top)
    assert to_tensor(np.full((2, 2), 200.0)).unique().item() == 200


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_every_value_is_rounded_once_or_through_float32(dtype, kind):
    top = np.iinfo(kind).max
    array = np.arange(top + 1).astype(kind).reshape(16, -1)
    exact = torch.from_numpy(np.arange(top + 1) / top).view(1, 1, 16, -1)
    expected = exact if dtype == torch.float64 else exact.float().to(dtype)
    assert torch.equal(to_tensor(array, dtype=dtype), expected)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_float_arrays_are_taken_as_they_are(dtype):
    array = np.array([[-1.5, 0.25, math.inf, 3.0]], dtype)
    assert torch.equal(to_tensor(array, dtype=torch.float64), torch.tensor([[[[-1.5, 0.25, math.inf, 3.0]]]]).double())


def test_tensors():
    x = torch.rand(2, 5, 3, 4)
    assert to_tensor(x) is x
    assert torch.equal(to_tensor(x[0]), x[:1])
    assert to_tensor(x, dtype=torch.float64).dtype == torch.float64
    bytes_ = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 1, 3)
    assert torch.equal(to_tensor(bytes_), torch.tensor([[[[0, 0.2, 1]]]]))
    assert torch.equal(
        to_tensor(bytes_[None].expand(2, -1, -1, -1)), torch.tensor([[[[0, 0.2, 1]]]]).expand(2, 1, 1, 3)
    )


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "I;16"])
def test_pillow_pictures(mode):
    target = {"1": "L", "P": "RGB", "PA": "RGBA"}.get(mode, mode)
    if mode == "I;16":
        picture = Image.fromarray(_noise(6, 7, dtype=np.uint16))
    else:
        picture = Image.fromarray(_noise(6, 7, 3 if mode == "P" else 4)).convert(mode)
    array = np.asarray(picture.convert(target))
    expected = array / np.iinfo(array.dtype).max
    expected = expected[None] if expected.ndim == 2 else expected.transpose(2, 0, 1)
    np.testing.assert_array_equal(to_tensor(picture)[0].numpy(), expected.astype(np.float32))


def test_paths(tmp_path):
    array = _noise(6, 7, 3)
    Image.fromarray(array).save(tmp_path / "a.png")
    for path in (tmp_path / "a.png", str(tmp_path / "a.png")):
        assert torch.equal(to_tensor(path), to_tensor(array))
    assert isinstance(tmp_path, os.PathLike)
    with pytest.raises(FileNotFoundError, match=r"b\.png"):
        to_tensor(tmp_path / "b.png")


def test_nothing_is_shared_with_arrays_and_pillow_pictures():
    for array in (np.zeros((2, 3, 3), np.float32), np.zeros((2, 3), np.float64), np.zeros((2, 3), np.uint8)):
        to_tensor(array, dtype=torch.float64 if array.dtype == np.float64 else torch.float32).fill_(1)
        assert not array.any()
    picture = Image.new("L", (3, 2))
    to_tensor(picture).fill_(1)
    assert picture.getextrema() == (0, 0)


def test_any_memory_layout():
    array = _noise(6, 7, 3, dtype=np.uint16)
    frozen = array.copy()
    frozen.flags.writeable = False
    layouts = [frozen, array.astype(">u2"), np.asfortranarray(array), array[::-1][::-1], np.ascontiguousarray(array)]
    for layout in layouts:
        assert torch.equal(to_tensor(layout), to_tensor(array))
    assert torch.equal(to_tensor(array[::-1, ::-2]), to_tensor(array[::-1, ::-2].copy()))
    broadcast = np.broadcast_to(array[:, :, :1], array.shape)
    assert torch.equal(to_tensor(broadcast)[:, 2], to_tensor(array)[:, 0])


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (np.zeros((2, 2), bool), TypeError, "uint8, uint16, float16, float32 or float64, got bool"),
        (np.zeros((2, 2), np.int16), TypeError, "got int16"),
        (np.zeros((2, 2), np.int64), TypeError, "got int64"),
        (np.zeros((2, 2), complex), TypeError, "got complex128"),
        (np.zeros((2, 2), object), TypeError, "got object"),
        (np.zeros(4), ValueError, r"shape \(4,\)"),
        (np.zeros((1, 2, 2, 3)), ValueError, r"\(H, W\) or \(H, W, C\)"),
        (np.zeros((3, 8, 8)), ValueError, "1 to 4 channels"),
        (np.zeros((8, 8, 0)), ValueError, "1 to 4 channels"),
        (np.zeros((0, 8, 3)), ValueError, "not be empty"),
        (torch.zeros(1, 2, 2, dtype=torch.bool), TypeError, "got torch.bool"),
        (torch.zeros(1, 2, 2, dtype=torch.int64), TypeError, "got torch.int64"),
        (torch.zeros(1, 2, 2, dtype=torch.complex64), TypeError, "got torch.complex64"),
        (torch.zeros(2, 2), ValueError, r"\(C, H, W\) or \(N, C, H, W\), got shape \(2, 2\)"),
        (torch.zeros(1, 1, 1, 2, 2), ValueError, "got shape"),
        (torch.zeros(3, 0, 2), ValueError, "not be empty"),
        (Image.new("CMYK", (2, 2)), ValueError, "CMYK"),
        (Image.new("RGB", (0, 2)), ValueError, "at least one pixel"),
        ([[0.0, 1.0]], TypeError, "got list"),
        (None, TypeError, "got NoneType"),
    ],
)
def test_what_is_no_picture_is_refused(image, error, message):
    with pytest.raises(error, match=message):
        to_tensor(image)


def test_the_result_is_floating_point():
    with pytest.raises(TypeError, match="dtype must be a floating-point type"):
        to_tensor(np.zeros((2, 2)), dtype=torch.uint8)


@given(hnp.arrays(st.sampled_from([np.uint8, np.uint16]), hnp.array_shapes(min_dims=2, max_dims=2, max_side=9)))
def test_integers_survive_the_round_trip(array):
    assert np.array_equal(to_image(to_tensor(array), like=array.dtype.name), array)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_integer_survives_the_round_trip(kind, dtype):
    array = np.arange(np.iinfo(kind).max + 1).astype(kind).reshape(16, -1)
    assert np.array_equal(to_image(to_tensor(array, dtype=dtype), like=kind.__name__), array)


@given(st.lists(st.floats(-0.5, 1.5), min_size=1, max_size=20), st.sampled_from([("uint8", 255), ("uint16", 65535)]))
def test_rounds_half_up_and_clamps(values, kind):
    name, top = kind
    expected = [math.floor(min(max(Fraction(v), 0), 1) * top + Fraction(1, 2)) for v in values]
    got = to_image(torch.tensor(values, dtype=torch.float64).view(1, 1, -1), like=name)[0].astype(int)
    # float64 may land on the other side of a half it misses by less than its own resolution.
    near = [abs(Fraction(v) * top % 1 - Fraction(1, 2)) < Fraction(1, 10**9) for v in values]
    assert all(a == b or tie for a, b, tie in zip(got, expected, near, strict=True))


def test_halves_infinities_and_nan():
    x = torch.tensor([[[0.0, 0.5, math.inf, -math.inf, math.nan, 2.0, -1.0]]])
    assert to_image(x, like="uint8").tolist() == [[0, 128, 255, 0, 0, 255, 0]]
    assert to_image(x, like="uint16").tolist() == [[0, 32768, 65535, 0, 0, 65535, 0]]
    assert to_image(x, like="float").tolist() == [[0, 0.5, 1, 0, 0, 1, 0]]


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "LA"), (3, "RGB"), (4, "RGBA")])
@pytest.mark.parametrize("batch", [False, True])
def test_kinds_of_picture(channels, mode, batch):
    array = _noise(701, 503, channels)  # several strips
    array = array[:, :, 0] if channels == 1 else array
    x = to_tensor(array) if batch else to_tensor(array)[0]
    picture = to_image(x)
    assert picture.mode == mode
    np.testing.assert_array_equal(np.asarray(picture), array)
    np.testing.assert_array_equal(to_image(x, like="uint8"), array)
    floats = to_image(x, like="float")
    assert floats.dtype == np.float32
    np.testing.assert_array_equal(floats, (array / 255).astype(np.float32))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_float_types(dtype):
    x = torch.rand(3, 5, 6, generator=torch.Generator().manual_seed(0)).to(dtype)
    expected = (x.double().permute(1, 2, 0).numpy() * 255 + 0.5).astype(np.uint8)
    np.testing.assert_array_equal(to_image(x, like="uint8"), expected)
    assert to_image(x, like="float").dtype == (np.float64 if dtype == torch.float64 else np.float32)


def test_the_argument_stays_as_it_is():
    x = torch.tensor([[[-1.0, 0.5, 2.0]]], requires_grad=True)
    to_image(x)
    to_image(x, like="float")[:] = 7
    assert x.tolist() == [[[-1.0, 0.5, 2.0]]]
    grid = torch.rand(6, 8, 3).permute(2, 0, 1)[:, ::2]  # no contiguous memory
    np.testing.assert_array_equal(to_image(grid, like="float"), grid.permute(1, 2, 0).numpy())


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.zeros((3, 2, 2)), TypeError, "got ndarray"),
        (torch.zeros(3, 2, 2, dtype=torch.uint8), TypeError, "got torch.uint8; to_tensor converts"),
        (torch.zeros(3, 2, 2, dtype=torch.complex64), TypeError, "got torch.complex64"),
        (torch.zeros(2, 2), ValueError, "one picture"),
        (torch.zeros(2, 3, 2, 2), ValueError, "one by one"),
        (torch.zeros(5, 2, 2), ValueError, "1 to 4 channels"),
        (torch.zeros(0, 2, 2), ValueError, "1 to 4 channels"),
        (torch.zeros(3, 0, 2), ValueError, r"got shape \(3, 0, 2\)"),
    ],
)
def test_what_is_no_single_picture_is_refused(x, error, message):
    with pytest.raises(error, match=message):
        to_image(x)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="like must be one of pil, uint8, uint16, float, got 'PIL'"):
        to_image(torch.zeros(3, 2, 2), like="PIL")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_every_device_gives_the_same_bits():
    array = np.arange(65536).astype(np.uint16).reshape(16, -1)
    x = to_tensor(array, device="cuda")
    assert x.is_cuda
    assert torch.equal(x.cpu(), to_tensor(array))
    assert torch.equal(to_tensor(torch.from_numpy(array)[None].cuda()).cpu(), to_tensor(array))
    assert np.array_equal(to_image(x, like="uint16"), array)


def test_the_limit_of_pixels_is_the_callers(tmp_path):
    Image.new("L", (7, 3)).save(tmp_path / "photo.png")
    with pytest.raises(ValueError, match="max_pixels=20"):
        to_tensor(tmp_path / "photo.png", max_pixels=20)
    assert to_tensor(tmp_path / "photo.png", max_pixels=21).shape == (1, 1, 3, 7)
