import gc
import importlib

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from rewriting import Pooling
from torch import nn

from restorekit.inference import _running, optimize, restore, tiled
from restorekit.models import carn, carn_m, rnan, srresnet

module = importlib.import_module("restorekit.inference.tiled")
restoring = importlib.import_module("restorekit.inference.restore")

SMALL = {"channels": 8, "blocks": 2, "units": 1}


def network(build=carn_m, scale=2, seed=0, **options):
    torch.manual_seed(seed)
    return build(scale, **{**SMALL, **options})


def noise(*shape, dtype=torch.float32, seed=0):
    return torch.rand(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def whole(net, x, scale=None):
    with torch.no_grad():
        return net.eval()(x, scale=scale)


def difference(a, b):
    assert a.shape == b.shape
    return (a - b).abs().max().item()


@pytest.mark.parametrize("build", [carn, carn_m])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_equals_whole_on_odd_sizes(build, scale):
    net, x = network(build, (2, 3, 4)), noise(2, 3, 57, 43)
    expected = whole(net, x, scale)
    assert difference(expected, whole(net, x.flip(-1), scale)) > 1e-3
    for tile in (13, 32):
        assert difference(tiled(net, x, tile=tile, scale=scale), expected) < 1e-6
        assert difference(restore(net, x, tile=tile, scale=scale), expected) < 1e-6


@pytest.mark.parametrize("build", [carn, carn_m])
def test_published_networks_in_full_width_equal_whole(build):
    torch.manual_seed(0)
    net, x = build((2, 3, 4)), noise(1, 3, 65, 51)
    for scale in (2, 3, 4):
        assert difference(tiled(net, x, tile=33, scale=scale), whole(net, x, scale)) < 1e-6


@settings(max_examples=40)
@given(st.integers(1, 33), st.integers(1, 33), st.integers(1, 40), st.sampled_from([2, 3, 4]))
def test_equals_whole_at_any_size_to_rounding(height, width, tile, scale):
    net, x = network(scale=(2, 3, 4), blocks=1).double(), noise(1, 3, height, width, dtype=torch.float64)
    assert difference(tiled(net, x, tile=tile, scale=scale), whole(net, x, scale)) < 1e-12


@settings(max_examples=40)
@given(st.integers(1, 33), st.integers(1, 33), st.integers(1, 40), st.sampled_from([2, 3, 4]))
def test_desubpixel_head_equals_whole_at_any_size(height, width, tile, scale):
    net, x = network(scale=scale, head="desubpixel", blocks=1).double(), noise(1, 3, height, width, dtype=torch.float64)
    expected = whole(net, x)
    assert expected.shape == x.shape
    assert difference(tiled(net, x, tile=tile), expected) < 1e-12
    assert difference(restore(net, x, tile=tile), expected) < 1e-12


def test_a_halo_one_pixel_short_would_show(monkeypatch):
    net, x = network(carn, blocks=1), noise(1, 3, 30, 30)
    for parameter in net.parameters():  # all positive, so that nothing dies on the way from the rim of the field
        parameter.data = parameter.data.abs()
    net.double()
    x = x.double()
    expected = whole(net, x)
    assert difference(tiled(net, x, tile=9), expected) < 1e-9 * expected.abs().max()
    radius = net.receptive_radius
    monkeypatch.setattr(type(net), "receptive_radius", radius - 1)
    assert difference(tiled(net, x, tile=9), expected) > 1e-9 * expected.abs().max()


@pytest.mark.parametrize("tile", [1, 2, 7, 19, 1000])
def test_every_picture_of_a_batch(tile):
    net, x = network(), noise(3, 3, 7, 19)
    assert difference(tiled(net, x, tile=tile), whole(net, x)) < 1e-6


@pytest.mark.parametrize("size", [(5, 7), (1, 9), (6, 8)])
def test_a_small_picture_runs_whole_whatever_the_network_pads_to(size):
    net, x = network(scale=4, head="desubpixel"), noise(1, 3, *size)
    assert difference(tiled(net, x, tile="auto"), whole(net, x)) == 0


def test_small_pictures_run_together_as_far_as_memory_goes(monkeypatch):
    net, x = network(), noise(7, 3, 6, 5)
    one_by_one = torch.cat([whole(net, picture[None]) for picture in x])
    seen = Counting(net)
    for size, batches in ((1, [1] * 7), (3.5, [3, 3, 1]), (100, [7])):
        monkeypatch.setattr(module, "BATCH_MEMORY", int(size * 30 * module.memory_per_pixel(net, 2)))
        for call in (tiled, restore):
            seen.sizes.clear()
            assert difference(call(net, x, tile=6), one_by_one) < 1e-6
            assert [count for count, *_ in seen.sizes] == batches
    seen.sizes.clear()
    assert difference(tiled(net, x, tile=5), one_by_one) < 1e-6
    assert {count for count, *_ in seen.sizes} == {1}


def test_pictures_that_would_see_each_other_run_one_by_one():
    net, x = network(), noise(2, 3, 6, 5)
    net.extra = nn.BatchNorm2d(3, track_running_stats=False)
    net.register_forward_hook(lambda net, arguments, out: net.extra(out))
    one_by_one = torch.cat([whole(net, picture[None]) for picture in x])
    assert difference(whole(net, x), one_by_one) > 1e-3
    assert difference(restore(net, x), one_by_one) < 1e-4  # of numbers divided by a small deviation
    assert module.together(rnan(channels=4, blocks=1), 1, 6, 5, None) == 1  # attends in windows by itself
    net = network()
    net.extra = nn.BatchNorm2d(3)  # its statistics are fixed
    seen = Counting(net)
    restore(net, x)
    assert [count for count, *_ in seen.sizes] == [2]


def test_one_pixel():
    net, x = network(), noise(2, 3, 1, 1)
    for tile in (1, 5, "auto"):
        assert difference(tiled(net, x, tile=tile), whole(net, x)) < 1e-6


class Counting:
    """Shapes that the network ran on; dry runs on the meta device are not counted."""

    def __init__(self, net):
        self.sizes = []
        net.register_forward_pre_hook(self)

    def __call__(self, net, arguments):
        if arguments[0].device.type != "meta":
            self.sizes.append(tuple(arguments[0].shape))


def test_tiles_have_a_halo_of_the_receptive_radius_and_no_more():
    net = network(blocks=1)
    seen, radius = Counting(net), net.receptive_radius
    tiled(net, noise(2, 3, 100, 60), tile=50)
    side = 50 + radius
    assert seen.sizes == [(1, 3, side, 30 + radius)] * 8
    assert radius < 10


def test_tiles_are_even():
    net = network(blocks=1)
    seen = Counting(net)
    tiled(net, noise(1, 3, 1, 41), tile=40)
    assert [width for *_, width in seen.sizes] == [21 + net.receptive_radius, 20 + net.receptive_radius]


def test_automatic_tiles_follow_the_budget(monkeypatch):
    net, x = network(blocks=1), noise(1, 3, 70, 50)
    expected = whole(net, x)
    seen = Counting(net)
    assert difference(tiled(net, x), expected) < 1e-6
    assert seen.sizes == [(1, 3, 70, 50)]
    side = 40
    monkeypatch.setattr(module, "TILE_MEMORY", side**2 * module.memory_per_pixel(net, 2))
    seen.sizes.clear()
    assert difference(tiled(net, x), expected) < 1e-6
    assert len(seen.sizes) > 1
    assert all(height <= side and width <= side for *_, height, width in seen.sizes)
    monkeypatch.setattr(module, "TILE_MEMORY", 1)
    seen.sizes.clear()
    assert difference(tiled(net, x), expected) < 1e-6
    assert all(height <= 8 + 2 * net.receptive_radius for *_, height, width in seen.sizes)


@pytest.fixture
def fast(monkeypatch):
    """A rewritten network whose tensors are mapped afresh above a picture of 40 x 40."""
    net = optimize(network(blocks=1))
    for where in (module, restoring):
        monkeypatch.setattr(where, "MAPPED_BYTES", 40**2 * net.widest_bytes(2))
    monkeypatch.setattr(module, "_WORTH", 2.5)
    assert (40 / (40 - 2 * net.receptive_radius)) ** 2 < 2.5
    return net


@pytest.mark.parametrize("size", [(40, 40), (16, 100)])
def test_a_picture_whose_tensors_are_not_mapped_runs_in_one_piece(fast, size):
    assert module.quickest_tile(fast, noise(1, 3, *size), 2, 2**30) is None


def test_tiles_stay_below_the_size_that_is_mapped_and_change_nothing(fast):
    x, side = noise(1, 3, 41, 70), 40 - 2 * fast.receptive_radius
    assert module.quickest_tile(fast, x, 2, 2**30) == side
    expected = whole(fast, x)
    seen = Counting(fast)
    assert difference(restore(fast, x), expected) < 1e-6
    assert len(seen.sizes) > 1
    assert all(height <= 40 and width <= 40 for *_, height, width in seen.sizes)


def test_tiles_whose_halo_costs_more_than_they_bring_are_left_alone(fast, monkeypatch):
    x = noise(1, 3, 100, 100)
    monkeypatch.setattr(module, "_WORTH", (40 / (40 - 2 * fast.receptive_radius)) ** 2 - 0.01)
    memory = 100**2 * module.memory_per_pixel(fast, 2)
    assert module.quickest_tile(fast, x, 2, memory) is None
    monkeypatch.setattr(module, "TILE_MEMORY", memory / 4)
    assert module.quickest_tile(fast, x, 2, memory - 1) == 50 - 2 * fast.receptive_radius
    monkeypatch.setattr(module, "MAPPED_BYTES", 1)  # less than one pixel
    assert module.quickest_tile(fast, x, 2, memory) is None


def test_tiles_of_a_network_that_is_not_rewritten_follow_the_memory_alone(monkeypatch):
    net, x = network(blocks=1), noise(1, 3, 100, 100)
    memory = 100**2 * module.memory_per_pixel(net, 2)
    monkeypatch.setattr(module, "MAPPED_BYTES", memory / 100)
    assert module.quickest_tile(net, x, 2, memory) is None
    monkeypatch.setattr(module, "TILE_MEMORY", memory / 4)
    assert module.quickest_tile(net, x, 2, memory - 1) == 50 - 2 * net.receptive_radius


def test_automatic_tiles_are_not_mapped_either_where_that_is_worth_it(fast, monkeypatch):
    side, budget = 40 - 2 * fast.receptive_radius, module.memory_per_pixel(fast, 2)
    assert module.automatic_tile(fast, 2, 90**2 * budget) == side
    assert module.automatic_tile(fast, 2, 30**2 * budget) == 30 - 2 * fast.receptive_radius
    monkeypatch.setattr(module, "_WORTH", 1)
    assert module.automatic_tile(fast, 2, 90**2 * budget) == 90 - 2 * fast.receptive_radius


def test_memory_is_counted_in_the_networks_dtype():
    net = network()
    single = module.memory_per_pixel(net, 2)
    # At the least the last features, 8 channels at twice the size, before and after the shuffle.
    assert single >= 2 * 8 * 4 * 4
    assert module.memory_per_pixel(net.double(), 2) == 2 * single
    assert module.memory_per_pixel(network(scale=4), 4) > 2 * single


def test_a_rewritten_network_never_holds_the_features_that_it_widens_to_enlarge():
    net = optimize(srresnet(scale=3, channels=32, blocks=1))
    widened = 4 * 32 * 3**2
    assert net.widest_bytes(3) < module.memory_per_pixel(net, 3) < widened


def test_memory_is_counted_once_and_forgotten_with_the_network():
    net, runs = network(), []
    net.register_forward_pre_hook(lambda net, arguments: runs.append(net))
    for _ in range(3):
        module.memory_per_pixel(net, 2)
    assert len(runs) == 1
    gc.collect()
    known = len(_running._dry_runs)
    runs.clear()
    del net
    gc.collect()
    assert len(_running._dry_runs) == known - 1


def test_a_network_that_sees_everything_is_refused_with_tiles_and_runs_whole():
    net, x = Pooling(), noise(1, 3, 6, 5)
    with pytest.raises(ValueError, match=r"Pooling sees the whole picture.*restore\(model, image, tile="):
        tiled(net, x, tile=3)
    expected = whole(net, x)
    assert difference(tiled(net, x, tile="auto"), expected) < 1e-6
    assert difference(restore(net, x), expected) < 1e-6
    assert difference(restore(net, x, tile="auto"), expected) < 1e-6


def test_a_number_tiles_a_network_that_sees_everything_with_the_stated_halo():
    """Each tile is what the network makes of it and its surroundings alone, so the result differs from the whole."""
    net, x, halo = Pooling(), noise(1, 3, 7, 100), restoring.GLOBAL_HALO
    seen = Counting(net)
    out = restore(net, x, tile=50)
    assert seen.sizes == [(1, 3, 7, 50 + halo)] * 2
    assert difference(out[..., :100], whole(net, x[..., : 50 + halo])[..., :100]) < 1e-6
    assert difference(out[..., 100:], whole(net, x[..., 50 - halo :])[..., 2 * halo :]) < 1e-6
    assert difference(out, whole(net, x)) > 1e-3


def test_a_network_that_sees_everything_asks_before_it_takes_more_memory_than_the_budget(monkeypatch):
    net, x = Pooling(), noise(1, 3, 6, 5)
    monkeypatch.setattr(module, "TILE_MEMORY", 1)
    monkeypatch.setattr(restoring, "WHOLE_MEMORY", 1)
    with pytest.raises(ValueError, match=r"Pooling sees the whole picture, which takes about 0 GiB.*tile=512.*tile=6 "):
        restore(net, x)
    assert difference(restore(net, x, tile=6), whole(net, x)) < 1e-6
    assert difference(tiled(net, x), whole(net, x)) < 1e-6


def test_a_network_that_takes_parts_by_itself_is_left_to_it(monkeypatch):
    monkeypatch.setattr(restoring, "WHOLE_MEMORY", 1)
    net, x = rnan(channels=4, blocks=1), noise(1, 3, 6, 5)
    assert difference(restore(net, x), whole(net, x)) < 1e-6


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_result_has_the_dtype_of_the_picture(dtype):
    net, x = network(), noise(1, 3, 9, 8).to(dtype)
    out = tiled(net, x, tile=4)
    assert out.dtype == dtype
    assert difference(out.float(), whole(net, x.float())) < (1e-6 if dtype in {torch.float32, torch.float64} else 1e-2)


def test_layout_of_the_picture_does_not_matter():
    net, x = network(), noise(2, 3, 12, 10)
    expected = whole(net, x)
    for same in (x.contiguous(memory_format=torch.channels_last), x.mT.contiguous().mT):
        assert difference(tiled(net, same, tile=5), expected) < 1e-6
    assert tiled(net, x.contiguous(memory_format=torch.channels_last), tile=5).is_contiguous()


def test_no_graph_and_nothing_changed():
    net, x = network().train(), noise(1, 3, 9, 8).requires_grad_()
    before = x.detach().clone()
    out = tiled(net, x, tile=4)
    assert not out.requires_grad
    assert net.training
    assert all(parameter.grad is None for parameter in net.parameters())
    assert torch.equal(x, before)


def test_bar_only_when_asked(capsys):
    net, x = network(), noise(1, 3, 9, 8)
    tiled(net, x, tile=4)
    assert capsys.readouterr() == ("", "")
    tiled(net, x, tile=4, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "6/6" in err


@pytest.mark.parametrize("tile", [0, -1, "big", ""])
def test_wrong_tile(tile):
    for call in (tiled, restore):
        with pytest.raises(ValueError, match="tile must be"):
            call(network(), noise(1, 3, 4, 4), tile=tile)


@pytest.mark.parametrize("tile", [1.5, True, float("nan"), (4, 4), [4]])
def test_tile_must_be_an_integer(tile):
    for call in (tiled, restore):
        with pytest.raises(TypeError, match="tile must be an integer"):
            call(network(), noise(1, 3, 4, 4), tile=tile)


def test_tiled_needs_a_tile():
    with pytest.raises(TypeError, match="tile must be an integer"):
        tiled(network(), noise(1, 3, 4, 4), tile=None)


@pytest.mark.parametrize("scale", [0, 4, 2.5, "2"])
def test_unknown_scale(scale):
    with pytest.raises(ValueError, match=r"scales \(2, 3\)"):
        tiled(network(scale=(2, 3)), noise(1, 3, 4, 4), scale=scale)


def test_several_scales_need_a_choice():
    with pytest.raises(ValueError, match=r"scales \(2, 3\)"):
        tiled(network(scale=(2, 3)), noise(1, 3, 4, 4))


@pytest.mark.parametrize(
    ("x", "error"),
    [
        (noise(3, 4, 4), ValueError),
        (noise(1, 1, 4, 4), ValueError),
        (noise(1, 3, 0, 4), ValueError),
        (noise(1, 3, 4, 4).byte(), TypeError),
        (noise(1, 3, 4, 4).numpy(), TypeError),
    ],
)
def test_pictures_must_be_a_float_batch(x, error):
    with pytest.raises(error, match="x must"):
        tiled(network(), x)


@pytest.mark.parametrize("model", [None, "carn", nn.Conv2d(3, 3, 3), lambda x: x])
def test_model_must_be_a_restorer(model):
    with pytest.raises(TypeError, match="model must be a network of restorekit"):
        tiled(model, noise(1, 3, 4, 4))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_pictures_and_result_stay_on_the_cpu():
    net, x = network(), noise(1, 3, 40, 30)
    expected = whole(net, x)
    out = tiled(net.cuda(), x, tile=16)
    assert out.device.type == "cpu"
    assert difference(out, expected) < 1e-4
