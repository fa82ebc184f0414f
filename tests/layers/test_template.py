import copy
import io
import pickle

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn
from torch._subclasses import FakeTensor, FakeTensorMode

from restorekit.layers import SConv2d, TemplateBank, orthogonal_coefficients


class Shared(nn.Module):
    """A network as users write it: it holds the bank and two layers."""

    def __init__(self, **options):
        super().__init__()
        self.bank = TemplateBank(3, 4, 4, 3)
        self.first = SConv2d(self.bank, padding=1, **options)
        self.second = SConv2d(self.bank, padding=1, **options)

    def forward(self, x):
        return self.second(self.first(x).relu())


def features(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def mixed(layer):
    """The kernel in plain arithmetic, one template after the other."""
    kernel = torch.zeros_like(layer.bank.templates[0])
    for alpha, template in zip(layer.coefficients, layer.bank.templates, strict=True):
        kernel = kernel + alpha * template
    return kernel


def plain(layer, x):
    return F.conv2d(x, mixed(layer), layer.bias, padding=1)


# What it computes


@given(
    templates=st.integers(1, 4),
    groups=st.integers(1, 3),
    in_channels=st.integers(1, 2),
    width=st.integers(1, 2),
    kernel_size=st.sampled_from([1, 2, 3, (1, 3), (3, 2)]),
    stride=st.sampled_from([1, 2, (2, 1)]),
    padding=st.sampled_from([0, 1, 2, (1, 0), "same", "valid"]),
    dilation=st.sampled_from([1, 2, (1, 2)]),
    padding_mode=st.sampled_from(["zeros", "reflect", "replicate", "circular"]),
    bias=st.booleans(),
    training=st.booleans(),
)
def test_is_a_convolution_with_the_mixed_kernel(
    templates, groups, in_channels, width, kernel_size, training, **options
):
    assume(options["padding"] != "same" or (options["stride"] == 1 and kernel_size not in {2, (3, 2)}))
    options["groups"] = groups
    bank = TemplateBank(templates, in_channels, groups * width, kernel_size).double()
    layer = SConv2d(bank, **options).double().train(training)
    expected = nn.Conv2d(in_channels * groups, groups * width, kernel_size, **options).double()
    with torch.no_grad():
        expected.weight.copy_(mixed(layer))
        if layer.bias is not None:
            expected.bias.copy_(layer.bias)
    x = features(2, in_channels * groups, 9, 8, dtype=torch.float64)
    with torch.no_grad():
        assert torch.allclose(layer(x), expected(x), rtol=0, atol=1e-12)
        fused = layer.fuse()
        assert torch.equal(fused(x), layer(x))
    assert torch.equal(fused.weight, layer.kernel())
    sizes = ("in_channels", "out_channels", "kernel_size")
    for name in (*sizes, "stride", "padding", "dilation", "groups", "padding_mode"):
        assert getattr(layer, name) == getattr(expected, name)
    assert {name: p.shape for name, p in fused.named_parameters()} == {
        name: p.shape for name, p in expected.named_parameters()
    }


def test_fusing_keeps_what_the_layer_is_and_draws_nothing():
    network = Shared(bias=True).to(torch.bfloat16).eval()
    state = torch.get_rng_state()
    fused = network.first.fuse()
    assert type(fused) is nn.Conv2d
    assert (fused.training, fused.weight.dtype, fused.bias.dtype) == (False, torch.bfloat16, torch.bfloat16)
    assert torch.equal(torch.get_rng_state(), state)
    with torch.no_grad():
        fused.weight.zero_()
        fused.bias.zero_()
    assert network.first.kernel().any()
    assert network.first.bias.any()


def test_gradients_reach_input_bank_coefficients_and_bias():
    layer = SConv2d(TemplateBank(3, 2, 4, 3).double(), padding=1, groups=2, bias=True).double()
    names = [name for name, _ in layer.named_parameters()]

    def call(x, templates, *parameters):
        kernel = torch.einsum("k,koiyx->oiyx", dict(zip(names, parameters, strict=True))["coefficients"], templates)
        return F.conv2d(x, kernel, parameters[names.index("bias")], padding=1, groups=2)

    x = features(1, 4, 4, 3, dtype=torch.float64).requires_grad_()
    sources = [x, layer.bank.templates, *layer.parameters()]
    expected = torch.autograd.grad(call(*sources).square().sum(), sources)
    for found, wanted in zip(torch.autograd.grad(layer(x).square().sum(), sources), expected, strict=True):
        assert torch.allclose(found, wanted, rtol=0, atol=1e-10)
    assert torch.autograd.gradcheck(lambda x, *_: layer(x), sources, fast_mode=True)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_result_has_the_dtype_of_the_input(dtype, training):
    network, x = Shared(bias=True).train(training), features(1, 4, 5, 6)
    exact = copy.deepcopy(network).double()(x.double())
    with torch.no_grad():
        out = network.to(dtype)(x.to(dtype))
    assert out.dtype == dtype
    assert (out.double() - exact).abs().max() < (0.05 if dtype == torch.bfloat16 else 1e-5) * exact.abs().max()


def test_low_precision_kernels_are_rounded_once():
    layer = SConv2d(TemplateBank(16, 8, 8, 3))
    layer.bank.to(torch.bfloat16)
    layer.to(torch.bfloat16)
    exact = torch.einsum("k,koiyx->oiyx", layer.coefficients.double(), layer.bank.templates.double())
    assert (layer.kernel().double() - exact).abs().max() <= exact.abs().max() / 2**8


# Where the bank lives


def test_state_dict_and_parameters_hold_the_bank_once():
    network = Shared(bias=True)
    expected = {"bank.templates", "first.coefficients", "first.bias", "second.coefficients", "second.bias"}
    assert set(network.state_dict()) == {name for name, _ in network.named_parameters()} == expected
    assert sum(p.numel() for p in network.parameters()) == 3 * 4 * 4 * 9 + 2 * (3 + 4)
    assert {name for name, _ in network.named_modules()} == {"", "bank", "first", "second"}
    assert set(network.first.state_dict()) == {"coefficients", "bias"}


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda network: pickle.loads(pickle.dumps(network))])
def test_a_copy_mixes_from_its_own_bank(twin):
    network, x = Shared().eval(), features(1, 4, 5, 6)
    with torch.no_grad():
        before = network(x)  # a kernel is kept now
        other = twin(network)
        assert torch.equal(other(x), before)
        assert other.first.bank is other.second.bank is other.bank
        assert other.bank is not network.bank
        other.bank.templates.mul_(2)
        assert torch.equal(network(x), before)
        assert torch.allclose(other(x), 4 * before, atol=1e-6)


