import copy
import importlib
import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from restorekit.image import resize, rgb_to_ycbcr, write_image, ycbcr_to_rgb
from restorekit.inference import restore, self_ensemble
from restorekit.models import Restorer, carn, carn_m

SCALE = 2
HEIGHT, WIDTH = 7, 10


def network(scale=SCALE, build=carn_m, **options):
    torch.manual_seed(0)
    return build(scale, channels=8, blocks=1, units=1, **options)


def random(*shape, dtype=np.uint8, seed=0):
    generator = np.random.default_rng(seed)
    if np.issubdtype(dtype, np.floating):
        return generator.random(shape).astype(dtype)
    return generator.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def run(net, x, **options):
    """The network itself on floats (N, 3, H, W)."""
    with torch.no_grad():
        return net.eval()(x, **options)


def planes(array):
    """An array (H, W, C) as floats (1, C, H, W), by definition."""
    full = {"u": np.iinfo(array.dtype).max if array.dtype.kind == "u" else 1}.get(array.dtype.kind, 1)
    return torch.from_numpy(array.astype(np.float64) / full).permute(2, 0, 1)[None].float()


def expected_colours(net, array):
    """What should come of the colours of (H, W, C), as float64 (H', W', C)."""
    x = planes(array)
    grey = x.shape[1] == 1
    out = run(net, x.expand(-1, 3, -1, -1))
    if grey:
        out = 0.299 * out[:, :1] + 0.587 * out[:, 1:2] + 0.114 * out[:, 2:]
    return out[0].permute(1, 2, 0).double().numpy()


def expected_alpha(array):
    return resize(planes(array), SCALE)[0].permute(1, 2, 0).double().numpy()


def expected(net, array):
    """What should come of an array (H, W, C), alpha included, before rounding."""
    colours = array.shape[2] - (array.shape[2] in {2, 4})
    out = [expected_colours(net, array[..., :colours])]
    if colours < array.shape[2]:
        out.append(expected_alpha(array[..., colours:]))
    return np.concatenate(out, axis=2)


def check_levels(actual, floats, full):
    """Integers are the clamped floats to half a level, with room for the rounding of float32."""
    assert np.abs(np.asarray(actual, np.float64) - floats.clip(0, 1) * full).max() <= 0.5 + 1e-6 * full


@pytest.mark.parametrize("channels", [None, 1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32, np.float64])
def test_array(dtype, channels):
    net, array = network(), random(HEIGHT, WIDTH, channels or 1, dtype=dtype)
    floats = expected(net, array)
    given, floats = (array, floats) if channels else (array[..., 0], floats[..., 0])
    before = given.copy()
    out = restore(net, given)
    assert isinstance(out, np.ndarray)
    assert out.dtype == dtype
    assert out.shape == floats.shape
    np.testing.assert_array_equal(given, before)
    if dtype in {np.uint8, np.uint16}:
        check_levels(out, floats, np.iinfo(dtype).max)
    else:
        np.testing.assert_allclose(out, floats, rtol=0, atol=1e-3 if dtype == np.float16 else 2e-6)


@pytest.mark.parametrize("order", ["backwards", "strided", "read-only", "big-endian", "fortran"])
def test_any_layout_of_an_array(order):
    net, array = network(), random(HEIGHT, WIDTH, 3, dtype=np.uint16)
    wanted = restore(net, array)
    same = {
        "backwards": np.ascontiguousarray(array[::-1, ::-1])[::-1, ::-1],
        "strided": np.repeat(array, 2, axis=1)[:, ::2],
        "read-only": array.copy(),
        "big-endian": array.astype(">u2"),
        "fortran": np.asfortranarray(array),
    }[order]
    same.flags.writeable = order != "read-only"
    out = restore(net, same)
    assert out.dtype == same.dtype
    np.testing.assert_array_equal(out, wanted)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", [(3, HEIGHT, WIDTH), (1, 3, HEIGHT, WIDTH), (3, 3, HEIGHT, WIDTH), (2, 3, 1, 1)])
