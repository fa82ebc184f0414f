import copy
import pickle
import weakref
from collections import OrderedDict

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from models.published import batch_norm, conv, picture, published_weights
from torch import nn
from torch.autograd import gradcheck
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from restorekit.losses import MDFLoss
from restorekit.models import SinGANDiscriminator, save_discriminators

WIDTHS = [32] * 4 + [64] * 4

# What the authors' own modules give for weights made by rule (tests/models/published.py), 48x48, float32.
SCALES = {1: 0.003728304523974657, 3: 0.011518445797264576, 5: 0.019326496869325638, 8: 0.030972322449088097}
LAYERS = [
    (0.003728267503902316, 3.344952759221087e-08, 3.4267071402638294e-09),
    (0.0038038957864046097, 9.553003366136181e-08, 5.848137973885059e-09),
    (0.003985936287790537, 1.5228798133648525e-07, 5.5716029123686894e-08),
    (0.003831558395177126, 1.554714117446565e-07, 3.796485792406656e-09),
    (0.0039762286469340324, 1.0384338366975499e-07, 6.307191990906347e-10),
    (0.003942099399864674, 2.1460523669247777e-07, 1.9605947088052744e-08),
    (0.0038139361422508955, 2.7221321374781837e-07, 1.687598505384358e-08),
    (0.003889027051627636, 2.377333601089049e-07, 4.162598710166776e-09),
]
GRADIENT = 0.00016209579189307988  # mean of its absolute values


def seed(number):
    return torch.Generator().manual_seed(number)


def pictures(n=2, channels=3, height=13, width=12, dtype=torch.float64):
    return tuple(torch.rand(n, channels, height, width, generator=seed(i)).to(dtype) for i in (0, 1))


def trained(widths, *, in_channels=3, dtype=torch.float64):
    """Discriminators with running statistics that are far from where they start."""
    found = [SinGANDiscriminator(in_channels, channels=width).to(dtype) for width in widths]
    generator = seed(2)
    for one in found:
        for name, tensor in one.state_dict().items():
            if tensor.is_floating_point():
                drawn = torch.rand(tensor.shape, generator=generator).to(dtype)
                tensor.copy_(0.5 + drawn if "norm" in name else (drawn - 0.5) * (6 / tensor[0].numel()) ** 0.5)
    return found


def small(number=3, **options):
    return MDFLoss(trained([2] * number), num_scales=number, **options)


def transcription(discriminators, prediction, target, layers=(1, 1, 1)):
    """The formula, layer by layer, for each picture."""

    def maps(state, x):
        found = []
        for name in ("head", "body.block1", "body.block2", "body.block3"):
            x = F.conv2d(x, state[f"{name}.conv.weight"], state[f"{name}.conv.bias"])
            norm = [state[f"{name}.norm.{kind}"] for kind in ("running_mean", "running_var", "weight", "bias")]
            x = F.leaky_relu(F.batch_norm(x, *norm, training=False, eps=1e-5), 0.2)
            found.append(x)
        return found[0], found[3], F.conv2d(x, state["tail.weight"], state["tail.bias"])

    total = 0
    for one in discriminators:
        for weight, a, b in zip(layers, *(maps(one.state_dict(), x) for x in (prediction, target)), strict=True):
            total = total + weight * ((a - b) ** 2).flatten(1).mean(1)
    return total


def value_and_gradient(loss, prediction, target, *more):
    prediction = prediction.clone().requires_grad_()
    value = loss(prediction, target, *more)
    return value, torch.autograd.grad(value.sum(), prediction)[0]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_value_and_gradient_equal_the_formula(dtype, tolerance):
    discriminators = trained(WIDTHS, dtype=dtype)
    prediction, target = pictures(height=24, width=20, dtype=dtype)
    found = value_and_gradient(MDFLoss(discriminators), prediction, target)
    expected = value_and_gradient(lambda a, b: transcription(discriminators, a, b).mean(), prediction, target)
    for one, other in zip(found, expected, strict=True):
        assert (one - other).abs().max() <= tolerance * other.abs().max()
    assert found[0].dtype == found[1].dtype == dtype
    with torch.no_grad():
        torch.testing.assert_close(MDFLoss(discriminators)(prediction, target), found[0].detach())


