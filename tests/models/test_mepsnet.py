import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from models import published, published_mepsnet
from models.published import assert_parity, picture, published_weights, random_weights, without_memory

from restorekit.inference import tiled
from restorekit.models import MEPSNet, create_model, list_models, load_checkpoint, load_weights, mepsnet, save_weights
from restorekit.models._loading import interpret
from restorekit.models.checkpoints import _CLASSES

SIZES = (2, 2, 3, 4, 8, 16)  # experts, units, blocks, templates, channels, extraction channels
SMALL = {"experts": 2, "units": 2, "blocks": 3, "num_templates": 4, "channels": 8, "extraction_channels": 16}
LAYOUTS = {name: architecture.layouts for name, architecture in _CLASSES.items()}
BANK = "bank.templates"


def count(model):
    return sum(p.numel() for p in model.parameters())


def weightless(**options):
    with torch.device("meta"):
        return mepsnet(**options)


def with_aliases(tensors):
    """A file in which the bank is the same tensor wherever it is named."""
    return {key: tensors[BANK] if key.endswith(BANK) else tensor for key, tensor in tensors.items()}


@pytest.fixture
def save(tmp_path):
    def save(tensors):
        torch.save(tensors, tmp_path / "published.pth")
        return tmp_path / "published.pth"

    return save


# What the published network computes


def test_equals_the_released_network(save):
    model = load_checkpoint(save(with_aliases(published_weights(published_mepsnet.official()))))
    assert model.config == weightless().config
    with torch.inference_mode():
        out = model(picture(32, 32)) * 255
    assert_parity(out, published_mepsnet.PARITY, tolerance=1e-5 * 110)


def test_equals_the_released_network_in_small(save):
    tensors = with_aliases(published_weights(published_mepsnet.official(2, 2, 2, 4, 8, 16)))
    for e in range(2):  # there these layers take one row, and rows are views of one matrix
        for layer in (0, 2):
            second = tensors[f"body.{e}.body.1.body.0.body.{layer}.coefficients"]
            tensors[f"body.{e}.body.0.body.1.body.{layer}.coefficients"] = second
    model = load_checkpoint(save(tensors))
    with torch.inference_mode():
        out = model(picture(32, 32)) * 255
    assert_parity(out, published_mepsnet.SMALL_PARITY, tolerance=1e-5 * 1600)


