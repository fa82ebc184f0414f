import copy

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck
from torch.nn import functional as F
from trunks import fill, pictures

from restorekit.losses import VGGLoss
from restorekit.models import AlexNetFeatures, VGG16Features, VGG19Features


def trunk(channels=4):
    return fill(VGG19Features(channels=channels)).double()


# torchvision 0.29.2: mean squared difference of features[:35] and features[:36] of VGG-19 with all widths divided by 16
# and the weights of trunks.fill, on trunks.pictures(), as they are and normalised.
@pytest.mark.parametrize(
    ("layers", "normalize", "expected"),
    [
        (None, False, 1.3385830054851495e-08),
        ({"conv5_4": 1.0}, True, 7.541190671479458e-08),
        ({"relu5_4": 1.0}, False, 6.749836266843955e-09),
        ({"relu5_4": 1}, True, 3.5463550676561625e-08),
    ],
)
def test_it_equals_torchvision(layers, normalize, expected):
    found = VGGLoss(trunk(), layers=layers, normalize=normalize)(*pictures())
    assert found.item() == pytest.approx(expected, rel=1e-5, abs=0)


def by_hand(depth, x):
    return nn.Sequential(*copy.deepcopy(list(trunk().features)[:depth]))(x)


def test_layers_are_weighted_and_compared_as_asked():
    prediction, target = pictures()
    loss = VGGLoss(trunk(), layers={"relu2_2": 0.5, "conv3_1": 2.0, "relu1_1": 0.0}, distance=F.l1_loss)
    expected = 0.5 * F.l1_loss(by_hand(9, prediction), by_hand(9, target))
    expected = expected + 2 * F.l1_loss(by_hand(11, prediction), by_hand(11, target))
    torch.testing.assert_close(loss(prediction, target), expected)


def test_the_thesis_sums_over_channels():
    prediction, target = pictures()
    a, b = by_hand(35, prediction), by_hand(35, target)
    expected = ((a - b) ** 2).sum((1, 2, 3)).mean() / (a.shape[2] * a.shape[3])
    torch.testing.assert_close(VGGLoss(trunk(), reduction="channel_sum")(prediction, target), expected)


@pytest.mark.parametrize("normalize", [False, True])
def test_gradient(normalize):
    loss = VGGLoss(trunk(1), layers={"conv1_2": 1.0, "relu2_1": 0.5}, normalize=normalize)
    prediction, target = (x[:1, :, :4, :3] for x in pictures())
    assert gradcheck(lambda a: loss(a, target), prediction.requires_grad_())


def test_only_the_prediction_gets_a_gradient():
    net = trunk()
    prediction, target = (x.requires_grad_() for x in pictures())
    VGGLoss(net)(prediction, target).backward()
    assert prediction.grad.any()
    assert target.grad is None
    assert all(parameter.grad is None for parameter in net.parameters())


def test_the_target_goes_first():
    """What its pass needs is then gone before the graph of the prediction is there: less memory at the peak."""
    net, seen = trunk(), []
    net.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0].requires_grad))
    prediction, target = pictures()
    VGGLoss(net)(prediction.requires_grad_(), target)
    assert seen == [False, True]


def test_a_distance_that_is_no_scalar():
    with pytest.raises(ValueError, match=r"distance must give a scalar for conv1_1, got shape \(2, 1, 40, 36\)"):
        VGGLoss(trunk(1), layers={"conv1_1": 1.0}, distance=nn.L1Loss(reduction="none"))(*pictures())


def test_the_pictures_stay_as_they_are():
    prediction, target = pictures()
    before = prediction.clone(), target.clone()
    VGGLoss(trunk().double(), layers={"relu1_1": 1.0})(prediction, target)
    assert torch.equal(prediction, before[0])
    assert torch.equal(target, before[1])


def test_equal_pictures_give_0_and_nan_gives_nan():
    prediction, target = pictures()
    assert VGGLoss(trunk())(target, target) == 0
    prediction[0, 0, 0, 0] = float("nan")
    assert VGGLoss(trunk())(prediction, target).isnan()


def test_dtypes():
    prediction, target = pictures()
    layers = {"conv2_2": 1.0}
    expected = VGGLoss(trunk(), layers=layers)(prediction, target)
    for dtype, tolerance in ((torch.float64, 1e-5), (torch.float32, 1e-5), (torch.bfloat16, 5e-2)):
        found = VGGLoss(trunk().float(), layers=layers)(prediction.to(dtype), target.to(dtype))
        assert found.dtype == torch.float32
        torch.testing.assert_close(found.double(), expected, rtol=tolerance, atol=0)
    half = VGGLoss(trunk().bfloat16(), layers=layers)(prediction.bfloat16(), target.bfloat16())
    assert half.dtype == torch.float32


def test_the_trunk_moves_along_but_is_not_in_the_state():
    net = trunk()
    loss = nn.Sequential(VGGLoss(net), nn.Linear(1, 1))
    assert list(loss.state_dict()) == ["1.weight", "1.bias"]
    assert len(list(loss.parameters())) == 2
    loss.to(torch.float32).train()
    assert net.features[0].weight.dtype == net.mean.dtype == torch.float32
    assert not net.training
    assert loss.to("meta")[0].held.network.features[0].weight.is_meta
    loss.load_state_dict({"1.weight": torch.ones(1, 1), "1.bias": torch.ones(1)}, assign=True)


def test_a_copy_has_a_trunk_of_its_own():
    loss = VGGLoss(trunk())
    other = copy.deepcopy(loss).float()
    assert loss.held.network.mean.dtype == torch.float64
    assert other.held.network.mean.dtype == torch.float32


def test_it_says_what_it_compares():
    text = repr(VGGLoss(VGG16Features(channels=1), layers={"relu3_3": 1.0}))
    assert "layers={'relu3_3': 1.0}, normalize=False, reduction='mean'" in text


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"trunk": nn.Conv2d(3, 1, 1)}, TypeError, "FeatureTrunk, got Conv2d"),
        ({"trunk": AlexNetFeatures(channels=1)}, ValueError, r"out of conv1, .*, got \['conv5_4'\]"),
        ({"layers": {}}, ValueError, "taps must be a list of names"),
        ({"layers": ["conv5_4"]}, TypeError, "layers must map names to weights, got list"),
        ({"layers": {"conv5_4": -1.0}}, ValueError, "the weight of conv5_4"),
        ({"layers": {"conv5_4": float("inf")}}, ValueError, "the weight of conv5_4"),
        ({"layers": {"conv5_4": "1"}}, TypeError, "the weight of conv5_4"),
        ({"reduction": "sum"}, ValueError, "mean, channel_sum, got 'sum'"),
        ({"distance": "l1"}, TypeError, "distance must be a function"),
    ],
)
def test_bad_arguments(options, error, match):
    with pytest.raises(error, match=match):
        VGGLoss(**{"trunk": VGG19Features(channels=1), **options})


P = torch.zeros(1, 3, 16, 16)


@pytest.mark.parametrize(
    ("prediction", "target", "error", "match"),
    [
        (P, P[..., 1:], ValueError, "same shape"),
        (P[:, :1], P[:, :1], ValueError, "prediction must have 3 channels"),
        (P[..., :15], P[..., :15], ValueError, "prediction must be of at least 16x16 px"),
        (P.byte(), P.byte(), TypeError, "uint8"),
        (P.to("meta"), P.to("meta"), ValueError, "prediction is on meta"),
    ],
)
def test_bad_input(prediction, target, error, match):
    with pytest.raises(error, match=match):
        VGGLoss(trunk(1))(prediction, target)