def test_float_tensor(shape, dtype):
    net, x = network(), torch.rand(shape).to(dtype)
    before = x.clone()
    floats = run(net, x.float().view(-1, *shape[-3:])).view(*shape[:-2], SCALE * shape[-2], SCALE * shape[-1])
    out = restore(net, x)
    assert out.dtype == dtype
    tolerance = {torch.bfloat16: 2**-8, torch.float16: 2**-11}.get(dtype, 1e-6)
    torch.testing.assert_close(out.double(), floats.double(), rtol=0, atol=tolerance)
    assert torch.equal(x, before)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
def test_integer_tensor(dtype):
    net, array = network(), random(HEIGHT, WIDTH, 3, dtype=np.uint8 if dtype == torch.uint8 else np.uint16)
    x = torch.from_numpy(array).permute(2, 0, 1)
    out = restore(net, x)
    assert out.dtype == dtype
    check_levels(out.permute(1, 2, 0).numpy(), expected(net, array), np.iinfo(array.dtype).max)
    assert torch.equal(restore(net, torch.stack([x, x])), torch.stack([out, out]))


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_tensor_with_alpha_or_grey(channels):
    net, array = network(), random(HEIGHT, WIDTH, channels, dtype=np.float32)
    x = torch.from_numpy(array).permute(2, 0, 1)[None]
    out = restore(net, x)
    np.testing.assert_allclose(out[0].permute(1, 2, 0).numpy(), expected(net, array), rtol=0, atol=2e-6)


def test_floats_are_not_clamped_and_integers_are():
    class Stretch(type(network())):
        def forward(self, x, scale=None):
            return super().forward(x, scale) * 0 + (x.repeat_interleave(2, -1).repeat_interleave(2, -2) * 3 - 1)

    torch.manual_seed(0)
    net = Stretch(2, channels=8, blocks=1, units=1)
    levels = np.array([[0, 60, 85, 102, 170, 255]], np.uint8).repeat(3).reshape(1, 6, 3)
    floats = restore(net, torch.from_numpy(levels / np.float32(255)).permute(2, 0, 1))
    assert floats.min() == -1
    assert floats.max() == 2
    assert restore(net, levels)[0, ::2, 0].tolist() == [0, 0, 0, 51, 255, 255]


def test_low_bytes_of_16_bits_count():
    net, high = network(), (random(HEIGHT, WIDTH, 3, dtype=np.uint16) & 0xFF00) // 2 + 0x2000
    low = high + random(HEIGHT, WIDTH, 3).astype(np.uint16)
    first, second = restore(net, high), restore(net, low)
    assert not np.array_equal(first, second)
    check_levels(second, expected(net, low), 65535)
    assert len(np.unique(second % 256)) > 100


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_pillow(mode):
    net, picture = network(), Image.fromarray(random(HEIGHT, WIDTH, 4)).convert(mode)
    array = np.asarray(picture).reshape(HEIGHT, WIDTH, -1)
    out = restore(net, picture)
    assert out.mode == mode
    assert out.size == (SCALE * WIDTH, SCALE * HEIGHT)
    check_levels(np.asarray(out).reshape(SCALE * HEIGHT, SCALE * WIDTH, -1), expected(net, array), 255)
    assert np.array_equal(np.asarray(picture).reshape(array.shape), array)


def test_pillow_bilevel_comes_back_grey():
    net, picture = network(), Image.fromarray(random(HEIGHT, WIDTH) > 127)
    assert picture.mode == "1"
    out = restore(net, picture)
    assert out.mode == "L"
    assert np.array_equal(np.asarray(out), np.asarray(restore(net, picture.convert("L"))))


def test_pillow_16_bits():
    net, array = network(), random(HEIGHT, WIDTH, dtype=np.uint16)
    out = restore(net, Image.fromarray(array))
    assert out.mode == "I;16"
    assert np.array_equal(np.asarray(out), restore(net, array))