def published():
    found = []
    for index, width in enumerate(WIDTHS):
        layout = {"head": 3, "body.block1": width, "body.block2": width, "body.block3": width}
        keys = {}
        for name, channels in layout.items():
            keys |= conv(f"{index}.{name}.conv", width, channels, 3) | batch_norm(f"{index}.{name}.norm", width)
        keys |= conv(f"{index}.tail", 1, width, 3)
        found.append(SinGANDiscriminator(channels=width))
        weights = published_weights(keys)
        found[-1].load_state_dict({key.partition(".")[2]: tensor for key, tensor in weights.items()})
    return found


def waves():
    """The published picture, and the same with another wave on top."""
    x = picture(48, 48)
    row, column = torch.meshgrid(*[torch.arange(48, dtype=torch.float64)] * 2, indexing="ij")
    more = [0.1 * torch.cos(2 * torch.pi * (column * (3 - c) - row * (c + 1)) / 48) for c in range(3)]
    return x, (x.double() + torch.stack(more)).float()


def test_values_of_the_published_code():
    discriminators, (x, y) = published(), waves()
    for number, expected in SCALES.items():
        assert MDFLoss(discriminators, num_scales=number)(y, x).item() == pytest.approx(expected, rel=1e-5)
    value, gradient = value_and_gradient(MDFLoss(discriminators), y, x)
    assert value.item() == pytest.approx(SCALES[8], rel=1e-5)
    assert gradient.abs().mean().item() == pytest.approx(GRADIENT, rel=1e-5)
    for one, expected in zip(discriminators, LAYERS, strict=True):
        for weights, layer in zip(torch.eye(3).tolist(), expected, strict=True):
            found = MDFLoss([one.double()], num_scales=1, layer_weights=weights)(y, x)
            assert found.item() == pytest.approx(layer, rel=2e-4)  # theirs lost digits in float32


def test_gradients():
    prediction, target = pictures(2, channels=1, height=11, width=11)
    options = {"num_scales": 2, "scale_weights": (1, 0.5), "layer_weights": (0.5, 1, 2), "reduction": "none"}
    loss = MDFLoss(trained([1, 2], in_channels=1), **options)
    assert gradcheck(lambda a: loss(a, target), prediction.requires_grad_())


def test_second_derivative():
    def second(loss):
        a = prediction.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(a, target), a, create_graph=True)
        return torch.autograd.grad(gradient.square().sum(), a)[0]

    prediction, target = pictures(1)
    expected = second(lambda a, b: transcription(trained([2] * 2), a, b).mean())
    assert expected.any()
    torch.testing.assert_close(second(small(2)), expected)


def test_the_gradient_goes_to_the_prediction_alone():
    prediction, target = (x.requires_grad_() for x in pictures())
    small()(prediction, target).backward()
    assert prediction.grad.any()
    assert target.grad is None
    assert not small()(prediction.detach(), target).requires_grad


def drawn(number, shape=(2, 3, 12, 11)):
    return torch.rand(shape, generator=seed(number), dtype=torch.float64)


numbers = st.integers(0, 999)
factors = st.floats(0.1, 10)


@settings(max_examples=8)
@given(numbers)
def test_equal_pictures_are_at_0_and_have_no_gradient(number):
    value, gradient = value_and_gradient(small(), drawn(number), drawn(number))
    assert value == 0
    assert not gradient.any()


@settings(max_examples=8)
@given(numbers)
def test_symmetry_and_what_the_reductions_make_of_pictures(number):
    a, b = drawn(number), drawn(number + 1)
    each = small(reduction="none")(a, b)
    assert each.shape == (2,)
    assert (each > 0).all()
    torch.testing.assert_close(each, small(reduction="none")(b, a))
    torch.testing.assert_close(each[1:], small(reduction="none")(a[1:], b[1:]))
    torch.testing.assert_close(each.sum(), small(reduction="sum")(a, b))
    torch.testing.assert_close(each.mean(), small()(a, b))


@settings(max_examples=8)
@given(numbers, st.tuples(factors, factors), st.tuples(factors, factors, factors))
def test_weights_are_factors(number, scales, layers):
    a, b = drawn(number), drawn(number + 1)
    found = value_and_gradient(small(2, scale_weights=scales, layer_weights=layers), a, b)
    ones = trained([2] * 2)
    formula = lambda a, b: sum(w * transcription([d], a, b, layers).mean() for w, d in zip(scales, ones, strict=True))  # noqa: E731
    for one, other in zip(found, value_and_gradient(formula, a, b), strict=True):
        torch.testing.assert_close(one, other)


