import math

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.autograd import gradcheck
from trunks import fill, pictures, ruled

from restorekit.metrics import LPIPS, load_lpips, lpips
from restorekit.models import AlexNetFeatures, FeatureTrunk, SqueezeNetFeatures, VGG16Features, VGG19Features

SQUEEZE = (128, 256, 384, 384, 512, 512)
# lpips 0.1.4 (with torchvision 0.29.2) on trunks.pictures() with normalize=True, in float64. The trunks have the
# weights of trunks.fill in float32, VGG-16 with all widths divided by 16; linear weights are ruled numbers plus 0.5.
# Distances of both pairs, then two points of the first pair's map.
PACKAGE = [
    (AlexNetFeatures(), (64, 192, 384, 256, 256), (0.2233472820, 0.2030878735), (0.2400093674, 0.2596762078)),
    (SqueezeNetFeatures(), (64, *SQUEEZE), (0.1743102973, 0.1126027220), (0.1578082128, 0.1636456586)),
    (VGG16Features(channels=4), (4, 8, 16, 32, 32), (0.6731635730, 0.4143157056), (1.0382713752, 1.1129198700)),
]


def weights(widths):
    return [ruled((width,), place) + 0.5 for place, width in enumerate(widths)]


def network(channels=2):
    """AlexNet's layers and LPIPS' taps, few channels."""
    return LPIPS(fill(AlexNetFeatures(channels=channels)), weights([channels * n for n in (1, 3, 6, 4, 4)])).double()


@pytest.mark.parametrize(("trunk", "widths", "distances", "points"), PACKAGE)
def test_it_equals_the_authors_package(trunk, widths, distances, points):
    net = LPIPS(fill(trunk), weights(widths)).double()
    prediction, target = pictures()
    assert lpips(prediction, target, net).tolist() == pytest.approx(distances, rel=1e-6)
    found = net.distance_map(prediction, target)
    assert found.shape == (2, 1, 40, 36)
    assert found[0, 0, 3, [0, 17]].tolist() == pytest.approx(points, rel=2e-6)


def numpy_conv(x, weight, bias, stride, padding):
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    windows = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], (2, 3))[:, :, ::stride, ::stride]
    return np.einsum("nchwyx,ocyx->nohw", windows, weight) + bias[:, None, None]


def numpy_lpips(prediction, target, net):
    """The formula as the paper and the authors' code have it, with AlexNet and pictures in [-1, 1]."""
    state = {key: value.numpy() for key, value in net.trunk.state_dict().items()}
    shift, scale = np.array([-0.030, -0.088, -0.188]), np.array([0.458, 0.448, 0.450])
    total = np.zeros(len(prediction))
    both = [((2 * x - 1) - shift[:, None, None]) / scale[:, None, None] for x in (prediction, target)]
    plan = [(0, 4, 2, False), (3, 1, 2, True), (6, 1, 1, True), (8, 1, 1, False), (10, 1, 1, False)]
    for (index, stride, padding, pooled), weight in zip(plan, net.weights, strict=True):
        if pooled:
            both = [np.lib.stride_tricks.sliding_window_view(x, (3, 3), (2, 3))[:, :, ::2, ::2].max((-1, -2))
                    for x in both]  # fmt: skip
        kernel, bias = state[f"features.{index}.weight"], state[f"features.{index}.bias"]
        both = [np.maximum(numpy_conv(x, kernel, bias, stride, padding), 0) for x in both]
        first, second = (x / (np.sqrt((x**2).sum(1, keepdims=True)) + 1e-10) for x in both)
        total += ((first - second) ** 2 * weight.numpy()[:, None, None]).sum(1).mean((1, 2))
    return total


@pytest.mark.parametrize("crop_border", [0, 3])
def test_it_equals_the_formula_in_numpy(crop_border):
    prediction, target = pictures(44, 39)
    cut = slice(crop_border, -crop_border or None)
    expected = numpy_lpips(prediction[..., cut, cut].numpy(), target[..., cut, cut].numpy(), network())
    found = lpips(prediction, target, network(), crop_border=crop_border)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)


def test_equal_pictures_are_at_0_and_order_does_not_matter():
    prediction, target = pictures()
    assert lpips(target, target, network()).tolist() == [0, 0]
    torch.testing.assert_close(lpips(prediction, target, network()), lpips(target, prediction, network()))


