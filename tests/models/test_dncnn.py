import pytest
import torch
import torch.nn.functional as F
from models import published_plain
from models.published import published_weights

from restorekit.models import DnCNN, dncnn, load_checkpoint, load_weights, vdsr

SMALL = {"depth": 5, "channels": 4}


def picture(height=6, width=7, channels=1, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(2, channels, height, width, generator=generator, dtype=torch.float64).to(dtype)


def file_weights(**options):
    """Published weights whose BatchNorm statistics are not those of a new layer."""
    tensors = published_weights(published_plain.dncnn(**options))
    for key, tensor in tensors.items():
        generator = torch.Generator().manual_seed(len(key) + tensor.numel())
        if key.endswith("running_mean"):
            tensors[key] = torch.randn(tensor.shape, generator=generator)
        if key.endswith("running_var"):
            tensors[key] = torch.rand(tensor.shape, generator=generator) + 0.5
    return tensors


def transcription(tensors, x):
    """The paper's network by its file's names, layer after layer as they are numbered."""
    noise = x
    places = sorted({int(key.split(".")[1]) for key in tensors})
    last = places[-1]
    for place in places:
        name = f"model.{place}"
        weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
        if weight.ndim == 4:
            noise = F.conv2d(noise, weight, bias, padding=1)
            normed = f"model.{place + 1}.running_var" in tensors
        else:
            mean, variance = (tensors[f"{name}.running_{kind}"].view(1, -1, 1, 1) for kind in ("mean", "var"))
            noise = (noise - mean) / (variance + 1e-4).sqrt() * weight.view(1, -1, 1, 1) + bias.view(1, -1, 1, 1)
            normed = False
        noise = noise if place == last or normed else F.relu(noise)
    return x - noise


@pytest.fixture
def save(tmp_path):
    def save(tensors):
        torch.save(tensors, tmp_path / "model.pth")
        return tmp_path / "model.pth"

    return save


@pytest.mark.parametrize(
    ("options", "config"),
    [
        ({"merged": True}, {"batch_norm": False}),
        ({"depth": 20, "in_channels": 3, "merged": True}, {"depth": 20, "in_channels": 3, "batch_norm": False}),
        ({"depth": 20, "merged": True}, {"depth": 20, "batch_norm": False}),
        ({}, {}),
        ({"in_channels": 3}, {"in_channels": 3}),
        ({"depth": 20, "in_channels": 3}, {"depth": 20, "in_channels": 3}),
        ({"depth": 3, "channels": 5}, {"depth": 3, "channels": 5}),
        ({"depth": 3, "channels": 5, "merged": True}, {"depth": 3, "channels": 5, "batch_norm": False}),
    ],
)
def test_published_files_are_read_and_compute_what_the_paper_says(options, config, save):
    tensors = file_weights(**options)
    model = load_checkpoint(save(tensors))
    assert model.config == DnCNN(**config).config
    x = picture(channels=model.in_channels)
    expected = transcription(tensors, x)
    assert torch.allclose(model(x), expected, rtol=0, atol=1e-5 * expected.abs().max().item())


def test_old_files_lack_the_number_of_batches(save):
    tensors = file_weights(**SMALL)
    for key, tensor in tensors.items():
        if key.endswith("num_batches_tracked"):
            tensor.fill_(7)
    model = load_checkpoint(save(tensors))
    old = load_checkpoint(save({key: value for key, value in tensors.items() if not key.endswith("tracked")}))
    assert torch.equal(old(picture()), model(picture()))
    assert model.body[0].norm.num_batches_tracked == 7
    assert old.body[0].norm.num_batches_tracked == 0


def test_half_precision_is_read(save):
    tensors = {key: value.half() if value.ndim else value for key, value in file_weights(**SMALL).items()}
    model = load_checkpoint(save(tensors))
    assert torch.equal(model.body[1].norm.running_var, tensors["model.6.running_var"].float())


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 557_057),
        ({"batch_norm": False}, 555_137),
        ({"in_channels": 3}, 559_363),
        ({"depth": 20, "in_channels": 3}, 670_531),
        ({"depth": 20, "in_channels": 3, "batch_norm": False}, 668_227),
        ({"depth": 20}, 668_225),
        ({"depth": 20, "batch_norm": False}, 665_921),
    ],
)
def test_published_sizes(options, expected):
    with torch.device("meta"):
        assert sum(p.numel() for p in dncnn(**options).parameters()) == expected


