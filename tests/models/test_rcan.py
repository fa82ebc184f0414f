import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from models import published, published_rcan
from models.published import assert_parity, picture, published_weights, random_weights, without_memory

from restorekit.inference import tiled
from restorekit.models import RCAN, load_checkpoint, load_weights, rcan, save_weights
from restorekit.models._loading import interpret
from restorekit.models.checkpoints import _CLASSES

SIZES = (8, 2, 3, 4)  # channels, groups, blocks, reduction
SMALL = {"channels": 8, "residual_groups": 2, "blocks": 3, "reduction": 4}
LAYOUTS = {name: architecture.layouts for name, architecture in _CLASSES.items()}


def count(model, *, biases=True):
    return sum(p.numel() for p in model.parameters() if biases or p.ndim == 4)


def weightless(scale, **options):
    with torch.device("meta"):
        return rcan(scale, **options)


@pytest.fixture
def save(tmp_path):
    def save(tensors):
        torch.save(tensors, tmp_path / "published.pth")
        return tmp_path / "published.pth"

    return save


# What the published networks compute


def test_equals_cutblurs_network(save):
    model = load_checkpoint(save(published_weights(published_rcan.cutblur(4, 16, 2, 2, 4))))
    assert model.config["reduction"] == 4
    with torch.inference_mode():
        out = model(picture().repeat_interleave(4, 2).repeat_interleave(4, 3)) * 255
    assert_parity(out, published_rcan.PARITY, tolerance=1e-5 * 100_000)


OFFICIAL = ("head.0", "body.{}.body.{}.body", "conv_du", (0, 2), "body.{}.body.3", "body.2", "tail.0", "tail.1")
BASICSR = (
    "conv_first",
    "body.{}.residual_group.{}.rcab",
    "attention",
    (1, 3),
    "body.{}.conv",
    "conv_after_body",
    "upsample",
    "conv_last",
)


