"""What every network of the registry still promises once it is rewritten for inference."""

import copy
import functools
import pickle

import pytest
import torch
import torch.nn.functional as F
from contract.cases import CASES, build, close, modes, pictures

from restorekit.inference import optimize, tiled
from restorekit.inference._rewrites import strips
from restorekit.inference._rewrites.pipeline import AsItIs

SIZES = [(1, 1), (1, 9), (7, 5), (18, 13)]
ONE_EACH = {case.name: name for name, case in reversed(CASES.items()) if case.export}.values()
# Compiling and exporting take seconds: plain, several scales, transposed kernels, attention, layers as they are.
COMPILED = ("carn_m x4", "carn desubpixel x3", "pcarn x2, x3", "fsrcnn x2", "rcan x4", "restormer", "sparse_resnet x2")


@functools.cache
def built(name, dtype=torch.float32):
    """A network in evaluation mode and what it is rewritten to."""
    model = build(CASES[name]).to(dtype).eval()
    return model, optimize(model)


@pytest.fixture(params=CASES)
def name(request):
    return request.param


def test_few_networks_cannot_be_followed():
    held = {name: built(name)[1].graphs.values() for name in CASES}
    kept = {name for name, graphs in held.items() if any(isinstance(graph, AsItIs) for graph in graphs)}
    assert kept == {"sparse_resnet x4 without weight norm"}


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-13)])
def test_computes_what_the_network_computes(name, dtype, tolerance):
    model, fast = built(name, dtype)
    for mode in modes(model):
        for size in SIZES:
            x = pictures(model, *size, dtype=dtype)
            before = x.clone()
            with torch.no_grad():
                expected = model(x, **mode)
            out = fast(x, **mode)
            assert out.dtype == dtype
            assert close(out, expected, tolerance)
            assert torch.equal(x, before)


def test_strips_change_nothing(name, monkeypatch):
    model, fast = built(name)
    monkeypatch.setattr(strips, "STRIP_MEMORY", 1)
    monkeypatch.setattr(strips, "_LEAST_ROWS", 3)
    for mode in modes(model):
        x = pictures(model, 19, 7)
        with torch.no_grad():
            assert close(fast(x, **mode), model(x, **mode), 1e-5)


def test_a_narrow_type_costs_hardly_more_than_autocast(name):
    model, fast = built(name)[0], optimize(built(name)[0], dtype=torch.bfloat16)
    for mode in modes(model):
        x = pictures(model, 12, 16)
        with torch.no_grad():
            expected = model(x, **mode)
            with torch.autocast("cpu", torch.bfloat16):
                plain = model(x, **mode).float()
        out = fast(x, **mode)
        assert out.dtype == torch.float32
        allowed = (plain - expected).square().mean().sqrt()
        assert (out - expected).square().mean().sqrt() <= 1.5 * allowed + 1e-4 * expected.abs().max()


def test_repeats_and_pictures_do_not_touch(name):
    _, fast = built(name)
    for mode in modes(fast):
        x = pictures(fast, 9, 8)
        together = fast(x, **mode)
        assert torch.equal(fast(x, **mode), together)
        for i in range(len(x)):
            assert close(fast(x[i : i + 1], **mode), together[i : i + 1], 1e-5)


def test_tiles_equal_the_whole(name):
    _, fast = built(name, torch.float64)
    if fast.receptive_radius is None:
        pytest.skip("sees the whole picture: tiles are refused")
    x = pictures(fast, 45, 39, batch=1, dtype=torch.float64)
    for mode in modes(fast):
        whole, pieces = fast(x, **mode), tiled(fast, x, tile=11, **mode)
        assert torch.allclose(pieces, whole, rtol=0, atol=1e-12 * whole.abs().max().item())


def test_any_layout_of_the_picture(name):
    _, fast = built(name)
    for mode in modes(fast):
        x = pictures(fast, 8, 9)
        expected = fast(x, **mode)
        for same in (
            x.to(memory_format=torch.channels_last),
            x.transpose(2, 3).contiguous().transpose(2, 3),
            x.repeat_interleave(2, 3)[..., ::2],
            x.clone().requires_grad_(),
        ):
            out = fast(same, **mode)
            assert torch.equal(out, expected)
            assert not out.requires_grad


def test_numbers_that_are_none_spread_as_far(name):
    model, fast = built(name)
    for mode in modes(model):
        x = pictures(model, 24, 24, batch=1)
        x[0, 0, 3, 3], x[0, -1, 20, 4] = torch.nan, torch.inf
        with torch.no_grad():
            broken, expected = (~net(x, **mode).isfinite() for net in (fast, model))
        assert (broken >= expected).all()
        # A kernel that was moved in front of a shuffle holds zeros, which make more of what is no number.
        side = 4 * mode["scale"] + 1
        assert (broken <= F.max_pool2d(expected.float(), side, stride=1, padding=side // 2).bool()).all()


@pytest.mark.parametrize("name", ONE_EACH)
def test_holds_its_own_memory_and_leaves_the_network(name):
    model = build(CASES[name])
    for layer in list(model.modules())[::2]:
        layer.training = False
    before, training = copy.deepcopy(model.state_dict()), [layer.training for layer in model.modules()]
    gradients = [parameter.requires_grad for parameter in model.parameters()]
    fast = optimize(model)
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())
    assert [layer.training for layer in model.modules()] == training
    assert [parameter.requires_grad for parameter in model.parameters()] == gradients
    x, mode = pictures(model), modes(model)[0]
    expected = fast(x, **mode)
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            tensor.zero_()
    assert torch.equal(fast(x, **mode), expected)


@pytest.mark.parametrize("name", ONE_EACH)
def test_copies_compute_the_same(name):
    _, fast = built(name)
    for twin in (copy.deepcopy(fast), pickle.loads(pickle.dumps(fast))):
        for mode in modes(fast):
            x = pictures(fast)
            assert torch.equal(twin(x, **mode), fast(x, **mode))
        assert twin.receptive_radius == fast.receptive_radius


@pytest.mark.parametrize("name", COMPILED)
def test_is_compiled(name):
    torch._dynamo.reset()
    _, fast = built(name)
    compiled = torch.compile(fast, backend="aot_eager", fullgraph=True)
    for mode in modes(fast):
        x = pictures(fast, 11, 13)
        assert close(compiled(x, **mode), fast(x, **mode), 1e-5)


@pytest.mark.parametrize("name", COMPILED)
def test_is_exported(name):
    _, fast = built(name)
    mode, unit = modes(fast)[-1], fast.size_multiple
    sides = {axis: unit * torch.export.Dim(side, min=2) for axis, side in ((2, "rows"), (3, "columns"))}
    free = fast.receptive_radius is not None  # attention takes half a minute of solving what it asks of sizes
    x = pictures(fast, 12 * unit, 9 * unit, batch=1)
    shapes = {"x": sides if free else None, "scale": None}
    program = torch.export.export(fast, (x,), mode, dynamic_shapes=shapes)
    x = pictures(fast, 8 * unit, 10 * unit, batch=1) if free else x
    assert close(program.module()(x, **mode), fast(x, **mode), 1e-5)
