import pytest
import torch
from models import published_restormer
from models.published import published_weights, random_weights, without_memory

from restorekit.models import CARN, EDSR, RCAN, Restormer, list_models, load_checkpoint, restormer, save_weights
from restorekit.models._loading import interpret
from restorekit.models.idr import IDR

LAYOUTS = {kind.__name__: kind.layouts for kind in (CARN, EDSR, RCAN, Restormer, IDR)}
SMALL = {"channels": 4, "blocks": (1, 2, 1, 1), "heads": (1, 2, 2, 4), "refinement_blocks": 1}
SMALL_FILE = published_restormer.restormer(4, (1, 2, 1, 1), (1, 2, 2, 4), 1)


@pytest.fixture
def save(tmp_path):
    def write(tensors):
        torch.save(tensors, tmp_path / "published.pth")
        return tmp_path / "published.pth"

    return write


def picture(height=16, width=24, seed=0, dtype=torch.float64):
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(seed), dtype=dtype)


# Values


@pytest.mark.parametrize("norm_bias", [True, False])
def test_computes_what_its_layout_computes_written_out(norm_bias, save):
    tensors = random_weights(published_restormer.restormer(4, (1, 2, 1, 1), (1, 2, 2, 4), 1, norm_bias=norm_bias))
    model = load_checkpoint(save({key: tensor / 2 for key, tensor in tensors.items()})).double()
    model.load_state_dict({key: tensor.double() for key, tensor in model.state_dict().items()})
    plain = {key: (tensor / 2).float().double() for key, tensor in tensors.items()}
    assert model.config["norm_bias"] == norm_bias
    expected = published_restormer.plain_restormer(plain, picture())
    assert (expected - picture()).abs().max() > 0.1
    assert (model(picture()) - expected).abs().max() < 1e-6 * expected.abs().max()


def test_a_network_that_finds_nothing_returns_the_picture():
    model = Restormer(**SMALL)
    torch.nn.init.zeros_(model.exit.weight)
    x = picture(5, 11, dtype=torch.float32)
    assert torch.equal(model(x), x)


@pytest.mark.parametrize(("channels", "count"), [(24, 3_813_230), (30, 5_914_046), (32, 6_714_262), (48, 14_962_034)])
def test_parameters_of_the_backbone_of_idr(channels, count):
    with torch.device("meta"):
        model = Restormer(channels)
    assert sum(parameter.numel() for parameter in model.parameters()) == count


def test_parameters_of_the_published_network():
    with torch.device("meta"):
        model = Restormer(48, blocks=(4, 6, 6, 8), refinement_blocks=4)
    assert round(sum(parameter.numel() for parameter in model.parameters()) / 1e6, 2) == 26.13


def test_the_multiply_adds_of_a_level_are_a_quarter_for_each_halving():
    """By hand for the smallest network: every convolution at its size, attention products aside."""
    model = Restormer(2, blocks=(1, 1, 1, 1), heads=(1, 1, 1, 1), refinement_blocks=0)

    def block(c):
        hidden = int(2.66 * c)
        return 3 * c * c + 27 * c + c * c + 2 * hidden * c + 18 * hidden + hidden * c

    encoder = block(2) + block(4) / 4 + block(8) / 16 + block(16) / 64
    decoder = block(4) + block(4) / 4 + block(8) / 16
    downs = 9 * (2 * 1 + 4 * 2 / 4 + 8 * 4 / 16)
    ups = 9 * (4 * 8 / 4 + 8 * 16 / 16 + 16 * 32 / 64)
    reductions = 8 * 4 / 4 + 16 * 8 / 16
    ends = 9 * (3 * 2 + 4 * 3)
    assert float(model.trace().multadds_per_pixel) == encoder + decoder + downs + ups + reductions + ends


def test_levels_can_be_visited_in_turn():
    model = Restormer(**SMALL).double()
    seen = {}

    def visit(position, features):
        seen[position] = tuple(features.shape[1:])
        return features

    assert torch.equal(model.trunk(picture(), visit), model.trunk(picture()))
    assert seen == {
        "encoder1": (4, 16, 24),
        "encoder2": (8, 8, 12),
        "encoder3": (16, 4, 6),
        "decoder3": (16, 4, 6),
        "decoder2": (8, 8, 12),
        "decoder1": (8, 16, 24),
    }
    changed = [model.trunk(picture(), lambda at, x, place=place: x + 1 if at == place else x) for place in seen]
    assert not any(torch.allclose(out, model.trunk(picture())) for out in changed)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 8), (9, 17)])
def test_any_size(height, width):
    assert Restormer(**SMALL)(picture(height, width, dtype=torch.float32)).shape == (2, 3, height, width)


def test_gradient():
    torch.manual_seed(0)
    model = Restormer(**SMALL).double()
    x = picture(5, 3)[:1].requires_grad_()
    assert torch.autograd.gradcheck(model, (x,), fast_mode=True)


def test_sees_the_whole_picture():
    assert Restormer(**SMALL).receptive_radius is None
    assert Restormer(**SMALL).size_multiple == 8