def attention_network(x, tensors, names):
    """The structure of the paper in plain calls, on pictures whose mean is taken off."""

    def conv(y, name):
        weight = tensors[f"{name}.weight"]
        return F.conv2d(y, weight, tensors[f"{name}.bias"], padding=weight.shape[-1] // 2)

    entry, unit, attention, (squeeze, excite), group_exit, trunk, upsampler, exit = names
    out = start = conv(x, entry)
    for g in range(2):
        before = out
        for b in range(3):
            name = unit.format(g, b)
            branch = conv(conv(out, f"{name}.0").clamp(min=0), f"{name}.2")
            averages = F.adaptive_avg_pool2d(branch, 1)
            factors = conv(averages, f"{name}.3.{attention}.{squeeze}").clamp(min=0)
            factors = conv(factors, f"{name}.3.{attention}.{excite}")
            out = out + branch / (1 + torch.exp(-factors))
        out = conv(out, group_exit.format(g)) + before
    out = conv(out, trunk) + start
    for stage in (0, 2, 4):
        if f"{upsampler}.{stage}.weight" in tensors:
            out = conv(out, f"{upsampler}.{stage}")
            out = F.pixel_shuffle(out, round((out.shape[1] / start.shape[1]) ** 0.5))
    return conv(out, exit)


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_official_files_compute_the_papers_structure_with_their_trained_mean_shift(scale, save):
    tensors = random_weights(published_rcan.official(scale, *SIZES))
    x = torch.rand(1, 3, 6, 5, dtype=torch.float64)
    shifted = F.conv2d(255 * x, tensors["sub_mean.weight"], tensors["sub_mean.bias"])
    out = attention_network(shifted, tensors, OFFICIAL)
    out = F.conv2d(out, tensors["add_mean.weight"], tensors["add_mean.bias"])
    path = save(tensors)
    model = rcan(scale, **SMALL).double()
    load_weights(model, path)
    assert model.config["mean"] != published.MEAN
    assert torch.allclose(model(x) * 255, out, rtol=0, atol=1e-5 * out.abs().max().item())
    assert torch.allclose(load_checkpoint(path).double()(x), model(x), rtol=0, atol=1e-4 * out.abs().max().item() / 255)


@pytest.mark.parametrize("scale", [2, 4])
def test_basicsrs_files_compute_the_same_around_a_mean_of_its_code(scale, save):
    tensors = random_weights(published_rcan.basicsr(scale, *SIZES))
    x = torch.rand(1, 3, 6, 5, dtype=torch.float64)
    mean = torch.tensor(published.MEAN, dtype=torch.float64).view(1, 3, 1, 1)
    out = attention_network((x - mean) * 255, tensors, BASICSR) / 255 + mean
    model = rcan(scale, **SMALL).double()
    load_weights(model, save(tensors))
    assert torch.allclose(model(x), out, rtol=0, atol=1e-6 * out.abs().max().item())


# Sizes, as the papers print them


@pytest.mark.parametrize(
    ("scale", "total", "weights", "gigas"),
    [
        (2, 15_444_643, 15_404_416, 3_527),
        (3, 15_629_283, 15_588_736, 1_587),
        (4, 15_592_355, 15_551_872, 917),
        (8, 15_740_067, 15_699_328, 264),
    ],
)
def test_published_sizes(scale, total, weights, gigas):
    model = weightless(scale)
    assert (count(model), count(model, biases=False)) == (total, weights)
    multadds = float(model.trace().multadds_per_pixel) * 1280 * 720 / scale**2
    assert multadds / 1e9 == pytest.approx(gigas, abs=0.6)


@pytest.mark.parametrize(
    ("scale", "total", "gigas"),
    [(1, 15_296_931, None), (2, 15_449_827, 3_528), (3, 15_643_107, None), (4, 15_618_275, 918)],
)
def test_sizes_of_cutblurs_network(scale, total, gigas):
    model = weightless(scale, head="desubpixel")
    assert count(model) == total
    if gigas:  # of pictures that are enlarged already
        assert float(model.trace().multadds_per_pixel) * 1280 * 720 / 1e9 == pytest.approx(gigas, abs=0.6)


# Behaviour


def test_sees_the_whole_picture_so_that_tiles_are_refused():
    torch.manual_seed(0)
    model = RCAN(2, **{**SMALL, "reduction": 1}).double().eval()
    assert model.receptive_radius is None
    x = torch.rand(1, 3, 40, 40, dtype=torch.float64)
    other = x.clone()
    other[..., -1, -1] += 1
    assert (model(x) - model(other))[..., 0, 0].abs().max() > 0
    with pytest.raises(ValueError, match="tile"):
        tiled(model, x, tile=8)


@given(height=st.integers(1, 9), width=st.integers(1, 9), scale=st.sampled_from([1, 2, 3, 4, 8]))
def test_output_is_exactly_scale_times_the_input(height, width, scale):
    assert RCAN(scale, **SMALL)(torch.rand(2, 3, height, width)).shape == (2, 3, height * scale, width * scale)


@given(height=st.integers(1, 9), width=st.integers(1, 9), scale=st.sampled_from([1, 2, 3, 4]))
def test_desubpixel_head_keeps_the_size_and_pads_by_repeating_the_edge(height, width, scale):
    model, x = RCAN(scale, **SMALL, head="desubpixel"), torch.rand(1, 3, height, width)
    assert (model.scales, model.size_multiple) == ((1,), scale)
    padded = F.pad(x, (0, -width % scale, 0, -height % scale), mode="replicate")
    assert model(x).shape == x.shape
    assert torch.allclose(model(x), model(padded)[..., :height, :width], atol=1e-5)


@pytest.mark.parametrize("channels", [1, 4])
def test_pictures_may_have_other_channels(channels):
    model = RCAN(2, **SMALL, in_channels=channels)
    assert model.config["mean"] == (0.0,) * channels
    assert model(torch.rand(1, channels, 3, 2)).shape == (1, channels, 6, 4)


@pytest.mark.parametrize("head", ["conv", "desubpixel"])
def test_gradient(head):
    torch.manual_seed(0)
    model = RCAN(2, channels=4, residual_groups=1, blocks=1, reduction=1, head=head).double()
    x = torch.rand(1, 3, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(model, (x,), fast_mode=True)


# Reading files


FILES = {
    "official": (published_rcan.official, (2, 3, 4, 8), "conv"),
    "CutBlur": (published_rcan.cutblur, (1, 2, 3, 4), "desubpixel"),
    "BasicSR": (published_rcan.basicsr, (2, 4), "conv"),
}


@pytest.mark.parametrize(
    ("layout", "scale", "head"),
    [(layout, scale, head if scale > 1 else "conv") for layout, scales, head in FILES.values() for scale in scales],
    ids=[f"{name} x{scale}" for name, (_, scales, _) in FILES.items() for scale in scales],
)
def test_published_files_are_recognised_and_fit_in_full_size(layout, scale, head):
    name, config, tensors = interpret(without_memory(layout(scale)), {}, LAYOUTS, "published.pth")
    model = weightless(scale, head=head)
    assert name == "RCAN"
    assert {"head": "conv", **config} == model.config
    assert {key: t.shape for key, t in tensors.items()} == {key: t.shape for key, t in model.state_dict().items()}


def test_another_scale_is_refused(save):
    with pytest.raises(ValueError, match="holds RCAN for scale 2, not for 3"):
        rcan(3, **SMALL, weights=save(published_weights(published_rcan.official(2, *SIZES))))


@pytest.mark.parametrize(
    ("layout", "key"),
    [
        (published_rcan.official(4, *SIZES), "body.1.body.2.body.3.conv_du.2.bias"),
        (published_rcan.official(4, *SIZES), "body.1.body.3.weight"),
        (published_rcan.official(4, *SIZES), "body.2.bias"),
        (published_rcan.official(4, *SIZES), "add_mean.weight"),
        (published_rcan.cutblur(3, *SIZES), "tail.0.0.bias"),
        (published_rcan.basicsr(2, *SIZES), "body.0.conv.weight"),
    ],
)
def test_missing_and_unexpected_keys_are_named(layout, key, save):
    tensors = published_weights(layout)
    with pytest.raises(ValueError, match=r"looks like RCAN .* has the unexpected key 'body.0.norm.weight'"):
        load_checkpoint(save({**tensors, "body.0.norm.weight": torch.zeros(8)}))
    del tensors[key]
    with pytest.raises(ValueError, match=rf"looks like RCAN .* misses the key '{key}'"):
        load_checkpoint(save(tensors))


@pytest.mark.parametrize(
    "key", ["head.0.weight", "body.1.body.0.body.0.weight", "body.0.body.0.body.3.conv_du.0.weight", "tail.1.bias"]
)
@pytest.mark.parametrize("shape", [(), (0,), (7,), (8, 5, 3, 3), (7, 8, 3, 3)])
def test_misshapen_tensors_are_refused(key, shape, save):
    tensors = published_weights(published_rcan.official(2, *SIZES))
    with pytest.raises(ValueError, match=r"published\.pth"):
        load_checkpoint(save({**tensors, key: torch.zeros(shape)}))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_files_are_read(dtype, save):
    tensors = published_weights(published_rcan.official(2, *SIZES))
    exact = load_checkpoint(save(tensors))
    model = load_checkpoint(save({key: tensor.to(dtype) for key, tensor in tensors.items()}))
    assert model.config == exact.config
    x = picture(4, 6)
    assert (model(x) - exact(x)).abs().max() < 0.05 * exact(x).abs().max()


@pytest.mark.parametrize("options", [{}, {"head": "desubpixel"}, {"in_channels": 1}])
def test_own_file_gives_the_same_network_back(options, tmp_path):
    model = RCAN(2, **SMALL, **options).eval()
    save_weights(model, tmp_path / "rcan.safetensors")
    loaded = load_checkpoint(tmp_path / "rcan.safetensors")
    other = rcan(2, **SMALL, **options, weights=tmp_path / "rcan.safetensors").eval()
    x = torch.rand(1, model.in_channels, 4, 5)
    assert loaded.config == other.config == model.config
    assert torch.equal(loaded(x), model(x))
    assert torch.equal(other(x), model(x))


# Bad input


@pytest.mark.parametrize("name", ["channels", "residual_groups", "blocks", "reduction", "in_channels"])
def test_refuses_sizes_below_one(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        rcan(2, **{**SMALL, name: 0})
    with pytest.raises(TypeError, match=f"{name} must be an integer"):
        rcan(2, **{**SMALL, name: 2.0})


def test_refuses_options_that_are_not_offered():
    with pytest.raises(ValueError, match="scale must be one of 1, 2, 3, 4, 8, got 5"):
        rcan(5)
    with pytest.raises(ValueError, match="head must be one of conv, desubpixel, got 'pixel'"):
        rcan(2, head="pixel")
    with pytest.raises(ValueError, match="at least reduction, got 8 channels and reduction 16"):
        rcan(2, channels=8)
    with pytest.raises(ValueError, match="one value for each of the 1 channels"):
        rcan(2, in_channels=1, mean=published.MEAN)


def test_refuses_other_pictures_and_scales():
    model = RCAN(2, **SMALL)
    with pytest.raises(ValueError, match="3 channels"):
        model(torch.rand(1, 4, 4, 4))
    with pytest.raises(ValueError, match=r"scale must be one of the network's scales \(2\), got 3"):
        model(torch.rand(1, 3, 4, 4), scale=3)
