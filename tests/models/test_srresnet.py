import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from models import published_srresnet
from models.published import picture, published_weights, random_weights, without_memory

from restorekit.inference import tiled
from restorekit.layers import initialize
from restorekit.models import MSRResNet, SRResNet, load_checkpoint, load_weights, save_weights, srresnet
from restorekit.models._loading import interpret
from restorekit.models.checkpoints import _CLASSES

SMALL = {"channels": 8, "blocks": 2}
KAIR0 = {"slope": 0.0, "long_skip": True, "exit_bias": False, "image_skip": False}
LAYOUTS = {name: architecture.layouts for name, architecture in _CLASSES.items()}


def count(model, *, biases=True):
    return sum(p.numel() for p in model.parameters() if biases or p.ndim == 4)


def weightless(scale, **options):
    with torch.device("meta"):
        return srresnet(scale, **options)


def gigas_at_720p(model, scale):
    return float(model.trace().multadds_per_pixel) * 1280 * 720 / scale**2 / 1e9


@pytest.fixture
def save(tmp_path):
    def save(tensors):
        torch.save(tensors, tmp_path / "published.pth")
        return tmp_path / "published.pth"

    return save


def convolution(tensors):
    def conv(y, name):
        weight = tensors[f"{name}.weight"]
        return F.conv2d(y, weight, tensors.get(f"{name}.bias"), padding=weight.shape[-1] // 2)

    return conv


# What the networks compute


def paper_network(x, tensors, *, normalised):
    conv = convolution(tensors)

    def norm(y, name):
        if not normalised:
            return y
        mean, var = tensors[f"{name}.running_mean"].view(-1, 1, 1), tensors[f"{name}.running_var"].view(-1, 1, 1)
        scaled = (y - mean) / (var + 1e-5).sqrt()
        return scaled * tensors[f"{name}.weight"].view(-1, 1, 1) + tensors[f"{name}.bias"].view(-1, 1, 1)

    def prelu(y, name):
        return torch.where(y > 0, y, tensors[f"{name}.weight"] * y)

    out = start = prelu(conv(x, "entry"), "entry_activation")
    for i in range(2):
        inner = prelu(norm(conv(out, f"body.{i}.conv1"), f"body.{i}.norm1"), f"body.{i}.activation")
        out = out + norm(conv(inner, f"body.{i}.conv2"), f"body.{i}.norm2")
    out = norm(conv(out, "body_conv"), "body_norm") + start
    for stage in (0, 1):
        out = prelu(F.pixel_shuffle(conv(out, f"upsampler.{stage}.0"), 2), f"upsampler.{stage}.2")
    return conv(out, "exit")


@pytest.mark.parametrize("batch_norm", [True, False])
def test_paper_form_is_the_papers_structure(batch_norm):
    torch.manual_seed(0)
    model = SRResNet(4, **SMALL, batch_norm=batch_norm).double().eval()
    for name, tensor in model.state_dict().items():
        if tensor.ndim == 1:
            torch.nn.init.uniform_(tensor, 0.2, 1.5) if "bias" not in name else torch.nn.init.normal_(tensor)
    x = torch.rand(2, 3, 5, 6, dtype=torch.float64)
    expected = paper_network(x, model.state_dict(), normalised=batch_norm)
    assert torch.allclose(model(x), expected, rtol=0, atol=1e-12 * expected.abs().max().item())


def leaky(y, slope):
    return torch.where(y > 0, y, slope * y)


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8])
@pytest.mark.parametrize(
    ("layout", "trunk", "last"), [("basicsr", "body", "conv_hr"), ("kair1", "recon_trunk", "HRconv")]
)
def test_form_of_basicsr_and_kair_1_adds_to_the_bilinear_picture(scale, layout, trunk, last, save):
    tensors = random_weights(getattr(published_srresnet, layout)(scale, 8, 2))
    conv = convolution(tensors)
    x = torch.rand(1, 3, 6, 5, dtype=torch.float64)
    out = leaky(conv(x, "conv_first"), 0.1)
    for i in range(2):
        out = out + conv(conv(out, f"{trunk}.{i}.conv1").clamp(min=0), f"{trunk}.{i}.conv2")
    for stage in range(1, 4):
        if f"upconv{stage}.weight" in tensors:
            out = conv(out, f"upconv{stage}")
            out = leaky(F.pixel_shuffle(out, round((out.shape[1] / 8) ** 0.5)), 0.1)
    out = conv(leaky(conv(out, last), 0.1), "conv_last")
    out = out + F.interpolate(x, size=out.shape[2:], mode="bilinear", align_corners=False)
    path = save(tensors)
    model = srresnet(scale, batch_norm=False, **SMALL).double()
    load_weights(model, path)
    assert torch.allclose(model(x), out, rtol=0, atol=1e-12 * out.abs().max().item())
    assert torch.allclose(load_checkpoint(path).double()(x), out, rtol=0, atol=1e-6 * out.abs().max().item())