def test_saving_does_not_keep_the_mixed_kernels():
    network, x = Shared().eval(), features(1, 4, 5, 6)
    empty, full = io.BytesIO(), io.BytesIO()
    torch.save(network, empty)
    with torch.no_grad():
        network(x)
    torch.save(network, full)
    assert empty.tell() == full.tell()


def test_weights_are_read_into_a_built_network():
    network, other, x = Shared(bias=True).eval(), Shared(bias=True).eval(), features(1, 4, 5, 6)
    with torch.no_grad():
        assert not torch.equal(other(x), network(x))
        other.load_state_dict(network.state_dict())
        assert torch.equal(other(x), network(x))
        third = Shared(bias=True).eval()
        third(x)
        third.load_state_dict(network.state_dict(), assign=True)
        assert torch.equal(third(x), network(x))


def test_takes_the_memory_formats_that_a_network_is_asked_for():
    """Templates have 5 dimensions, which no 4-dimensional format fits."""
    network, x = Shared(), features(1, 4, 5, 6)
    expected = network(x)
    out = network.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))
    assert torch.allclose(out, expected, atol=1e-6)
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert network.bank.templates.shape == (3, 4, 4, 3, 3)


def test_memory_may_be_shared_and_renewed():
    network, x = Shared(), features(1, 4, 5, 6)
    expected = network(x)
    assert torch.equal(network.share_memory()(x), expected)
    assert network.bank.templates.is_shared()
    state = network.state_dict()
    renewed = copy.deepcopy(network).to("meta").to_empty(device="cpu")
    renewed.load_state_dict(state)
    assert torch.equal(renewed(x), expected)


