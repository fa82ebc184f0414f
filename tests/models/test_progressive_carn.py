import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from models import published
from models.published import picture, published_weights
from models.published_progressive_carn import progressive_carn as published_file

from restorekit.inference import tiled
from restorekit.layers import ResidualBlock, initialize
from restorekit.models import CARN, ProgressiveCARN, load_checkpoint, load_weights, progressive_carn, save_weights
from restorekit.models._layouts.carn import CARN_LAYOUTS
from restorekit.models._layouts.progressive_carn import PROGRESSIVE_CARN_LAYOUTS

SMALL = {"channels": 4, "blocks": 2, "units": 2}


def small(scale=8, **options):
    return ProgressiveCARN(scale, **{**SMALL, **options})


@pytest.fixture
def save(tmp_path):
    def save(content):
        torch.save(content, tmp_path / "model.pth")
        return tmp_path / "model.pth"

    return save


def assert_equal_weights(model, other):
    own, expected = model.state_dict(), other.state_dict()
    assert own.keys() == expected.keys()
    assert all(torch.equal(own[key], expected[key]) for key in own)


# The published network, written down plainly with the names of its file


def published_function(tensors, x, stage, *, leading_relu=True):
    def conv(name, x):
        kernel = tensors[f"{name}.weight"]
        return F.conv2d(x, kernel, tensors[f"{name}.bias"], padding=kernel.shape[2] // 2)

    def unit(name, x):
        out = conv(f"{name}.body.1", x.relu() if leading_relu else x)
        return conv(f"{name}.body.3", out.relu()) + x

    def cascade(name, step, x):
        """Steps b1, b2, ... and fusions c1, c2, ... over the input and all raw outputs so far."""
        seen, out, i = [x], x, 1
        while f"{name}.c{i}.body.0.weight" in tensors:
            seen.append(step(f"{name}.b{i}", out))
            out = conv(f"{name}.c{i}.body.0", torch.cat(seen, 1)).relu()
            i += 1
        return out

    features = conv("entry.body.0", x).relu()
    for k in range(stage + 1):
        features = cascade(f"progression.{k}", lambda name, x: cascade(name, unit, x), features)
        features = F.pixel_shuffle(conv(f"progression.{k}.up.body.0", features).relu(), 2)
    factor = 2 ** (stage + 1)
    return conv(f"to_rgb.{stage}", features) + x.repeat_interleave(factor, 2).repeat_interleave(factor, 3)


def random_weights(layout):
    generator = torch.Generator().manual_seed(0)
    fan_in = {key: torch.Size(shape[1:]).numel() for key, shape in layout.items()}
    return {key: torch.randn(shape, generator=generator) * fan_in[key] ** -0.5 for key, shape in layout.items()}


@pytest.mark.parametrize("make", [published_weights, random_weights])
@pytest.mark.parametrize("stage", [0, 1, 2])
def test_equals_the_published_structure(make, stage, save):
    tensors = make(published_file(blocks=2, units=3, channels=6))
    model = load_checkpoint(save(tensors))
    assert (model.stage, model.scale) == (2, 8)
    model = ProgressiveCARN(**{**model.config, "stage": stage})
    load_weights(model, save(tensors))
    model.double()
    x, tensors = picture(5, 7).double(), {key: tensor.double() for key, tensor in tensors.items()}
    expected = published_function(tensors, x, stage)
    assert expected.shape == (1, 3, 5 * 2 ** (stage + 1), 7 * 2 ** (stage + 1))
    assert torch.allclose(model(x), expected, rtol=1e-12, atol=1e-12)
    enlarged = F.interpolate(x, scale_factor=2 ** (stage + 1))
    assert (expected - enlarged).abs().mean() > 1e-3  # the network itself has a part in it


def test_the_published_relu_in_front_of_each_unit_does_nothing(save):
    """No unit sees a negative value, not even that of the next module behind the pixel shuffle."""
    tensors = random_weights(published_file(blocks=2, units=2, channels=6))
    x = picture(5, 7) - 0.5
    with_relu, without = (published_function(tensors, x, 2, leading_relu=relu) for relu in (True, False))
    assert torch.equal(with_relu, without)
    model, seen = load_checkpoint(save(tensors)), []
    for layer in model.modules():
        if isinstance(layer, ResidualBlock):
            layer.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0].min().item()))
    model(x)
    assert len(seen) == 3 * 2 * 2
    assert min(seen) >= 0


