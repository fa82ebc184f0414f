import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from models import published_edsr, published_sparse_resnet
from models.published import picture, published_weights, random_weights, without_memory
from models.published_sparse_resnet import nsr

from restorekit.layers import SparseGroupConv2d
from restorekit.metrics import count_parameters
from restorekit.models import SparseResNet, load_checkpoint, load_weights, save_weights, sparse_resnet
from restorekit.models._loading import interpret
from restorekit.models.checkpoints import _CLASSES

SMALL = {"channels": 4, "width": 2, "blocks": 2}
EDSR_NSR = {"channels": 64, "width": 1, "cardinality": 16}
LAYOUTS = {name: architecture.layouts for name, architecture in _CLASSES.items()}


def weightless(scale, **options):
    with torch.device("meta"):
        return sparse_resnet(scale, **options)


def lively(scale=2, **options):
    """A small network whose gates differ much between pictures."""
    torch.manual_seed(0)
    model = sparse_resnet(scale, **{**SMALL, "temperature": 0.05, **options}).double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.uniform_(-0.2, 0.2)
    return model


def rand(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def save(tmp_path):
    def save(tensors):
        torch.save(tensors, tmp_path / "published.pth")
        return tmp_path / "published.pth"

    return save


# What the published networks compute


@pytest.mark.parametrize("scale", [1, 2])
def test_equals_the_authors_network(scale, save):
    shape, mean, std, center = published_sparse_resnet.PARITY[scale]
    model = load_checkpoint(save(published_weights(nsr(scale, 8, 4, 2, cardinality=4))))
    x = picture(24, 24)
    x = torch.cat([x, x.flip(3)])
    before = x.clone()
    with torch.inference_mode():
        out = model(x)
    assert torch.equal(x, before)
    assert out.shape == shape
    assert out.double().mean().item() == pytest.approx(mean, rel=1e-5)
    assert out.double().std().item() == pytest.approx(std, rel=1e-5)
    assert out[0, :, shape[2] // 2, shape[3] // 2].tolist() == pytest.approx(center, rel=1e-5)


def papers_network(x, tensors, scale, groups, slices, blocks=2):
    """The structure of the supplement in plain calls, for one picture."""

    def kernel(name):
        direction, length = tensors[f"{name}.weight_v"], tensors[f"{name}.weight_g"]
        return length * direction / direction.square().sum((1, 2, 3), keepdim=True).sqrt()

    def mixed(y, name):
        gate, layer = y.mean((2, 3)), 0
        if f"{name}.mlp.0.weight" not in tensors:
            return F.conv2d(y, kernel(name), tensors[f"{name}.bias"], padding=1)
        while f"{name}.mlp.{layer}.weight" in tensors:
            gate = gate.clamp(min=0) if layer else gate
            gate = gate @ tensors[f"{name}.mlp.{layer}.weight"].T + tensors[f"{name}.mlp.{layer}.bias"]
            layer += 2
        shares = gate.reshape(groups, slices).softmax(0)
        bank, biases = kernel(name), tensors[f"{name}.bias"]
        outputs = len(bank) // groups
        rows = shares.repeat_interleave(outputs // slices, 1).flatten()
        mixture = (rows.view(-1, 1, 1, 1) * bank).view(groups, outputs, *bank.shape[1:]).sum(0)
        return F.conv2d(y, mixture, (rows * biases).view(groups, outputs).sum(0), padding=1)

    out = F.conv2d(x - 0.5, kernel("body.0"), tensors["body.0.bias"], padding=1)
    for i in range(1, blocks + 1):
        out = out + mixed(mixed(out, f"body.{i}.body.0").clamp(min=0), f"body.{i}.body.2")
    out = F.conv2d(out, kernel(f"body.{blocks + 1}"), tensors[f"body.{blocks + 1}.bias"], padding=1)
    if scale == 1:
        return out + x
    skip = F.conv2d(x - 0.5, kernel("skip.0"), tensors["skip.0.bias"], padding=2)
    return F.pixel_shuffle(out + skip, scale) + 0.5


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize(("groups", "slices", "depth"), [(4, 2, 1), (3, 4, 2), (2, 1, 3), (None, 1, 1)])
def test_computes_the_papers_structure(scale, groups, slices, depth, save):
    tensors = random_weights(nsr(scale, 4, 3, 2, groups, slices, depth))
    path = save({key: tensor.float() for key, tensor in tensors.items()})
    tensors = {key: tensor.float().double() for key, tensor in tensors.items()}
    x = rand(1, 3, 6, 5)
    out = load_checkpoint(path).double()(x)
    expected = papers_network(x, tensors, scale, groups, slices)
    assert (out - expected).abs().max() < 1e-6 * expected.abs().max()


@pytest.mark.parametrize(
    ("options", "totals"),
    [
        ({}, {1: 4_751_238, 2: 4_754_772, 3: 4_760_277, 4: 4_767_984}),
        ({"mlp_depth": 2}, {2: 5_035_860}),
        ({"cardinality": 16}, {1: 4_906_758, 2: 4_910_292, 3: 4_915_797, 4: 4_923_504}),
        ({"num_sparsity_groups": None}, {1: 1_186_566, 2: 1_190_100, 3: 1_195_605, 4: 1_203_312}),
        (EDSR_NSR, {1: 4_871_686, 2: 4_877_812, 3: 4_887_637, 4: 4_901_392}),
        ({**EDSR_NSR, "num_sparsity_groups": None}, {1: 1_187_334, 2: 1_193_460, 3: 1_203_285, 4: 1_217_040}),
        ({"num_sparsity_groups": 1}, {2: 1_192_692}),
        ({"num_sparsity_groups": 2}, {2: 2_380_052}),
        ({"num_sparsity_groups": 8}, {2: 9_504_212}),
        ({"num_sparsity_groups": 16}, {2: 19_003_092}),
    ],
)
def test_has_as_many_parameters_as_published(options, totals):
    assert {scale: count_parameters(weightless(scale, **options)) for scale in totals} == totals


@pytest.mark.parametrize(("options", "millions"), [({}, 1.185), (EDSR_NSR, 1.189)])
@pytest.mark.parametrize("groups", [4, None])
def test_multiply_adds_for_each_pixel_of_the_input(options, groups, millions):
    model = weightless(2, **options, num_sparsity_groups=groups)
    assert float(model.trace().multadds_per_pixel) / 1e6 == pytest.approx(millions, abs=5e-4)


# Behaviour


@given(height=st.integers(1, 9), width=st.integers(1, 9), scale=st.sampled_from([1, 2, 3, 4, 8]))
def test_output_is_exactly_scale_times_the_input(height, width, scale):
    assert SparseResNet(scale, **SMALL)(torch.rand(2, 3, height, width)).shape == (2, 3, height * scale, width * scale)


@pytest.mark.parametrize("weight_norm", [True, False])
def test_starts_with_the_published_lengths_and_no_biases(weight_norm):
    model = sparse_resnet(2, **SMALL, weight_norm=weight_norm)
    lengths = {"entry": 1, "exit": 1, "skip": 1}
    for i in range(2):
        lengths |= {f"body.{i}.conv1": 2, f"body.{i}.conv2": 2**-0.5}
    for name, length in lengths.items():
        layer = model.get_submodule(name)
        found = layer.weight.flatten(1).norm(dim=1)
        assert torch.allclose(found, torch.full_like(found, length))
        assert not layer.bias.any()


def test_weight_norm_changes_no_value():
    model, plain = lively(), lively(weight_norm=False)
    assert torch.allclose(model(rand(2, 3, 6, 5)), plain(rand(2, 3, 6, 5)), rtol=0, atol=1e-5)
    assert {name.rpartition(".")[2] for name in plain.state_dict()} == {"weight", "bias"}


def test_trains_direction_and_length_apart():
    model = lively()
    model(rand(2, 3, 6, 5)).square().mean().backward()
    parts = model.body[0].conv1.parametrizations.weight
    inner = (parts.original1 * parts.original1.grad).flatten(1).sum(1)
    assert torch.allclose(inner, torch.zeros_like(inner), atol=1e-10)  # no step along the direction itself
    assert parts.original0.grad.abs().min() > 0


def test_dense_network_reaches_a_pixel_for_each_convolution():
    assert sparse_resnet(2, **SMALL, num_sparsity_groups=None).receptive_radius == 6
    assert sparse_resnet(2, **SMALL, num_sparsity_groups=None, patches=True).receptive_radius is None
    assert sparse_resnet(2, **SMALL).receptive_radius is None
    assert sparse_resnet(2, **SMALL, pool_size=4).receptive_radius is None


def test_options_of_the_gate_reach_every_layer_of_the_blocks():
    options = {"num_sparsity_groups": 3, "cardinality": 2, "temperature": 0.5, "pool_size": 6, "hard": True}
    model = sparse_resnet(2, **SMALL, **options, mlp_depth=2)
    layers = [layer for layer in model.modules() if isinstance(layer, SparseGroupConv2d)]
    assert len(layers) == 4
    for layer in layers:
        assert {name: getattr(layer, name) for name in options} == options
        assert len(layer.mlp) == 3


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("options", [{}, {"hard": True}, {"hard": True, "num_sparsity_groups": None}])
def test_declares_gates_that_learn_nothing(options, training):
    model = lively(**options).train(training)
    model(rand(1, 3, 6, 5)).square().mean().backward()
    unused = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert model.unused_parameters() == unused
    assert len(unused) == (8 if options == {"hard": True} and not training else 0)


@pytest.mark.parametrize("channels", [1, 4])
def test_takes_pictures_of_other_channels(channels):
    assert sparse_resnet(2, **SMALL, in_channels=channels)(torch.rand(1, channels, 3, 2)).shape == (1, channels, 6, 4)


@pytest.mark.parametrize("options", [{"scale": 1}, {"scale": 2, "pool_size": 2}, {"scale": 2, "weight_norm": False}])
def test_gradient(options):
    model = lively(**options, channels=2, blocks=1, num_sparsity_groups=2, temperature=1.0)
    assert torch.autograd.gradcheck(model, (rand(1, 3, 3, 2).requires_grad_(),), fast_mode=True)


# In patches


def patches_of_192_by_203():
    """Corners and weights of the patches in the picture with a margin of 4, which is 200 by 211."""
    grid = [(row, column, 1.0) for row in range(12, 141, 32) for column in range(1, 162, 32)]
    top = [(0, column, 0.3) for column in range(0, 161, 32)]
    right = [(row, 163, 0.3) for row in range(0, 129, 32)]
    bottom = [(152, column, 0.3) for column in range(3, 164, 32)]
    left = [(row, 0, 0.3) for row in range(24, 153, 32)]
    return grid + top + right + bottom + left


def test_each_patch_has_gates_of_its_own_in_evaluation():
    model, x = lively(1, channels=2, width=1, blocks=1, patches=True).eval(), rand(2, 3, 192, 203)
    x = x * torch.linspace(0, 1, 203, dtype=torch.float64)  # so that gates differ
    padded = F.pad(x, (4, 4, 4, 4), mode="reflect")
    total, weights = torch.zeros_like(padded), torch.zeros_like(padded)
    with torch.inference_mode():
        for row, column, weight in patches_of_192_by_203():
            patch = padded[..., row : row + 48, column : column + 48]
            rows, columns = slice(row + 4, row + 44), slice(column + 4, column + 44)
            total[..., rows, columns] += weight * (model(patch) - patch)[..., 4:-4, 4:-4]
            weights[..., rows, columns] += weight
        expected = (total / weights)[..., 4:-4, 4:-4] + x
        assert torch.allclose(model(x), expected, rtol=0, atol=1e-12)
        assert not torch.allclose(model.train()(x), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(192, 192), (193, 223), (200, 224)])
def test_patches_of_a_dense_network_differ_at_the_border_alone(height, width):
    """The rim that is thrown away is as wide as this network's reach, so patches show nothing but the other padding."""
    model = lively(2, channels=2, width=1, blocks=1, num_sparsity_groups=None, patches=True)
    x = rand(1, 3, height, width)
    with torch.inference_mode():
        whole, patches = model.train()(x), model.eval()(x)
    assert torch.allclose(whole[..., 8:-8, 8:-8], patches[..., 8:-8, 8:-8], rtol=0, atol=1e-12)
    assert not torch.allclose(whole, patches, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(191, 200), (200, 191)])
def test_smaller_pictures_are_run_whole(height, width):
    model = lively(1, channels=2, width=1, blocks=1, patches=True).eval()
    with torch.inference_mode():
        out = model(rand(1, 3, height, width))
        assert torch.equal(out, model.train()(rand(1, 3, height, width)))


# Reading files


FILES = {
    "table": ({}, {}, (1, 2, 3, 4)),
    "deep": ({"depth": 2}, {"mlp_depth": 2}, (2,)),
    "code": ({"cardinality": 16}, {"cardinality": 16}, (2,)),
    "EDSR + NSR": (EDSR_NSR, EDSR_NSR, (1, 2, 3, 4)),
    "dense": ({"groups": None}, {"num_sparsity_groups": None}, (1, 2)),
    "one candidate": ({"groups": 1}, {"num_sparsity_groups": 1}, (2,)),
}


@pytest.mark.parametrize(
    ("sizes", "options", "scale"),
    [(sizes, options, scale) for sizes, options, scales in FILES.values() for scale in scales],
    ids=[f"{name} x{scale}" for name, (_, _, scales) in FILES.items() for scale in scales],
)
def test_published_files_are_recognised_and_fit_in_full_size(sizes, options, scale):
    name, config, tensors = interpret(without_memory(nsr(scale, **sizes)), {}, LAYOUTS, "published.pth")
    model = weightless(scale, **options)
    assert name == "SparseResNet"
    assert {**model.config, **config} == model.config
    assert {key: t.shape for key, t in tensors.items()} == {key: t.shape for key, t in model.state_dict().items()}


def test_published_file_is_read_for_the_protocol_of_its_numbers(save):
    path = save(published_weights(nsr(2, 4, 2, 2)))
    model = sparse_resnet(2, **SMALL, patches=True, weights=path).eval()
    assert model.patches
    x = picture(8, 8)
    assert torch.equal(model(x), load_checkpoint(path)(x))


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("key", ["body.0.weight_g", "body.1.body.2.bias", "body.2.body.0.mlp.0.weight", "body.3.bias"])
def test_missing_and_unexpected_keys_are_named(scale, key, save):
    tensors = published_weights(nsr(scale, 4, 2, 2))
    with pytest.raises(ValueError, match=r"looks like SparseResNet \(NSR\) but has the unexpected key 'body.4.norm'"):
        load_checkpoint(save({**tensors, "body.4.norm": torch.zeros(8)}))
    del tensors[key]
    with pytest.raises(ValueError, match=rf"looks like SparseResNet \(NSR\) but misses the key '{key}'"):
        load_checkpoint(save(tensors))


@pytest.mark.parametrize(
    "key", ["body.0.weight_v", "body.2.body.0.weight_g", "body.1.body.0.mlp.0.weight", "skip.0.bias"]
)
@pytest.mark.parametrize("shape", [(), (0,), (7,), (4, 5, 3, 3), (0, 4)])
def test_misshapen_tensors_are_refused(key, shape, save):
    tensors = published_weights(nsr(2, 4, 2, 2))
    with pytest.raises(ValueError, match=r"published\.pth"):
        load_checkpoint(save({**tensors, key: torch.zeros(shape)}))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_files_are_read(dtype, save):
    tensors = published_weights(nsr(2, 4, 2, 2))
    exact = load_checkpoint(save(tensors))
    model = load_checkpoint(save({key: tensor.to(dtype) for key, tensor in tensors.items()}))
    assert model.config == exact.config
    x = picture(4, 6)
    assert (model(x) - exact(x)).abs().max() < 0.05 * exact(x).abs().max()


def test_files_of_other_networks_are_not_taken_for_it():
    state = without_memory(published_edsr.official(2, 8, 2))
    assert not any(layout.matches(state) for layout in SparseResNet.layouts)
    own = nsr(2, 4, 2, 2)
    others = [layout for name, layouts in LAYOUTS.items() if name != "SparseResNet" for layout in layouts]
    assert not any(layout.matches(own) for layout in others)


@pytest.mark.parametrize(
    ("scale", "options", "message"),
    [
        (3, {}, "holds SparseResNet for scale 2, not for 3"),
        (2, {"weight_norm": False}, "weight_norm=True, but the network has weight_norm=False"),
        (2, {"num_sparsity_groups": None}, "num_sparsity_groups=4, but the network has num_sparsity_groups=None"),
    ],
)
def test_another_network_is_refused(scale, options, message, save):
    with pytest.raises(ValueError, match=message):
        sparse_resnet(scale, **SMALL, **options, weights=save(published_weights(nsr(2, 4, 2, 2))))


@pytest.mark.parametrize(
    "options",
    [{}, {"num_sparsity_groups": None}, {"weight_norm": False}, {"pool_size": 512, "hard": True, "patches": True}],
)
def test_own_file_gives_the_same_network_back(options, tmp_path):
    model = SparseResNet(2, **SMALL, **options).eval()
    save_weights(model, tmp_path / "nsr.safetensors")
    loaded = load_checkpoint(tmp_path / "nsr.safetensors")
    other = sparse_resnet(2, **SMALL, **options, weights=tmp_path / "nsr.safetensors").eval()
    x = torch.rand(1, 3, 4, 5)
    assert loaded.config == other.config == model.config
    assert torch.equal(loaded(x), model(x))
    assert torch.equal(other(x), model(x))


def test_own_file_may_be_run_in_other_windows(tmp_path):
    model = lively(pool_size=6)
    save_weights(model, tmp_path / "nsr.safetensors")
    smaller = sparse_resnet(2, **SMALL, temperature=0.05, pool_size=4).double()
    load_weights(smaller, tmp_path / "nsr.safetensors")
    x = rand(1, 3, 12, 12)
    assert not torch.equal(smaller(x), model(x))
    assert smaller.config["pool_size"] == 4
    with pytest.raises(ValueError, match=r"temperature=0\.05, but the network has temperature=1\.0"):
        sparse_resnet(2, **SMALL, weights=tmp_path / "nsr.safetensors")


# Bad input


@pytest.mark.parametrize("scale", [0, 5, 2.0, "4", True, None, (2,)])
def test_refuses_scales_that_are_not_offered(scale):
    with pytest.raises(ValueError, match="scale must be one of 1, 2, 3, 4, 8, got"):
        sparse_resnet(scale)


@pytest.mark.parametrize("name", ["channels", "width", "blocks", "in_channels", "num_sparsity_groups", "cardinality"])
def test_refuses_sizes_below_one(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        sparse_resnet(2, **{name: 0})
    with pytest.raises(TypeError, match=f"{name} must be an integer"):
        sparse_resnet(2, **{name: 2.0})


def test_refuses_gates_that_do_not_fit():
    with pytest.raises(ValueError, match="cardinality must divide out_channels, got 3 and 8 channels"):
        sparse_resnet(2, **SMALL, cardinality=3)
    with pytest.raises(ValueError, match="temperature must be above 0"):
        sparse_resnet(2, **SMALL, temperature=0.0)


def test_refuses_other_pictures_and_scales():
    model = SparseResNet(2, **SMALL)
    with pytest.raises(ValueError, match="3 channels"):
        model(torch.rand(1, 4, 4, 4))
    with pytest.raises(ValueError, match=r"scale must be one of the network's scales \(2\), got 3"):
        model(torch.rand(1, 3, 4, 4), scale=3)
