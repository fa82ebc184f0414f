import json
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from models import published
from models.published import assert_parity, picture, published_weights
from models.published_discriminators import pcarn_discriminator
from safetensors import safe_open
from torch import nn

from restorekit.models import (
    MultiScaleDiscriminator,
    PatchDiscriminator,
    Restorer,
    VGGDiscriminator,
    carn,
    list_models,
    load_checkpoint,
    load_weights,
    save_weights,
)
from restorekit.models._layouts.carn import CARN_LAYOUTS
from restorekit.models._trace import trace

BUILDERS = {
    "patch": lambda: PatchDiscriminator(channels=2),
    "multi-scale": lambda: MultiScaleDiscriminator([PatchDiscriminator(channels=2) for _ in range(3)]),
    "VGG": lambda: VGGDiscriminator(image_size=40, channels=2),
}


def build(name):
    """A network whose statistics and norms are not those of its construction."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    model = BUILDERS[name]()
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5, generator=generator)
            nn.init.normal_(layer.bias, 0, 0.1, generator=generator)
            nn.init.normal_(layer.running_mean, 0, 0.1, generator=generator)
            nn.init.uniform_(layer.running_var, 0.1, 0.5, generator=generator)
    return model


@pytest.fixture(params=BUILDERS)
def model(request):
    return build(request.param)


@pytest.fixture
def save(tmp_path):
    def save(content):
        torch.save(content, tmp_path / "model.pth")
        return tmp_path / "model.pth"

    return save


def pictures(batch=2, side=40, dtype=torch.float32):
    return torch.rand(batch, 3, side, side, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)


def flat(logits):
    """All logits as one vector: several maps, or one."""
    return torch.cat([part.flatten() for part in logits]) if isinstance(logits, list) else logits.flatten()


# The published patch discriminator


def test_patch_discriminator_equals_the_published_one(save):
    """Evaluation mode, with the statistics of a new BatchNorm; a 48x48 picture gives the published 6x6 values."""
    model = PatchDiscriminator()
    load_weights(model, save(published_weights(pcarn_discriminator())))
    with torch.inference_mode():
        probabilities = model.eval()(picture(48, 48)).sigmoid()
    assert_parity(probabilities, ((6, 6), 0.5015380084514618, 0.0001603975995625382, (0.501687,)), 1e-6)
    assert probabilities.std().item() == pytest.approx(0.0001603975995625382, rel=2e-3)


def published_patches(tensors, x, training):
    """Layers 1 to 9 with the names of the published file; the sigmoid is left out."""
    x = F.leaky_relu(F.conv2d(x, tensors["body.0.weight"], tensors["body.0.bias"], padding=1))
    for i in range(2, 9):
        conv, norm = f"body.{i}.0", f"body.{i}.1"
        kernel, statistics = tensors[f"{conv}.weight"], ("running_mean", "running_var")
        x = F.conv2d(x, kernel, tensors[f"{conv}.bias"], padding=1, stride=2 if i in {2, 4, 6} else 1)
        mean, var = (tensors[f"{norm}.{name}"].clone() for name in statistics)
        x = F.batch_norm(x, mean, var, tensors[f"{norm}.weight"], tensors[f"{norm}.bias"], training)
        x = F.leaky_relu(x, 0.01)
    return F.conv2d(x, tensors["body.9.weight"], tensors["body.9.bias"], padding=1)


@pytest.mark.parametrize("training", [True, False])
def test_patch_discriminator_equals_the_published_structure(training, save):
    generator = torch.Generator().manual_seed(0)
    tensors = {
        key: torch.rand(shape, generator=generator) + 0.1
        if "running" in key
        else torch.randn(shape, generator=generator)
        for key, shape in pcarn_discriminator(channels=4, in_channels=2).items()
        if "num_batches" not in key
    }
    counts = {f"body.{i}.1.num_batches_tracked": torch.tensor(i) for i in range(2, 9)}
    model = PatchDiscriminator(2, channels=4)
    load_weights(model, save(tensors | counts))
    assert model.body[6].norm.num_batches_tracked == 8
    x = torch.rand(2, 2, 25, 32, generator=generator, dtype=torch.float64)
    tensors = {key: tensor.double() for key, tensor in tensors.items()}
    expected = published_patches(tensors, x, training)
    out = model.double().train(training)(x)
    assert out.shape == expected.shape == (2, 1, 3, 4)
    assert torch.allclose(out, expected, rtol=1e-9, atol=1e-9 * expected.abs().max().item())
    assert expected.abs().max() > 1  # logits: a sigmoid would keep them below 1


def test_patch_discriminators_published_size():
    with torch.device("meta"):
        model = PatchDiscriminator()
    assert sum(p.numel() for p in model.parameters()) == 5_295_809
    multadds = trace(model, in_channels=3, side=192, arguments={}).multadds_per_pixel * 192**2
    assert float(multadds) / 1e9 == pytest.approx(5.28, abs=0.005)


@pytest.mark.parametrize(("size", "expected"), [((96, 96), (12, 12)), ((8, 8), (1, 1)), ((9, 23), (1, 2))])
def test_patch_discriminator_gives_a_map(size, expected):
    out = PatchDiscriminator(channels=2)(torch.rand(2, 3, *size))
    assert out.shape == (2, 1, *expected)


# The pyramid


def test_multi_scale_discriminator_pools_by_one_two_and_four():
    model, x = build("multi-scale").eval(), pictures(side=37)
    logits = model(x)
    assert [tuple(part.shape) for part in logits] == [(2, 1, 4, 4), (2, 1, 2, 2), (2, 1, 1, 1)]
    for part, out, size in zip(model.discriminators, logits, (1, 2, 4), strict=True):
        crop = x[..., : 37 // size * size, : 37 // size * size]
        pooled = crop.unflatten(3, (-1, size)).unflatten(2, (-1, size)).mean(dim=(3, 5))
        assert torch.allclose(part(pooled), out, rtol=1e-5, atol=1e-6)


def test_multi_scale_discriminator_is_three_patch_discriminators_by_default():
    with torch.device("meta"):
        model = MultiScaleDiscriminator()
    assert [part.config for part in model.discriminators] == [PatchDiscriminator(channels=64).config] * 3
    assert sum(p.numel() for p in model.parameters()) == 3 * 5_295_809
    assert model.minimum_side == 32


def test_multi_scale_discriminator_takes_any_modules():
    model = MultiScaleDiscriminator([nn.Identity(), VGGDiscriminator(20, channels=2)])
    x = pictures()
    logits = model.eval()(x)
    assert logits[0] is x
    assert logits[1].shape == (2, 1)
    assert model.minimum_side == 2


# SRGAN's


def srgan_structure(tensors, x, training):
    """Ledig et al., Figure 4: k3 n64 s1, k3 n64 s2, and pairs of n128, n256, n512; then dense layers."""
    x = F.leaky_relu(F.conv2d(x, tensors["entry.weight"], tensors["entry.bias"], padding=1), 0.2)
    for i, stride in enumerate((2, 1, 2, 1, 2, 1, 2)):
        x = F.conv2d(x, tensors[f"body.{i}.conv.weight"], stride=stride, padding=1)
        mean, var = tensors[f"body.{i}.norm.running_mean"].clone(), tensors[f"body.{i}.norm.running_var"].clone()
        x = F.batch_norm(x, mean, var, tensors[f"body.{i}.norm.weight"], tensors[f"body.{i}.norm.bias"], training)
        x = F.leaky_relu(x, 0.2)
    x = F.leaky_relu(F.linear(x.reshape(len(x), -1), tensors["dense.weight"], tensors["dense.bias"]), 0.2)
    return F.linear(x, tensors["exit.weight"], tensors["exit.bias"])


@pytest.mark.parametrize("training", [True, False])
def test_vgg_discriminator_equals_the_published_structure(training):
    model, x = build("VGG").double().train(training), pictures(dtype=torch.float64)
    expected = srgan_structure({key: tensor.clone() for key, tensor in model.state_dict().items()}, x, training)
    out = model(x)
    assert out.shape == expected.shape == (2, 1)
    assert torch.allclose(out, expected, rtol=1e-9, atol=1e-12)


def test_vgg_discriminators_size():
    """Widths of the paper's Figure 4: 96x96 pictures come down to 512 channels of 6x6."""
    with torch.device("meta"):
        model = VGGDiscriminator()
    kernels = [tuple(layer.weight.shape) for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    assert kernels == [(b, a, 3, 3) for a, b in pairwise((3, 64, 64, 128, 128, 256, 256, 512, 512))]
    assert (model.dense.weight.shape, model.exit.weight.shape) == ((1024, 512 * 6 * 6), (1, 1024))


@pytest.mark.parametrize("size", [1, 16, 17, 33])
def test_vgg_discriminator_is_built_for_any_size(size):
    assert VGGDiscriminator(size, in_channels=1, channels=2).eval()(torch.rand(2, 1, size, size)).shape == (2, 1)


# All of them


def test_gradient_reaches_everything(model):
    x = pictures().requires_grad_()
    flat(model.eval()(x)).square().sum().backward()  # in training, BatchNorm takes the bias before it off
    gradients = {name: p.grad for name, p in model.named_parameters()}
    assert [name for name, gradient in gradients.items() if gradient is None or not gradient.any()] == []
    assert x.grad.any()


def test_training_moves_the_statistics(model):
    before = {key: tensor.clone() for key, tensor in model.state_dict().items() if "running" in key}
    flat(model.train()(pictures()))
    assert not any(torch.equal(model.state_dict()[key], tensor) for key, tensor in before.items())


@pytest.mark.parametrize("name", BUILDERS)
def test_gradient_is_the_derivative(name):
    model = build(name).double().eval()
    x = pictures(batch=1, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: flat(model(x)), (x,), fast_mode=True)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_precisions_stay_close(model, dtype):
    expected = flat(model.eval()(pictures()))
    out = flat(model.to(dtype)(pictures(dtype=dtype)))
    assert out.dtype == dtype
    assert (out.float() - expected).abs().max() <= (0.05 if dtype == torch.bfloat16 else 1e-5) * expected.abs().max()


@pytest.mark.parametrize("name", BUILDERS)
def test_weights_survive_a_file(name, tmp_path):
    path = tmp_path / "model.safetensors"
    model, other = build(name).eval(), BUILDERS[name]().eval()
    assert not torch.equal(flat(other(pictures())), flat(model(pictures())))
    save_weights(model, path)
    load_weights(other, path)
    assert torch.equal(flat(other(pictures())), flat(model(pictures())))
    with safe_open(path, framework="pt") as file:
        assert json.loads(file.metadata()["config"]) == model.config


def test_config_holds_the_arguments():
    assert PatchDiscriminator(1, channels=4).config == {"in_channels": 1, "channels": 4}
    assert VGGDiscriminator(32, channels=4).config == {"image_size": 32, "in_channels": 3, "channels": 4}
    parts = [PatchDiscriminator(channels=4), nn.Identity()]
    described = [
        {"name": "PatchDiscriminator", "config": {"in_channels": 3, "channels": 4}},
        {"name": "Identity", "config": {}},
    ]
    assert MultiScaleDiscriminator(parts).config == {"discriminators": described}


def test_another_width_is_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    save_weights(build("patch"), path)
    with pytest.raises(ValueError, match="channels=2, but the network has channels=4"):
        load_weights(PatchDiscriminator(channels=4), path)
    save_weights(build("multi-scale"), path)
    with pytest.raises(ValueError, match="holds MultiScaleDiscriminator with discriminators="):
        load_weights(MultiScaleDiscriminator([PatchDiscriminator(channels=2)]), path)


def test_they_are_no_restorers():
    assert not any("discriminator" in name for name in list_models())
    assert not any(
        issubclass(kind, Restorer) for kind in (PatchDiscriminator, MultiScaleDiscriminator, VGGDiscriminator)
    )


# Files


def tiny_file():
    return published_weights(pcarn_discriminator(channels=2))


@pytest.mark.parametrize("key", ["body.0.bias", "body.5.1.running_var", "body.8.1.num_batches_tracked", "body.9.bias"])
def test_missing_key_is_named(key, save):
    tensors = tiny_file()
    del tensors[key]
    with pytest.raises(ValueError, match=f"looks like the discriminator of PCARN.*misses the key '{key}'"):
        load_weights(PatchDiscriminator(channels=2), save(tensors))


@pytest.mark.parametrize("key", ["body.10.weight", "extra"])
def test_unexpected_key_is_named(key, save):
    with pytest.raises(ValueError, match=f"the discriminator of PCARN.*has the unexpected key '{key}'"):
        load_weights(PatchDiscriminator(channels=2), save(tiny_file() | {key: torch.zeros(1)}))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("body.3.0.weight", torch.zeros(4, 2, 4, 4), r"'body\.1\.conv\.weight' has shape \(4, 2, 4, 4\)"),
        ("body.0.weight", torch.tensor(0.0), "cannot be read as such"),
        ("body.0.weight", torch.zeros(4, 3, 3, 3), "channels=4, but the network has channels=2"),
        ("body.2.1.num_batches_tracked", torch.tensor(0.0), "holds torch.float32"),
    ],
)
def test_damaged_tensors_are_refused(key, value, message, save):
    with pytest.raises(ValueError, match=message):
        load_weights(PatchDiscriminator(channels=2), save(tiny_file() | {key: value}))