def palette(*, transparent=False, mode="P"):
    row, column = np.mgrid[:40, :50]
    array = np.stack([row * 6, column * 5, row * 3 + column * 2, 255 * (column > 20)], axis=-1).astype(np.uint8)
    picture = Image.fromarray(array if transparent else array[..., :3])
    return picture.quantize(64, method=Image.Quantize.FASTOCTREE) if mode == "P" else picture.convert(mode)


def test_palette():
    net, picture = network(), palette()
    out = restore(net, picture)
    assert (picture.mode, out.mode, out.size) == ("P", "P", (100, 80))
    colours = np.asarray(restore(net, picture.convert("RGB"))).astype(int)
    assert np.abs(np.asarray(out.convert("RGB")) - colours).mean() < 8
    assert not out.has_transparency_data


def test_palette_with_transparency():
    net, picture = network(), palette(transparent=True)
    assert picture.has_transparency_data
    out = restore(net, picture)
    assert out.mode == "P"
    alpha = np.asarray(out.convert("RGBA"))[..., 3]
    assert alpha[:, :36].max() < 16
    assert alpha[:, 48:].min() > 239


def test_palette_with_one_transparent_index(tmp_path):
    picture = palette()
    index = int(np.asarray(picture)[0, 0])
    picture.save(tmp_path / "key.png", transparency=index)
    with Image.open(tmp_path / "key.png") as opened:
        opened.load()
    for given in (opened, tmp_path / "key.png"):
        out = restore(network(), given)
        assert out.mode == "P"
        alpha = np.asarray(out.convert("RGBA"))[..., 3]
        assert alpha[0, 0] < 64
        assert alpha[-1, -1] > 239


def test_palette_with_alpha_band_comes_back_with_a_transparent_palette():
    net, picture = network(), palette(transparent=True, mode="PA")
    assert picture.mode == "PA"
    out = restore(net, picture)
    assert out.mode == "P"
    alpha = np.asarray(out.convert("RGBA"))[..., 3]
    assert alpha[:, :36].max() < 16
    assert alpha[:, 48:].min() > 239


@pytest.mark.parametrize(("mode", "key", "out"), [("L", 9, "LA"), ("RGB", (1, 2, 3), "RGBA")])
def test_transparent_colour_becomes_alpha(mode, key, out):
    picture = Image.new(mode, (6, 5), key)
    picture.info["transparency"] = key
    restored = restore(network(), picture)
    assert restored.mode == out
    assert np.asarray(restored)[..., -1].max() == 0


def test_alpha_is_enlarged_by_itself():
    net, array = network(), random(HEIGHT, WIDTH, 4)
    out, opaque = restore(net, array), restore(net, array[..., :3])
    np.testing.assert_array_equal(out[..., :3], opaque)
    check_levels(out[..., 3:], expected_alpha(array[..., 3:]), 255)
    assert np.abs(out[..., 3].astype(int) - array[..., 3].repeat(2, 0).repeat(2, 1)).max() > 8


def test_opaque_stays_opaque():
    array = np.full((HEIGHT, WIDTH, 4), 255, np.uint8)
    assert (restore(network(), array)[..., 3] == 255).all()


def test_metadata_that_changes_how_a_picture_is_shown_is_kept():
    picture = Image.fromarray(random(HEIGHT, WIDTH, 3))
    picture.info.update(icc_profile=b"profile", exif=b"Exif\0\0", dpi=(72, 72), comment="x")
    out = restore(network(), picture)
    assert out.info == {"icc_profile": b"profile", "exif": b"Exif\0\0"}
    assert "icc_profile" not in restore(network(), Image.fromarray(random(HEIGHT, WIDTH, 3))).info


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_a_file_keeps_its_colour_profile(tmp_path, suffix):
    Image.fromarray(random(HEIGHT, WIDTH, 3)).save(tmp_path / f"photo.{suffix}", icc_profile=b"profile")
    assert restore(network(), tmp_path / f"photo.{suffix}").info == {"icc_profile": b"profile"}


