"""What every network of the registry promises, checked on small ones.

A new entry of the registry needs a case in ``cases.py``, with options that make it small and reach each of its modes.
"""

import copy

import pytest
import torch
from contract.cases import CASES, build, close, modes, pictures, statistics

from restorekit.inference import tiled
from restorekit.models import list_models, load_checkpoint, save_weights
from restorekit.layers import initialize
from restorekit.models import create_model, list_models, load_checkpoint, save_weights


class Case(NamedTuple):
    name: str
    options: dict[str, Any]
    export: bool = True  # whether tracing this mode adds to what the other cases of the network show


_SMALL = {"channels": 4, "blocks": 2, "units": 2}
CASES = {
    "carn x2": Case("carn", {"scale": 2, **_SMALL}),
    "carn x2, x3, x4": Case("carn", {"scale": (2, 3, 4), **_SMALL}),
    "carn x1": Case("carn", {"scale": 1, **_SMALL}, export=False),
    "carn desubpixel x3": Case("carn", {"scale": 3, "head": "desubpixel", **_SMALL}),
    "carn as in PCARN": Case("carn", {"scale": 3, "fusion_relu": False, "global_skip": True, **_SMALL}, export=False),
    "carn without cascades": Case(
        "carn", {"scale": 2, "local_cascade": False, "global_cascade": False, **_SMALL}, export=False
    ),
    "carn_m x4": Case("carn_m", {"scale": 4, **_SMALL}),
    "carn_m desubpixel x2": Case("carn_m", {"scale": 2, "head": "desubpixel", **_SMALL}, export=False),
    "carn_m x8": Case("carn_m", {"scale": 8, "mean": (0.1, 0.2, 0.3), **_SMALL}, export=False),
    "pcarn x2, x3": Case("pcarn", {"scale": (2, 3), **_SMALL}),
    "pcarn_m x4": Case("pcarn_m", {"scale": 4, **_SMALL}),
    "progressive_carn x8": Case("progressive_carn", {"scale": 8, **_SMALL}),
    "progressive_carn x8, stage 0": Case("progressive_carn", {"scale": 8, "stage": 0, **_SMALL}, export=False),
    "progressive_carn x4, stage 1": Case("progressive_carn", {"scale": 4, "stage": 1, **_SMALL}, export=False),
}

_RESIDUAL = {"channels": 8, "blocks": 2}
CASES |= {
    "edsr x2": Case("edsr", {"scale": 2, **_RESIDUAL}),
    "edsr x3 scaled branches": Case("edsr", {"scale": 3, "res_scale": 0.1, **_RESIDUAL}, export=False),
    "edsr restoration": Case("edsr", {"scale": 1, **_RESIDUAL}, export=False),
    "edsr desubpixel x4": Case("edsr", {"scale": 4, "head": "desubpixel", **_RESIDUAL}),
    "rcan x4": Case("rcan", {"scale": 4, "residual_groups": 2, "reduction": 2, "channels": 16, "blocks": 2}),
    "rcan restoration": Case(
        "rcan", {"scale": 1, "residual_groups": 1, "reduction": 2, "mean": (0.1, 0.2, 0.3), **_RESIDUAL}, export=False
    ),
    "rcan desubpixel x3": Case(
        "rcan", {"scale": 3, "residual_groups": 1, "reduction": 2, "head": "desubpixel", **_RESIDUAL}, export=False
    ),
    "srresnet x4": Case("srresnet", {"scale": 4, **_RESIDUAL}),
    "srresnet x1": Case("srresnet", {"scale": 1, **_RESIDUAL}, export=False),
    "srresnet without normalisation x3": Case("srresnet", {"scale": 3, "batch_norm": False, **_RESIDUAL}),
    "srresnet without normalisation x8": Case("srresnet", {"scale": 8, "batch_norm": False, **_RESIDUAL}, export=False),
}

