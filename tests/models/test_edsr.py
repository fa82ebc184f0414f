import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from models import published, published_edsr
from models.published import assert_parity, picture, published_weights, random_weights, without_memory

from restorekit.models import EDSR, edsr, load_checkpoint, load_weights, save_weights
from restorekit.models._layouts.layout import UNSAID
from restorekit.models._loading import interpret
from restorekit.models.checkpoints import _CLASSES

SMALL = {"channels": 8, "blocks": 2}
FULL = {"channels": 256, "blocks": 32, "res_scale": 0.1}
LAYOUTS = {name: architecture.layouts for name, architecture in _CLASSES.items()}


def count(model, *, biases=True):
    return sum(p.numel() for p in model.parameters() if biases or p.ndim == 4)


def weightless(scale, **options):
    with torch.device("meta"):
        return edsr(scale, **options)


def enlarged(x, scale):
    return x.repeat_interleave(scale, 2).repeat_interleave(scale, 3)


@pytest.fixture
def save(tmp_path):
    def save(tensors):
        torch.save(tensors, tmp_path / "published.pth")
        return tmp_path / "published.pth"

    return save


# What the published networks compute


@pytest.mark.parametrize("scale", [1, 4])
def test_equals_cutblurs_network(scale, save):
    model = load_checkpoint(save(published_weights(published_edsr.cutblur(scale, 16, 2))))
    with torch.inference_mode():
        out = model(enlarged(picture(), scale)) * 255
    assert_parity(out, published_edsr.PARITY[scale], tolerance=1e-5 * (128 if scale == 4 else 750))


def residual_network(x, tensors, names, res_scale):
    """The structure of the paper in plain calls, on pictures whose mean is taken off."""

    def conv(y, name):
        return F.conv2d(y, tensors[f"{name}.weight"], tensors[f"{name}.bias"], padding=1)

    entry, (conv1, conv2), trunk, upsampler, exit = names
    out = start = conv(x, entry)
    for i in range(2):
        out = out + res_scale * conv(conv(out, f"body.{i}.{conv1}").clamp(min=0), f"body.{i}.{conv2}")
    out = conv(out, trunk) + start
    for stage in (0, 2):
        if f"{upsampler}.{stage}.weight" in tensors:
            out = conv(out, f"{upsampler}.{stage}")
            out = F.pixel_shuffle(out, round((out.shape[1] / start.shape[1]) ** 0.5))
    return conv(out, exit)


@pytest.mark.parametrize("res_scale", [1.0, 0.1])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_official_files_compute_the_papers_structure_on_0_to_255(scale, res_scale, save):
    tensors = random_weights(published_edsr.official(scale, 8, 2))
    shifts = {key: tensors[key].flatten(1) if key.endswith("weight") else tensors[key] for key in tensors if "_" in key}
    x = torch.rand(1, 3, 6, 5, dtype=torch.float64)
    shift = torch.einsum("oc,nchw->nohw", shifts["sub_mean.weight"], 255 * x) + shifts["sub_mean.bias"].view(-1, 1, 1)
    names = ("head.0", ("body.0", "body.2"), "body.2", "tail.0", "tail.1")
    out = residual_network(shift, tensors, names, res_scale)
    out = torch.einsum("oc,nchw->nohw", shifts["add_mean.weight"], out) + shifts["add_mean.bias"].view(-1, 1, 1)
    model = edsr(scale, **SMALL, res_scale=res_scale).double()
    load_weights(model, save(tensors))
    assert torch.allclose(model(x) * 255, out, rtol=1e-5, atol=1e-5 * out.abs().max().item())


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_basicsrs_files_compute_the_same_around_a_mean_of_its_code(scale, save):
    tensors = random_weights(published_edsr.basicsr(scale, 8, 2))
    x = torch.rand(1, 3, 6, 5, dtype=torch.float64)
    mean = torch.tensor(published.MEAN, dtype=torch.float64).view(1, 3, 1, 1)
    names = ("conv_first", ("conv1", "conv2"), "conv_after_body", "upsample", "conv_last")
    out = residual_network((x - mean) * 255, tensors, names, 1.0) / 255 + mean
    model = edsr(scale, **SMALL, mean=(0.0, 0.0, 0.0)).double()
    load_weights(model, save(tensors))
    assert model.config["mean"] == published.MEAN
    assert torch.allclose(model(x), out, rtol=0, atol=1e-6 * out.abs().max().item())


# Sizes, as the papers print them


@pytest.mark.parametrize(
    ("scale", "total", "weights", "gigas"),
    [
        (2, 1_369_859, 1_367_424, 316.2),
        (3, 1_554_499, 1_551_744, 160.3),
        (4, 1_517_571, 1_514_880, 114.2),
        (8, 1_665_283, None, 63.7),
    ],
)
def test_sizes_of_the_baseline(scale, total, weights, gigas):
    model = weightless(scale)
    assert count(model) == total
    assert weights in (None, count(model, biases=False))
    assert gigas_at_720p(model, scale) == pytest.approx(gigas, abs=0.06)


