"""What every network of the registry promises, checked on small ones.

A new entry of the registry needs a case in ``cases.py``, with options that make it small and reach each of its modes.
"""

import copy

import pytest
import torch
from contract.cases import CASES, build, close, modes, own_means, pictures, statistics

from restorekit.inference import tiled
from restorekit.models import list_models, load_checkpoint, load_weights, save_weights


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


def test_weights_are_read_into_a_network_that_is_there(model, tmp_path):
    save_weights(model, tmp_path / "model.safetensors")
    torch.save(model.state_dict(), tmp_path / "model.pth")
    for name in ("model.safetensors", "model.pth"):
        other = copy.deepcopy(model)
        for parameter in other.parameters():
            parameter.data.fill_(0.1)
        load_weights(other, tmp_path / name)
        for mode in modes(model):
            assert torch.equal(other.eval()(pictures(model), **mode), model.eval()(pictures(model), **mode))


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
    assert set(state) == {name for name, _ in model.named_parameters()} | statistics(model) | own_means(model)


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