def test_half_precision_files_are_read(save):
    tensors = {key: tensor.half() if tensor.is_floating_point() else tensor for key, tensor in tiny_file().items()}
    model = PatchDiscriminator(channels=2)
    load_weights(model, save(tensors))
    assert torch.equal(model.exit.weight, tensors["body.9.weight"].float())


def test_load_checkpoint_says_how_a_discriminator_is_read(save, tmp_path):
    with pytest.raises(ValueError, match=r"discriminator of PCARN, models\.PatchDiscriminator.*models\.load_weights"):
        load_checkpoint(save(tiny_file()))
    for name in BUILDERS:
        save_weights(build(name), tmp_path / "own.safetensors")
        with pytest.raises(ValueError, match=r"Discriminator'.*such as a discriminator.*models\.load_weights"):
            load_checkpoint(tmp_path / "own.safetensors")


def test_layouts_of_restorers_and_this_one_are_told_apart(save):
    [layout] = PatchDiscriminator.layouts
    for keys in (published.carn(), published.pcarn(), published.cutblur(4), published.edsr(), published.rcan()):
        assert not layout.matches(keys)
    assert layout.matches(pcarn_discriminator())
    assert not any(other.matches(pcarn_discriminator()) for other in CARN_LAYOUTS)
    with pytest.raises(ValueError, match="looks like the discriminator of PCARN"):
        load_weights(carn(2, channels=4), save(tiny_file()))