@pytest.mark.parametrize("kind", [str, Path])
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_file(tmp_path, mode, kind):
    net, picture = network(), Image.fromarray(random(HEIGHT, WIDTH, 4)).convert(mode)
    picture.save(tmp_path / "x.png")
    out = restore(net, kind(tmp_path / "x.png"))
    assert out.mode == mode
    assert np.array_equal(np.asarray(out), np.asarray(restore(net, picture)))


@pytest.mark.parametrize("channels", [None, 3, 4])
def test_file_of_16_bits_is_an_array(tmp_path, channels):
    net, array = network(), random(HEIGHT, WIDTH, *([channels] if channels else []), dtype=np.uint16)
    write_image(tmp_path / "x.png", array)
    out = restore(net, tmp_path / "x.png")
    assert out.dtype == np.uint16
    np.testing.assert_array_equal(out, restore(net, array))


def test_jpeg_is_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(random(16, 24, 3)).save(tmp_path / "x.jpg", exif=exif)
    assert restore(network(), tmp_path / "x.jpg").size == (SCALE * 16, SCALE * 24)


@pytest.mark.parametrize("options", [{"tile": 4}, {"tile": "auto"}, {"self_ensemble": True}])
@pytest.mark.parametrize("channels", [1, 4])
def test_options_on_a_picture(options, channels):
    net, array = network(), random(HEIGHT, WIDTH, channels)
    out, plain = restore(net, array, **options), restore(net, array)
    assert out.shape == plain.shape
    assert np.abs(out.astype(int) - plain).max() <= (1 if "tile" in options else 40)
    assert "tile" in options or not np.array_equal(out, plain)


def test_self_ensemble_is_the_function():
    net, x = network(), torch.rand(2, 3, HEIGHT, WIDTH)
    torch.testing.assert_close(restore(net, x, self_ensemble=True), self_ensemble(net, x), rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (8, 6), (1, 9)])
def test_desubpixel_head_keeps_the_size(size):
    net, x = network(4, head="desubpixel"), torch.rand(2, 3, *size)
    torch.testing.assert_close(restore(net, x), run(net, x), rtol=0, atol=1e-6)
    array = random(*size, 4)
    out = restore(net, array)
    assert out.shape == array.shape
    np.testing.assert_array_equal(out[..., 3], array[..., 3])


def test_large_pictures_are_tiled_by_themselves(monkeypatch):
    net, x = network(), torch.rand(1, 3, 60, 50)
    sizes = []

    def remember(net, arguments):
        if arguments[0].device.type != "meta":
            sizes.append(tuple(arguments[0].shape[-2:]))

    net.register_forward_pre_hook(remember)
    whole = restore(net, x)
    assert sizes == [(60, 50)]
    monkeypatch.setattr(importlib.import_module("restorekit.inference.restore"), "WHOLE_MEMORY", 1000)
    monkeypatch.setattr(importlib.import_module("restorekit.inference.tiled"), "TILE_MEMORY", 1000)
    torch.testing.assert_close(restore(net, x), whole, rtol=0, atol=1e-6)
    assert len(sizes) > 5


@pytest.mark.parametrize("scale", [2, 3])
def test_scale_picks_the_head(scale):
    net, x = network((2, 3)), torch.rand(1, 3, HEIGHT, WIDTH)
    torch.testing.assert_close(restore(net, x, scale=scale), run(net, x, scale=scale), rtol=0, atol=1e-6)


@pytest.mark.parametrize("scale", [None, 4, 0, 2.5, "2"])
def test_unknown_scale(scale):
    with pytest.raises(ValueError, match=r"scales \(2, 3\)"):
        restore(network((2, 3)), torch.rand(1, 3, 4, 4), scale=scale)