@pytest.mark.parametrize("shuffled", [True, False], ids=["pixelshuffle", "nearest"])
@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8])
def test_form_of_kair_0_has_a_skip_around_the_trunk(scale, shuffled, save):
    tensors = random_weights(published_srresnet.kair0(scale, 8, 2, shuffled=shuffled))
    conv = convolution(tensors)
    x = torch.rand(1, 3, 6, 5, dtype=torch.float64)
    out = start = conv(x, "model.0")
    for i in range(2):
        out = out + conv(conv(out, f"model.1.sub.{i}.res.0").clamp(min=0), f"model.1.sub.{i}.res.2")
    out = conv(out, "model.1.sub.2") + start
    factors = {1: [], 2: [2], 3: [3], 4: [2, 2], 8: [2, 2, 2]}[scale]
    for stage, factor in enumerate(factors):
        if shuffled:
            out = F.pixel_shuffle(conv(out, f"model.{3 * stage + 2}"), factor).clamp(min=0)
        else:
            repeated = out.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
            out = conv(repeated, f"model.{3 * stage + 3}").clamp(min=0)
    last = 3 * len(factors) + 2
    out = conv(conv(out, f"model.{last}").clamp(min=0), f"model.{last + 2}")
    upsampler = "pixelshuffle" if shuffled or scale == 1 else "nearest"
    model = MSRResNet(scale, **SMALL, **KAIR0, upsampler=upsampler).double()
    load_weights(model, save(tensors))
    assert torch.allclose(model(x), out, rtol=0, atol=1e-12 * out.abs().max().item())


# Sizes, as the papers print them


def test_published_sizes_of_the_paper_form():
    model = weightless(4)
    assert (count(model), count(model, biases=False)) == (1_549_462, 1_542_528)
    assert gigas_at_720p(model, 4) == pytest.approx(127.77, abs=0.005)


@pytest.mark.parametrize(
    ("scale", "total", "gigas"), [(2, 1_369_859, 341.7), (3, 1_554_499, 190.5), (4, 1_517_571, 146.1)]
)
def test_published_sizes_without_normalisation(scale, total, gigas):
    model = weightless(scale, batch_norm=False)
    assert count(model) == total
    assert gigas_at_720p(model, scale) == pytest.approx(gigas, abs=0.06)


# Behaviour


def test_the_factory_chooses_between_the_forms():
    assert type(srresnet(2, **SMALL)) is SRResNet
    assert srresnet(2, **SMALL).config["batch_norm"] is True
    plain = srresnet(2, batch_norm=False, **SMALL)
    assert type(plain) is MSRResNet
    assert plain.config == MSRResNet(2, **SMALL).config


def test_without_norms_the_other_names_stay():
    normalised, merged = SRResNet(2, **SMALL), SRResNet(2, **SMALL, batch_norm=False)
    norms = {name for name, layer in normalised.named_modules() if isinstance(layer, torch.nn.BatchNorm2d)}
    assert norms == {"body_norm"} | {f"body.{i}.norm{k}" for i in range(2) for k in (1, 2)}
    assert set(merged.state_dict()) == {k for k in normalised.state_dict() if k.rpartition(".")[0] not in norms}
    layers = dict(normalised.named_modules())
    for norm in norms:
        parent, _, last = norm.rpartition(".")
        partner = layers[f"{parent}.{last.replace('norm', 'conv')}".lstrip(".")]
        assert partner.out_channels == layers[norm].num_features


def test_statistics_are_learned_in_training_and_used_afterwards():
    model, x = SRResNet(2, **SMALL), torch.rand(2, 3, 4, 4)
    before = model.body_norm.running_mean.clone()
    model(x)
    assert not torch.equal(model.body_norm.running_mean, before)
    model.eval()
    assert torch.equal(model(x[:1]), model(x[:1]))
    assert torch.allclose(model(x)[:1], model(x[:1]), atol=1e-5)


