import pytest
import torch
from torch import nn
from torch.nn import functional as F

from restorekit.models import AlexNetFeatures, FeatureTrunk, SqueezeNetFeatures, VGG16Features, VGG19Features

TRUNKS = [AlexNetFeatures, SqueezeNetFeatures, VGG16Features, VGG19Features]


def small():
    return FeatureTrunk({"conv": nn.Conv2d(3, 2, 3), "relu": nn.ReLU(), "pool": nn.MaxPool2d(2)}, {})


def picture(height=8, width=6, dtype=torch.float32):
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0)).to(dtype)


def test_taps_come_as_asked():
    trunk, x = small(), picture()
    conv = trunk.features[0](x)
    expected = {"conv": conv, "relu": F.relu(conv), "pool": F.max_pool2d(F.relu(conv), 2)}
    for taps in (["conv"], ["relu"], ["pool", "conv"], ["conv", "relu", "conv"], ["relu", "pool"]):
        found = trunk(x, taps)
        assert len(found) == len(taps)
        for name, out in zip(taps, found, strict=True):
            assert torch.equal(out, expected[name]), name
    assert trunk.taps == ("conv", "relu", "pool")
    assert trunk.widths == {"conv": 2, "relu": 2, "pool": 2}


def test_nothing_runs_behind_the_last_tap():
    trunk = FeatureTrunk({"a": nn.Conv2d(3, 2, 1), "b": nn.Conv2d(5, 5, 1)}, {})  # b would refuse what a gives
    assert trunk(picture(), ["a"])[0].shape == (2, 2, 8, 6)


def test_the_picture_is_not_written_into():
    trunk = FeatureTrunk({"relu": nn.ReLU(), "conv": nn.Conv2d(3, 1, 1), "again": nn.ReLU()}, {})
    x = picture() - 0.5
    before = x.clone()
    trunk(x, ["conv", "again"])
    assert torch.equal(x, before)


def test_it_is_frozen_and_stays_in_eval_mode():
    trunk = VGG16Features(channels=1)
    assert not any(parameter.requires_grad for parameter in trunk.parameters())
    assert not any(part.training for part in nn.Sequential(trunk).train()[0].modules())
    x = picture(16, 16).requires_grad_()
    trunk(x, ["relu5_3"])[0].sum().backward()
    assert x.grad is not None
    assert all(parameter.grad is None for parameter in trunk.parameters())
    trunk.requires_grad_()(x, ["relu1_1"])[0].sum().backward()
    assert trunk.features[0].weight.grad is not None


def test_pictures_take_the_dtype_of_the_trunk():
    trunk = small()
    assert trunk(picture(dtype=torch.float64), ["conv"])[0].dtype == torch.float32
    assert trunk(picture(dtype=torch.bfloat16), ["conv"])[0].dtype == torch.float32
    assert trunk.double()(picture(), ["conv"])[0].dtype == torch.float64


def test_normalize_is_imagenets():
    x = picture(dtype=torch.float64)
    found = small().normalize(x)
    for channel, (mean, deviation) in enumerate([(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)]):
        torch.testing.assert_close(found[:, channel], (x[:, channel] - mean) / deviation, rtol=1e-6, atol=1e-6)
    assert not [key for key in small().state_dict() if not key.startswith("features.")]


def needed(trunk, tap):
    """The shortest side with which torch itself gives something."""
    chain = nn.Sequential(*list(trunk.features)[: trunk.taps.index(tap) + 1])
    for side in range(1, 80):
        try:
            if min(chain(torch.rand(1, 3, side, side)).shape) > 0:
                return side
        except RuntimeError:
            continue
    return None


@pytest.mark.parametrize("kind", TRUNKS)
def test_minimum_side_is_what_torch_needs(kind):
    trunk = kind(channels=4)
    for tap in trunk.taps[:: 3 if len(trunk.taps) < 20 else 9] + trunk.taps[-1:]:
        assert trunk.minimum_side([tap]) == needed(trunk, tap), tap
    side = trunk.minimum_side(trunk.taps)
    assert side == trunk.minimum_side(trunk.taps[-1:])
    with pytest.raises(ValueError, match=rf"x must be of at least {side}x{side} px .*, got shape \(1, 3, {side - 1}"):
        trunk(torch.rand(1, 3, side - 1, side + 9), trunk.taps)


def test_minimum_side_counts_dilation():
    trunk = FeatureTrunk({"conv": nn.Conv2d(3, 1, 3, dilation=4, padding=1)}, {})
    assert trunk.minimum_side(["conv"]) == needed(trunk, "conv") == 7


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(3, 1, 3, padding="same"),
        nn.Conv2d(3, 1, 3, padding="valid"),
        nn.AvgPool2d(3, 2),
        nn.AvgPool2d(2, ceil_mode=True),
        nn.MaxPool2d(3, 2, padding=1),
        nn.MaxPool2d(3, 2, dilation=2),
        nn.Conv2d(3, 1, (1, 5), stride=(2, 1)),
        nn.MaxPool2d((1, 2)),
    ],
)
def test_minimum_side_of_layers_that_the_published_trunks_lack(layer):
    trunk = FeatureTrunk({"layer": layer, "conv": nn.Conv2d(getattr(layer, "out_channels", 3), 1, 2)}, {})
    assert trunk.minimum_side(["layer"]) == needed(trunk, "layer")
    assert trunk.minimum_side(["conv"]) == needed(trunk, "conv")


def test_a_trunk_without_parameters():
    trunk = FeatureTrunk({"pool": nn.MaxPool2d(2)}, {})
    x = picture(dtype=torch.float64)
    assert torch.equal(trunk.double()(x, ["pool"])[0], F.max_pool2d(x, 2))


def test_nan_propagates():
    x = picture()
    x[0, 0, 0, 0] = float("nan")
    [found] = small()(x, ["pool"])
    assert found[0].isnan().any()
    assert found[1].isfinite().all()


@pytest.mark.parametrize(
    ("x", "taps", "error", "match"),
    [
        (picture(), [], ValueError, "taps must be a list of names out of conv, relu, pool, got"),
        (picture(), "conv", ValueError, "taps must be a list"),
        (picture(), ["conv", "fire2"], ValueError, "out of conv, relu, pool, got"),
        (picture()[:, :1], ["conv"], ValueError, r"x must have 3 channels .*expand\(-1, 3, -1, -1\)"),
        (picture()[0], ["conv"], ValueError, "4 dimensions"),
        (picture().to("meta"), ["conv"], ValueError, "x is on meta and the trunk on cpu"),
        (picture().long(), ["conv"], TypeError, "int64"),
        (None, ["conv"], TypeError, "NoneType"),
        (picture(2, 9), ["conv"], ValueError, "at least 3x3"),
    ],
)
def test_bad_input(x, taps, error, match):
    with pytest.raises(error, match=match):
        small()(x, taps)