@pytest.mark.parametrize("task", ["denoising", "deraining", "dehazing", "deblurring", "low-light-enhancement"])
def test_is_listed_for_its_tasks(task):
    assert {"restormer", "idr"} <= set(list_models(task=task))


# Reading


@pytest.mark.parametrize(
    ("layout", "options"),
    [
        (published_restormer.restormer(), {"channels": 48, "blocks": (4, 6, 6, 8), "refinement_blocks": 4}),
        (published_restormer.restormer(32, (2, 3, 3, 4), refinement=2), {}),
        (published_restormer.restormer(8, norm_bias=False, in_channels=1), {
            "channels": 8, "blocks": (4, 6, 6, 8), "refinement_blocks": 4, "norm_bias": False, "in_channels": 1
        }),
    ],
)  # fmt: skip
def test_published_files_are_recognised_and_fit_in_full_size(layout, options):
    name, config, tensors = interpret(without_memory(layout), {}, LAYOUTS, "published.pth")
    with torch.device("meta"):
        model = Restormer(**options)
    assert name == "Restormer"
    assert config == model.config
    assert {key: t.shape for key, t in tensors.items()} == {key: t.shape for key, t in model.state_dict().items()}


def test_a_file_is_read_into_a_network(save):
    path = save({"params": published_weights(SMALL_FILE)})
    model, loaded = restormer(**SMALL, weights=path).eval(), load_checkpoint(path)
    x = picture(8, 8, dtype=torch.float32)
    assert torch.equal(model(x), loaded(x))
    with pytest.raises(ValueError, match=r"Restormer with heads=\(1, 2, 2, 4\), but the network has heads=\(1, 1"):
        restormer(**{**SMALL, "heads": (1, 1, 2, 4)}, weights=path)


@pytest.mark.parametrize(
    "key", ["output.weight", "latent.0.attn.temperature", "down2_3.body.0.weight", "refinement.0.norm2.body.bias"]
)
def test_missing_and_unexpected_keys_are_named(key, save):
    tensors = published_weights(SMALL_FILE)
    with pytest.raises(ValueError, match=r"looks like Restormer .* has the unexpected key 'skip_conv.weight'"):
        load_checkpoint(save({**tensors, "skip_conv.weight": torch.zeros(8, 4, 1, 1)}))
    del tensors[key]
    with pytest.raises(ValueError, match=rf"looks like Restormer .* misses the key '{key}'"):
        load_checkpoint(save(tensors))


@pytest.mark.parametrize("key", ["patch_embed.proj.weight", "latent.0.attn.temperature", "output.weight"])
@pytest.mark.parametrize("shape", [(), (0,), (7,), (5, 5, 3, 3)])
def test_misshapen_tensors_are_refused(key, shape, save):
    with pytest.raises(ValueError, match=r"published\.pth"):
        load_checkpoint(save({**published_weights(SMALL_FILE), key: torch.zeros(shape)}))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_files_are_read(dtype, save):
    tensors = published_weights(SMALL_FILE)
    exact = load_checkpoint(save(tensors))
    model = load_checkpoint(save({key: tensor.to(dtype) for key, tensor in tensors.items()}))
    x = picture(dtype=torch.float32)
    assert (model(x) - exact(x)).abs().max() < 0.05 * exact(x).abs().max()


def test_own_file_gives_the_same_network_back(tmp_path):
    model = Restormer(**SMALL, norm_bias=False).eval()
    save_weights(model, tmp_path / "restormer.safetensors")
    loaded = load_checkpoint(tmp_path / "restormer.safetensors")
    x = picture(dtype=torch.float32)
    assert loaded.config == model.config
    assert torch.equal(loaded(x), model(x))


# Bad input


@pytest.mark.parametrize("name", ["blocks", "heads"])
@pytest.mark.parametrize("value", [(1, 2, 3), 4, (1, 1, 1, 1, 1)])
def test_refuses_other_numbers_of_levels(name, value):
    with pytest.raises(ValueError, match=f"{name} must hold 4 numbers"):
        restormer(**{**SMALL, name: value})


def test_refuses_sizes_that_do_not_fit():
    with pytest.raises(ValueError, match="channels must be even, got 3"):
        restormer(3)
    with pytest.raises(ValueError, match="channels must be at least 1, got 0"):
        restormer(0)
    with pytest.raises(ValueError, match="blocks must be at least 1, got 0"):
        restormer(4, blocks=(1, 0, 1, 1))
    with pytest.raises(ValueError, match="heads must divide channels, got 3 heads for 4 channels"):
        restormer(4, heads=(3, 1, 1, 1))
    with pytest.raises(ValueError, match="refinement_blocks must be at least 0, got -1"):
        restormer(4, refinement_blocks=-1)
    with pytest.raises(ValueError, match="in_channels must be at least 1, got 0"):
        restormer(4, in_channels=0)


def test_refuses_other_pictures_and_scales():
    model = Restormer(**SMALL)
    with pytest.raises(ValueError, match="3 channels"):
        model(torch.rand(1, 4, 8, 8))
    with pytest.raises(ValueError, match=r"scale must be one of the network's scales \(1\), got 2"):
        model(torch.rand(1, 3, 8, 8), scale=2)