# Bad input


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (torch.rand(1, 4, 40, 40), ValueError, "3 channels"),
        (torch.rand(3, 40, 40), ValueError, "4 dimensions"),
        (torch.rand(0, 3, 40, 40), ValueError, "must not be empty"),
        (torch.zeros(1, 3, 40, 40, dtype=torch.uint8), TypeError, "floating-point"),
        ([[0.5]], TypeError, "torch.Tensor"),
    ],
)
def test_refuses_what_is_no_batch_of_pictures(model, x, error, message):
    with pytest.raises(error, match=message):
        model(x)


def test_refuses_pictures_that_are_too_small():
    with pytest.raises(ValueError, match=r"x must be of at least 8x8 px, got shape \(1, 3, 7, 20\)"):
        build("patch")(torch.rand(1, 3, 7, 20))
    with pytest.raises(ValueError, match=r"x must be of at least 32x32 px, got shape \(1, 3, 40, 31\)"):
        build("multi-scale")(torch.rand(1, 3, 40, 31))


def test_vgg_discriminator_refuses_another_size():
    with pytest.raises(ValueError, match=r"the 40x40 px that the network is built for .*got shape \(1, 3, 40, 41\)"):
        build("VGG")(torch.rand(1, 3, 40, 41))


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (PatchDiscriminator, "in_channels"),
        (PatchDiscriminator, "channels"),
        (VGGDiscriminator, "image_size"),
        (VGGDiscriminator, "in_channels"),
        (VGGDiscriminator, "channels"),
    ],
)
def test_refuses_sizes_below_one(kind, name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        kind(**{name: 0})
    with pytest.raises(TypeError, match=f"{name} must be an integer"):
        kind(**{name: 2.0})


def test_refuses_what_are_no_independent_modules():
    part = PatchDiscriminator(channels=2)
    with pytest.raises(ValueError, match="at least one module and none twice, got 0"):
        MultiScaleDiscriminator([])
    with pytest.raises(ValueError, match="at least one module and none twice, got 2"):
        MultiScaleDiscriminator([part, part])
    with pytest.raises(TypeError, match="must be modules, got int"):
        MultiScaleDiscriminator([part, 3])