@pytest.mark.parametrize(
    ("scale", "total", "weights", "gigas"),
    [
        (2, 40_729_603, 40_711_680, 9_385),
        (3, 43_680_003, 43_660_800, 4_477),
        (4, 43_089_923, 43_070_976, 2_895),
        (8, 45_450_243, 45_430_272, 1_272),
    ],
)
def test_sizes_of_the_full_network(scale, total, weights, gigas):
    model = weightless(scale, **FULL)
    assert (count(model), count(model, biases=False)) == (total, weights)
    assert gigas_at_720p(model, scale) == pytest.approx(gigas, abs=0.6)


def test_multiply_adds_of_the_thesis_table_3_1_are_for_full_hd():
    model = weightless(8, **FULL)
    assert float(model.trace().multadds_per_pixel) * 1920 * 1080 / 64 / 1e9 == pytest.approx(2_861.99, abs=0.005)


@pytest.mark.parametrize(
    ("scale", "total", "gigas"),
    [(1, 38_369_283, 35_346), (2, 40_750_339, 9_390), (3, 43_735_299, None), (4, 43_193_603, 2_901)],
)
def test_sizes_of_cutblurs_network(scale, total, gigas):
    model = weightless(scale, **FULL, head="desubpixel")
    assert count(model) == total
    if gigas:  # of pictures that are enlarged already
        assert float(model.trace().multadds_per_pixel) * 1280 * 720 / 1e9 == pytest.approx(gigas, abs=0.6)


def test_weights_without_biases_of_cutblurs_network():
    assert count(weightless(4, **FULL, head="desubpixel"), biases=False) == 43_174_656
    assert count(weightless(1, **FULL), biases=False) == 38_352_384


def gigas_at_720p(model, scale):
    return float(model.trace().multadds_per_pixel) * 1280 * 720 / scale**2 / 1e9


# Behaviour


@given(height=st.integers(1, 9), width=st.integers(1, 9), scale=st.sampled_from([1, 2, 3, 4, 8]))
def test_output_is_exactly_scale_times_the_input(height, width, scale):
    assert EDSR(scale, **SMALL)(torch.rand(2, 3, height, width)).shape == (2, 3, height * scale, width * scale)


@given(height=st.integers(1, 9), width=st.integers(1, 9), scale=st.sampled_from([1, 2, 3, 4, 8]))
def test_desubpixel_head_keeps_the_size_and_pads_by_repeating_the_edge(height, width, scale):
    model, x = EDSR(scale, **SMALL, head="desubpixel"), torch.rand(1, 3, height, width)
    assert (model.scales, model.size_multiple) == ((1,), scale)
    padded = F.pad(x, (0, -width % scale, 0, -height % scale), mode="replicate")
    assert model(x).shape == x.shape
    assert torch.allclose(model(x), model(padded)[..., :height, :width], atol=1e-5)


@pytest.mark.parametrize(("channels", "mean"), [(1, (0.0,)), (3, published.MEAN), (4, (0.0,) * 4)])
def test_mean_follows_the_channels(channels, mean):
    model = EDSR(2, **SMALL, in_channels=channels)
    assert model.config["mean"] == mean
    assert model(torch.rand(1, channels, 3, 2)).shape == (1, channels, 6, 4)


def test_mean_is_taken_off_and_put_back():
    model = EDSR(1, **SMALL, mean=[0.1, 0.2, 0.3])
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert torch.allclose(model(torch.rand(1, 3, 2, 2))[0, :, 0, 0], torch.tensor([0.1, 0.2, 0.3]))


