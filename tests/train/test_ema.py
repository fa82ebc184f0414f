"""The averaged model against the closed form of its recursion."""

import pickle

import pytest
import torch

from restorekit.train import Ema


def _model():
    return torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))


@pytest.mark.parametrize("decay", [0.0, 0.3, 0.99, 1.0])
def test_the_average_is_the_geometric_sum(decay):
    model, generator = _model(), torch.Generator().manual_seed(0)
    history = [model[0].weight.detach().clone()]
    ema = Ema(model, decay)
    for _ in range(6):
        with torch.no_grad():
            model[0].weight.copy_(torch.randn(2, 1, 3, 3, generator=generator))
        history.append(model[0].weight.detach().clone())
        ema.update(model)
    steps = len(history) - 1
    closed = decay**steps * history[0]
    for i, weight in enumerate(history[1:], start=1):
        closed = closed + (1 - decay) * decay ** (steps - i) * weight
    torch.testing.assert_close(ema.model[0].weight, closed)


def test_buffers_are_copied():
    model = _model()
    ema = Ema(model, 0.9)
    model(torch.rand(4, 1, 8, 8))
    ema.update(model)
    assert int(ema.model[1].num_batches_tracked) == 1
    assert torch.equal(ema.model[1].running_mean, model[1].running_mean)
    assert not torch.equal(ema.model[1].running_mean, torch.zeros(2))


def test_the_trained_model_is_left_alone():
    model = _model().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    ema = Ema(model, 0.5)
    ema.update(model)
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_average_takes_no_gradient_and_evaluates():
    ema = Ema(_model(), 0.5)
    assert not any(module.training for module in ema.model.modules())
    assert not any(parameter.requires_grad for parameter in ema.model.parameters())


def test_a_shared_block_stays_shared():
    block = torch.nn.Conv2d(1, 1, 1)
    ema = Ema(torch.nn.ModuleList([block, block]), 0.5)
    assert ema.model[0] is ema.model[1]


@pytest.mark.parametrize("decay", [-0.1, 1.5, float("nan")])
def test_a_decay_outside_0_1_is_refused(decay):
    with pytest.raises(ValueError, match="decay must be in"):
        Ema(_model(), decay)


def test_can_be_pickled():
    ema = pickle.loads(pickle.dumps(Ema(torch.nn.Linear(2, 2), 0.5)))
    assert ema.decay == 0.5