def state(net):
    flags = [module.training for module in net.modules()]
    tensors = [
        (name, t.dtype, t.device, t.data_ptr(), t._version) for name, t in net.state_dict(keep_vars=True).items()
    ]
    return flags, tensors


@pytest.mark.parametrize("options", [{}, {"dtype": torch.bfloat16}, {"self_ensemble": True, "tile": 4}])
def test_the_network_is_left_as_it_was(options):
    net = network().train()
    net.body.eval()  # some modules in each mode
    before, values = state(net), copy.deepcopy(net.state_dict())
    restore(net, torch.rand(1, 3, HEIGHT, WIDTH), **options)
    assert state(net) == before
    assert all(torch.equal(value, values[name]) for name, value in net.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in net.parameters())


class Broken(type(network())):
    def forward(self, x, scale=None):
        if x.device.type != "meta":
            assert not any(module.training for module in self.modules())
            raise RuntimeError("broken")
        return super().forward(x, scale)


def test_the_network_is_left_as_it_was_after_an_error():
    net = Broken(2, channels=8, blocks=1, units=1)
    net.exit.eval()
    before = state(net)
    with pytest.raises(RuntimeError, match="broken"):
        restore(net, torch.rand(1, 3, HEIGHT, WIDTH), tile=4)
    assert state(net) == before
    assert torch.is_grad_enabled()


def test_no_graph():
    x = torch.rand(1, 3, HEIGHT, WIDTH, requires_grad=True)
    for net in (network(), network(2, head="desubpixel")):
        assert not restore(net, x).requires_grad
    assert not restore(network(), torch.rand(1, 4, HEIGHT, WIDTH, requires_grad=True)).requires_grad


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_dtype_is_what_is_computed_in(dtype):
    net, x = network(), torch.rand(1, 3, HEIGHT, WIDTH, dtype=torch.float64)
    wanted = run(copy.deepcopy(net).to(dtype), x.to(dtype)).double()
    plain = restore(net, x)
    out = restore(net, x, dtype=dtype)
    assert out.dtype == torch.float64
    torch.testing.assert_close(out, wanted, rtol=0, atol=1e-12 if dtype == torch.float64 else 2**-7)
    assert (out - plain).abs().max() > (1e-9 if dtype == torch.float64 else 1e-4)
    assert (out - plain).abs().max() < 0.05


@pytest.mark.parametrize("dtype", [torch.int8, torch.complex64, "float32", np.float32])
def test_dtype_must_be_floating_point(dtype):
    with pytest.raises(TypeError, match="dtype must be a floating-point type"):
        restore(network(), torch.rand(1, 3, 4, 4), dtype=dtype)


