import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrizations

from restorekit.layers import SparseGroupConv2d, initialize


def rand(*shape, dtype=torch.float64, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def candidates(conv, x):
    """What each candidate alone makes of the pictures, by torch's own convolution: (N, k, out_channels, H', W')."""
    outs = []
    for rows in range(0, len(conv.weight), conv.out_channels):
        plain = nn.Conv2d(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,
            conv.stride,
            conv.padding,
            conv.dilation,
            conv.groups,
            conv.bias is not None,
            conv.padding_mode,
            dtype=x.dtype,
        )
        with torch.no_grad():
            plain.weight.copy_(conv.weight[rows : rows + conv.out_channels])
            if conv.bias is not None:
                plain.bias.copy_(conv.bias[rows : rows + conv.out_channels])
        outs.append(plain(x))
    return torch.stack(outs, dim=1)


def weights(conv, features):
    """The paper's weights of each candidate's channels (N, k, out_channels), from the pixels that are averaged."""
    averages = torch.stack([features[:, c].flatten(1).mean(1) for c in range(features.shape[1])], dim=1)
    logits = conv.mlp(averages).reshape(len(features), conv.num_sparsity_groups, conv.cardinality)
    exponentials = (logits / conv.temperature).exp()
    shares = exponentials / exponentials.sum(1, keepdim=True)
    return shares.repeat_interleave(conv.out_channels // conv.cardinality, dim=2)


def mixture(conv, x):
    return (candidates(conv, x) * weights(conv, x)[..., None, None]).sum(1)


def mixture_of_windows(conv, x, size):
    """Pixel by pixel: output (i, j) belongs to the window that holds the input pixel (i, j) * stride."""
    outs = candidates(conv, x)
    result = torch.empty_like(outs[:, 0])
    for i, j in itertools.product(range(outs.shape[3]), range(outs.shape[4])):
        row = min(i * conv.stride[0], x.shape[2] - 1) // size * size
        column = min(j * conv.stride[1], x.shape[3] - 1) // size * size
        shares = weights(conv, x[:, :, row : row + size, column : column + size])
        result[:, :, i, j] = (outs[..., i, j] * shares).sum(1)
    return result


OPTIONS = {
    "plain": {},
    "same size": {"padding": 1},
    "without bias": {"padding": 1, "bias": False},
    "strided": {"stride": 2, "padding": 1},
    "strided unevenly": {"stride": (1, 2), "padding": (0, 2)},
    "dilated": {"dilation": (2, 1), "padding": 2},
    "grouped": {"groups": 2, "padding": 1},
    "wide margin": {"padding": 3},
    "reflect": {"padding": 2, "padding_mode": "reflect"},
    "replicate": {"padding": (1, 3), "padding_mode": "replicate", "stride": 2},
    "circular": {"padding": 1, "padding_mode": "circular"},
    "same": {"padding": "same", "dilation": 3},
    "same of an even kernel": {"padding": "same", "kernel_size": (3, 3), "dilation": (1, 2)},
    "same by reflection": {"padding": "same", "padding_mode": "reflect", "kernel_size": (5, 2)},
    "valid": {"padding": "valid", "kernel_size": (1, 4)},
    "one candidate": {"num_sparsity_groups": 1},
    "deep gate": {"mlp_depth": 3},
    "cold": {"temperature": 0.01},
}


def build(**options):
    """A layer whose gates differ much between pictures."""
    torch.manual_seed(0)
    options = {"kernel_size": 3, "num_sparsity_groups": 3, "cardinality": 2, "temperature": 0.1, **options}
    return SparseGroupConv2d(4, 6, **options).double()


# Values


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("batch", [1, 3])
def test_is_the_mixture_of_its_candidates(options, batch):
    conv, x = build(**options), rand(batch, 4, 9, 8)
    before = x.clone()
    expected, out = mixture(conv, x), conv(x)
    assert torch.allclose(out, expected, rtol=0, atol=1e-12)
    assert torch.equal(x, before)
    with torch.no_grad():
        assert torch.equal(conv(x), out)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("size", [4, 6])
def test_windows_have_gates_of_their_own(options, size):
    conv, x = build(**options, pool_size=size), rand(2, 4, 9, 8)
    assert torch.allclose(conv(x), mixture_of_windows(conv, x, size), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("height", "width"), [(1, 9), (9, 1), (5, 13), (8, 8)])
def test_windows_end_at_the_edge(height, width):
    conv, x = build(padding=1, pool_size=4), rand(1, 4, height, width)
    assert torch.allclose(conv(x), mixture_of_windows(conv, x, 4), rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [9, 10, 64])
def test_a_window_larger_than_the_picture_is_the_picture(size):
    conv, x = build(padding=1), rand(2, 4, 9, 8)
    expected = conv(x)
    conv.pool_size = size
    assert torch.equal(conv(x), expected)


def test_pictures_of_a_batch_do_not_touch():
    conv, x = build(padding=1), torch.cat([rand(1, 4, 5, 6, seed=seed) for seed in range(3)])
    assert torch.allclose(conv(x), torch.cat([conv(x[i : i + 1]) for i in range(3)]), rtol=0, atol=1e-12)
    assert not torch.allclose(conv.gate(x.mean((2, 3)))[0], conv.gate(x.mean((2, 3)))[1])


@given(batch=st.integers(1, 3), height=st.integers(1, 9), width=st.integers(1, 9), stride=st.integers(1, 3))
def test_has_the_size_of_an_ordinary_convolution(batch, height, width, stride):
    x = rand(batch, 4, height, width)
    plain = nn.Conv2d(4, 6, 3, stride, 1).double()
    assert build(stride=stride, padding=1)(x).shape == plain(x).shape
    assert build(stride=stride, padding=1, pool_size=2 * stride)(x).shape == plain(x).shape


def test_gate_adds_up_to_one_for_each_slice():
    gate = build().gate(rand(5, 4))
    assert gate.shape == (5, 3, 2)
    assert torch.allclose(gate.sum(1), torch.ones(5, 2, dtype=torch.float64))


def test_a_hot_gate_averages_the_candidates():
    conv, x = build(temperature=1e9), rand(2, 4, 5, 5)
    assert torch.allclose(conv(x), candidates(conv, x).mean(1), rtol=0, atol=1e-8)


def test_hard_gate_takes_the_best_candidate_in_evaluation_alone():
    conv, x = build(hard=True, padding=1), rand(3, 4, 5, 5)
    assert torch.allclose(conv(x), mixture(conv, x), rtol=0, atol=1e-12)
    conv.eval()
    best = weights(conv, x).argmax(1)  # (N, out_channels)
    chosen = torch.stack([candidates(conv, x)[n, best[n], torch.arange(6)] for n in range(3)])
    assert torch.allclose(conv(x), chosen, rtol=0, atol=1e-12)
    conv.temperature = 1e-4
    assert torch.allclose(conv(x), conv.train()(x), rtol=0, atol=1e-6)


# It takes the place of nn.Conv2d


def test_says_what_an_ordinary_convolution_says():
    options = {"stride": 2, "padding": (1, 0), "dilation": 2, "groups": 2, "bias": False, "padding_mode": "reflect"}
    plain, conv = nn.Conv2d(4, 8, 3, **options), SparseGroupConv2d(4, 8, 3, **options, cardinality=8)
    names = ["in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "padding_mode"]
    assert [getattr(conv, name) for name in names] == [getattr(plain, name) for name in names]
    assert conv.bias is plain.bias is None
    assert repr(plain).removeprefix("Conv2d(").removesuffix(")").split(", bias")[0] in repr(conv)
    assert "num_sparsity_groups=4, cardinality=8" in repr(conv)


@pytest.mark.parametrize(("depth", "gate"), [(1, 64 * 8 + 8), (2, 64 * 64 + 64 + 64 * 8 + 8)])
def test_has_k_kernels_and_a_gate(depth, gate):
    conv = SparseGroupConv2d(64, 32, 3, cardinality=2, mlp_depth=depth)
    assert sum(p.numel() for p in conv.parameters()) == 4 * (64 * 32 * 9 + 32) + gate
    assert set(conv.state_dict()) >= {"weight", "bias", "mlp.0.weight", "mlp.0.bias"}


def test_starts_as_ordinary_convolutions():
    torch.manual_seed(0)
    conv = SparseGroupConv2d(16, 64, 3)
    bound = 1 / (16 * 9) ** 0.5
    for tensor in (conv.weight, conv.bias):
        assert 0.9 * bound < tensor.abs().max() <= bound
    assert conv.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.02)


@pytest.mark.parametrize("pool_size", [None, 4])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("bank", [torch.contiguous_format, torch.channels_last])
def test_keeps_the_memory_format(pool_size, batch, bank):
    conv, x = build(padding=1, pool_size=pool_size), rand(batch, 4, 9, 8)
    expected = conv(x)
    assert expected.is_contiguous()
    conv = conv.to(memory_format=bank)
    for grad in (True, False):
        with torch.set_grad_enabled(grad):
            out = conv(x.to(memory_format=torch.channels_last))
        assert out.is_contiguous(memory_format=torch.channels_last)
        assert torch.allclose(out, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("pool_size", [None, 4])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_other_precisions_stay_close(pool_size, dtype):
    conv, x = build(padding=1, pool_size=pool_size, temperature=1.0), rand(2, 4, 9, 8)
    expected = conv(x)
    out = conv.to(dtype)(x.to(dtype))
    assert out.dtype == dtype
    assert (out.double() - expected).abs().max() < (0.03 if dtype == torch.bfloat16 else 1e-6)


@pytest.mark.parametrize("pool_size", [None, 4])
def test_runs_under_autocast(pool_size):
    conv, x = build(padding=1, pool_size=pool_size, temperature=1.0).float(), rand(2, 4, 9, 8, dtype=torch.float32)
    expected = conv(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = conv(x)
    assert out.dtype == torch.bfloat16
    assert (out.float() - expected).abs().max() < 0.03
    out.float().sum().backward()
    assert conv.weight.grad.dtype == torch.float32


def test_weight_norm_scales_each_row_before_mixing():
    conv, x = build(padding=1), rand(2, 4, 5, 5)
    expected = conv(x)
    normed = parametrizations.weight_norm(conv)
    parts = normed.parametrizations.weight
    assert parts.original0.shape == (18, 1, 1, 1)
    assert torch.allclose(normed(x), expected, rtol=0, atol=1e-12)
    with torch.no_grad():
        parts.original0[6:12] *= 2  # the second candidate
    doubled = build(padding=1)
    with torch.no_grad():
        doubled.weight[6:12] *= 2
    assert torch.allclose(normed(x), doubled(x), rtol=0, atol=1e-12)


def test_is_redrawn_by_name():
    conv = SparseGroupConv2d(16, 64, 3)
    normed = parametrizations.weight_norm(nn.Conv2d(16, 256, 3))
    for layer in (conv, normed):
        initialize(layer, "he-normal", generator=torch.Generator().manual_seed(0))
        assert layer.weight.std().item() == pytest.approx((2 / 144) ** 0.5, rel=0.02)
        assert not layer.bias.any()


# Differentiating and tracing


@pytest.mark.parametrize("pool_size", [None, 2])
@pytest.mark.parametrize("padding_mode", ["zeros", "reflect"])
def test_gradients(pool_size, padding_mode):
    conv = SparseGroupConv2d(
        2, 2, 3, padding=1, padding_mode=padding_mode, num_sparsity_groups=2, cardinality=2, pool_size=pool_size
    ).double()
    x = rand(2, 2, 3, 3).requires_grad_()
    names, tensors = zip(*conv.named_parameters(), strict=True)

    def run(x, *tensors):
        return torch.func.functional_call(conv, dict(zip(names, tensors, strict=True)), (x,))

    assert torch.autograd.gradcheck(run, (x, *tensors), fast_mode=True)
    assert torch.autograd.gradgradcheck(run, (x, *tensors), fast_mode=True)


def test_exports_for_any_size():
    conv, free = build(padding=1).eval(), torch.export.Dim.DYNAMIC
    exported = torch.export.export(conv, (rand(2, 4, 6, 7),), dynamic_shapes=({2: free, 3: free},)).module()
    x = rand(2, 4, 11, 5)
    assert torch.allclose(exported(x), conv(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("pool_size", [None, 4])
def test_compiles_without_a_graph_break(grad, pool_size):
    torch.compiler.reset()
    conv, x = build(padding=1, pool_size=pool_size), rand(2, 4, 6, 7)
    with torch.set_grad_enabled(grad):
        out = torch.compile(conv, fullgraph=True, backend="aot_eager")(x)
    assert torch.allclose(out, conv(x), rtol=0, atol=1e-12)


def test_runs_on_the_meta_device():
    assert build(padding=1, pool_size=4).to("meta")(rand(2, 4, 6, 7).to("meta")).shape == (2, 6, 6, 7)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("pool_size", [None, 4])
def test_computes_on_the_gpu_what_the_cpu_computes(pool_size):
    conv, x = build(padding=1, pool_size=pool_size), rand(2, 4, 9, 8)
    expected = conv(x)
    assert torch.allclose(conv.cuda()(x.cuda()).cpu(), expected, rtol=0, atol=1e-9)


# Bad input


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cardinality": 4}, "cardinality must divide out_channels, got 4 and 6 channels"),
        ({"cardinality": 12}, "cardinality must divide out_channels"),
        ({"groups": 4}, "groups must divide in_channels and out_channels, got 4 groups, 4 and 6 channels"),
        ({"groups": 3}, "groups must divide"),
        ({"temperature": 0}, "temperature must be above 0 and finite, got 0"),
        ({"temperature": -1.0}, "temperature must be above 0"),
        ({"temperature": float("nan")}, "temperature must be above 0"),
        ({"temperature": float("inf")}, "temperature must be above 0"),
        ({"padding_mode": "mirror"}, "padding_mode must be one of zeros, reflect, replicate, circular, got 'mirror'"),
        ({"padding": "full"}, "padding must be numbers, 'same' or 'valid', got 'full'"),
        ({"padding": -1}, "padding must be at least 0"),
        ({"padding": "same", "stride": 2}, "padding='same' needs stride 1"),
        ({"kernel_size": (3, 3, 3)}, "kernel_size must be an integer or two of them"),
        ({"kernel_size": 0}, "kernel_size must be at least 1"),
        ({"stride": 2, "pool_size": 5}, r"pool_size must be a multiple of stride, got 5 and stride \(2, 2\)"),
        ({"pool_size": 0}, "pool_size must be at least 1"),
        ({"num_sparsity_groups": 0}, "num_sparsity_groups must be at least 1"),
        ({"mlp_depth": 0}, "mlp_depth must be at least 1"),
    ],
)
def test_refuses_options_that_do_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)


@pytest.mark.parametrize(
    "options", [{"temperature": "1"}, {"temperature": True}, {"cardinality": 2.0}, {"stride": 1.5}]
)
def test_refuses_options_of_another_type(options):
    with pytest.raises((TypeError, ValueError), match=f"{next(iter(options))} must be"):
        build(**options)


@pytest.mark.parametrize("name", ["in_channels", "out_channels"])
def test_refuses_no_channels(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        SparseGroupConv2d(**{"in_channels": 2, "out_channels": 2, "kernel_size": 3, name: 0})


def test_refuses_other_features():
    with pytest.raises(ValueError, match="4 channels"):
        build()(rand(2, 3, 8, 8))
    with pytest.raises(ValueError, match="4 dimensions"):
        build()(rand(4, 8, 8))
    with pytest.raises(TypeError, match="floating-point"):
        build()(torch.zeros(1, 4, 8, 8, dtype=torch.long))


def test_a_window_set_afterwards_must_fit_too():
    conv = build(stride=2)
    conv.pool_size = 3
    with pytest.raises(ValueError, match="multiple of stride"):
        conv(rand(1, 4, 8, 8))


def test_a_temperature_of_zero_is_refused_on_the_trained_layer_too():
    layer = SparseGroupConv2d(2, 2, 3)
    layer.temperature = 0.0
    with pytest.raises(ValueError, match="temperature must be above 0, got 0"):
        layer(torch.rand(1, 2, 4, 4))