def test_each_picture_counts_for_itself():
    prediction, target = pictures()
    one_by_one = [lpips(prediction[i : i + 1], target[i : i + 1], network()).item() for i in (0, 1)]
    assert lpips(prediction, target, network()).tolist() == pytest.approx(one_by_one)
    target[0, 0, 5, 5] = float("nan")
    assert lpips(prediction, target, network()).isnan().tolist() == [True, False]


def test_gradient():
    trunk = fill(VGG16Features(channels=1))
    net = LPIPS(trunk, [torch.ones(1), torch.ones(2)], taps=["relu1_2", "relu2_2"]).double()
    prediction, target = (x[:1, :, :5, :4].requires_grad_() for x in pictures())
    assert gradcheck(lambda a, b: lpips(a, b, net), (prediction, target))
    assert gradcheck(net.distance_map, (prediction, target))


def test_the_gradient_is_finite_where_nothing_answers():
    trunk = VGG16Features(channels=2)
    for parameter in trunk.parameters():
        parameter.zero_()
    trunk.features[0].bias[0] = -1  # dead everywhere
    x = torch.rand(1, 3, 16, 16, requires_grad=True)
    LPIPS(trunk, [torch.ones(2)], taps=["relu1_1"])(x, x.detach() / 2).sum().backward()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_half_pictures_are_computed_in_the_dtype_of_the_network(dtype):
    rounded = [x.to(dtype) for x in pictures()]
    expected = lpips(*(x.double() for x in rounded), network())
    assert expected.dtype == torch.float64
    found = lpips(*rounded, network().float())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=0)
    assert network().bfloat16()(*rounded).dtype == torch.float32


def test_a_long_vector_of_half_precision_does_not_overflow():
    trunk = FeatureTrunk({"conv": torch.nn.Conv2d(3, 1, 1)}, {})
    trunk.features[0].weight.fill_(200.0)
    net = LPIPS(trunk, [torch.ones(1)], taps=["conv"]).bfloat16()
    ones = torch.ones(1, 3, 4, 4)
    assert net(ones, ones * 0).isfinite().all()


def test_under_autocast_a_long_vector_does_not_overflow():
    trunk = FeatureTrunk({"conv": torch.nn.Conv2d(3, 1, 1)}, {})
    trunk.features[0].weight.fill_(200.0)
    net, ones = LPIPS(trunk, [torch.ones(1)], taps=["conv"]), torch.ones(1, 3, 4, 4)
    with torch.autocast("cpu", torch.float16):
        distance = net(ones, ones * 0)
    torch.testing.assert_close(distance, net(ones, ones * 0), rtol=1e-2, atol=0)


def save(folder, widths, change=lambda tensors: tensors):
    tensors = {f"lin{i}.model.1.weight": w.view(1, -1, 1, 1).float() for i, w in enumerate(weights(widths))}
    torch.save(change(tensors), folder / "weights.pth")
    return folder / "weights.pth"


def test_the_authors_files_are_read(tmp_path):
    widths, trunk = (4, 12, 24, 16, 16), fill(AlexNetFeatures(channels=4))
    path = save(tmp_path, widths)
    expected = lpips(*pictures(), LPIPS(trunk, weights(widths)))
    assert torch.equal(lpips(*pictures(), load_lpips(trunk, path)), expected)
    save_file(torch.load(path, weights_only=True), tmp_path / "weights.safetensors")
    assert torch.equal(lpips(*pictures(), load_lpips(trunk, tmp_path / "weights.safetensors")), expected)


def first_layer(total):
    """The first layer of a real file has this sum."""
    return lambda tensors: {**tensors, "lin0.model.1.weight": torch.full((1, 64, 1, 1), total / 64)}


def without(key):
    return lambda tensors: {name: value for name, value in tensors.items() if name != key}


