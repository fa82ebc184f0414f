import pytest
import torch
import torch.nn.functional as F
from models import published_plain
from models.published import published_weights
from safetensors.torch import save_file

from restorekit.models import ZSSR, load_checkpoint, load_weights, vdsr, zssr

SMALL = {"channels": 4, "depth": 3}


def picture(height=6, width=7, channels=3, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(2, channels, height, width, generator=generator, dtype=torch.float64).to(dtype)


def tensorflow_convolution(x, kernel):
    """Zero-padded correlation with a kernel (height, width, inputs, outputs), one tap after the other."""
    height, width = x.shape[2:]
    padded = F.pad(x, (1, 1, 1, 1))
    out = 0
    for dy in range(3):
        for dx in range(3):
            out = out + torch.einsum("nchw,co->nohw", padded[..., dy : dy + height, dx : dx + width], kernel[dy, dx])
    return out


def transcription(tensors, x):
    """The authors' network on an enlarged picture, by its file's names and axes."""
    features = x
    for i in range(len(tensors)):
        features = tensorflow_convolution(features, tensors[f"filter_{i}"])
        features = F.relu(features) if i < len(tensors) - 1 else features
    return x + features


@pytest.fixture
def save(tmp_path):
    def save(tensors):
        torch.save(tensors, tmp_path / "model.pth")
        return tmp_path / "model.pth"

    return save


@pytest.mark.parametrize(
    ("layout", "config"),
    [
        (published_plain.zssr(), {}),
        (published_plain.zssr(in_channels=1, channels=5, depth=12), {"in_channels": 1, "channels": 5, "depth": 12}),
    ],
    ids=["published", "luminance"],
)
def test_published_files_are_read_and_compute_what_the_authors_code_says(layout, config, save):
    tensors = published_weights(layout)
    model = load_checkpoint(save(tensors))
    assert model.config == ZSSR(1, **config).config
    x = picture(channels=model.in_channels)
    expected = transcription(tensors, x)
    assert torch.allclose(model(x), expected, rtol=0, atol=1e-5 * expected.abs().max().item())


def test_a_file_fits_any_scale_and_any_container(tmp_path):
    path = tmp_path / "filters.safetensors"
    save_file(published_weights(published_plain.zssr(**SMALL)), path)
    x = picture()
    for scale in (2, 3, 4):
        model = zssr(scale, weights=path, **SMALL)
        assert torch.equal(model(x), load_checkpoint(path)(model.enlarge(x)))


def test_half_precision_is_read(save):
    tensors = {key: tensor.half() for key, tensor in published_weights(published_plain.zssr(**SMALL)).items()}
    model = load_checkpoint(save(tensors))
    assert torch.equal(model.body[1].weight[2, 3, 0, 1], tensors["filter_1"][0, 1, 3, 2].float())


def test_published_sizes():
    with torch.device("meta"):
        assert sum(p.numel() for p in zssr().parameters()) == 224_640
        assert sum(p.numel() for p in zssr(bias=True).parameters()) == 225_091


def test_initial_weights_are_the_authors():
    torch.manual_seed(0)
    model = zssr(bias=True)
    assert model.body[0].weight.std().item() == pytest.approx((0.1 / 27) ** 0.5, rel=0.1)
    assert model.body[3].weight.std().item() == pytest.approx((0.1 / 576) ** 0.5, rel=0.1)
    assert not any(layer.bias.any() for layer in model.body)


def test_gradient():
    model = ZSSR(2, channels=2, depth=3, bias=True).double()
    x = picture(2, 3, dtype=torch.float64)[:1].requires_grad_()
    assert torch.autograd.gradcheck(model, (x,), fast_mode=True)


def test_missing_key_is_named(save):
    tensors = published_weights(published_plain.zssr(channels=4, depth=4))
    del tensors["filter_2"]
    with pytest.raises(ValueError, match=r"looks like ZSSR.*misses the key 'filter_2'"):
        load_checkpoint(save(tensors))


@pytest.mark.parametrize("key", ["bias_0", "filter_1/Adam"])
def test_unexpected_key_is_named(key, save):
    tensors = published_weights(published_plain.zssr(**SMALL)) | {key: torch.zeros(1)}
    with pytest.raises(ValueError, match=f"looks like ZSSR.*unexpected key '{key}'"):
        load_checkpoint(save(tensors))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("filter_0", torch.zeros(4), "cannot be read as such"),
        ("filter_1", torch.zeros(4, 4, 3, 3), r"'body.1.weight' has shape \(3, 3, 4, 4\)"),
        ("filter_1000000000", torch.zeros(1), "misses the key 'filter_3'"),
    ],
)
def test_damaged_tensors_are_refused(key, value, message, save):
    tensors = published_weights(published_plain.zssr(**SMALL)) | {key: value}
    with pytest.raises(ValueError, match=message):
        load_checkpoint(save(tensors))


def test_files_of_other_networks_and_forms_are_refused(save):
    path = save(published_weights(published_plain.zssr(**SMALL)))
    with pytest.raises(ValueError, match="bias=False, but the network has bias=True"):
        load_weights(zssr(bias=True, **SMALL), path)
    with pytest.raises(ValueError, match="looks like ZSSR"):
        load_weights(vdsr(), path)


@pytest.mark.parametrize(("name", "minimum"), [("channels", 1), ("depth", 2)])
def test_refuses_sizes_that_make_no_network(name, minimum):
    with pytest.raises(ValueError, match=f"{name} must be at least {minimum}, got {minimum - 1}"):
        zssr(2, **{name: minimum - 1})
    with pytest.raises(TypeError, match=f"{name} must be an integer"):
        zssr(2, **{name: 4.0})