def test_the_published_file_loads_at_full_size(save):
    tensors = published_weights(published_file())
    path = save(tensors)
    model = progressive_carn(weights=path)
    assert_equal_weights(load_checkpoint(path), model)
    assert load_checkpoint(path).config == model.config
    assert sum(p.numel() for p in model.parameters()) == sum(tensor.numel() for tensor in tensors.values())
    assert torch.equal(
        model.stages[2].body.blocks[7].blocks[3].conv2.weight, tensors["progression.2.b8.b4.body.3.weight"]
    )
    assert torch.equal(model.stages[1].upsampler.convs[0].bias, tensors["progression.1.up.body.0.bias"])


# Sizes, as the thesis prints them


def test_published_sizes():
    with torch.device("meta"):
        model = progressive_carn()
    sizes = {name: p.numel() for name, p in model.named_parameters()}
    assert sum(sizes.values()) == 9_464_905
    assert sum(sizes.values()) - sum(sizes[name] for name in model.unused_parameters()) == 9_461_443
    assert sum(p.numel() for p in model.stages[0].parameters()) == 3_152_640


@pytest.mark.parametrize(("width", "height", "gigas"), [(1280, 720, 952.9), (1920, 1080, 2143.99)])
def test_published_multiply_adds(width, height, gigas):
    with torch.device("meta"):
        model = progressive_carn()
    total = float(model.trace().multadds_per_pixel) * width * height / 64 / 1e9
    assert total == pytest.approx(gigas, abs=0.05 if gigas == 952.9 else 0.005)


# Stages


def test_grows_from_stage_to_stage():
    model, x = small(stage=0), picture(3, 4)
    for stage, scale in enumerate((2, 4, 8)):
        assert (model.stage, model.scale, model.scales, model.config["stage"]) == (stage, scale, (scale,), stage)
        assert model.config["scale"] == 8
        assert model(x).shape == (1, 3, 3 * scale, 4 * scale)
        assert model(x, scale=scale).shape == model(x).shape
        with pytest.raises(ValueError, match=rf"network's scales \({scale}\), got 16"):
            model(x, scale=16)
        if stage < 2:
            model.grow()
    with pytest.raises(RuntimeError, match="works at its last stage, 2: it is built for scale 8"):
        model.grow()
    assert (model.stage, model.scale) == (2, 8)


def test_growing_keeps_every_weight():
    model = small(stage=0)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    model.grow()
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_training_by_stages_can_start_over(stage):
    model, first = small(stage=stage), small(stage=0)
    first.load_state_dict(model.state_dict())
    model.restart()
    assert (model.stage, model.scale, model.config) == (0, 2, first.config)
    assert torch.equal(model(picture(3, 4)), first(picture(3, 4)))


def test_the_stage_is_changed_by_growing_and_starting_over_only():
    with pytest.raises(AttributeError):
        small().stage = 0


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_the_finished_network_is_the_default(scale):
    model = small(scale)
    assert model.scale == model.config["scale"] == scale
    assert len(model.stages) == len(model.to_rgb) == model.stage + 1
    assert model.config == small(scale, stage=model.stage).config


def test_names_of_unused_parameters():
    unused = set(small(stage=1).unused_parameters())
    assert {".".join(name.split(".")[:2]) for name in unused} == {"stages.2", "to_rgb.0", "to_rgb.2"}
    assert {name for name in small(stage=1).state_dict() if name.startswith("stages.2.")} <= unused
    assert small(2).unused_parameters() == []
    assert all(name.startswith(("to_rgb.0.", "to_rgb.1.")) for name in small().unused_parameters())
    with pytest.raises(ValueError, match="network's scales"):
        small().unused_parameters(2)