@pytest.mark.parametrize(
    ("trunk", "widths", "change", "match"),
    [
        (VGG16Features, (64, 192, 384, 256, 256), lambda x: x, "does not fit VGG16Features: it holds .*192"),
        (AlexNetFeatures, (64, *SQUEEZE), lambda x: x, "does not fit AlexNetFeatures"),
        (AlexNetFeatures, (64, 192, 384, 256, 256), without("lin4.model.1.weight"), "does not fit AlexNetFeatures"),
        (AlexNetFeatures, (64, 192, 384, 256, 256), first_layer(2.565887), "version 0.0 of LPIPS"),
        (VGG16Features, (64, 128, 256, 512, 512), first_layer(3.641608), "version 0.0 of LPIPS"),
        (SqueezeNetFeatures, (64, *SQUEEZE), first_layer(5.301839), "version 0.0 of LPIPS"),
        (AlexNetFeatures, (64, 192, 384, 256, 256), first_layer(-1.0), "negative weights"),
        (VGG19Features, (64, 128, 256, 512, 512), lambda x: x, "is published for AlexNetFeatures, .*, not for VGG19"),
    ],
)
def test_other_files_are_refused(tmp_path, trunk, widths, change, match):
    with torch.device("meta"):
        net = trunk()
    net.mean = torch.zeros(3, 1, 1)  # says where weights go; the trunk itself is not run
    with pytest.raises(ValueError, match=match):
        load_lpips(net, save(tmp_path, widths, change))


def test_a_missing_file_and_no_trunk(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_lpips(AlexNetFeatures(channels=1), tmp_path / "none.pth")
    with pytest.raises(TypeError, match=r"FeatureTrunk, got Conv2d"):
        load_lpips(torch.nn.Conv2d(3, 1, 1), tmp_path / "none.pth")


@pytest.mark.parametrize(
    ("given", "taps", "error", "match"),
    [
        ([torch.ones(2)], ["relu6"], ValueError, "taps must be a list"),
        ([torch.ones(2)], ["relu1", "relu2"], ValueError, r"lengths \[2, 6\], got shapes \[\(2,\)\]"),
        ([torch.ones(1, 2, 1, 1)], ["relu1"], ValueError, r"got shapes \[\(1, 2, 1, 1\)\]"),
        ([[1.0, 1.0]], ["relu1"], TypeError, "weights must hold floating-point tensors"),
        ([torch.ones(2).long()], ["relu1"], TypeError, "int64"),
    ],
)
def test_weights_must_fit_the_taps(given, taps, error, match):
    with pytest.raises(error, match=match):
        LPIPS(AlexNetFeatures(channels=2), given, taps=taps)


def test_construction_copies_the_weights_and_keeps_them_in_the_state(tmp_path):
    given = torch.ones(2)
    net = LPIPS(AlexNetFeatures(channels=2), [given], taps=["relu1"])
    given.zero_()
    assert net.state_dict()["weight0"].tolist() == [1, 1]
    assert not [name for name, parameter in net.named_parameters() if parameter.requires_grad]
    with pytest.raises(TypeError, match="FeatureTrunk, got str"):
        LPIPS("alex", [given])


P = torch.zeros(1, 3, 32, 32)


@pytest.mark.parametrize(
    ("prediction", "target", "options", "error", "match"),
    [
        (P, P[..., 1:], {}, ValueError, "same shape"),
        (P, P.double(), {}, ValueError, "same dtype"),
        (P[:, :1], P[:, :1], {}, ValueError, "prediction must have 3 channels"),
        (P[..., :30, :], P[..., :30, :], {}, ValueError, "prediction must be of at least 31x31 px"),
        (P, P, {"crop_border": 1}, ValueError, "31x31"),
        (P, P, {"crop_border": 16}, ValueError, "leaves nothing"),
        (P, P, {"crop_border": -1}, ValueError, "crop_border"),
        (P, P, {"crop_border": 1.0}, TypeError, "crop_border"),
        (P.long(), P.long(), {}, TypeError, "int64"),
        (P.to("meta"), P.to("meta"), {}, ValueError, "on meta and the trunk on cpu"),
        (P, P, {"network": "alex"}, TypeError, "network must be a metrics.LPIPS, .* got str"),
    ],
)
def test_bad_input(prediction, target, options, error, match):
    with pytest.raises(error, match=match):
        lpips(prediction, target, **{"network": network(), **options})


def test_the_map_goes_with_the_distance():
    """At one tap of the picture's own size nothing is enlarged, and the map's mean is the distance."""
    net = LPIPS(fill(VGG16Features(channels=2)), [torch.ones(2)], taps=["relu1_2"]).double()
    prediction, target = pictures(9, 7)
    torch.testing.assert_close(net.distance_map(prediction, target).mean((1, 2, 3)), net(prediction, target))
    assert math.prod(net.distance_map(prediction, target).shape) == 2 * 9 * 7
