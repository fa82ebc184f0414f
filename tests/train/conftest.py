"""A small training problem in which everything that a resumption could lose matters."""

import pytest
import torch
from accelerate.state import AcceleratorState
from torch import nn


@pytest.fixture(autouse=True)
def _on_the_cpu(monkeypatch):
    """Where there is a GPU too: sums on a GPU need not repeat to the bit."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "1")
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def make_model():
    """Buffers (batch norm), torch's global generator (dropout) and a parameter that does not train."""

    def make(seed=0):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = nn.Sequential(
                nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.2), nn.Conv2d(6, 3, 1)
            )
        model[4].bias.requires_grad_(False)
        return model

    return make


@pytest.fixture
def pairs():
    generator = torch.Generator().manual_seed(7)
    return [(x, 1 - x) for x in torch.rand(10, 3, 6, 6, generator=generator)]