@pytest.mark.parametrize(
    "options", [{"slope": 0.2}, {"long_skip": True}, {"image_skip": False}, {"upsampler": "nearest"}]
)
def test_options_change_what_is_computed(options):
    first, second = MSRResNet(2, **SMALL), MSRResNet(2, **SMALL, **options)
    for model in (first, second):
        initialize(model, "he-normal", generator=torch.Generator().manual_seed(0))
    x = torch.rand(1, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    assert (first(x) - second(x)).abs().max() > 1e-3


def test_starts_near_the_bilinear_picture():
    x = picture(6, 8)
    expected = F.interpolate(x, scale_factor=4, mode="bilinear", align_corners=False)
    torch.manual_seed(0)
    assert (MSRResNet(4)(x) - expected).abs().max() < 0.01


@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    scale=st.sampled_from([1, 2, 3, 4, 8]),
    upsampler=st.sampled_from(["pixelshuffle", "nearest"]),
)
def test_output_is_exactly_scale_times_the_input(height, width, scale, upsampler):
    x = torch.rand(2, 3, height, width)
    for model in (MSRResNet(scale, **SMALL, upsampler=upsampler), SRResNet(scale, **SMALL)):
        assert model(x).shape == (2, 3, height * scale, width * scale)


@pytest.mark.parametrize("scale", [2, 3, 8])
def test_nearest_stages_keep_the_contract(scale):
    model = MSRResNet(scale, **SMALL, **KAIR0, upsampler="nearest").eval()
    initialize(model, "he-normal", generator=torch.Generator().manual_seed(0))
    x = picture(7, 5)
    exported = torch.export.export(model, (x,)).module()
    assert torch.allclose(exported(x), model(x), rtol=0, atol=1e-5 * model(x).abs().max().item())
    model.double()
    x = picture(33, 29).double()
    whole = model(x)
    assert torch.allclose(tiled(model, x, tile=11), whole, rtol=0, atol=1e-12 * whole.abs().max().item())


