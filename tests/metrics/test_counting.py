import pytest
import torch
from torch import nn

from restorekit.metrics import count_multadds, count_parameters
from restorekit.models import carn, carn_m


@pytest.mark.parametrize(
    ("factory", "parameters", "kernels", "multadds"),
    [
        (carn, 1_591_939, 1_588_608, {2: 222.82, 3: 118.79, 4: 90.87}),
        (carn_m, 414_787, 412_032, {2: 91.17, 3: 46.12, 4: 32.48}),
    ],
)
def test_published_counts(factory, parameters, kernels, multadds):
    model = factory(scale=(2, 3, 4))
    assert count_parameters(model) == parameters
    assert count_parameters(model, biases=False) == kernels
    for scale, giga in multadds.items():
        assert count_multadds(model, scale=scale) / 1e9 == pytest.approx(giga, abs=0.005)


def test_multadds_by_hand():
    model = carn_m(scale=3, channels=8, blocks=1, units=2, groups=2)
    unit = 2 * (8 * 4 * 9) + 8 * 8
    fusions = 16 * 8 + 24 * 8 + 16 * 8  # two in the block, one over the blocks
    at_lr = 3 * 8 * 9 + 2 * unit + fusions + 72 * 4 * 9
    assert count_multadds(model, hr_size=(30, 60)) == at_lr * 200 + 8 * 3 * 9 * 1800


def test_the_size_need_not_be_a_multiple_of_the_scale():
    model = carn(scale=3, channels=8)
    assert count_multadds(model, hr_size=(1, 1)) * 720 * 1280 == pytest.approx(count_multadds(model), rel=1e-12)


def test_an_enlarged_input_costs_no_more_than_its_fold_beyond_the_entry():
    head, lr = carn(scale=4, head="desubpixel"), carn(scale=4)
    entry = (48 - 3) * 64 * 9 * 180 * 320
    assert count_multadds(head) == pytest.approx(count_multadds(lr) + entry, rel=1e-12)


def test_a_shared_layer_counts_once_and_is_charged_every_time():
    shared, distinct = (carn(scale=2, channels=8, recursive=recursive) for recursive in (True, False))
    assert count_parameters(shared) < count_parameters(distinct)
    assert count_multadds(shared) == count_multadds(distinct)


def test_frozen_parameters_count_and_buffers_do_not():
    layer = nn.Sequential(nn.Linear(3, 4).requires_grad_(False), nn.BatchNorm1d(4))
    assert count_parameters(layer) == 12 + 4 + 8


def test_counting_leaves_the_network_alone():
    model = carn(scale=2, channels=8)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    count_multadds(model)
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.device.type == "cpu" for parameter in model.parameters())


def test_errors():
    with pytest.raises(TypeError, match="Linear"):
        count_multadds(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="scale"):
        count_multadds(carn(scale=(2, 4), channels=8))
    with pytest.raises(ValueError, match="at least 1"):
        count_multadds(carn(scale=2, channels=8), hr_size=(0, 5))
    with pytest.raises(ValueError, match="height, width"):
        count_multadds(carn(scale=2, channels=8), hr_size=(5,))