@settings(max_examples=8)
@given(numbers)
def test_features_can_be_used_again(number):
    loss = small()
    target = drawn(number)
    seen = loss.features(target)
    for prediction in (drawn(number + 1), drawn(number + 2)):
        for one, other in zip(
            value_and_gradient(loss, prediction, seen), value_and_gradient(loss, prediction, target), strict=True
        ):
            torch.testing.assert_close(one, other)
        torch.testing.assert_close(loss(prediction, seen), loss(prediction, target))
    mask = target[:, :1] > 0.5
    torch.testing.assert_close(loss(prediction, seen, mask), loss(prediction, target, mask))


@settings(max_examples=8)
@given(numbers, st.sampled_from([torch.bool, torch.float32, torch.uint8]), st.sampled_from([1, 2]))
def test_masked_pixels_have_no_say(number, dtype, factor):
    a, b = drawn(number, (2, 3, 12, 14)), drawn(number + 1, (2, 3, 12, 14))
    mask = torch.rand(2, 1, 12 // factor, 14 // factor, generator=seed(number)) < 0.6
    large = mask.repeat_interleave(factor, -2).repeat_interleave(factor, -1)
    spoilt = torch.where(large, a, float("nan"))
    value, gradient = value_and_gradient(small(), spoilt, b, mask.to(dtype))
    torch.testing.assert_close(value, transcription(trained([2] * 3), torch.where(large, a, b), b).mean())
    assert torch.equal(gradient.abs().amax(1, keepdim=True) > 0, large)


def test_a_mask_of_ones_changes_nothing_and_one_of_zeros_leaves_0():
    a, b = pictures()
    torch.testing.assert_close(small()(a, b, torch.ones(2, 1, 13, 12)), small()(a, b))
    assert small()(a, b, torch.zeros(2, 1, 1, 1).expand(2, 1, 13, 12)) == 0


def test_finest_first():
    discriminators = trained([2, 3, 4])
    found = MDFLoss(discriminators, num_scales=2, ascending=False, scale_weights=(1, 10))(*pictures())
    expected = transcription(discriminators[2:], *pictures()) + 10 * transcription(discriminators[1:2], *pictures())
    torch.testing.assert_close(found, expected.mean())


@pytest.mark.parametrize(("weights", "runs"), [((1, 0, 0), "head"), ((0, 1, 0), "head body"), ((0, 0, 2), "all")])
def test_what_is_not_needed_is_not_there(weights, runs):
    loss = small(3, layer_weights=weights, scale_weights=(0, 1, 1))
    names = ["head", "body", "tail"] if runs == "all" else runs.split()
    assert [name for name, _ in loss.scales[0].named_children()] == names
    expected = transcription(trained([2] * 3)[1:], *pictures(), weights).mean()
    for found in (loss(*pictures()), value_and_gradient(loss, *pictures())[0]):
        torch.testing.assert_close(found, expected)
    seen = loss.features(pictures()[1])
    assert seen.maps[0] == []
    torch.testing.assert_close(loss(pictures()[0], seen), expected)


def test_grey_pictures_are_repeated():
    a, b = pictures(channels=1)
    value, gradient = value_and_gradient(small(), a, b)
    expected, wide = value_and_gradient(small(), a.expand(-1, 3, -1, -1), b.expand(-1, 3, -1, -1))
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(gradient, wide.sum(1, keepdim=True))
    grey = MDFLoss(trained([2], in_channels=1), num_scales=1)
    assert grey(a, b) > 0
    with pytest.raises(ValueError, match="prediction must have 1 channels"):
        grey(*pictures())


def test_a_nan_is_seen():
    prediction, target = pictures()
    prediction[1, 0, 6, 6] = float("nan")
    each = small(reduction="none")(prediction, target)
    assert each.isnan().tolist() == [False, True]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    ("module", "given_", "found"),
    [
        (torch.bfloat16, torch.bfloat16, torch.float32),
        (torch.bfloat16, torch.float32, torch.float32),
        (torch.float16, torch.float16, torch.float32),
        (torch.float32, torch.bfloat16, torch.float32),
        (torch.float64, torch.float32, torch.float64),
    ],
)
def test_dtypes_and_layouts(module, given_, found, layout):
    prediction, target = (x.to(given_).contiguous(memory_format=layout) for x in pictures())
    before = prediction.clone(), target.clone()
    value, gradient = value_and_gradient(small().to(module), prediction, target)
    expected, exact = value_and_gradient(small(), *(x.double() for x in before))
    assert (value.dtype, gradient.dtype) == (found, given_)
    assert value.item() == pytest.approx(expected.item(), rel=2e-2)
    assert (gradient.double() - exact).abs().max() <= 3e-2 * exact.abs().max()
    assert torch.equal(prediction, before[0])
    assert torch.equal(target, before[1])


