import pytest
import torch
from trunks import fill, pictures

from restorekit.models import (
    AlexNetFeatures,
    SqueezeNetFeatures,
    VGG16Features,
    VGG19Features,
    list_models,
    load_trunk,
    load_weights,
    save_weights,
)

TRUNKS = [AlexNetFeatures, SqueezeNetFeatures, VGG16Features, VGG19Features]

# torchvision 0.29.2, with the weights of trunks.fill in float32, run in float64 on the second of trunks.pictures();
# VGGs by its make_layers with all widths divided by 16. Index of the layer, shape, mean, standard deviation.
TORCHVISION = [
    (AlexNetFeatures(), 1, (2, 64, 9, 8), 0.0833585446, 0.1310059220),
    (AlexNetFeatures(), 11, (2, 256, 1, 1), 0.0254950057, 0.0328305632),
    (SqueezeNetFeatures(), 6, (2, 256, 4, 4), 0.0629727708, 0.1019496701),
    (SqueezeNetFeatures(), 12, (2, 512, 2, 2), 0.0581737635, 0.0966106637),
    (VGG16Features(channels=4), 15, (2, 16, 10, 9), 0.0265498007, 0.0368937647),
    (VGG16Features(channels=4), 30, (2, 32, 1, 1), 0.0382585498, 0.0421942889),
    (VGG19Features(channels=4), 18, (2, 16, 5, 4), 0.0352500972, 0.0415610299),
    (VGG19Features(channels=4), 36, (2, 32, 1, 1), 0.0299588780, 0.0364609622),
]


@pytest.mark.parametrize(("trunk", "index", "shape", "mean", "deviation"), TORCHVISION)
def test_features_are_those_of_torchvision(trunk, index, shape, mean, deviation):
    [found] = fill(trunk).double()(pictures()[1], [trunk.taps[index]])
    assert found.shape == shape
    assert found.mean().item() == pytest.approx(mean, rel=1e-6)
    assert found.std().item() == pytest.approx(deviation, rel=1e-6)


@pytest.mark.parametrize(
    ("kind", "parameters", "layers", "convs"),
    [
        (AlexNetFeatures, 2_469_696, 13, [0, 3, 6, 8, 10]),
        (VGG16Features, 14_714_688, 31, [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]),
        (VGG19Features, 20_024_384, 37, [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34]),
    ],
)
def test_size_and_keys_are_those_of_torchvision(kind, parameters, layers, convs):
    with torch.device("meta"):
        trunk = kind()
    assert sum(parameter.numel() for parameter in trunk.parameters()) == parameters
    assert len(trunk.taps) == layers
    assert list(trunk.state_dict()) == [f"features.{i}.{name}" for i in convs for name in ("weight", "bias")]


def test_squeezenet_has_the_size_and_keys_of_torchvision():
    with torch.device("meta"):
        trunk = SqueezeNetFeatures()
    assert sum(parameter.numel() for parameter in trunk.parameters()) == 722_496
    layers = ["0"]
    layers += [f"{i}.{part}" for i in (3, 4, 6, 7, 9, 10, 11, 12) for part in ("squeeze", "expand1x1", "expand3x3")]
    assert list(trunk.state_dict()) == [f"features.{layer}.{name}" for layer in layers for name in ("weight", "bias")]


@pytest.mark.parametrize(
    ("kind", "indices"),
    [
        (AlexNetFeatures, {"relu1": 1, "pool1": 2, "relu3": 7, "relu5": 11, "pool5": 12}),
        (SqueezeNetFeatures, {"relu1": 1, "fire3": 4, "pool3": 5, "fire5": 7, "pool5": 8, "fire6": 9, "fire9": 12}),
        (VGG16Features, {"relu1_2": 3, "relu2_2": 8, "relu3_3": 15, "relu4_3": 22, "relu5_3": 29, "pool5": 30}),
        (VGG19Features, {"relu1_1": 1, "conv3_4": 16, "pool4": 27, "conv5_4": 34, "relu5_4": 35, "pool5": 36}),
    ],
)
def test_names_stand_for_torchvisions_indices(kind, indices):
    with torch.device("meta"):
        trunk = kind()
    assert {name: trunk.taps.index(name) for name in indices} == indices


@pytest.mark.parametrize("kind", TRUNKS)
def test_every_tap_has_the_width_it_says(kind):
    trunk = kind(channels=4)
    found = trunk(torch.rand(1, 3, 64, 70), trunk.taps)
    assert {name: out.shape[1] for name, out in zip(trunk.taps, found, strict=True)} == trunk.widths


def test_trunks_are_no_restorers():
    assert not [name for name in list_models() if "vgg" in name or "net_features" in name or "alex" in name]


def test_torchvisions_file_is_read_without_its_classifier(tmp_path):
    state = fill(SqueezeNetFeatures()).state_dict()
    file = {**state, "classifier.1.weight": torch.ones(10, 512, 1, 1), "classifier.1.bias": torch.ones(10)}
    torch.save(file, tmp_path / "squeezenet1_1-b8a52dc0.pth")
    trunk = load_trunk("squeezenet", tmp_path / "squeezenet1_1-b8a52dc0.pth")
    assert isinstance(trunk, SqueezeNetFeatures)
    assert not trunk.training
    assert not any(parameter.requires_grad for parameter in trunk.parameters())
    assert {key: torch.equal(value, state[key]) for key, value in trunk.state_dict().items()} == dict.fromkeys(
        state, True
    )


def test_safetensors_go_round(tmp_path):
    save_weights(fill(VGG16Features(channels=2)), tmp_path / "vgg.safetensors")
    trunk = VGG16Features(channels=2)
    load_weights(trunk, tmp_path / "vgg.safetensors")
    assert torch.equal(trunk.features[28].weight, fill(VGG16Features(channels=2)).features[28].weight)
    with pytest.raises(ValueError, match="VGG16Features"):
        load_weights(VGG19Features(channels=2), tmp_path / "vgg.safetensors")


@pytest.mark.parametrize(
    ("held", "built", "match"),
    [
        (VGG16Features, VGG19Features, r"torchvision's VGG-16; first missing key 'features\.16\.bias', first unexp"),
        (VGG19Features, VGG16Features, r"VGG-19; first missing key 'features\.17\..*unexpected key 'features\.16\."),
        (AlexNetFeatures, VGG16Features, "torchvision's AlexNet"),
        (SqueezeNetFeatures, AlexNetFeatures, r"torchvision's SqueezeNet 1\.1"),
    ],
)
def test_weights_of_another_network_are_named(tmp_path, held, built, match):
    torch.save(held(channels=4).state_dict(), tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=match):
        load_weights(built(channels=4), tmp_path / "weights.pth")


def test_a_misshapen_key_is_named(tmp_path):
    torch.save(SqueezeNetFeatures(channels=4).state_dict(), tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=r"'features\.0\.weight' has shape \(4, 3, 3, 3\), the network needs \(64, 3"):
        load_trunk("squeezenet", tmp_path / "weights.pth")


def test_missing_files_unknown_names_and_widths(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_trunk("squeezenet", tmp_path / "none.pth")
    with pytest.raises(ValueError, match="name must be one of alexnet, squeezenet, vgg16, vgg19, got 'resnet'"):
        load_trunk("resnet", tmp_path / "none.pth")
    for kind in TRUNKS:
        with pytest.raises(ValueError, match="channels must be at least"):
            kind(channels=0)
    with pytest.raises(ValueError, match="multiple of 4, got 6"):
        SqueezeNetFeatures(channels=6)