def test_bar_only_when_asked(capsys):
    net, x = network(), torch.rand(1, 3, HEIGHT, WIDTH)
    restore(net, x, tile=4)
    assert capsys.readouterr() == ("", "")
    restore(net, x, tile=4, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "6/6" in err


def test_result_does_not_share_memory_with_the_picture():
    net = network(2, head="desubpixel")
    array, x = random(8, 8, 3), torch.rand(1, 3, 8, 8)
    assert not np.shares_memory(restore(net, array), array)
    assert restore(net, x).data_ptr() != x.data_ptr()


@pytest.mark.parametrize("build", [carn, carn_m])
def test_both_networks(build):
    net, x = network(4, build), torch.rand(1, 3, 5, 6)
    torch.testing.assert_close(restore(net, x), run(net, x), rtol=0, atol=1e-6)


# Networks of one channel


class Grey(Restorer):
    """A small network for the luma, whose result depends on where its pixels lie."""

    def __init__(self, scale=SCALE, in_channels=1, kernel=3, size_multiple=1):
        super().__init__([scale], size_multiple=size_multiple, in_channels=in_channels, config={})
        self.conv = nn.Conv2d(in_channels, in_channels * scale**2, kernel, padding=kernel // 2)

    def forward(self, x, scale=None):
        self.check_input(x)
        assert x.shape[-2] % self.size_multiple == x.shape[-1] % self.size_multiple == 0
        return torch.nn.functional.pixel_shuffle(self.conv(x).tanh(), self.pick_scale(scale))


def grey_network(**options):
    torch.manual_seed(0)
    return Grey(**options)


def expected_luma(net, x, run=run):
    """By definition: the network's luma, and chroma enlarged with a cubic kernel."""
    grey, *chroma = rgb_to_ycbcr(x).unbind(1)
    enlarged = [resize(plane[:, None], net.scale) for plane in chroma]
    return ycbcr_to_rgb(torch.cat([run(net, grey[:, None]), *enlarged], dim=1))


@pytest.mark.parametrize("scale", [1, 2, 3])
@pytest.mark.parametrize("size", [(HEIGHT, WIDTH), (1, 1), (9, 2)])
def test_grey_network_restores_the_luma_of_colour(scale, size):
    net, x = grey_network(scale=scale), torch.rand(2, 3, *size)
    torch.testing.assert_close(restore(net, x), expected_luma(net, x), rtol=0, atol=1e-6)
    wanted = expected_luma(net, x, self_ensemble)
    torch.testing.assert_close(restore(net, x, self_ensemble=True), wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("channels", [None, 1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_grey_network_takes_every_kind_of_picture(dtype, channels):
    net, array = grey_network(), random(HEIGHT, WIDTH, *([channels] if channels else []), dtype=dtype)
    x = planes(array if channels else array[..., None])
    colours = x.shape[1] - (x.shape[1] in {2, 4})
    wanted = expected_luma(net, x[:, :3]) if colours == 3 else run(net, x[:, :1])
    wanted = torch.cat([wanted, resize(x[:, colours:], SCALE)], dim=1) if x.shape[1] > colours else wanted
    out = restore(net, array)
    assert (out.dtype, out.ndim) == (dtype, array.ndim)
    floats = wanted[0].permute(1, 2, 0).double().numpy().reshape(out.shape)
    if dtype == np.float32:
        np.testing.assert_allclose(out, floats, rtol=0, atol=2e-6)
    else:
        check_levels(out, floats, np.iinfo(dtype).max)


@pytest.mark.parametrize("kernel", [1, 3, 9])  # a halo below, at and above what the chroma needs
@pytest.mark.parametrize("options", [{"scale": 1, "size_multiple": 2}, {"scale": 2}, {"scale": 3}])
def test_grey_network_on_colour_is_the_same_in_tiles(kernel, options):
    net, x = grey_network(kernel=kernel, **options).double(), torch.rand(2, 3, 23, 17, dtype=torch.float64)
    whole = restore(net, x)
    for tile in (1, 5, 8):
        torch.testing.assert_close(restore(net, x, tile=tile), whole, rtol=0, atol=1e-12)


def test_grey_network_in_half_precision_leaves_the_chroma_alone():
    net, x = grey_network(scale=1), torch.rand(1, 3, HEIGHT, WIDTH)
    out = restore(net, x, dtype=torch.bfloat16)
    torch.testing.assert_close(rgb_to_ycbcr(out)[:, 1:], rgb_to_ycbcr(x)[:, 1:], rtol=0, atol=1e-6)


@pytest.mark.parametrize(("channels", "picture"), [(2, 1), (2, 3), (4, 3), (4, 1), (1, 5)])
def test_networks_of_other_channels_take_only_their_own(channels, picture):
    with pytest.raises(ValueError, match=f"Grey takes {channels} channels, the picture has {picture}"):
        restore(grey_network(in_channels=channels), torch.rand(1, picture, 4, 4))


# Bad input


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "LAB", "HSV", "F", "I"])
def test_pillow_modes_that_are_not_accepted(mode):
    with pytest.raises(ValueError, match=f"mode '{mode}' is not accepted"):
        restore(network(), Image.new(mode, (4, 4)))


def saved(**options):
    file = io.BytesIO()
    mode = options.pop("mode", "RGB")
    Image.fromarray(random(32, 32, 3)).convert(mode).save(file, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("cmyk.jpg", lambda: saved(format="JPEG", mode="CMYK"), "'CMYK' are not accepted"),
        (
            "moving.gif",
            lambda: saved(format="GIF", save_all=True, append_images=[Image.new("RGB", (32, 32))]),
            "animation",
        ),
        ("cut.png", lambda: saved(format="PNG")[:900], "truncated"),
        ("cut.jpg", lambda: saved(format="JPEG")[:700], "truncated"),
        ("text.png", lambda: b"not a picture", "not a picture of a known format"),
        ("empty.png", lambda: b"", "empty"),
    ],
)
def test_files_that_are_not_accepted(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content())
    with pytest.raises(ValueError, match=f"{name}.*{message}"):
        restore(network(), path)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        restore(network(), tmp_path / "none.png")


@pytest.mark.parametrize("image", [None, 5, [[1, 2]], b"x.png", np.zeros((4, 4), int), np.zeros((4, 4), bool)])
def test_not_a_picture(image):
    with pytest.raises(TypeError, match="image must be"):
        restore(network(), image)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64])