def test_a_file_keeps_its_stage_and_fits_the_others(tmp_path):
    model = small(stage=1)
    save_weights(model, tmp_path / "model.safetensors")
    again = load_checkpoint(tmp_path / "model.safetensors")
    assert (again.stage, again.scale, again.config) == (1, 4, model.config)
    assert_equal_weights(again, model)
    for stage in (0, 1, 2, None):
        other = progressive_carn(stage=stage, **SMALL, weights=tmp_path / "model.safetensors")
        assert_equal_weights(other, model)
        assert other.stage == (2 if stage is None else stage)


def test_a_file_for_another_final_scale_does_not_fit(tmp_path):
    save_weights(small(8, stage=1), tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="holds ProgressiveCARN for scale 8, not for 4"):
        load_weights(small(4), tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="blocks=2, but the network has blocks=1"):
        load_weights(small(8, blocks=1), tmp_path / "model.safetensors")


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_receptive_radius_counts_the_stages_in_use(stage):
    """Back from the output's one finer pixel: 9 convolutions in each stage on a grid twice as coarse, and the entry."""
    assert (
        small(stage=stage).receptive_radius == [1 + 9 + 1, (1 + 9) // 2 + 9 + 1, ((1 + 9) // 2 + 9) // 2 + 9 + 1][stage]
    )


def test_tiles_and_compiled_graphs_follow_the_stage():
    torch.compiler.reset()
    model, x = small(4, stage=0).eval(), picture(37, 9)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    for scale in (2, 4):
        with torch.inference_mode():
            whole = model(x)
            assert compiled(x).shape == whole.shape == (1, 3, 37 * scale, 9 * scale)
            assert torch.allclose(compiled(x), whole, atol=1e-5)
            assert torch.allclose(tiled(model, x, tile=9), whole, atol=1e-5)
        if scale == 2:
            model.grow()


# Behaviour


@given(height=st.integers(1, 7), width=st.integers(1, 7), stage=st.integers(0, 2))
def test_output_is_exactly_scale_times_the_input(height, width, stage):
    x = torch.rand(2, 3, height, width)
    before = x.clone()
    assert small(stage=stage)(x).shape == (2, 3, height * 2 ** (stage + 1), width * 2 ** (stage + 1))
    assert torch.equal(x, before)


def test_the_enlarged_picture_is_added():
    model = small(4)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    x = picture(3, 4)
    assert torch.equal(model(x), x.repeat_interleave(4, 2).repeat_interleave(4, 3))


def test_initial_weights_are_torchs_own():
    # uniform within 1 / sqrt(fan_in), the biases too, without which features fade from stage to stage
    for layer in small(8).modules():
        if isinstance(layer, torch.nn.Conv2d):
            bound = layer.weight[0].numel() ** -0.5
            for values in (layer.weight, layer.bias):
                assert 0 < values.abs().max() <= bound


def test_gradient():
    model = ProgressiveCARN(4, channels=2, blocks=1, units=1)
    initialize(model, "he-normal", generator=torch.Generator().manual_seed(0))
    x = torch.rand(1, 3, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(model.double(), (x,), fast_mode=True)


# Bad input


@pytest.mark.parametrize("scale", [0, 1, 3, 16, 2.0, "8", True, None, (2, 4)])
def test_refuses_scales_that_are_not_offered(scale):
    with pytest.raises(ValueError, match=r"scale must be one of 2, 4, 8, got"):
        ProgressiveCARN(scale)


def test_refuses_stages_and_sizes_that_do_not_exist():
    with pytest.raises(ValueError, match="stage must be below 2 at scale 4, got 2"):
        progressive_carn(4, stage=2)
    with pytest.raises(ValueError, match="stage must be at least 0, got -1"):
        progressive_carn(4, stage=-1)
    with pytest.raises(TypeError, match="stage must be an integer"):
        progressive_carn(4, stage=True)
    for name in ("channels", "blocks", "units"):
        with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
            progressive_carn(**{name: 0})


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (torch.rand(1, 4, 4, 4), ValueError, "3 channels"),
        (torch.rand(3, 4, 4), ValueError, "4 dimensions"),
        (torch.rand(1, 3, 0, 4), ValueError, "must not be empty"),
        (torch.zeros(1, 3, 4, 4, dtype=torch.uint8), TypeError, "floating-point"),
        (torch.rand(1, 3, 4, 4, dtype=torch.float64), TypeError, r"dtype of the weights, torch\.float32"),
    ],
)
def test_refuses_what_is_no_batch_of_pictures(x, error, message):
    with pytest.raises(error, match=message):
        small()(x)


