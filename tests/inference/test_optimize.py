import copy
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from restorekit.evaluation import evaluate
from restorekit.image import write_image
from restorekit.inference import (
    _optimized,
    _running,
    optimize,
    restore,
    restore_file,
    restore_folder,
    self_ensemble,
    tiled,
)
from restorekit.inference._rewrites.pipeline import rewritten
from restorekit.models import Restorer, carn, carn_m, load_weights, save_weights, srresnet


def network(scale=2, build=carn_m, **options):
    torch.manual_seed(0)
    return build(scale, **{"channels": 8, "blocks": 1, "units": 1, **options}).eval()


def picture(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def plain(model, x, **options):
    with torch.no_grad():
        return model(x, **options)


# What comes out


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_pictures_of_any_floating_type(dtype):
    net, x = network(), picture(2, 3, 7, 9).to(dtype)
    out = optimize(net)(x)
    assert out.dtype == dtype
    tolerance = {torch.bfloat16: 2**-7, torch.float16: 2**-10}.get(dtype, 1e-5)
    assert torch.allclose(out.double(), plain(net, x.float()).double(), rtol=0, atol=tolerance)


@pytest.mark.parametrize("own", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_any_network_computes_in_any_type(own, dtype):
    net, x = network().to(own), picture(1, 3, 7, 9)
    fast = optimize(net, dtype=dtype)
    assert fast.dtype == dtype
    assert fast.picture_dtype == torch.promote_types(own, dtype)
    expected = plain(copy.deepcopy(net).double(), x.double())
    error = (fast(x).double() - expected).abs().max()
    assert error < (1e-5 if {own, dtype} <= {torch.float32, torch.float64} else 0.05)
    assert {p.dtype for p in net.parameters()} == {own}


def test_declares_what_the_network_declares():
    net = network((2, 3), build=carn)
    fast = optimize(net)
    assert isinstance(fast, Restorer)
    assert (fast.scales, fast.scale, fast.size_multiple, fast.in_channels) == ((2, 3), None, 1, 3)
    assert fast.receptive_radius == net.receptive_radius
    assert fast.config == net.config
    assert fast.trace(3).multadds_per_pixel == net.trace(3).multadds_per_pixel
    assert not any(p.requires_grad for p in fast.parameters())
    with pytest.raises(ValueError, match="scale must be one of the network's scales"):
        fast(picture(1, 3, 4, 4), scale=4)
    with pytest.raises(ValueError, match="scale must be one of the network's scales"):
        fast(picture(1, 3, 4, 4))


def test_stays_in_evaluation():
    net = srresnet(2, channels=8, blocks=1)
    fast, x = optimize(net), picture(2, 3, 6, 5)
    expected = fast(x)
    fast.train()
    assert not any(layer.training for layer in fast.modules())
    assert torch.equal(fast(x), expected)
    assert net.training


@pytest.mark.parametrize("inside", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_is_made_and_used_in_any_mode_of_gradients(inside):
    net, x = network(), picture(1, 3, 6, 5)
    with inside():
        made = optimize(net)
    with inside():
        assert torch.equal(made(x), optimize(net)(x))
    assert torch.equal(copy.deepcopy(made).to(torch.float32)(x), made(x))
    assert not made(x.requires_grad_()).requires_grad


def test_many_threads():
    nets = [network(scale) for scale in (2, 3, 4, 2)]
    x = picture(1, 3, 12, 10)
    expected = [plain(net, x) for net in nets]
    with ThreadPoolExecutor(8) as pool:
        fast = list(pool.map(optimize, nets * 4))
        outs = list(pool.map(lambda net: net(x), fast * 2))
    assert all(torch.allclose(out, expected[i % 4], rtol=0, atol=1e-5) for i, out in enumerate(outs))
    with ThreadPoolExecutor(8) as pool:
        shared = list(pool.map(fast[0], [picture(1, 3, 9 + i % 5, 8, seed=i) for i in range(20)]))
    assert all(torch.equal(out, fast[0](picture(1, 3, 9 + i % 5, 8, seed=i))) for i, out in enumerate(shared))


def test_a_broken_pixel_of_one_thread_does_not_slow_or_change_another():
    fast, x = optimize(network()), picture(1, 3, 12, 10)
    broken, expected = x.clone(), fast(x)
    broken[0, 0, 0, 0] = torch.nan
    with ThreadPoolExecutor(4) as pool:
        outs = list(pool.map(fast, [x, broken] * 8))
    assert all(torch.equal(out, expected) for out in outs[::2])
    assert all(out.isnan().any() for out in outs[1::2])


class Odd(Restorer):
    """Pads by mirroring, refuses pictures of one row, and looks at what it sees."""

    receptive_radius = 1

    def __init__(self):
        super().__init__([1], size_multiple=4, in_channels=3, config={})
        self.entry = nn.Conv2d(3, 3, 3, padding=1)

    def check_input(self, x):
        super().check_input(x)
        if x.shape[2] == 1:
            raise ValueError("one row is too few")

    def pad(self, x):
        return nn.functional.pad(x, (0, -x.shape[-1] % 4, 0, -x.shape[-2] % 4), mode="reflect")

    def crop(self, out, x, scale=1):
        return super().crop(out, x, scale) * 1

    def forward(self, x, scale=None):
        self.check_input(x)
        return self.crop(self.entry(self.pad(x)), x, scale=self.pick_scale(scale))


class Branching(Odd):
    def forward(self, x, scale=None):
        return super().forward(x, scale) if x.mean() < 10 else x


@pytest.mark.parametrize("kind", [Odd, Branching])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_networks_of_others(kind, dtype):
    torch.manual_seed(0)
    net, x = kind().eval(), picture(1, 3, 6, 7)
    fast = optimize(net, dtype=dtype)
    assert torch.allclose(fast(x), plain(net, x), rtol=0, atol=1e-5 if dtype == torch.float32 else 0.03)
    with pytest.raises(ValueError, match="one row is too few"):
        fast(x[:, :, :1])


# What is refused


def test_refuses_what_it_cannot_make():
    with pytest.raises(TypeError, match="model must be a network"):
        optimize(nn.Conv2d(3, 3, 3))
    with pytest.raises(TypeError, match="model is rewritten already"):
        optimize(optimize(network()))
    for dtype in (torch.int8, torch.float8_e4m3fn, "bfloat16", torch.complex64):
        with pytest.raises(TypeError, match="dtype must be a floating-point type"):
            optimize(network(), dtype=dtype)
    with pytest.raises(ValueError, match="backend must be one of torch, onnxruntime, openvino"):
        optimize(network(), backend="tensorrt")
    with pytest.raises(ValueError, match="compile=True is for the backend 'torch'"):
        optimize(network(), backend="onnxruntime", compile=True)
    with pytest.raises(ValueError, match="takes networks in float32 on the CPU"):
        optimize(network().double(), backend="openvino")


def test_refuses_wrong_pictures():
    fast = optimize(network())
    with pytest.raises(TypeError, match="floating-point"):
        fast(torch.zeros(1, 3, 4, 4, dtype=torch.uint8))
    with pytest.raises(ValueError, match="must have 3 channels"):
        fast(torch.zeros(1, 1, 4, 4))
    with pytest.raises(ValueError, match="4 dimensions"):
        fast(torch.zeros(3, 4, 4))


@pytest.mark.parametrize("register", ["register_forward_hook", "register_forward_pre_hook"])
def test_hooks_are_refused_and_run_by_restore(register):
    net, calls = network(), []
    getattr(net.entry, register)(lambda *arguments: calls.append(arguments))
    with pytest.raises(ValueError, match="forward hooks"):
        optimize(net)
    calls.clear()
    restore(net, picture(3, 200, 200))
    assert calls


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_broken_weights_and_statistics_are_refused_and_show_in_restore(value):
    net = network()
    with torch.no_grad():
        net.entry.weight[0, 0, 0, 0] = value
    with pytest.raises(ValueError, match=r"the weight entry\.weight of model is not finite"):
        optimize(net)
    assert not restore(net, picture(3, 200, 200)).isfinite().any()
    net = srresnet(2, channels=8, blocks=1).eval()
    name, statistic = next((name, b) for name, b in net.named_buffers() if name.endswith("running_mean"))
    statistic.fill_(value)
    with pytest.raises(ValueError, match=f"the weight {name} of model is not finite"):
        optimize(net)


# Together with the other calls


@pytest.fixture
def pair():
    net = network()
    return net, optimize(net)


def test_restore_takes_it(pair):
    net, fast = pair
    array = (picture(30, 40, 3).numpy() * 255).astype(np.uint8)
    expected = restore(net, array).astype(int)
    for options in ({}, {"tile": 16}, {"self_ensemble": True}, {"device": "cpu", "dtype": torch.float32}):
        wanted = restore(net, array, self_ensemble=True).astype(int) if "self_ensemble" in options else expected
        assert np.abs(restore(fast, array, **options) - wanted).max() <= 1
    with pytest.raises(ValueError, match=r"model was optimized for cpu and torch\.float32"):
        restore(fast, array, dtype=torch.bfloat16)
    with pytest.raises(ValueError, match="model was optimized for cpu"):
        restore(fast, array, device="cuda")


def test_restore_file_and_folder_take_it(pair, tmp_path):
    net, fast = pair
    (tmp_path / "in").mkdir()
    array = (picture(30, 40, 3).numpy() * 255).astype(np.uint8)
    write_image(tmp_path / "in" / "a.png", array)
    expected = np.asarray(restore(net, Image.fromarray(array))).astype(int)
    restore_file(fast, tmp_path / "in" / "a.png", tmp_path / "b.png")
    restore_folder(fast, tmp_path / "in", tmp_path / "out", progress=False)
    for path in (tmp_path / "b.png", tmp_path / "out" / "a.png"):
        assert np.abs(np.asarray(Image.open(path)).astype(int) - expected).max() <= 1
    for call in (restore_file, restore_folder):
        source = tmp_path / "in" if call is restore_folder else tmp_path / "in" / "a.png"
        with pytest.raises(ValueError, match="model was optimized for"):
            call(fast, source, tmp_path / "c.png", dtype=torch.float64)


def test_tiles_and_the_ensemble_take_it(pair):
    net, fast = pair
    x = picture(1, 3, 40, 45)
    assert torch.allclose(tiled(fast, x, tile=16), plain(net, x), rtol=0, atol=1e-5)
    assert torch.allclose(self_ensemble(fast, x), plain(lambda x: self_ensemble(net, x), x), rtol=0, atol=1e-5)


def test_its_weights_are_not_those_of_a_file(pair, tmp_path):
    net, fast = pair
    with pytest.raises(TypeError, match="save or load the network that it was made from"):
        save_weights(fast, tmp_path / "a.safetensors")
    save_weights(net, tmp_path / "a.safetensors")
    with pytest.raises(TypeError, match="save or load the network that it was made from"):
        load_weights(fast, tmp_path / "a.safetensors")


# What restore makes of it by itself


@pytest.fixture
def made(monkeypatch):
    """The arguments of each rewriting."""
    calls = []

    def recorded(model, scale, dtype, *, cast):
        calls.append((scale, dtype))
        return rewritten(model, scale, dtype, cast=cast)

    monkeypatch.setattr(_optimized, "rewritten", recorded)
    monkeypatch.setattr(_running, "_REWRITING", 10**5)  # the networks here are small, so their rewriting is work
    return calls


def test_restore_rewrites_for_a_large_picture_and_not_for_a_small_one(made):
    net = network((2, 3), build=carn)
    restore(net, picture(3, 8, 8), scale=3)
    assert made == []
    out = restore(net, x := picture(3, 90, 90), scale=3)
    assert made == [(3, torch.float32)]
    assert torch.allclose(out, plain(net, x[None], scale=3)[0], atol=1e-5)


def test_restore_follows_the_weights(made):
    net, x = network(), picture(3, 90, 90)
    first = restore(net, x)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.data.mul_(0.5)
    assert len(made) == 1
    assert not torch.allclose(restore(net, x), first)


def test_narrow_features_leave_pictures_wide(made):
    net, x = network(), picture(3, 8, 8)
    with torch.no_grad():
        net.exit.weight.zero_()
        net.exit.bias.zero_()
    assert len(made) == 0
    mean = plain(net, x[None])[0]
    assert torch.equal(restore(net, x, dtype=torch.bfloat16), mean)
    assert len(made) == 1


def test_evaluate_rewrites_once(made, tmp_path):
    for name in ("a", "b"):
        write_image(tmp_path / f"{name}.png", (picture(24, 24, 3).numpy() * 255).astype(np.uint8))
    net = network()
    first = evaluate(net, tmp_path, scale=2)
    assert made == [(2, torch.float32)]
    second = evaluate(optimize(net), tmp_path, scale=2)
    assert second.psnr == pytest.approx(first.psnr, abs=1e-4)