@pytest.mark.parametrize("setting", ["overwrite", "swap"])
def test_follows_when_conversion_replaces_the_parameters(setting):
    switch = getattr(torch.__future__, f"set_{setting}_module_params_on_conversion")
    network, x = Shared().eval(), features(1, 4, 5, 6)
    with torch.no_grad():
        expected = network(x)
        switch(True)
        try:
            assert torch.allclose(network.double()(x.double()).float(), expected, atol=1e-5)
            assert torch.allclose(network.float()(x), expected, atol=1e-6)
        finally:
            switch(False)


def test_weights_can_be_given_for_one_call():
    network, x = Shared().eval(), features(1, 4, 5, 6)
    doubled = {name: 2 * p.detach() for name, p in network.named_parameters()}
    with torch.no_grad():
        before = network(x)
        assert torch.allclose(torch.func.functional_call(network, doubled, x), 16 * before, rtol=1e-4, atol=1e-4)
        assert torch.equal(network(x), before)


def test_function_transforms_leave_nothing_behind():
    network, x = Shared().eval().requires_grad_(False), features(1, 4, 5, 6)
    expected = plain(network.second, plain(network.first, x).relu())
    gradient = torch.func.grad(lambda y: network(y).sum())(x)
    assert gradient.any()
    assert torch.allclose(torch.func.vmap(network)(x[None])[0], expected, atol=1e-5)
    assert torch.allclose(network(x), expected, atol=1e-5)
    assert pickle.dumps(network.first.kernel())  # which a stand-in of a transform refuses


def test_several_networks_run_at_once():
    networks, x = [Shared().eval() for _ in range(3)], features(1, 4, 5, 6)
    weights, buffers = torch.func.stack_module_state(networks)
    with torch.no_grad():
        call = torch.func.vmap(lambda w, b: torch.func.functional_call(networks[0], (w, b), x))
        together = call({name: w.detach() for name, w in weights.items()}, buffers)
        assert torch.allclose(together, torch.stack([network(x) for network in networks]), atol=1e-5)


def test_a_dry_run_leaves_nothing_behind():
    network, x = Shared().eval(), features(1, 4, 5, 6)
    with torch.no_grad():
        expected = copy.deepcopy(network)(x)
        with FakeTensorMode(allow_non_fake_inputs=True):
            assert isinstance(network(x), FakeTensor)
        assert torch.equal(network(x), expected)


# The kernel that is kept


def count_mixes(monkeypatch):
    calls = []
    original = TemplateBank.mix
    monkeypatch.setattr(TemplateBank, "mix", lambda bank, alpha: calls.append(bank) or original(bank, alpha))
    return calls


def test_evaluation_mixes_once_and_training_each_time(monkeypatch):
    calls, network, x = count_mixes(monkeypatch), Shared(), features(1, 4, 5, 6)
    with torch.no_grad():
        for _ in range(3):
            network(x)
        assert len(calls) == 6
        network.eval()
        for _ in range(3):
            network(x)
        assert len(calls) == 8
    for _ in range(3):
        network(x)  # gradients are asked for
    assert len(calls) == 14
    network.requires_grad_(False)
    with torch.inference_mode():
        network(x)
    network(x)
    assert len(calls) == 14
    network.train()
    network.eval()
    network(x)
    assert len(calls) == 16


def _replace_bank_tensor(network):
    network.bank.templates = nn.Parameter(network.bank.templates.detach() * 2)


def _replace_with_a_view(network):
    """The new parameter lies where the old one lay and has seen as many changes."""
    version = network.first.coefficients._version
    network.first.coefficients = nn.Parameter(network.first.coefficients.data)
    for _ in range(version):
        network.first.coefficients.mul_(2)
    assert network.first.coefficients._version == version > 0


def _point_elsewhere_twice(network):
    """So that the second may lie where the first lay."""
    for _ in range(2):
        network.bank.templates.data = network.bank.templates.data * 2


def _step(network):
    network.bank.templates.grad = torch.ones_like(network.bank.templates)
    torch.optim.SGD(network.parameters(), lr=0.5).step()


def _adam_step(network):
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    torch.optim.Adam(network.parameters(), lr=0.5).step()


def _in_inference_mode(network):
    with torch.inference_mode():
        network.first.coefficients.add_(1)


def _silently(network):
    network.bank.templates.data.mul_(2)
    network.eval()