def test_half_precision_keeps_a_gradient_too_small_for_it():
    prediction, target = pictures(dtype=torch.float32)
    options = {"scale_weights": (1e-6, 1e-6, 1e-6)}
    value, gradient = value_and_gradient(small(**options).half(), prediction, target)
    expected, exact = value_and_gradient(small(**options), prediction, target)
    assert exact.abs().max() < torch.finfo(torch.float16).smallest_normal / 100
    assert value.item() == pytest.approx(expected.item(), rel=1e-2)
    assert (gradient - exact).abs().max() <= 1e-2 * exact.abs().max()


@pytest.mark.parametrize("weights", [(1e-30, 1, 1), (1, 1e-30, 1), (1, 1, 1e-30)])
def test_half_precision_bears_weights_that_are_far_apart(weights):
    prediction, target = pictures(dtype=torch.float32)
    loss = small(layer_weights=weights)
    exact = value_and_gradient(loss, prediction.double(), target.double())[1]
    found = value_and_gradient(copy.deepcopy(loss).half(), prediction, target)[1]
    assert (found - exact).norm() <= 5e-2 * exact.norm()


class Bytes(TorchDispatchMode):
    """The most bytes that tensors made inside hold at one time."""

    def __init__(self):
        super().__init__()
        self.held, self.now, self.most = {}, 0, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for storage in [x.untyped_storage() for x in tree_leaves(out) if isinstance(x, torch.Tensor)]:
            if storage._cdata not in self.held:
                self.held[storage._cdata] = storage.nbytes()
                self.now += storage.nbytes()
                self.most = max(self.most, self.now)
                weakref.finalize(storage, self.free, storage._cdata)
        return out

    def free(self, key):
        self.now -= self.held.pop(key)


@pytest.mark.parametrize("graph", [True, False])
def test_the_maps_of_one_scale_are_in_memory_at_a_time(graph):
    def most(number):
        prediction, target = pictures(height=40, width=40)
        loss = MDFLoss(trained([8] * number), num_scales=number)
        with Bytes() as held:
            loss(prediction.requires_grad_(graph), target)
        return held.most

    assert most(4) <= 1.05 * most(1)


def test_features_keep_no_graph():
    target = pictures()[1]
    assert small().features(target.requires_grad_() * 2).target.grad_fn is None


class Authors(nn.Module):
    """Built as the authors' module is: one sequence for each layer."""

    def __init__(self):
        super().__init__()
        block = lambda i, o: nn.Sequential(  # noqa: E731
            OrderedDict(conv=nn.Conv2d(i, o, 3), norm=nn.BatchNorm2d(o), LeakyRelu=nn.LeakyReLU(0.2, inplace=True))
        )
        self.head = block(3, 4)
        self.body = nn.Sequential(OrderedDict((f"block{i + 1}", block(4, 4)) for i in range(3)))
        self.tail = nn.Conv2d(4, 1, 3)


def test_modules_of_the_authors_kind_and_batch_norm_that_cannot_be_folded():
    ours, theirs = trained([4])[0], Authors().double()
    theirs.load_state_dict(ours.state_dict())
    assert MDFLoss([theirs], num_scales=1)(*pictures()) == MDFLoss([ours], num_scales=1)(*pictures())
    first = copy.deepcopy(ours)
    first.head = nn.Sequential(nn.Identity(), nn.BatchNorm2d(3), first.head).double()  # in front of a convolution
    loss = MDFLoss([first], num_scales=1)
    expected = loss(*pictures())
    assert loss.train()(*pictures()) == expected
    state = first.head[1].state_dict()
    assert all(torch.equal(state[key], tensor) for key, tensor in loss.scales[0].head[1].state_dict().items())
    torch.testing.assert_close(
        expected, MDFLoss([ours], num_scales=1)(*(x / (1 + 1e-5) ** 0.5 for x in pictures())), rtol=1e-9, atol=0
    )


def norm(channels=2):
    found = nn.BatchNorm2d(channels)
    found.running_mean += 0.3
    found.running_var.copy_(torch.arange(1.0, channels + 1))
    return found


class Skip(nn.Sequential):
    def forward(self, x):
        first, second = self
        return first(x) + second(first(x))