def expert_network(x, tensors):
    """The structure of the thesis in plain calls, on pictures whose mean is taken off."""

    def conv(y, name):
        weight = tensors[f"{name}.weight"]
        return F.conv2d(y, weight, tensors[f"{name}.bias"], padding=weight.shape[-1] // 2)

    def mixed(y, name):
        return F.conv2d(y, (tensors[f"{name}.coefficients"] * tensors[BANK]).sum(dim=0), padding=1)

    for name in ("expand_conv1", "expand_conv2", "conv"):
        x = conv(x, f"head.0.{name}").clamp(min=0)
    branches = []
    for e in range(2):
        out = start = conv(x, f"body.{e}.head.0")
        for u in range(2):
            before = out
            for b in range(3):
                name = f"body.{e}.body.{u}.body.{b}.body"
                out = out + mixed(mixed(out, f"{name}.0").clamp(min=0), f"{name}.2")
            out = out + before
        branches.append(conv(out + start, f"body.{e}.tail.0"))
    features = torch.cat(branches, dim=1)
    averages = F.adaptive_avg_pool2d(features, 1)
    factors = conv(conv(averages, "body.2.squeeze").clamp(min=0), "body.2.excitation")
    fused = features / (1 + torch.exp(-factors))
    return conv(conv(fused, "tail.0.reconst.0").clamp(min=0), "tail.0.reconst.2")


@pytest.mark.parametrize("aliases", [True, False])
def test_files_compute_the_thesis_structure_with_their_mean_shift(aliases, save):
    tensors = with_aliases(random_weights(published_mepsnet.official(*SIZES, aliases=aliases)))
    x = torch.rand(1, 3, 6, 5, dtype=torch.float64)
    shifted = F.conv2d(255 * x, tensors["sub_mean.weight"], tensors["sub_mean.bias"])
    out = expert_network(shifted, tensors)
    out = F.conv2d(out, tensors["add_mean.weight"], tensors["add_mean.bias"])
    path = save(tensors)
    model = mepsnet(**SMALL).double()
    load_weights(model, path)
    assert torch.allclose(model(x) * 255, out, rtol=0, atol=1e-5 * out.abs().max().item())
    found = load_checkpoint(path)
    assert {**found.config, "mean": None} == {**SMALL, "in_channels": 3, "mean": None}
    assert torch.allclose(found.double()(x), model(x), rtol=0, atol=1e-4 * out.abs().max().item() / 255)


# Sizes. The printed ones count two mean shifts of 12 numbers each, which are constants here.


@pytest.mark.parametrize(
    ("options", "printed"),
    [
        ({"experts": 1}, 1_687_803),
        ({"experts": 2}, 1_941_979),
        ({}, 2_241_211),
        ({"experts": 5}, 2_974_843),
        ({"num_templates": 4}, 1_796_251),
        ({"num_templates": 8}, 1_944_571),
        ({"num_templates": 32}, 2_834_491),
        ({"blocks": 3}, 2_238_619),
        ({"blocks": 4}, 2_238_907),
        ({"blocks": 36}, 2_248_123),
        ({"blocks": 45}, 2_250_715),
        ({"experts": 1, "num_templates": None}, 3_751_035),
    ],
)
def test_published_sizes(options, printed):
    assert count(weightless(**options)) == printed - 24


def test_sizes_of_the_parts():
    model = weightless()
    assert count(model.entry) + count(model.extraction) == 888_832
    assert count(model.bank) == 589_824
    assert [count(expert) for expert in model.experts] == [185_600] * 3
    assert sum(p.numel() for n, p in model.experts[0].named_parameters() if n.endswith("coefficients")) == 1_152
    assert count(model.fusion) == 37_152
    assert count(model.reconstruction) + count(model.exit) == 168_579


def test_sharing_costs_no_multiplications():
    shared = weightless(**SMALL).trace().multadds_per_pixel
    assert shared == weightless(**{**SMALL, "num_templates": None}).trace().multadds_per_pixel


# Sharing


def test_layers_of_an_expert_start_from_orthogonal_coefficients():
    model = MEPSNet(**SMALL)
    for expert in model.experts:
        layers = [layer for unit in expert.body for block in unit.body for layer in (block.conv1, block.conv2)]
        rows = torch.stack([layer.coefficients for layer in layers])
        assert rows.shape == (12, 4)
        assert torch.allclose(rows.T @ rows, torch.eye(4), atol=1e-5)
        assert len(rows.unique(dim=0)) == 12
        assert all(layer.bank is model.bank for layer in layers)
    assert not torch.equal(*(expert.body[0].body[0].conv1.coefficients for expert in model.experts))


def test_without_sharing_every_layer_has_a_kernel_of_its_own():
    torch.manual_seed(0)
    model = MEPSNet(**{**SMALL, "num_templates": None, "channels": 32})
    kernels = [p for name, p in model.named_parameters() if ".conv1." in name or ".conv2." in name]
    assert len(kernels) == 24
    assert not any("bank" in key or "coefficients" in key for key in model.state_dict())
    spread = (2 / (32 * 9)) ** 0.5
    assert [kernel.std().item() for kernel in kernels] == pytest.approx([spread] * 24, rel=0.05)
    similar = torch.nn.functional.cosine_similarity(kernels[0].flatten(), kernels[1].flatten(), dim=0)
    assert similar.abs() < 0.1


def test_evaluation_sees_what_an_optimiser_did():
    model, x = MEPSNet(**SMALL).eval(), picture(6, 5)
    with torch.inference_mode():
        before = model(x)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    model(x).square().mean().backward()
    optimizer.step()
    with torch.inference_mode():
        after = model(x)
        assert torch.equal(after, copy.deepcopy(model)(x))
    assert not torch.allclose(after, before)


# Behaviour


def test_sees_the_whole_picture_so_that_tiles_are_refused():
    torch.manual_seed(0)
    model = MEPSNet(**{**SMALL, "units": 1, "blocks": 1}).double().eval()
    assert model.receptive_radius is None
    x = torch.rand(1, 3, 60, 60, dtype=torch.float64)
    other = x.clone()
    other[..., -1, -1] += 1
    assert (model(x) - model(other))[..., 0, 0].abs().max() > 0
    with pytest.raises(ValueError, match="tile"):
        tiled(model, x, tile=8)


@given(height=st.integers(1, 9), width=st.integers(1, 9), shared=st.booleans())
def test_keeps_every_size(height, width, shared):
    model = MEPSNet(**{**SMALL, "num_templates": 4 if shared else None})
    assert model(torch.rand(2, 3, height, width)).shape == (2, 3, height, width)


@pytest.mark.parametrize("channels", [1, 4])
def test_pictures_may_have_other_channels(channels):
    model = MEPSNet(**SMALL, in_channels=channels)
    assert model.config["mean"] == (0.0,) * channels
    assert model(torch.rand(1, channels, 3, 2)).shape == (1, channels, 3, 2)


@pytest.mark.parametrize("templates", [2, None])
def test_gradient(templates):
    torch.manual_seed(0)
    sizes = {"experts": 2, "units": 1, "blocks": 1, "channels": 2, "extraction_channels": 4}
    model = MEPSNet(**sizes, num_templates=templates).double()
    x = torch.rand(1, 3, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    parameters = [p for p in model.parameters() if p.ndim in {1, 5}]
    assert torch.autograd.gradcheck(lambda x, *_: model(x), (x, *parameters), fast_mode=True)


def test_is_listed_for_mixed_distortions():
    assert "mepsnet" in list_models(task="mixed-distortions")
    assert "mepsnet" in list_models(task="denoising")
    assert create_model("mepsnet", **SMALL).scale == 1


# Reading files


def test_published_file_is_recognised_and_fits_in_full_size():
    layout = published_mepsnet.official()
    assert len(layout) == 466
    name, config, tensors = interpret(with_aliases(without_memory(layout)), {}, LAYOUTS, "published.pth")
    model = weightless()
    assert name == "MEPSNet"
    assert config == model.config
    assert {key: t.shape for key, t in tensors.items()} == {key: t.shape for key, t in model.state_dict().items()}


def test_a_bank_that_differs_from_its_alias_is_refused(save):
    tensors = with_aliases(published_weights(published_mepsnet.official(*SIZES)))
    for key in (f"body.1.{BANK}", f"body.1.body.0.body.2.body.2.{BANK}"):
        other = tensors[BANK].clone()
        other[-1, -1, -1, -1, -1] += 1
        with pytest.raises(ValueError, match=f"'{key}' differs from '{BANK}'"):
            load_checkpoint(save({**tensors, key: other}))


@pytest.mark.parametrize(
    "key",
    [
        "head.0.expand_conv2.bias",
        "body.1.head.0.weight",
        "body.1.body.1.body.2.body.2.coefficients",
        "body.0.body.0.body.1.body.0.coefficients",
        "body.2.excitation.bias",
        "tail.0.reconst.2.weight",
        "add_mean.bias",
    ],
)
def test_missing_and_unexpected_keys_are_named(key, save):
    tensors = with_aliases(published_weights(published_mepsnet.official(*SIZES)))
    for unexpected in ("body.0.norm.weight", f"body.2.{BANK}"):
        with pytest.raises(ValueError, match=rf"looks like MEPSNet .* has the unexpected key '{unexpected}'"):
            load_checkpoint(save({**tensors, unexpected: tensors[BANK]}))
    del tensors[key]
    with pytest.raises(ValueError, match=rf"looks like MEPSNet .* misses the key '{key}'"):
        load_checkpoint(save(tensors))


@pytest.mark.parametrize(
    "key", [BANK, "head.0.conv.weight", "body.0.body.1.body.0.body.0.coefficients", "body.2.squeeze.weight"]
)
@pytest.mark.parametrize("shape", [(), (0,), (4,), (4, 1, 1, 1), (2, 2, 1, 1, 1), (7, 8, 3, 3), (4, 8, 8, 5, 5)])
def test_misshapen_tensors_are_refused(key, shape, save):
    tensors = published_weights(published_mepsnet.official(*SIZES, aliases=False))
    with pytest.raises(ValueError, match=r"published\.pth"):
        load_checkpoint(save({**tensors, key: torch.zeros(shape)}))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_files_are_read(dtype, save):
    tensors = with_aliases(random_weights(published_mepsnet.official(*SIZES)) | published_weights(published.means("")))
    exact = load_checkpoint(save({key: tensor.float() for key, tensor in tensors.items()}))
    model = load_checkpoint(save({key: tensor.to(dtype) for key, tensor in tensors.items()}))
    assert model.config == exact.config
    x = picture(4, 6)
    assert (model(x) - exact(x)).abs().max() < 0.05 * exact(x).abs().max()


def test_files_that_tell_too_little_are_named(save):
    for model in (MEPSNet(**SMALL), MEPSNet(**{**SMALL, "num_templates": None})):
        with pytest.raises(ValueError, match="looks like restorekit's MEPSNet"):
            load_checkpoint(save(model.state_dict()))
    tensors = published_weights(published_mepsnet.official(*SIZES, aliases=False))
    del tensors[BANK]
    with pytest.raises(ValueError, match="looks like MEPSNet"):
        load_checkpoint(save(tensors))


def test_another_network_is_refused(save):
    path = save(published_weights(published_mepsnet.official(*SIZES, aliases=False)))
    with pytest.raises(ValueError, match="holds MEPSNet with experts=2, but the network has experts=1"):
        mepsnet(**{**SMALL, "experts": 1}, weights=path)
    with pytest.raises(ValueError, match="num_templates=4, but the network has num_templates=None"):
        mepsnet(**{**SMALL, "num_templates": None}, weights=path)


@pytest.mark.parametrize("options", [{}, {"num_templates": None}, {"in_channels": 1}])
def test_own_file_gives_the_same_network_back(options, tmp_path):
    model = MEPSNet(**{**SMALL, **options}).eval()
    save_weights(model, tmp_path / "mepsnet.safetensors")
    found = load_checkpoint(tmp_path / "mepsnet.safetensors")
    other = mepsnet(**{**SMALL, **options}, weights=tmp_path / "mepsnet.safetensors").eval()
    x = torch.rand(1, model.in_channels, 4, 5)
    assert found.config == other.config == model.config
    assert torch.equal(found(x), model(x))
    assert torch.equal(other(x), model(x))


# Bad input


@pytest.mark.parametrize("name", ["experts", "units", "blocks", "num_templates", "in_channels"])
def test_refuses_sizes_below_one(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        mepsnet(**{**SMALL, name: 0})
    with pytest.raises(TypeError, match=f"{name} must be an integer"):
        mepsnet(**{**SMALL, name: 2.0})


def test_refuses_widths_and_means_that_do_not_fit():
    with pytest.raises(ValueError, match="channels must be at least 2, got 1"):
        mepsnet(**{**SMALL, "channels": 1})
    with pytest.raises(ValueError, match="extraction_channels must be even, got 15"):
        mepsnet(**{**SMALL, "extraction_channels": 15})
    with pytest.raises(ValueError, match="one value for each of the 1 channels"):
        mepsnet(**SMALL, in_channels=1, mean=published.MEAN)


def test_refuses_other_pictures_and_scales():
    model = MEPSNet(**SMALL)
    with pytest.raises(ValueError, match="3 channels"):
        model(torch.rand(1, 4, 4, 4))
    with pytest.raises(ValueError, match=r"scale must be one of the network's scales \(1\), got 2"):
        model(torch.rand(1, 3, 4, 4), scale=2)
