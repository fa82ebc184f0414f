"""Several data sets in one run: each batch from one of them, and the step is told which."""

from collections import Counter

import pytest
import torch
from torch import nn

from restorekit.models import carn
from restorekit.train import Keyed, fit


class Zoom(nn.Module):
    """A multi-scale network with one weight."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.5))

    def forward(self, x, scale=None):
        return self.weight * x.repeat_interleave(scale, -1).repeat_interleave(scale, -2)


def _pairs(scale, count, generator):
    lq = torch.rand(count, 3, 4, 4, generator=generator)
    return [(x, x.repeat_interleave(scale, -1).repeat_interleave(scale, -2)) for x in lq]


@pytest.fixture
def by_scale():
    generator = torch.Generator().manual_seed(0)
    return {scale: _pairs(scale, 4 + scale, generator) for scale in (2, 3)}


def _fit(model, pairs, **options):
    return fit(model, pairs, **{"steps": 12, "batch_size": 2, "learning_rate": 0.05, "progress": False, **options})


def test_each_batch_is_of_one_data_set_and_says_which(by_scale):
    seen = []

    def step(model, batch, generator):
        assert isinstance(batch, Keyed)
        lq, hq = batch.batch
        assert hq.shape[-1] == batch.key * lq.shape[-1]
        seen.append(batch.key)
        return model(lq, scale=batch.key).mean()

    _fit(Zoom(), by_scale, step=step, steps=60)
    counts = Counter(seen)
    assert set(counts) == {2, 3}
    assert min(counts.values()) > 15  # fair draws: below with a chance of 3e-5


def test_the_plain_step_passes_the_key_on_as_scale(by_scale):
    model = Zoom()
    losses = _fit(model, by_scale).losses
    assert losses[-1] < 0.2 * losses[0]
    assert float(model.weight.detach()) == pytest.approx(1.0, abs=0.1)


def test_a_published_multi_scale_network_trains(by_scale):
    model = carn(scale=(2, 3), channels=4, blocks=1, units=1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    _fit(model, by_scale, steps=8)
    assert all(not torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_run_ends_with_the_same_bits(by_scale, tmp_path, workers):
    whole, again = Zoom(), Zoom()
    expected = _fit(whole, by_scale)
    for steps in (5, 12):
        result = _fit(again, by_scale, steps=steps, checkpoint=tmp_path / "run.pt", workers=workers)
    assert result.losses == expected.losses
    assert torch.equal(again.weight, whole.weight)


def test_other_data_sets_are_named(by_scale, tmp_path):
    _fit(Zoom(), by_scale, checkpoint=tmp_path / "run.pt", steps=2)
    with pytest.raises(ValueError, match=r"items '2: 6, 3: 7' \(here '2: 6'\)"):
        _fit(Zoom(), {2: by_scale[2]}, checkpoint=tmp_path / "run.pt")


@pytest.mark.parametrize(
    ("pairs", "error", "message"),
    [
        ({}, ValueError, "at least one data set"),
        ({2: []}, ValueError, r"pairs\[2\] must hold at least one item"),
        ({2: iter([1])}, TypeError, r"pairs\[2\] must be a data set"),
        ({2.5: [1]}, TypeError, "keys of pairs must be integers or strings"),
        ({"noise": [(torch.zeros(3, 4, 4), torch.zeros(3, 4, 4))] * 2}, TypeError, "go by their scale.*'noise'"),
    ],
)
def test_bad_input_is_named(pairs, error, message):
    with pytest.raises(error, match=message):
        _fit(Zoom(), pairs)