# Damaged files


def tiny_file():
    return published_weights(published_file(stages=2, blocks=2, units=2, channels=4))


@pytest.mark.parametrize(
    "key",
    ["entry.body.0.bias", "progression.1.b2.b1.body.3.weight", "progression.0.up.body.0.weight", "to_rgb.0.bias"],
)
def test_missing_key_is_named(key, save):
    tensors = tiny_file()
    del tensors[key]
    with pytest.raises(ValueError, match=f"looks like progressive CARN.*misses the key '{key}'"):
        load_checkpoint(save(tensors))


@pytest.mark.parametrize("key", ["progression.2.up.body.0.weight", "progression.1.b2.b3.body.1.weight", "extra"])
def test_unexpected_key_is_named(key, save):
    with pytest.raises(ValueError, match=f"looks like progressive CARN.*has the unexpected key '{key}'"):
        load_checkpoint(save(tiny_file() | {key: torch.zeros(1)}))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("progression.1.c2.body.0.weight", torch.zeros(4, 8, 1, 1), r"'stages\.1\.body\.fusions\.1\.weight' has shape"),
        ("entry.body.0.weight", torch.tensor(0.0), "cannot be read as such"),
        ("entry.body.0.weight", torch.zeros(0, 3, 3, 3), "cannot be built: channels must be at least 1"),
        ("progression.0.c1000000000.body.0.weight", torch.zeros(1), "count to 1000000001"),
        ("to_rgb.1000000000.weight", torch.zeros(1), "count to 1000000001"),
        ("to_rgb.5.weight", torch.zeros(1), "misses the key"),
    ],
)
def test_damaged_tensors_are_refused(key, value, message, save):
    with pytest.raises(ValueError, match=message):
        load_checkpoint(save(tiny_file() | {key: value}))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_files_are_read(dtype, save):
    tensors = {key: tensor.to(dtype) for key, tensor in tiny_file().items()}
    model = load_checkpoint(save(tensors))
    assert model.config == small(4).config
    assert torch.equal(model.entry.weight, tensors["entry.body.0.weight"].float())


def test_prefixes_and_containers_are_taken_off(save):
    tensors = tiny_file()
    plain = load_checkpoint(save(tensors))
    wrapped = {"params": {f"module.{key}": value for key, value in tensors.items()}}
    assert_equal_weights(load_checkpoint(save(wrapped)), plain)


def test_a_bare_state_dict_fits_its_network_and_is_named(save):
    source, model = small(stage=0), small()
    load_weights(model, save(source.state_dict()))
    assert_equal_weights(model, source)
    with pytest.raises(ValueError, match=r"looks like restorekit's progressive CARN.*models\.load_weights"):
        load_checkpoint(save(source.state_dict()))


def test_layouts_of_carn_and_this_one_are_told_apart(save):
    [layout] = PROGRESSIVE_CARN_LAYOUTS
    for keys in (published.carn(), published.carn_m(), published.pcarn(), published.cutblur(4), published.rcan()):
        assert not layout.matches(keys)
    assert layout.matches(published_file())
    assert not any(other.matches(published_file()) for other in CARN_LAYOUTS)
    with pytest.raises(ValueError, match="looks like progressive CARN"):
        load_weights(CARN(2), save(tiny_file()))
