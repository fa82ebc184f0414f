import copy

import pytest
import torch
from torch import nn

from restorekit.layers import ConversionReport, SConv2d, SparseGroupConv2d, TemplateBank, share_parameters, sparsify
from restorekit.metrics import count_multadds, count_parameters
from restorekit.models import dncnn, edsr, vdsr


def seed(number):
    return torch.Generator().manual_seed(number)


def pictures(channels=3, height=9, width=7, dtype=torch.float64):
    return torch.rand(2, channels, height, width, generator=seed(1), dtype=torch.float64).to(dtype)


class Net(nn.Module):
    """Three kernels of one shape, one of another, and every option."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.entry = nn.Conv2d(3, 4, 3, padding=1)
        self.first = nn.Conv2d(4, 4, 3, padding="same", padding_mode="reflect", bias=False)
        self.second = nn.Conv2d(4, 4, 3, stride=2, padding=(1, 2))
        self.third = nn.Conv2d(8, 4, 3, padding=2, dilation=2, groups=2)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x):
        x = self.norm(self.first(self.entry(x)))
        x = self.second(x.relu())
        return self.third(torch.cat([x, -x], 1))


def inner(name, _layer):
    return name in {"first", "second", "third"}


def convert(kind, model, **options):
    call, count = (share_parameters, 3) if kind == "share" else (sparsify, 2)
    return call(model, count, **{"where": inner, **options})


BOTH = pytest.mark.parametrize("kind", ["share", "sparsify"])


@BOTH
def test_keeps_the_function_and_the_network_that_it_was_given(kind):
    model, x = Net().double().eval(), pictures()
    before, layers = copy.deepcopy(model.state_dict()), list(model.modules())
    converted, report = convert(kind, model)
    expected = SConv2d if kind == "share" else SparseGroupConv2d
    assert [type(getattr(converted, name)) is expected for name in ("first", "second", "third")] == [True] * 3
    assert type(converted.entry) is nn.Conv2d
    assert torch.allclose(converted(x), model(x), rtol=0, atol=1e-12)
    assert report.kernel_error < 1e-12
    assert report.replaced == 3
    assert list(model.modules()) == layers
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    pointers = {p.data_ptr() for p in model.parameters()}
    assert not pointers & {p.data_ptr() for p in converted.parameters()}


@BOTH
def test_options_mode_and_bias_are_kept(kind):
    converted, _ = convert(kind, Net().eval())
    for name, plain in Net().named_children():
        if name in {"first", "second", "third"}:
            layer = getattr(converted, name)
            for option in ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups"):
                assert getattr(layer, option) == getattr(plain, option)
            assert layer.padding_mode == plain.padding_mode
            assert (layer.bias is None) == (plain.bias is None)
            assert not layer.training


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_templates_are_the_best_that_so_many_can_be(count):
    model = Net().double().eval()
    converted, report = share_parameters(model, count, where=inner)
    layers = [converted.first, converted.second, converted.third]
    kernels = torch.stack([getattr(model, name).weight.flatten() for name in ("first", "second", "third")])
    mixed = torch.stack([layer.kernel().flatten() for layer in layers])
    values = torch.linalg.svdvals(kernels)
    best = values[count:].square().sum().sqrt() / values.square().sum().sqrt()  # Eckart and Young
    assert report.kernel_error == pytest.approx(best.item(), abs=1e-12)
    assert ((mixed - kernels).norm() / kernels.norm()).item() == pytest.approx(best.item(), abs=1e-12)
    assert len(layers[0].bank.templates) == count
    assert {id(layer.bank) for layer in layers} == {id(converted.template_banks[0])}
    # Sizes such as in a network that is trained from scratch, so that one learning rate suits both.
    norms = converted.template_banks[0].templates.flatten(1).norm(dim=1)[:3]
    assert torch.allclose(norms, kernels.square().sum(1).mean().sqrt().expand_as(norms))


def test_templates_beyond_the_kernels_can_be_learnt():
    converted, _ = share_parameters(Net(), 5, where=inner)
    converted(pictures(dtype=torch.float32)).square().sum().backward()
    assert converted.first.coefficients[3:].eq(0).all()
    assert converted.first.coefficients.grad.ne(0).all()


@BOTH
def test_all_parameters_get_a_gradient_that_is_finite(kind):
    converted, _ = convert(kind, Net())
    converted(pictures(dtype=torch.float32)).square().sum().backward()
    for name, parameter in converted.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_equal_candidates_give_their_gates_no_gradient_and_different_ones_do():
    converted, _ = sparsify(Net().double().eval(), 2, where=inner)
    gate = converted.first.mlp[0].weight
    assert torch.autograd.grad(converted(pictures()).square().sum(), gate)[0].abs().max() < 1e-9
    parts = torch.autograd.grad(converted(pictures()).square().sum(), converted.first.weight)[0].chunk(2)
    assert not torch.allclose(parts[0], parts[1])  # so they move apart
    with torch.no_grad():
        converted.first.weight += 0.1 * torch.randn(converted.first.weight.shape, generator=seed(2))
    assert torch.autograd.grad(converted(pictures()).square().sum(), gate)[0].abs().max() > 1e-6


def test_options_of_the_gates_arrive():
    options = {"cardinality": 2, "temperature": 0.5, "pool_size": 4, "mlp_depth": 2}
    model, x = Net().double().eval(), pictures()
    converted, _ = sparsify(model, 3, where=inner, **options)
    assert (converted.first.num_sparsity_groups, len(converted.first.mlp)) == (3, 3)
    assert all(getattr(converted.first, name) == value for name, value in options.items() if name != "mlp_depth")
    assert torch.allclose(converted(x), model(x), rtol=0, atol=1e-12)  # in windows too


@BOTH
def test_state_dict_holds_each_tensor_once_and_goes_back_and_forth(kind):
    converted, _ = convert(kind, Net().eval())
    state = converted.state_dict()
    banks = [name for name in state if "templates" in name]
    assert banks == (["template_banks.0.templates"] if kind == "share" else [])
    assert len({t.data_ptr() for t in state.values()}) == len(state)
    again, _ = convert(kind, Net().eval())
    with torch.no_grad():
        for parameter in again.parameters():
            parameter.zero_()
    again.load_state_dict(state)
    x = pictures(dtype=torch.float32)
    assert torch.equal(again(x), converted(x))


@BOTH
def test_a_copy_shares_with_itself_and_not_with_the_original(kind):
    converted, _ = convert(kind, Net().eval())
    x = pictures(dtype=torch.float32)
    twin, expected = copy.deepcopy(converted), converted(x)
    with torch.no_grad():
        for parameter in converted.parameters():
            parameter.zero_()
    assert torch.equal(twin(x), expected)
    if kind == "share":
        assert twin.first.bank is twin.template_banks[0]


class Tied(nn.Module):
    """A layer used twice, and two layers with one kernel and one bias."""

    def __init__(self):
        super().__init__()
        self.twice = nn.Conv2d(4, 4, 3, padding=1)
        self.again = self.twice
        self.one, self.other = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=2, dilation=2)
        self.other.weight, self.other.bias = self.one.weight, self.one.bias

    def forward(self, x):
        return self.other(self.one(self.again(self.twice(x)).relu()).relu())


@BOTH
def test_what_was_shared_stays_shared(kind):
    model, x = Tied().double().eval(), pictures(4)
    asked = []
    converted, report = convert(kind, model, where=lambda name, _layer: asked.append(name) or True)
    assert asked == ["twice", "one", "other"]
    assert report.replaced == 3
    assert converted.again is converted.twice
    assert converted.one.bias is converted.other.bias
    tensor = "coefficients" if kind == "share" else "weight"
    assert getattr(converted.one, tensor) is getattr(converted.other, tensor)
    assert torch.allclose(converted(x), model(x), rtol=0, atol=1e-12)


@BOTH
def test_refuses_to_part_what_is_shared(kind):
    with pytest.raises(ValueError, match="'other' shares a parameter with one to convert"):
        convert(kind, Tied(), where=lambda name, _layer: name == "one")


def test_a_bank_for_each_shape_and_frozen_kernels_apart():
    model = Net()
    converted, _ = share_parameters(model, 2, where=lambda _name, _layer: True)
    assert [tuple(b.templates.shape) for b in converted.template_banks] == [(2, 4, 3, 3, 3), (2, 4, 4, 3, 3)]
    model.first.requires_grad_(requires_grad=False)
    converted, _ = share_parameters(model, 2, where=inner)
    assert converted.first.bank is not converted.second.bank
    assert not converted.first.bank.templates.requires_grad
    assert not converted.first.coefficients.requires_grad
    assert converted.second.bank.templates.requires_grad


def test_without_a_predicate_shapes_are_shared_where_it_saves():
    converted, report = share_parameters(Net(), 2)
    assert report.replaced == 3
    assert type(converted.entry) is nn.Conv2d
    assert report.parameters_after < report.parameters_before
    with pytest.raises(ValueError, match=r"nothing to convert: 4 nn\.Conv2d inside of Net, none chosen"):
        share_parameters(Net(), 3)


def test_a_tied_kernel_counts_once_when_it_is_asked_whether_sharing_saves():
    with pytest.raises(ValueError, match="nothing to convert"):
        share_parameters(Tied(), 2)
    assert share_parameters(Tied(), 1)[1].replaced == 3


def test_sparsify_takes_all_convolutions_without_a_predicate():
    assert sparsify(Net(), 2)[1].replaced == 4


def test_converts_a_chain_of_layers():
    torch.manual_seed(0)
    model = nn.Sequential(*(nn.Conv2d(4, 4, 3, padding=1) for _ in range(3))).double()
    converted, _ = share_parameters(model, 2)
    assert isinstance(converted[0].template_banks[0], TemplateBank)
    assert converted[2].bank is converted[0].template_banks[0]
    converted(pictures(4)).sum().backward()
    assert [name for name in converted.state_dict() if "templates" in name] == ["0.template_banks.0.templates"]
    exact, x = share_parameters(model, 3, where=lambda _name, _layer: True)[0], pictures(4)
    assert torch.allclose(exact(x), model(x), rtol=0, atol=1e-12)


def test_converts_twice():
    once, _ = share_parameters(Net().double().eval(), 3, where=inner)
    twice, report = share_parameters(once, 1, where=lambda name, _layer: name == "entry")
    assert len(once.template_banks) == 1
    assert len(twice.template_banks) == 2
    assert report.replaced == 1
    assert torch.allclose(twice(pictures()), once(pictures()), rtol=0, atol=1e-12)


def test_leaves_layers_alone_that_are_more_than_convolutions():
    class Own(nn.Conv2d):
        pass

    normed = nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 4, 1))
    model = nn.Sequential(Own(4, 4, 1), normed, nn.ConvTranspose2d(4, 4, 1), nn.Conv2d(4, 4, 1))
    asked = []
    converted, _ = sparsify(model, 2, where=lambda name, _layer: asked.append(name) or True)
    assert asked == ["3"]
    assert [type(a) is type(b) for a, b in zip(converted, model, strict=True)] == [True, True, True, False]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@BOTH
def test_dtype_is_kept(kind, dtype):
    model = Net().eval().to(dtype)
    converted, _ = convert(kind, model)
    assert {p.dtype for p in converted.parameters()} == {dtype}
    out, expected = converted(pictures(dtype=dtype)), model(pictures(dtype=dtype))
    assert out.dtype == dtype
    assert torch.allclose(out, expected, atol=0.1 if dtype == torch.bfloat16 else 1e-5)


@BOTH
def test_kernels_of_zeros_are_no_trouble(kind):
    model = Net().eval()
    with torch.no_grad():
        for name in ("first", "second", "third"):
            getattr(model, name).weight.zero_()
    converted, report = convert(kind, model)
    assert report.kernel_error == 0
    assert torch.allclose(converted(pictures(dtype=torch.float32)), model(pictures(dtype=torch.float32)))


def test_fuses_into_what_it_was():
    model = Net().double()
    converted, _ = share_parameters(model, 3, where=inner)
    plain = converted.second.fuse()
    assert torch.allclose(plain.weight, model.second.weight, rtol=0, atol=1e-12)
    assert torch.equal(plain.bias, model.second.bias)


def test_numbers_of_edsr_shared():
    model = edsr(scale=4)
    before = count_multadds(model, hr_size=(96, 128))
    shared, report = share_parameters(model, 16, input_size=(1, 3, 24, 32))
    assert report.replaced == 33  # two in each of 16 blocks, and one behind
    kernel = 64 * 64 * 3 * 3
    assert report.parameters_before == 1_517_571
    assert report.parameters_after == 1_517_571 - 33 * kernel + 16 * (kernel + 33) == 891_411
    assert count_parameters(shared) == 891_411
    assert report.multadds_before == before
    assert report.multadds_after == before + 33 * 16 * kernel  # mixing costs as much whatever the picture
    assert 0 < report.kernel_error < 1


def test_numbers_of_edsr_sparse():
    model = edsr(scale=4)
    sparse, report = sparsify(model, 4, where=lambda name, _layer: "body" in name, input_size=(1, 3, 24, 32))
    kernel, gate = 64 * 64 * 3 * 3, 64 * 4
    assert report.replaced == 33
    assert report.parameters_before == 1_517_571
    assert report.parameters_after == 1_517_571 + 33 * (3 * (kernel + 64) + gate + 4) == count_parameters(sparse)
    assert report.multadds_before == count_multadds(model, hr_size=(96, 128))
    assert report.multadds_after == report.multadds_before + 33 * (4 * (kernel + 64) + gate)
    assert report.kernel_error == 0


def test_nothing_is_counted_without_a_size():
    converted, report = sparsify(Net(), 2)
    sizes = count_parameters(Net()), count_parameters(converted)
    assert report == ConversionReport(4, *sizes, None, None, kernel_error=0.0)


@BOTH
@pytest.mark.parametrize("make", [lambda: dncnn(5, in_channels=3, channels=8), lambda: vdsr(2, channels=8, depth=5)])
def test_converts_a_network_of_the_library_that_goes_on_to_work(kind, make):
    model = make().eval()
    call = share_parameters if kind == "share" else sparsify
    converted, report = call(model, 2)
    x = pictures(model.in_channels, dtype=torch.float32)
    assert report.replaced == (3 if kind == "share" else 5)
    assert converted(x).shape == model(x).shape
    assert converted.trace().multadds_per_pixel == model.trace().multadds_per_pixel
    assert converted.receptive_radius == (model.receptive_radius if kind == "share" else None)


@BOTH
def test_refuses_what_it_cannot_convert(kind):
    for model in (nn.Sequential(nn.ReLU()), nn.Conv2d(4, 4, 1)):
        with pytest.raises(ValueError, match=r"nothing to convert: 0 nn\.Conv2d"):
            convert(kind, model)
    with pytest.raises(ValueError, match=r"4 nn\.Conv2d inside of Net, none chosen"):
        convert(kind, Net(), where=lambda _name, _layer: False)
    with pytest.raises(TypeError, match="where must be a function"):
        convert(kind, Net(), where="first")
    for where in (inner, None):
        with pytest.raises(TypeError, match=r"model must be an nn\.Module, got int"):
            convert(kind, 3, where=where)


@BOTH
def test_refuses_layers_with_hooks(kind):
    model = Net()
    model.first.register_forward_hook(lambda _layer, _x, _y: None)
    with pytest.raises(ValueError, match="'first' has hooks, which would be lost"):
        convert(kind, model)
    assert convert(kind, model, where=lambda name, _layer: name == "second")[1].replaced == 1


def test_refuses_numbers_that_do_not_fit():
    with pytest.raises(ValueError, match="convolution 'entry': cardinality must divide out_channels, got 3 and 4"):
        sparsify(Net(), 2, cardinality=3)
    with pytest.raises(ValueError, match="convolution 'second': pool_size must be a multiple of stride"):
        sparsify(Net(), 2, pool_size=3)
    for call in (share_parameters, sparsify):
        with pytest.raises(ValueError, match="must be at least 1, got 0"):
            call(Net(), 0)
        with pytest.raises(TypeError, match="must be an integer"):
            call(Net(), 2.0)