_EXPERTS = {"units": 2, "blocks": 2, "channels": 4, "extraction_channels": 8}
CASES |= {
    "mepsnet": Case("mepsnet", {"experts": 2, "num_templates": 3, **_EXPERTS}),
    "mepsnet without sharing": Case("mepsnet", {"experts": 1, "num_templates": None, **_EXPERTS}, export=False),
_SPARSE = {"channels": 8, "width": 2, "blocks": 2, "num_sparsity_groups": 2, "cardinality": 4}
CASES |= {
    "sparse_resnet x1": Case("sparse_resnet", {"scale": 1, **_SPARSE}, export=False),
    "sparse_resnet x2": Case("sparse_resnet", {"scale": 2, **_SPARSE}),
    "sparse_resnet x3 windows": Case("sparse_resnet", {"scale": 3, "pool_size": 4, "mlp_depth": 2, **_SPARSE}),
    "sparse_resnet x2 dense": Case("sparse_resnet", {"scale": 2, **_SPARSE, "num_sparsity_groups": None}, export=False),
    "sparse_resnet x4 without weight norm": Case(
        "sparse_resnet", {"scale": 4, "weight_norm": False, "patches": True, **_SPARSE}, export=False
    ),
}


def build(case):
    """A network whose every weight matters: He-normal convolutions, no parameter at an inert initial value."""
    torch.manual_seed(0)
    model = create_model(case.name, **case.options)
    initialize(model, "he-normal")
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.running_mean, 0, 0.1)
            nn.init.uniform_(layer.running_var, 0.5, 1.5)
    return model


def statistics(model):
    """Names of the BatchNorm buffers, the only ones that a state dict may hold."""
    norms = [name for name, layer in model.named_modules() if isinstance(layer, nn.BatchNorm2d)]
    return {f"{norm}.{kind}" for norm in norms for kind in ("running_mean", "running_var", "num_batches_tracked")}


def pictures(model, height=7, width=5, batch=2, dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    return torch.rand(batch, model.in_channels, height, width, generator=generator, dtype=torch.float64).to(dtype)


def close(out, expected, tolerance):
    """Whether the largest difference is small beside the largest value."""
    return (out - expected).abs().max() <= tolerance * expected.abs().max()


def modes(model):
    return [{"scale": scale} for scale in model.scales]


@pytest.fixture(params=CASES.values(), ids=CASES)
def model(request):
    return build(request.param)


def test_every_network_is_under_contract():
    assert {case.name for case in CASES.values()} == set(list_models())


def test_declares_what_others_rely_on(model):
    assert model.scales == tuple(sorted(model.scales))
    assert model.scale == (model.scales[0] if len(model.scales) == 1 else None)
    assert isinstance(model.size_multiple, int)
    assert model.size_multiple >= 1
    assert model.receptive_radius is None or model.receptive_radius > 0


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 5), (8, 12)])
def test_output_is_exactly_scale_times_any_size(model, size):
    for mode in modes(model):
        x = pictures(model, *size)
        before = x.clone()
        assert model(x, **mode).shape == (2, model.in_channels, size[0] * mode["scale"], size[1] * mode["scale"])
        assert torch.equal(x, before)


def test_backward_reaches_the_picture_and_every_parameter_but_the_declared_ones(model):
    for mode in modes(model):
        x = pictures(model).requires_grad_()
        model.zero_grad()
        model(x, **mode).square().mean().backward()
        assert [n for n, p in model.named_parameters() if p.grad is None] == model.unused_parameters(**mode)
        used = [(name, p.grad) for name, p in model.named_parameters() if p.grad is not None]
        assert [name for name, gradient in used if not gradient.any()] == []
        assert all(torch.isfinite(gradient).all() for _, gradient in used)
        assert x.grad.any()


def test_weights_survive_a_file(model, tmp_path):
    save_weights(model, tmp_path / "model.safetensors")
    loaded = load_checkpoint(tmp_path / "model.safetensors")
    assert type(loaded) is type(model)
    assert loaded.config == model.config
    for mode in modes(model):
        assert torch.equal(loaded(pictures(model), **mode), model.eval()(pictures(model), **mode))