def bodies():
    """Layers of which a step is used twice, made anew at each call, or changed in place."""
    torch.manual_seed(0)
    conv, weighted = (nn.Conv2d(2, 2, 3) for _ in range(2))
    return {
        "shared": nn.Sequential(conv, norm(), conv, norm()),
        "skip": Skip(nn.Conv2d(2, 2, 3), norm()),
        "spectral_norm": nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Conv2d(2, 2, 3)), norm()),
        "hook": nn.Sequential(nn.utils.spectral_norm(weighted), norm()),
        "in place first": nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(2, 2, 3)),
        "in place twice": nn.Sequential(act := nn.LeakyReLU(), nn.Conv2d(2, 2, 3), act),
        "in place alone": nn.LeakyReLU(inplace=True),
        "in place behind": nn.Sequential(nn.Conv2d(2, 2, 3), norm(), nn.ReLU(inplace=True)),
    }


@pytest.mark.parametrize("name", bodies())
def test_layers_that_cannot_be_folded_or_overwritten(name):
    one = nn.Module()
    one.head, one.body, one.tail = nn.Conv2d(3, 2, 3), bodies()[name], nn.Conv2d(2, 1, 3)
    one = one.double().eval()
    loss, (a, b) = MDFLoss([one], num_scales=1), pictures()

    def formula(a, b):
        heads = [one.head(x) for x in (a, b)]
        outs = [one.body(x.clone()) for x in heads]
        tails = [one.tail(x) for x in outs]
        return sum(F.mse_loss(*pair) for pair in (heads, outs, tails))

    expected = value_and_gradient(formula, a, b)
    for found, other in zip(value_and_gradient(loss, a, b), expected, strict=True):
        torch.testing.assert_close(found, other)
    for found in (loss(a, b), loss(a, loss.features(b))):
        torch.testing.assert_close(found, expected[0].detach())


def test_the_discriminators_are_copied_frozen_and_in_evaluation():
    discriminators = [one.train() for one in trained([2] * 3)]
    before = copy.deepcopy(discriminators)
    loss = MDFLoss(discriminators, num_scales=3)
    expected = loss(*pictures())
    for one, other in zip(discriminators, before, strict=True):
        assert one.training
        assert all(parameter.requires_grad for parameter in one.parameters())
        for key, tensor in other.state_dict().items():
            assert torch.equal(one.state_dict()[key], tensor)
        nn.init.zeros_(one.head.conv.weight)
    assert loss.train()(*pictures()) == expected
    assert not any(module.training for module in loss.modules())
    assert not any(parameter.requires_grad for parameter in loss.parameters())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in loss.modules())


def test_as_a_part_of_another_module():
    model = nn.ModuleDict({"loss": small(), "network": nn.Conv2d(3, 3, 1)})
    expected = model["loss"](*pictures())
    for one in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert one.train()["loss"](*pictures()) == expected
    assert {key.split(".")[0] for key in model.state_dict()} == {"loss", "network"}
    assert {parameter.dtype for parameter in copy.deepcopy(model).half()["loss"].parameters()} == {torch.float16}
    other = MDFLoss([SinGANDiscriminator(channels=2) for _ in range(3)], num_scales=3).double()
    other.load_state_dict(model["loss"].state_dict())
    assert other(*pictures()) == expected


def test_compiled_and_exported():
    loss = small(1)
    a, b = pictures(1, height=11)
    expected = value_and_gradient(loss, a, b)
    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    for found, other in zip(value_and_gradient(compiled, a, b), expected, strict=True):
        torch.testing.assert_close(found, other)
    torch.testing.assert_close(torch.export.export(loss, (a, b)).module()(a, b), expected[0].detach())


def test_repr():
    assert "ascending=True, scale_weights=(1.0, 1.0, 1.0), layer_weights=(1, 1, 1), reduction='mean'" in repr(small())


def test_from_file(tmp_path):
    discriminators = [SinGANDiscriminator(channels=2) for _ in range(3)]
    save_discriminators(discriminators, tmp_path / "ds.safetensors")
    options = {"num_scales": 2, "ascending": False, "scale_weights": (1, 3), "layer_weights": (0, 1, 2)}
    found = MDFLoss.from_file(tmp_path / "ds.safetensors", **options, reduction="none")
    a, b = pictures(dtype=torch.float32)
    assert torch.equal(found(a, b), MDFLoss(discriminators, **options, reduction="none")(a, b))
    with pytest.raises(FileNotFoundError):
        MDFLoss.from_file(tmp_path / "none.safetensors")