CHANGES = {
    "bank in place": lambda network: network.bank.templates.mul_(2),
    "coefficients in place": lambda network: network.second.coefficients.neg_(),
    "one coefficient": lambda network: network.first.coefficients[1].fill_(3),
    "through detach": lambda network: network.bank.templates.detach().zero_(),
    "new parameter": _replace_bank_tensor,
    "new parameter on the old memory": _replace_with_a_view,
    "new data": _point_elsewhere_twice,
    "SGD": _step,
    "Adam": _adam_step,
    "state dict": lambda network: network.load_state_dict(Shared().state_dict()),
    "assigned state dict": lambda network: network.load_state_dict(Shared().state_dict(), assign=True),
    "in inference mode": _in_inference_mode,
    "drawn again": lambda network: network.bank.reset_parameters(),
    "from a vector": lambda network: nn.utils.vector_to_parameters(torch.arange(438.0) / 100, network.parameters()),
    "silently, then eval()": _silently,
}


@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_changed_parameter_changes_the_next_result(change, inference):
    network, x = Shared().eval(), features(1, 4, 5, 6)
    with torch.inference_mode(inference), torch.no_grad():
        before = network(x)
    with torch.no_grad():
        change(network)
    with torch.inference_mode(inference), torch.no_grad():
        after = network(x)
        assert torch.allclose(after, plain(network.second, plain(network.first, x).relu()), rtol=1e-4, atol=1e-4)
        assert not torch.allclose(after, before)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_conversion_after_the_first_call(dtype):
    network, x = Shared().eval(), features(1, 4, 5, 6)
    with torch.inference_mode():
        before = network(x)
        assert network.to(dtype)(x.to(dtype)).dtype == dtype
        assert torch.equal(network.double().float()(x), before) == (dtype == torch.float64)
        assert network.to("meta")(x.to("meta")).is_meta


def test_serves_autocast_and_plain_precision_in_turn():
    network, x = Shared().eval(), features(1, 4, 5, 6)
    with torch.no_grad():
        expected = Shared.forward(copy.deepcopy(network), x)
        for _ in range(2):
            with torch.autocast("cpu", torch.bfloat16):
                low = network(x)
            assert low.dtype == torch.bfloat16
            assert torch.equal(network(x), expected)
        assert torch.allclose(low.float(), expected, atol=0.05 * expected.abs().max().item())


def test_a_kernel_kept_in_inference_mode_serves_gradients_of_the_input():
    network, x = Shared().eval().requires_grad_(False), features(1, 4, 5, 6)
    with torch.inference_mode():
        network(x)
    x.requires_grad_()
    network(x).sum().backward()
    assert x.grad.any()


def test_networks_born_in_inference_mode_are_mixed_each_time():
    with torch.inference_mode():
        network, x = Shared().eval(), features(1, 4, 5, 6)
        before = network(x)
        network.bank.templates.mul_(2)
        assert torch.allclose(network(x), 4 * before, rtol=1e-4, atol=1e-5)


def test_compiles_and_exports_without_keeping_anything():
    torch.compiler.reset()
    network, x = Shared(bias=True).eval(), features(1, 4, 5, 6)
    with torch.no_grad():
        expected = network(x)
        compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
        exported = torch.export.export(network, (x,))
        assert torch.allclose(compiled(x), expected, atol=1e-6)
        assert torch.allclose(exported.module()(x), expected, atol=1e-6)
        network.bank.templates.mul_(2)
        assert not torch.allclose(compiled(x), expected)
        assert torch.allclose(compiled(x), network(x), atol=1e-5)
    assert set(exported.state_dict) == set(network.state_dict())


# Initial values


def test_a_new_layer_has_the_variance_of_a_kaiming_normal_one():
    torch.manual_seed(0)
    bank = TemplateBank(8, 32, 32, 3)
    variance = 2 / (32 * 9)
    assert [t.var().item() for t in bank.templates] == pytest.approx([variance] * 8, rel=0.05)
    layer = SConv2d(bank, bias=True)
    assert layer.coefficients.norm().item() == pytest.approx(1)
    assert layer.kernel().var().item() == pytest.approx(variance, rel=0.05)
    assert 0 < layer.bias.abs().max() <= (32 * 9) ** -0.5


