import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck
from trunks import fill, pictures, ruled

from restorekit.metrics import NIMA, nima, rating_moments
from restorekit.models import SqueezeNetFeatures, VGG16Features, load_weights, save_weights


def network(**options):
    net = NIMA(fill(VGG16Features(channels=2)), **options)
    with torch.no_grad():
        net.head.weight.copy_(20 * ruled(net.head.weight.shape, 1))
        net.head.bias.copy_(ruled(net.head.bias.shape, 2))
    return net.double().eval()


def test_it_equals_its_formula_in_numpy():
    net, x = network(), pictures()[0]
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    normal = (x.numpy() - mean[:, None, None]) / deviation[:, None, None]
    features = net.trunk.features(torch.from_numpy(normal)).numpy().mean((2, 3))
    logits = features @ net.head.weight.detach().numpy().T + net.head.bias.detach().numpy()
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(net(x).detach().numpy(), probabilities, rtol=1e-5)
    np.testing.assert_allclose(nima(x, net).detach().numpy(), probabilities @ np.arange(1, 11), rtol=1e-5)
    assert np.ptp(probabilities.max(1)) > 0


@given(st.lists(st.integers(0, 9), min_size=2, max_size=12).filter(any))
def test_moments_are_those_of_the_ratings(counts):
    ratings = np.repeat(np.arange(1, len(counts) + 1), counts)
    mean, deviation = rating_moments(torch.tensor([counts], dtype=torch.float64) / sum(counts))
    assert mean.item() == pytest.approx(ratings.mean())
    assert deviation.item() == pytest.approx(ratings.std(), abs=1e-7)


def test_the_features_of_any_tap_are_averaged():
    net = NIMA(SqueezeNetFeatures(channels=4), tap="fire3", bins=5).eval()
    assert net.head.in_features == 8
    assert net(torch.rand(3, 3, 20, 30)).shape == (3, 5)
    assert NIMA(SqueezeNetFeatures(channels=4)).tap == "fire9"


def test_dropout_belongs_to_training():
    net, x = network(), pictures()[0]
    assert torch.equal(net(x), net(x))
    assert network(dropout=1.0).train()(x)[0].tolist() == pytest.approx(network().head.bias.softmax(0).tolist())
    with pytest.raises(ValueError, match=r"call network\.eval\(\)"):
        nima(x, network().train())
    assert not net.train().trunk.training


def test_only_the_head_learns():
    net = network()
    nima(pictures()[0], net).sum().backward()
    assert {name for name, parameter in net.named_parameters() if parameter.grad is not None} == {
        "head.weight",
        "head.bias",
    }


def test_gradient_reaches_the_picture():
    net = network(tap="relu2_2")
    assert gradcheck(lambda x: nima(x, net), pictures()[0][:1, :, :4, :3].requires_grad_())


def test_dtypes():
    x, expected = pictures()[0], nima(pictures()[0], network())
    for dtype, tolerance in ((torch.float64, 1e-5), (torch.float32, 1e-5), (torch.bfloat16, 2e-2)):
        found = nima(x.to(dtype), network().float())
        assert found.dtype == torch.float32
        torch.testing.assert_close(found.double(), expected, rtol=tolerance, atol=0)
    assert nima(x.bfloat16(), network().bfloat16()).dtype == torch.float32


def test_nan_propagates():
    x = pictures()[0]
    x[1, 0, 0, 0] = float("nan")
    assert nima(x, network()).isnan().tolist() == [False, True]


def test_weights_go_round(tmp_path):
    save_weights(network(), tmp_path / "nima.safetensors")
    net = NIMA(VGG16Features(channels=2)).double().eval()
    load_weights(net, tmp_path / "nima.safetensors")
    assert torch.equal(nima(pictures()[0], net), nima(pictures()[0], network()))
    with pytest.raises(ValueError, match="tap"):
        load_weights(NIMA(VGG16Features(channels=2), tap="relu5_3"), tmp_path / "nima.safetensors")


P = torch.zeros(1, 3, 32, 32)


@pytest.mark.parametrize(
    ("x", "net", "error", "match"),
    [
        (P[:, :1], None, ValueError, "3 channels"),
        (P[..., :31], None, ValueError, "at least 32x32 px"),
        (P.long(), None, TypeError, "int64"),
        (P[0], None, ValueError, "4 dimensions"),
        (P, "vgg16", TypeError, "network must be a metrics.NIMA, got str"),
    ],
)
def test_bad_input(x, net, error, match):
    with pytest.raises(error, match=match):
        nima(x, network() if net is None else net)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"trunk": "vgg16"}, TypeError, "FeatureTrunk, got str"),
        ({"tap": "fire9"}, ValueError, "taps must be"),
        ({"bins": 1}, ValueError, "bins must be at least 2"),
        ({"dropout": 1.5}, ValueError, "dropout"),
    ],
)
def test_bad_arguments(options, error, match):
    with pytest.raises(error, match=match):
        NIMA(**{"trunk": VGG16Features(channels=1), **options})


def test_moments_want_a_table():
    with pytest.raises(ValueError, match=r"shape \(N, bins\), got \(10,\)"):
        rating_moments(torch.ones(10))
    with pytest.raises(TypeError, match="int64"):
        rating_moments(torch.ones(1, 10).long())
    with pytest.raises(TypeError, match="list"):
        rating_moments([[1.0]])
