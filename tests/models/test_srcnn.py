import pytest
import torch
import torch.nn.functional as F
from models import published_plain
from models.published import published_weights

from restorekit.models import SRCNN, load_checkpoint, load_weights, srcnn, vdsr

SMALL = {"channels": (6, 4), "kernels": (5, 1, 3)}


def picture(height=6, width=7, channels=1, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(2, channels, height, width, generator=generator, dtype=torch.float64).to(dtype)


def transcription(tensors, x):
    """The network of the paper on an enlarged picture, by its file's names."""
    for name in ("conv1", "conv2", "conv3"):
        weight = tensors[f"{name}.weight"]
        x = F.conv2d(x, weight, tensors[f"{name}.bias"], padding=weight.shape[-1] // 2)
        x = x if name == "conv3" else F.relu(x)
    return x


@pytest.fixture
def save(tmp_path):
    def save(tensors):
        torch.save(tensors, tmp_path / "model.pth")
        return tmp_path / "model.pth"

    return save


@pytest.mark.parametrize(
    ("layout", "config"),
    [
        (published_plain.srcnn(), {}),
        (published_plain.srcnn(3), {"in_channels": 3}),
        (published_plain.srcnn(3, kernels=(9, 1, 5)), {"in_channels": 3, "kernel_sizes": (9, 1, 5)}),
        (published_plain.srcnn(**SMALL), {"channels": (6, 4), "kernel_sizes": (5, 1, 3)}),
    ],
    ids=["luminance", "RGB", "9-1-5", "small"],
)
def test_published_files_are_read_and_compute_what_the_paper_says(layout, config, save):
    tensors = published_weights(layout)
    model = load_checkpoint(save(tensors))
    assert model.config == SRCNN(1, **config).config
    x = picture(channels=model.in_channels)
    assert torch.allclose(model(x), transcription(tensors, x), rtol=0, atol=1e-6)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_published_file_fits_any_scale(scale, save):
    path = save(published_weights(published_plain.srcnn()))
    model = srcnn(scale, weights=path)
    assert model.config["scale"] == scale
    x = picture()
    assert torch.equal(model(x), load_checkpoint(path)(model.enlarge(x)))


def test_half_precision_is_read(save):
    tensors = {key: tensor.half() for key, tensor in published_weights(published_plain.srcnn(**SMALL)).items()}
    model = load_checkpoint(save(tensors))
    assert model.entry.weight.dtype == torch.float32
    assert torch.equal(model.entry.weight, tensors["conv1.weight"].float())


def test_published_sizes_and_multiply_adds():
    def count(**options):
        with torch.device("meta"):
            return sum(p.numel() for p in srcnn(**options).parameters())

    assert count() == 57_281
    assert count(in_channels=3) == 69_251
    assert count(kernel_sizes=(9, 1, 5)) == 8_129
    with torch.device("meta"):
        for scale in (2, 3, 4):
            model = srcnn(scale)
            assert sum(p.numel() for p in model.parameters() if p.ndim == 4) == 57_184
            gigas = float(model.trace().multadds_per_pixel) * 1280 * 720 / scale**2 / 1e9
            assert gigas == pytest.approx(52.70, abs=0.005)


def test_initial_weights_are_the_papers():
    torch.manual_seed(0)
    model = srcnn()
    for layer in (model.entry, model.body, model.exit):
        assert layer.weight.std().item() == pytest.approx(0.001, rel=0.1)
        assert not layer.bias.any()


def test_gradient():
    model = SRCNN(2, channels=(2, 2), kernel_sizes=(3, 1, 3)).double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(parameter.numel()))
    x = picture(2, 3, dtype=torch.float64)[:1].requires_grad_()
    assert torch.autograd.gradcheck(model, (x,), fast_mode=True)


@pytest.mark.parametrize("key", ["conv1.bias", "conv2.bias", "conv3.bias"])
def test_missing_key_is_named(key, save):
    tensors = published_weights(published_plain.srcnn(**SMALL))
    del tensors[key]
    with pytest.raises(ValueError, match=rf"looks like SRCNN.*misses the key '{key}'"):
        load_checkpoint(save(tensors))


@pytest.mark.parametrize("key", ["conv4.weight", "fc1.weight"])
def test_unexpected_key_is_named(key, save):
    tensors = published_weights(published_plain.srcnn(**SMALL)) | {key: torch.zeros(1)}
    with pytest.raises(ValueError, match=f"looks like SRCNN.*unexpected key '{key}'"):
        load_checkpoint(save(tensors))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("conv1.weight", torch.zeros(6), "cannot be read as such"),
        ("conv2.weight", torch.zeros(4, 5, 1, 1), r"'body.weight' has shape \(4, 5, 1, 1\)"),
        ("conv3.weight", torch.zeros(1, 4, 4, 4), "kernel_sizes must be odd"),
        ("conv3.bias", torch.zeros(2), r"'exit.bias' has shape \(2,\)"),
        ("conv1.bias", torch.zeros(6, dtype=torch.int64), "holds torch.int64"),
    ],
)
def test_damaged_tensors_are_refused(key, value, message, save):
    tensors = published_weights(published_plain.srcnn(**SMALL)) | {key: value}
    with pytest.raises(ValueError, match=message):
        load_checkpoint(save(tensors))


def test_files_of_other_networks_and_forms_are_refused(save):
    path = save(published_weights(published_plain.srcnn(kernels=(9, 1, 5))))
    with pytest.raises(ValueError, match=r"kernel_sizes=\(9, 1, 5\), but the network has kernel_sizes=\(9, 5, 5\)"):
        load_weights(srcnn(), path)
    with pytest.raises(ValueError, match="looks like SRCNN"):
        load_weights(vdsr(channels=4, depth=3), path)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"channels": (64,)}, ValueError, r"channels must hold 2 sizes, got \(64,\)"),
        ({"channels": 64}, ValueError, "channels must hold 2 sizes, got 64"),
        ({"channels": "64"}, ValueError, "channels must hold 2 sizes"),
        ({"channels": (64, 0)}, ValueError, "each of channels must be at least 1, got 0"),
        ({"channels": (64, 32.0)}, TypeError, "each of channels must be an integer"),
        ({"kernel_sizes": (9, 5)}, ValueError, "kernel_sizes must hold 3 sizes"),
        ({"kernel_sizes": (9, 4, 5)}, ValueError, r"kernel_sizes must be odd, got \(9, 4, 5\)"),
        ({"kernel_sizes": (9, -1, 5)}, ValueError, "each of kernel_sizes must be at least 1"),
    ],
)
def test_refuses_sizes_that_make_no_network(options, error, message):
    with pytest.raises(error, match=message):
        srcnn(2, **options)