@pytest.mark.parametrize("head", ["conv", "desubpixel"])
def test_gradient(head):
    model = EDSR(2, channels=2, blocks=1, res_scale=0.5, head=head).double()
    x = torch.rand(1, 3, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(model, (x,), fast_mode=True)


# Reading files


FILES = {
    "official baseline": (published_edsr.official, (2, 3, 4), {"res_scale": 1.0}),
    "official full": (lambda s: published_edsr.official(s, 256, 32), (2, 3, 4), FULL),
    "CutBlur": (published_edsr.cutblur, (1, 2, 3, 4), {**FULL, "head": "desubpixel"}),
    "BasicSR baseline": (published_edsr.basicsr, (2, 3, 4), {"res_scale": 1.0}),
    "BasicSR full": (lambda s: published_edsr.basicsr(s, 256, 32), (2, 3, 4), FULL),
}


@pytest.mark.parametrize(
    ("layout", "scale", "options"),
    [(layout, scale, options) for layout, scales, options in FILES.values() for scale in scales],
    ids=[f"{name} x{scale}" for name, (_, scales, _) in FILES.items() for scale in scales],
)
def test_published_files_are_recognised_and_fit_in_full_size(layout, scale, options):
    name, config, tensors = interpret(without_memory(layout(scale)), {}, LAYOUTS, "published.pth")
    if scale == 1:
        options = {**options, "head": "conv"}
    model = weightless(scale, **options)
    assert name == "EDSR"
    assert {"head": "conv", **config} == model.config
    assert {key: t.shape for key, t in tensors.items()} == {key: t.shape for key, t in model.state_dict().items()}


@pytest.mark.parametrize("layout", [published_edsr.official, published_edsr.basicsr])
def test_a_size_that_was_never_published_does_not_say_its_res_scale(layout, save):
    path = save(published_weights(layout(2, 8, 2)))
    _, config, _ = interpret(torch.load(path), {}, LAYOUTS, path)
    assert config["res_scale"] is UNSAID
    with pytest.raises(ValueError, match="do not tell res_scale"):
        load_checkpoint(path)
    model = edsr(2, **SMALL, res_scale=0.3, weights=path)
    assert model.config["res_scale"] == 0.3


def test_another_res_scale_is_refused(save):
    with pytest.raises(ValueError, match=r"res_scale=0.1, but the network has res_scale=1.0"):
        edsr(4, **SMALL, head="desubpixel", weights=save(published_weights(published_edsr.cutblur(4, 8, 2))))


def test_another_scale_is_refused(save):
    with pytest.raises(ValueError, match="holds EDSR for scale 2, not for 3"):
        edsr(3, **SMALL, weights=save(published_weights(published_edsr.official(2, 8, 2))))


@pytest.mark.parametrize(
    ("layout", "key"),
    [
        (published_edsr.official(4, 64, 16), "tail.0.0.bias"),
        (published_edsr.official(4, 64, 16), "body.16.weight"),
        (published_edsr.official(4, 64, 16), "sub_mean.bias"),
        (published_edsr.cutblur(2, 8, 2), "body.1.body.2.weight"),
        (published_edsr.basicsr(2, 8, 2), "conv_last.bias"),
    ],
)
def test_missing_and_unexpected_keys_are_named(layout, key, save):
    tensors = published_weights(layout)
    with pytest.raises(ValueError, match=r"looks like EDSR .* has the unexpected key 'body.0.norm.weight'"):
        load_checkpoint(save({**tensors, "body.0.norm.weight": torch.zeros(8)}))
    del tensors[key]
    with pytest.raises(ValueError, match=rf"looks like EDSR .* misses the key '{key}'"):
        load_checkpoint(save(tensors))


@pytest.mark.parametrize("key", ["head.0.weight", "body.3.body.0.weight", "tail.0.0.weight", "tail.1.bias"])
@pytest.mark.parametrize("shape", [(), (0,), (7,), (64, 5, 3, 3), (63, 64, 3, 3)])
def test_misshapen_tensors_are_refused(key, shape, save):
    tensors = published_weights(published_edsr.official(2))
    with pytest.raises(ValueError, match=r"published\.pth"):
        load_checkpoint(save({**tensors, key: torch.zeros(shape)}))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_files_are_read(dtype, save):
    tensors = published_weights(published_edsr.cutblur(2, 8, 2))
    exact = load_checkpoint(save(tensors))
    model = load_checkpoint(save({key: tensor.to(dtype) for key, tensor in tensors.items()}))
    assert model.config == exact.config
    x = picture(4, 6)
    assert (model(x) - exact(x)).abs().max() < 0.05 * exact(x).abs().max()


@pytest.mark.parametrize("options", [{}, {"head": "desubpixel", "res_scale": 0.1}, {"in_channels": 1}])
def test_own_file_gives_the_same_network_back(options, tmp_path):
    model = EDSR(2, **SMALL, **options).eval()
    save_weights(model, tmp_path / "edsr.safetensors")
    loaded = load_checkpoint(tmp_path / "edsr.safetensors")
    other = edsr(2, **SMALL, **options, weights=tmp_path / "edsr.safetensors").eval()
    x = torch.rand(1, model.in_channels, 4, 5)
    assert loaded.config == other.config == model.config
    assert torch.equal(loaded(x), model(x))
    assert torch.equal(other(x), model(x))


# Bad input


@pytest.mark.parametrize("scale", [0, 5, 2.0, "4", True, None, (2,), [2, 3]])
def test_refuses_scales_that_are_not_offered(scale):
    with pytest.raises(ValueError, match="scale must be one of 1, 2, 3, 4, 8, got"):
        edsr(scale)


@pytest.mark.parametrize("name", ["channels", "blocks", "in_channels"])
def test_refuses_sizes_below_one(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        edsr(2, **{name: 0})
    with pytest.raises(TypeError, match=f"{name} must be an integer"):
        edsr(2, **{name: 2.0})


def test_refuses_options_that_are_not_offered():
    with pytest.raises(ValueError, match="head must be one of conv, desubpixel, got 'pixel'"):
        edsr(2, head="pixel")
    with pytest.raises(ValueError, match="res_scale must be in"):
        edsr(2, res_scale=2.0)
    with pytest.raises(ValueError, match="one value for each of the 1 channels"):
        edsr(2, in_channels=1, mean=published.MEAN)


def test_refuses_other_pictures_and_scales():
    model = EDSR(2, **SMALL)
    with pytest.raises(ValueError, match="3 channels"):
        model(torch.rand(1, 4, 4, 4))
    with pytest.raises(ValueError, match=r"scale must be one of the network's scales \(2\), got 3"):
        model(torch.rand(1, 3, 4, 4), scale=3)