def test_config_builds_the_network_again(model):
    again = type(model)(**model.config)
    assert again.config == model.config
    assert {k: v.shape for k, v in again.state_dict().items()} == {k: v.shape for k, v in model.state_dict().items()}
    again.load_state_dict(model.state_dict())
    for mode in modes(model):
        assert torch.equal(again(pictures(model), **mode), model(pictures(model), **mode))


def test_state_dict_holds_every_parameter_once_and_no_constant(model):
    state = model.state_dict()
    places = [tensor.data_ptr() for tensor in state.values()]
    assert len(set(places)) == len(places)
    assert set(state) == {name for name, _ in model.named_parameters()} | statistics(model)


def test_evaluation_repeats_and_pictures_do_not_touch(model):
    model.eval()
    state = torch.get_rng_state()
    for mode in modes(model):
        x = pictures(model)
        together = model(x, **mode)
        assert torch.equal(together, model(x, **mode))
        for i in range(len(x)):
            assert close(model(x[i : i + 1], **mode), together[i : i + 1], 1e-5)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_copy_computes_the_same(model):
    twin = copy.deepcopy(model)
    for mode in modes(model):
        assert torch.equal(twin(pictures(model), **mode), model(pictures(model), **mode))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_precisions_stay_close(model, dtype):
    model.eval()
    for mode in modes(model):
        expected = model.float()(pictures(model), **mode)
        out = model.to(dtype)(pictures(model, dtype=dtype), **mode)
        assert out.dtype == dtype
        error = (out.double() - expected.double()).abs().max() / expected.abs().max()
        assert error < (0.05 if dtype == torch.bfloat16 else 1e-5)


def test_channels_last_changes_nothing_but_the_order_of_sums(model):
    model.eval()
    for mode in modes(model):
        expected = model(pictures(model), **mode)
        x = pictures(model).to(memory_format=torch.channels_last)
        assert close(model(x, **mode), expected, 1e-5)


def test_tiles_equal_the_whole(model):
    model.double().eval()
    if model.receptive_radius is None:
        pytest.skip("sees the whole picture: tiles are refused")
    x = pictures(model, 45, 39, batch=1, dtype=torch.float64)
    with torch.inference_mode():
        for mode in modes(model):
            whole, pieces = model(x, **mode), tiled(model, x, tile=11, **mode)
            assert torch.allclose(pieces, whole, rtol=0, atol=1e-12 * whole.abs().max().item())


def test_a_smaller_halo_would_not_do(model):
    """The radius is not a wild overestimate: one size multiple and a half of it less reach misses something."""
    if model.receptive_radius is None:
        pytest.skip("sees the whole picture")
    model.eval()  # in training a normalisation mixes the whole picture
    model.eval()  # statistics of the batch would see all of it
    side, multiple = 2 * model.receptive_radius + 1 + 2 * model.size_multiple, model.size_multiple
    center = side // 2 // multiple * multiple
    reach = 0
    for offset in range(multiple):
        x = torch.zeros(1, model.in_channels, side, multiple)
        x[:, :, center + offset] = float("nan")
        with torch.inference_mode():
            rows = model(x, scale=model.scales[-1]).isnan().any(dim=1)[0].any(dim=1).nonzero().flatten()
        rows = rows // model.scales[-1]
        reach = max(reach, center + offset - rows.min().item(), rows.max().item() - center - offset)
    assert model.receptive_radius - 2 * multiple < reach <= model.receptive_radius


def test_runs_on_the_meta_device(model):
    for mode in modes(model):
        out = copy.deepcopy(model).to("meta")(pictures(model).to("meta"), **mode)
        assert out.shape == (2, model.in_channels, 7 * mode["scale"], 5 * mode["scale"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_computes_on_the_gpu_what_the_cpu_computes(model):
    model.double().eval()
    for mode in modes(model):
        x = pictures(model, dtype=torch.float64)
        expected = model.cpu()(x, **mode)
        assert close(model.cuda()(x.cuda(), **mode).cpu(), expected, 1e-9)