def test_batch_norm_is_the_authors():
    norms = [layer for layer in dncnn(**SMALL).modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    assert [(norm.eps, norm.momentum) for norm in norms] == [(1e-4, 0.9)] * 3


def test_initial_weights_are_he_normal():
    torch.manual_seed(0)
    model = dncnn()
    assert model.body[3].conv.weight.std().item() == pytest.approx((2 / 576) ** 0.5, rel=0.1)
    assert not model.body[3].conv.bias.any()


def test_a_network_that_sees_no_noise_returns_the_picture():
    model = dncnn(**SMALL).eval()
    torch.nn.init.zeros_(model.exit.weight)
    assert torch.equal(model(picture()), picture())


@pytest.mark.parametrize("batch_norm", [True, False])
def test_gradient(batch_norm):
    model = DnCNN(3, channels=2, batch_norm=batch_norm).double()
    x = picture(3, 2, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(model, (x,), fast_mode=True)


@pytest.mark.parametrize("key", ["model.0.bias", "model.5.weight", "model.6.running_var", "model.11.bias"])
def test_missing_key_is_named(key, save):
    tensors = file_weights(**SMALL)
    del tensors[key]
    with pytest.raises(ValueError, match=rf"looks like DnCNN.*with BatchNorm.*misses the key '{key}'"):
        load_checkpoint(save(tensors))


@pytest.mark.parametrize("key", ["model.4.bias", "model.8.weight"])
def test_missing_key_of_a_merged_file_is_named(key, save):
    tensors = file_weights(**SMALL, merged=True)
    del tensors[key]
    with pytest.raises(ValueError, match=rf"looks like DnCNN.*merged.*misses the key '{key}'"):
        load_checkpoint(save(tensors))


@pytest.mark.parametrize("key", ["model.2.running_mean", "extra"])
@pytest.mark.parametrize("merged", [True, False])
def test_unexpected_key_is_named(key, merged, save):
    tensors = file_weights(**SMALL, merged=merged) | {key: torch.zeros(1)}
    with pytest.raises(ValueError, match=f"looks like DnCNN.*unexpected key '{key}'"):
        load_checkpoint(save(tensors))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("model.0.weight", torch.zeros(4), "cannot be read as such"),
        ("model.5.weight", torch.zeros(4, 3, 3, 3), r"'body.1.conv.weight' has shape \(4, 3, 3, 3\)"),
        ("model.3.running_mean", torch.zeros(3), r"'body.0.norm.running_mean' has shape \(3,\)"),
        ("model.3.num_batches_tracked", torch.zeros(()), "'body.0.norm.num_batches_tracked' holds torch.float32"),
        ("model.1000000000.weight", torch.zeros(1), "count to 1000000001"),
    ],
)
def test_damaged_tensors_are_refused(key, value, message, save):
    with pytest.raises(ValueError, match=message):
        load_checkpoint(save(file_weights(**SMALL) | {key: value}))


def test_the_lists_of_other_networks_are_not_taken_for_it():
    for keys in (published_plain.msrresnet0(), {"model.0.weight": (4, 1, 3, 3)}):
        assert not any(layout.matches(keys) for layout in DnCNN.layouts)


def test_files_of_other_networks_and_forms_are_refused(save):
    path = save(file_weights(**SMALL))
    with pytest.raises(ValueError, match="batch_norm=True, but the network has batch_norm=False"):
        load_weights(dncnn(**SMALL, batch_norm=False), path)
    with pytest.raises(ValueError, match="depth=5, but the network has depth=17"):
        load_weights(dncnn(channels=4), path)
    with pytest.raises(ValueError, match="looks like DnCNN"):
        load_weights(vdsr(), path)


def test_works_on_a_single_pixel_and_refuses_other_channels_and_scales():
    model = dncnn(**SMALL).eval()
    assert model(torch.rand(1, 1, 1, 1)).shape == (1, 1, 1, 1)
    with pytest.raises(ValueError, match="1 channels, got shape"):
        model(torch.rand(1, 4, 5, 5))
    with pytest.raises(ValueError, match=r"network's scales \(1\), got 2"):
        model(picture(), scale=2)


@pytest.mark.parametrize(("name", "minimum"), [("depth", 3), ("in_channels", 1), ("channels", 1)])
def test_refuses_sizes_that_make_no_network(name, minimum):
    with pytest.raises(ValueError, match=f"{name} must be at least {minimum}, got {minimum - 1}"):
        dncnn(**{name: minimum - 1})
    with pytest.raises(TypeError, match=f"{name} must be an integer"):
        dncnn(**{name: 4.0})
