import math

import pytest
import torch
from torch import nn

from restorekit.layers import INITIALIZERS, Chain, initialize

# Thesis, Table 2.3: distribution, gain in front of the root, number under the root over the fan-in F.
TABLE = {
    "he-normal-0.1": ("normal", 0.1, 2),
    "he-uniform-0.1": ("uniform", 0.1, 6),
    "uniform-0.1": ("uniform", 0.1, 1),
    "he-normal": ("normal", 1.0, 2),
    "he-uniform": ("uniform", 1.0, 6),
    "uniform": ("uniform", 1.0, 1),
}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_names_are_the_rows_of_the_table():
    assert set(INITIALIZERS) == set(TABLE)


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("name", TABLE)
def test_draws_what_the_table_says(name, groups):
    distribution, gain, number = TABLE[name]
    layer = nn.Conv2d(64, 128, 3, groups=groups)
    initialize(layer, name, generator=seeded())
    spread = gain * math.sqrt(number / (64 / groups * 3 * 3))
    weights = layer.weight.detach().double().flatten()
    count = len(weights)
    assert count >= 18_432
    assert abs(weights.mean().item()) < 5 * spread / math.sqrt(count)
    if distribution == "uniform":
        assert weights.abs().max() <= spread * (1 + 1e-6)
        assert weights.abs().max() > 0.999 * spread
        assert weights.std().item() == pytest.approx(spread / math.sqrt(3), rel=0.02)
        assert (weights.abs() < spread / 2).double().mean().item() == pytest.approx(0.5, abs=0.02)
    else:
        assert weights.std().item() == pytest.approx(spread, rel=0.02)
        assert (weights.abs() < spread).double().mean().item() == pytest.approx(math.erf(math.sqrt(0.5)), abs=0.02)
    assert not layer.bias.any()


def test_default_is_the_best_row():
    first, second = nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3)
    initialize(first, generator=seeded())
    initialize(second, "uniform", generator=seeded())
    assert torch.equal(first.weight, second.weight)


def test_same_generator_same_weights():
    nets = [nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 1, bias=False)) for _ in range(3)]
    for net, seed in zip(nets, (5, 5, 6), strict=True):
        initialize(net, "he-normal", generator=seeded(seed))
    assert all(torch.equal(a, b) for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True))
    assert not torch.equal(nets[0][0].weight, nets[2][0].weight)


def test_generator_spares_the_global_state():
    state = torch.get_rng_state()
    initialize(nn.utils.skip_init(nn.Conv2d, 2, 2, 3), generator=seeded())
    assert torch.equal(torch.get_rng_state(), state)


def test_a_shared_layer_is_drawn_once():
    block = nn.Conv2d(2, 2, 3)
    last = nn.Conv2d(2, 2, 3)
    initialize(nn.Sequential(Chain([block, block, block]), last), generator=seeded())
    plain = nn.Sequential(nn.Conv2d(2, 2, 3), nn.Conv2d(2, 2, 3))
    initialize(plain, generator=seeded())
    assert torch.equal(last.weight, plain[1].weight)


def test_other_layers_keep_their_weights():
    net = nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2), nn.Linear(2, 2))
    linear = net[2].weight.detach().clone()
    initialize(net, generator=seeded())
    assert torch.equal(net[2].weight, linear)
    assert torch.equal(net[1].weight, torch.ones(2))


def test_generator_may_live_elsewhere_than_the_weights():
    """One CPU generator must give one result wherever the network lives; the meta device stands for any other."""
    with torch.device("meta"):
        elsewhere = nn.Conv2d(2, 3, 3)
    first, second = seeded(), seeded()
    initialize(elsewhere, generator=first)
    initialize(nn.utils.skip_init(nn.Conv2d, 2, 3, 3), generator=second)
    assert torch.equal(first.get_state(), second.get_state())
    assert not torch.equal(first.get_state(), seeded().get_state())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cpu_generator_fills_a_network_on_the_gpu():
    here, there = nn.Conv2d(2, 3, 3), nn.Conv2d(2, 3, 3, device="cuda")
    for layer in (here, there):
        initialize(layer, generator=seeded())
    assert torch.equal(here.weight, there.weight.cpu())


@pytest.mark.parametrize("name", ["xavier", "", None, ["uniform"]])
def test_refuses_unknown_names_and_lists_the_known(name):
    with pytest.raises(ValueError, match=r"init must be one of uniform, uniform-0\.1, he-uniform, .*got"):
        initialize(nn.Conv2d(1, 1, 1), name)


def test_refuses_what_is_no_generator():
    with pytest.raises(TypeError, match=r"generator must be a torch\.Generator or None, got int"):
        initialize(nn.Conv2d(1, 1, 1), generator=3)
