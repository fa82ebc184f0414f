import pytest
import torch
import torch.nn.functional as F
from models import published_plain
from models.published import published_weights

from restorekit.models import VDSR, load_checkpoint, load_weights, srcnn, vdsr

SMALL = {"channels": 4, "depth": 5}


def picture(height=6, width=7, channels=1, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(2, channels, height, width, generator=generator, dtype=torch.float64).to(dtype)


def transcription(tensors, x):
    """The network of the paper on an enlarged picture, by its file's names."""
    features = F.relu(F.conv2d(x, tensors["input.weight"], padding=1))
    for i in range(len(tensors) - 2):
        features = F.relu(F.conv2d(features, tensors[f"residual_layer.{i}.conv.weight"], padding=1))
    return x + F.conv2d(features, tensors["output.weight"], padding=1)


@pytest.fixture
def save(tmp_path):
    def save(content, **options):
        torch.save(content, tmp_path / "model.pth", **options)
        return tmp_path / "model.pth"

    return save


@pytest.mark.parametrize(
    ("layout", "config"),
    [
        (published_plain.vdsr(), {}),
        (published_plain.vdsr(in_channels=3, **SMALL), {"in_channels": 3, **SMALL}),
        (published_plain.vdsr(channels=12, depth=14), {"channels": 12, "depth": 14}),
    ],
    ids=["published", "RGB", "ten layers and more"],
)
def test_published_files_are_read_and_compute_what_the_paper_says(layout, config, save):
    tensors = published_weights(layout)
    model = load_checkpoint(save({"epoch": 50, "model": tensors}))
    assert model.config == VDSR(1, **config).config
    x = picture(channels=model.in_channels)
    assert torch.allclose(model(x), transcription(tensors, x), rtol=0, atol=1e-6)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_published_file_fits_any_scale(scale, save):
    path = save(published_weights(published_plain.vdsr(**SMALL)))
    model = vdsr(scale, weights=path, **SMALL)
    x = picture()
    assert torch.equal(model(x), load_checkpoint(path)(model.enlarge(x)))


@pytest.mark.parametrize("zipped", [True, False])
def test_the_pickled_module_of_the_published_file_is_refused_with_a_word_on_how_to_convert_it(zipped, save):
    path = save({"epoch": 50, "model": vdsr(1, **SMALL)}, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=r"load it where its authors' code is installed.*torch\.save\(model\.state_"):
        load_checkpoint(path)


def test_half_precision_is_read(save):
    tensors = {key: tensor.half() for key, tensor in published_weights(published_plain.vdsr(**SMALL)).items()}
    model = load_checkpoint(save(tensors))
    assert torch.equal(model.exit.weight, tensors["output.weight"].float())


def test_published_sizes_and_multiply_adds():
    with torch.device("meta"):
        assert sum(p.numel() for p in vdsr().parameters()) == 664_704
        assert sum(p.numel() for p in vdsr(in_channels=3).parameters()) == 667_008
        for scale in (2, 3, 4):
            gigas = float(vdsr(scale).trace().multadds_per_pixel) * 1280 * 720 / scale**2 / 1e9
            assert gigas == pytest.approx(612.59, abs=0.005)


def test_initial_weights_are_he_normal_by_fan_out():
    torch.manual_seed(0)
    model = vdsr()
    assert model.entry.weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.1)
    assert model.exit.weight.std().item() == pytest.approx((2 / 9) ** 0.5, rel=0.1)


def test_gradient():
    model = VDSR(2, channels=2, depth=3).double()
    x = picture(2, 3, dtype=torch.float64)[:1].requires_grad_()
    assert torch.autograd.gradcheck(model, (x,), fast_mode=True)


@pytest.mark.parametrize("key", ["output.weight", "residual_layer.1.conv.weight"])
def test_missing_key_is_named(key, save):
    tensors = published_weights(published_plain.vdsr(**SMALL))
    del tensors[key]
    with pytest.raises(ValueError, match=rf"looks like VDSR.*misses the key '{key}'"):
        load_checkpoint(save(tensors))


@pytest.mark.parametrize("key", ["residual_layer.0.conv.bias", "extra"])
def test_unexpected_key_is_named(key, save):
    tensors = published_weights(published_plain.vdsr(**SMALL)) | {key: torch.zeros(1)}
    with pytest.raises(ValueError, match=f"looks like VDSR.*unexpected key '{key}'"):
        load_checkpoint(save(tensors))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("input.weight", torch.zeros(4), "cannot be read as such"),
        ("residual_layer.0.conv.weight", torch.zeros(4, 3, 3, 3), r"'body.0.weight' has shape \(4, 3, 3, 3\)"),
        ("residual_layer.1000000000.conv.weight", torch.zeros(1), "count to 1000000001"),
    ],
)
def test_damaged_tensors_are_refused(key, value, message, save):
    tensors = published_weights(published_plain.vdsr(**SMALL)) | {key: value}
    with pytest.raises(ValueError, match=message):
        load_checkpoint(save(tensors))


def test_files_of_other_networks_and_forms_are_refused(save):
    path = save(published_weights(published_plain.vdsr(**SMALL)))
    with pytest.raises(ValueError, match="channels=4, but the network has channels=64"):
        load_weights(vdsr(), path)
    with pytest.raises(ValueError, match="looks like VDSR"):
        load_weights(srcnn(), path)


@pytest.mark.parametrize(("name", "minimum"), [("channels", 1), ("depth", 2)])
def test_refuses_sizes_that_make_no_network(name, minimum):
    with pytest.raises(ValueError, match=f"{name} must be at least {minimum}, got {minimum - 1}"):
        vdsr(2, **{name: minimum - 1})
    with pytest.raises(TypeError, match=f"{name} must be an integer"):
        vdsr(2, **{name: 4.0})