@pytest.mark.parametrize("task", ["blur", "SISR", "", "../mdf_sisr", None])
def test_other_tasks_than_those_that_ship_are_refused(task):
    with pytest.raises(ValueError, match="task must be one of sisr, denoising, jpeg, got"):
        MDFLoss.from_pretrained(task)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"num_scales": 4}, ValueError, "num_scales must be at most the number of discriminators, 3, got 4"),
        ({"num_scales": 0}, ValueError, "num_scales must be at least 1, got 0"),
        ({"num_scales": 2.0}, TypeError, "num_scales must be an integer"),
        ({"scale_weights": (1, 1)}, ValueError, r"scale_weights must hold 3 numbers, got \(1, 1\)"),
        ({"scale_weights": (1, -1, 1)}, ValueError, r"each of scale_weights must be in \[0, .*, got -1"),
        ({"scale_weights": (0, 0, 0)}, ValueError, "scale_weights must not all be 0"),
        ({"layer_weights": (1, 1)}, ValueError, "layer_weights must hold 3 numbers"),
        ({"layer_weights": 1}, ValueError, "layer_weights must hold 3 numbers, got 1"),
        ({"layer_weights": (1, 1, float("nan"))}, ValueError, "each of layer_weights must be in .*, got nan"),
        ({"layer_weights": (1, 1, "1")}, TypeError, "each of layer_weights must be a number"),
        ({"reduction": "max"}, ValueError, "reduction must be one of mean, sum, none, got 'max'"),
    ],
)
def test_bad_options(options, error, message):
    with pytest.raises(error, match=message):
        MDFLoss(trained([2] * 3), **({"num_scales": 3} | options))


def test_bad_discriminators():
    with pytest.raises(ValueError, match="number of discriminators, 0, got 8"):
        MDFLoss([])
    with pytest.raises(TypeError, match="discriminators must be a sequence of modules, got SinGANDiscriminator"):
        MDFLoss(SinGANDiscriminator())
    with pytest.raises(TypeError, match="got Conv2d without head, body, tail at 1"):
        MDFLoss([SinGANDiscriminator(channels=2), nn.Conv2d(3, 3, 3)], num_scales=2)
    forgetful = SinGANDiscriminator(channels=2)
    forgetful.body.block2.norm = nn.BatchNorm2d(2, track_running_stats=False)
    with pytest.raises(ValueError, match="must have BatchNorm with running statistics only, got one without at 0"):
        MDFLoss([forgetful], num_scales=1)
    with pytest.raises(ValueError, match="the same channels, got heads for 1, 3 channels"):
        MDFLoss([SinGANDiscriminator(channels=2), SinGANDiscriminator(1, channels=2)], num_scales=2)


def test_bad_pictures():
    loss, (a, b) = small(), pictures()
    with pytest.raises(TypeError, match=r"prediction must be a torch\.Tensor"):
        loss(None, b)
    with pytest.raises(TypeError, match=r"target must be a torch\.Tensor"):
        loss(a, "target")
    with pytest.raises(TypeError, match="target must be a real floating-point tensor"):
        loss.features((b * 255).byte())
    with pytest.raises(ValueError, match="must have the same shape"):
        loss(a, b[:1])
    with pytest.raises(ValueError, match="must have the same shape"):
        loss(a, loss.features(b[..., :-1]))
    with pytest.raises(ValueError, match="must have the same dtype and device"):
        loss(a.float(), b)
    with pytest.raises(ValueError, match="prediction must have 1 or 3 channels"):
        loss(*pictures(channels=4))
    with pytest.raises(ValueError, match=r"at least 11x11 px, got shape \(2, 3, 13, 10\)"):
        loss(*pictures(width=10))
    with pytest.raises(ValueError, match="target must be of at least 11x11 px"):
        loss.features(b[:, :, :10])
    with pytest.raises(ValueError, match="on the device of the loss, cpu, got meta"):
        loss(a.to("meta"), b.to("meta"))
    with pytest.raises(ValueError, match="got features of another one"):
        loss(a, small().features(b))
    with pytest.raises(ValueError, match=r"mask must have the shape \(2, 1, h, w\)"):
        loss(a, b, torch.ones(2, 3, 13, 12))
    with pytest.raises(TypeError, match="mask must be a tensor"):
        loss(a, b, "mask")