def test_tensor_of_another_dtype(dtype):
    with pytest.raises(TypeError, match="image must be"):
        restore(network(), torch.zeros(1, 3, 4, 4).to(dtype))


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((0, 4, 3)),
        np.zeros((4, 4, 5)),
        np.zeros((1, 4, 4, 3)),
        np.zeros(4),
        torch.zeros(4, 4),
        torch.zeros(1, 3, 0, 4),
        torch.zeros(1, 1, 3, 4, 4),
    ],
)
def test_wrong_shape(image):
    with pytest.raises(ValueError, match="image must"):
        restore(network(), image)


def test_channels_that_the_network_does_not_take():
    with pytest.raises(ValueError, match="CARN takes 3 channels, the picture has 5"):
        restore(network(), torch.zeros(1, 5, 4, 4))


@pytest.mark.parametrize("model", [None, "carn", nn.Conv2d(3, 3, 3), lambda x: x])
def test_model_must_be_a_restorer(model):
    with pytest.raises(TypeError, match="model must be a network of restorekit"):
        restore(model, torch.zeros(1, 3, 4, 4))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_device_is_where_it_computes_and_nothing_moves():
    net, array = network(), random(HEIGHT, WIDTH, 4)
    out = restore(net, array, device="cuda")
    assert np.abs(out.astype(int) - restore(net, array)).max() <= 1
    assert next(net.parameters()).device.type == "cpu"
    assert restore(net.cuda(), torch.rand(1, 3, 4, 4)).device.type == "cpu"


def test_threads_may_share_a_network():
    net = network(scale=(2, 3)).eval()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    x = torch.rand(1, 3, 12, 12)
    whole = restore(net, x, scale=2)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda tile: restore(copy.copy(net), x, scale=2, tile=tile), [8, None] * 20))
    assert all(torch.allclose(result, whole, rtol=0, atol=1e-6) for result in results)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_output_that_is_not_finite_does_not_pass_for_a_picture(value):
    net = network()
    torch.nn.init.constant_(net.exit.bias, value)
    with pytest.raises(FloatingPointError, match=r"not finite.*dtype=torch\.float32"):
        restore(net, random(HEIGHT, WIDTH, 3))
    assert not restore(net, torch.rand(1, 3, 5, 5)).isfinite().any()  # floats can say it themselves


def test_the_limit_of_pixels_is_the_callers(tmp_path):
    write_image(tmp_path / "photo.png", random(HEIGHT, WIDTH, 3))
    with pytest.raises(ValueError, match="max_pixels=69"):
        restore(network(), tmp_path / "photo.png", max_pixels=69)
    assert restore(network(), tmp_path / "photo.png", max_pixels=70).size == (2 * WIDTH, 2 * HEIGHT)