@pytest.mark.parametrize(
    "model",
    [
        SRResNet(2, channels=2, blocks=1),
        MSRResNet(3, channels=2, blocks=1),
        MSRResNet(2, channels=2, blocks=1, **KAIR0, upsampler="nearest"),
    ],
    ids=["paper", "BasicSR", "KAIR 0"],
)
def test_gradient(model):
    initialize(model, "he-normal", generator=torch.Generator().manual_seed(0))
    x = torch.rand(1, 3, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(model.double().eval(), (x,), fast_mode=True)


# Reading files


FILES = {
    "BasicSR": (published_srresnet.basicsr, (2, 3, 4), {}),
    "KAIR 1": (published_srresnet.kair1, (4,), {}),
    "KAIR 0 pixelshuffle": (lambda s: published_srresnet.kair0(s, shuffled=True), (2, 3, 4), KAIR0),
    "KAIR 0 nearest": (
        lambda s: published_srresnet.kair0(s, shuffled=False),
        (4, 8),
        {**KAIR0, "upsampler": "nearest"},
    ),
}


@pytest.mark.parametrize(
    ("layout", "scale", "options"),
    [(layout, scale, options) for layout, scales, options in FILES.values() for scale in scales],
    ids=[f"{name} x{scale}" for name, (_, scales, _) in FILES.items() for scale in scales],
)
def test_published_files_are_recognised_and_fit_in_full_size(layout, scale, options):
    name, config, tensors = interpret(without_memory(layout(scale)), {}, LAYOUTS, "published.pth")
    with torch.device("meta"):
        model = MSRResNet(scale, **options)
    assert name == "MSRResNet"
    assert config == model.config
    assert {key: t.shape for key, t in tensors.items()} == {key: t.shape for key, t in model.state_dict().items()}


def test_one_nearest_stage_does_not_say_its_scale(save):
    tensors = random_weights(published_srresnet.kair0(3, 8, 2, shuffled=False))
    path = save(tensors)
    with pytest.raises(ValueError, match="do not tell scale"):
        load_checkpoint(path)
    for scale in (2, 3):
        model = MSRResNet(scale, **SMALL, **KAIR0, upsampler="nearest")
        load_weights(model, path)
        assert torch.equal(model.exit.weight, tensors["model.7.weight"].float())


def test_the_other_form_and_other_scales_are_refused(save):
    path = save(published_weights(published_srresnet.kair0(4, 8, 2, shuffled=True)))
    with pytest.raises(ValueError, match="but the network has "):
        srresnet(4, batch_norm=False, **SMALL, weights=path)
    with pytest.raises(ValueError, match="holds MSRResNet for scale 4, not for 2"):
        load_weights(MSRResNet(2, **SMALL, **KAIR0), path)
    with pytest.raises(ValueError, match=r"does not fit SRResNet: it looks like .*MSRResNet0"):
        srresnet(4, **SMALL, weights=path)


@pytest.mark.parametrize(
    ("layout", "key"),
    [
        (published_srresnet.basicsr(4, 8, 2), "upconv1.weight"),
        (published_srresnet.basicsr(4, 8, 2), "body.1.conv2.bias"),
        (published_srresnet.kair1(2, 8, 2), "conv_last.bias"),
        (published_srresnet.kair0(4, 8, 2, shuffled=True), "model.5.weight"),
        (published_srresnet.kair0(4, 8, 2, shuffled=False), "model.3.bias"),
        (published_srresnet.kair0(4, 8, 2, shuffled=False), "model.1.sub.2.weight"),
    ],
)
def test_missing_and_unexpected_keys_are_named(layout, key, save):
    tensors = published_weights(layout)
    with pytest.raises(ValueError, match=r"looks like MSRResNet.* has the unexpected key 'body.0.norm.weight'"):
        load_checkpoint(save({**tensors, "body.0.norm.weight": torch.zeros(8)}))
    del tensors[key]
    with pytest.raises(ValueError, match=rf"looks like MSRResNet.* misses the key '{key}'"):
        load_checkpoint(save(tensors))


def test_layers_in_other_places_are_refused(save):
    tensors = published_weights(published_srresnet.kair0(4, 8, 2, shuffled=True))
    with pytest.raises(ValueError, match=r"looks like MSRResNet0.*its last layer is number 11"):
        load_checkpoint(save({**tensors, "model.11.weight": torch.zeros(8)}))


@pytest.mark.parametrize("key", ["conv_first.weight", "body.1.conv1.weight", "upconv1.weight", "conv_last.bias"])
@pytest.mark.parametrize("shape", [(), (0,), (7,), (8, 5, 3, 3), (7, 8, 3, 3)])
def test_misshapen_tensors_are_refused(key, shape, save):
    tensors = published_weights(published_srresnet.basicsr(2, 8, 2))
    with pytest.raises(ValueError, match=r"published\.pth"):
        load_checkpoint(save({**tensors, key: torch.zeros(shape)}))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_files_in_the_projects_container_are_read(dtype, save):
    tensors = published_weights(published_srresnet.basicsr(2, 8, 2))
    exact = load_checkpoint(save(tensors))
    model = load_checkpoint(save({"params_ema": {key: tensor.to(dtype) for key, tensor in tensors.items()}}))
    x = picture(4, 6)
    assert (model(x) - exact(x)).abs().max() < 0.05 * exact(x).abs().max()


@pytest.mark.parametrize(
    "model",
    [
        SRResNet(2, **SMALL),
        SRResNet(3, **SMALL, batch_norm=False, in_channels=1),
        MSRResNet(2, **SMALL, **KAIR0, upsampler="nearest"),
    ],
    ids=["paper", "merged", "KAIR 0"],
)
def test_own_file_gives_the_same_network_back(model, tmp_path):
    save_weights(model.eval(), tmp_path / "srresnet.safetensors")
    loaded = load_checkpoint(tmp_path / "srresnet.safetensors")
    other = type(model)(**model.config).eval()
    load_weights(other, tmp_path / "srresnet.safetensors")
    x = torch.rand(1, model.in_channels, 4, 5)
    assert loaded.config == other.config == model.config
    assert torch.equal(loaded(x), model(x))
    assert torch.equal(other(x), model(x))


# Bad input


@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize("name", ["channels", "blocks", "in_channels"])
def test_refuses_sizes_below_one(name, batch_norm):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        srresnet(2, batch_norm=batch_norm, **{name: 0})
    with pytest.raises(TypeError, match=f"{name} must be an integer"):
        srresnet(2, batch_norm=batch_norm, **{name: 2.0})


def test_refuses_options_that_are_not_offered():
    for batch_norm in (True, False):
        with pytest.raises(ValueError, match="scale must be one of 1, 2, 3, 4, 8, got 5"):
            srresnet(5, batch_norm=batch_norm)
    with pytest.raises(ValueError, match="upsampler must be one of pixelshuffle, nearest, got 'bicubic'"):
        MSRResNet(2, upsampler="bicubic")
    with pytest.raises(ValueError, match="slope must be in"):
        MSRResNet(2, slope=-0.1)


@pytest.mark.parametrize("model", [SRResNet(2, **SMALL), MSRResNet(2, **SMALL)], ids=["paper", "BasicSR"])
def test_refuses_other_pictures_and_scales(model):
    with pytest.raises(ValueError, match="3 channels"):
        model(torch.rand(1, 4, 4, 4))
    with pytest.raises(ValueError, match=r"scale must be one of the network's scales \(2\), got 3"):
        model(torch.rand(1, 3, 4, 4), scale=3)