def test_given_coefficients_are_copied():
    bank, rows = TemplateBank(3, 2, 2, 1), torch.arange(6.0).view(2, 3)
    layers = [SConv2d(bank, coefficients=row) for row in rows]
    rows.zero_()
    assert [layer.coefficients.tolist() for layer in layers] == [[0, 1, 2], [3, 4, 5]]
    assert all(layer.coefficients.requires_grad for layer in layers)


@given(layers=st.integers(1, 9), templates=st.integers(1, 9))
def test_coefficients_of_a_chain_are_orthogonal(layers, templates):
    rows = orthogonal_coefficients(layers, templates, generator=torch.Generator().manual_seed(0)).double()
    assert rows.shape == (layers, templates)
    gram = rows @ rows.T if layers <= templates else rows.T @ rows
    assert torch.allclose(gram, torch.eye(min(layers, templates), dtype=torch.float64), atol=1e-5)


def test_coefficients_follow_the_generator():
    first, same, other = (orthogonal_coefficients(6, 4, generator=torch.Generator().manual_seed(s)) for s in (0, 0, 1))
    assert torch.equal(first, same)
    assert not torch.allclose(first, other)


# Bad input


def test_refuses_a_bank_that_is_none():
    with pytest.raises(TypeError, match="bank must be a TemplateBank, got Parameter"):
        SConv2d(TemplateBank(3, 4, 4, 3).templates)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((0, 4, 4, 3), "num_templates must be at least 1, got 0"),
        ((3, 0, 4, 3), "in_channels must be at least 1, got 0"),
        ((3, 4, -1, 3), "out_channels must be at least 1, got -1"),
        ((3, 4, 4, 0), "kernel_size must be at least 1, got 0"),
        ((3, 4, 4, (3, 0)), "kernel_size .* must be at least 1, got 0"),
    ],
)
def test_refuses_an_empty_bank(sizes, message):
    with pytest.raises(ValueError, match=message):
        TemplateBank(*sizes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"groups": 3}, "divisible by groups"),
        ({"groups": 0}, "groups must be at least 1, got 0"),
        ({"padding": "all"}, "Invalid padding string 'all'"),
        ({"padding": "same", "stride": 2}, "same"),
        ({"padding_mode": "mirror"}, "padding_mode must be one of"),
        ({"coefficients": torch.zeros(4)}, r"coefficients must be a tensor of shape \(3,\)"),
        ({"coefficients": [0.0, 1.0, 0.0]}, "coefficients must be a tensor of shape .* got list"),
    ],
)
def test_refuses_options_that_do_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        SConv2d(TemplateBank(3, 4, 4, 3), **options)


@pytest.mark.parametrize("kind", [torch.float64, "meta"])
def test_refuses_a_bank_that_was_left_behind(kind):
    layer = SConv2d(TemplateBank(3, 4, 4, 3), padding=1)
    layer.to(kind)
    for call in (layer.kernel, layer.fuse, lambda: layer(features(1, 4, 5, 6))):
        with pytest.raises(ValueError, match="the bank and the layer must have the same device and dtype"):
            call()


def test_refuses_a_bank_that_was_given_other_templates():
    layer = SConv2d(TemplateBank(3, 4, 4, 3), padding=1)
    layer.bank.templates = nn.Parameter(torch.zeros(5, 4, 4, 3, 3))
    with pytest.raises(ValueError, match="the bank has 5 templates and the layer 3 coefficients"):
        layer(features(1, 4, 5, 6))


def test_orthogonal_coefficients_refuse_nothing_and_no_generator():
    with pytest.raises(ValueError, match="layers must be at least 1, got 0"):
        orthogonal_coefficients(0, 4)
    with pytest.raises(ValueError, match="num_templates must be at least 1, got 0"):
        orthogonal_coefficients(4, 0)
    with pytest.raises(TypeError, match=r"torch\.Generator"):
        orthogonal_coefficients(4, 4, generator=0)


def test_says_what_it_is():
    assert repr(TemplateBank(3, 4, 8, (1, 3))) == "TemplateBank(3, 4, 8, kernel_size=(1, 3))"
    text = repr(SConv2d(TemplateBank(3, 4, 8, 3), groups=2, stride=2))
    assert text.startswith("SConv2d(8, 8, kernel_size=(3, 3), stride=(2, 2), padding=(0, 0)")
    assert "groups=2, bias=False, padding_mode='zeros'" in text
