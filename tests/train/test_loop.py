"""What one step does: the update against Adam's closed form, clipping, randomness, losses and the bar."""

import math

import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from restorekit.train import cosine, fit, halve_every, supervised


class Slope(nn.Module):
    """``weight * x`` with one weight."""

    def __init__(self, weight=0.0):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))

    def forward(self, x):
        return self.weight * x


ONES = [(torch.ones(1, 1, 1), torch.ones(1, 1, 1))] * 4


def _linear(model, batch, generator):
    """A loss with gradient 3 everywhere."""
    return 3 * model(batch[0]).sum() / len(batch[0])


def _fit(model, pairs=ONES, **options):
    return fit(model, pairs, **{"steps": 5, "batch_size": 2, "learning_rate": 0.1, "progress": False, **options})


@pytest.mark.parametrize("schedule", [halve_every(2), cosine(5)])
def test_a_constant_gradient_moves_adam_by_the_learning_rate(schedule):
    # with a constant gradient g both corrected moments are exact, so each update is -rate g / (|g| + eps)
    model = Slope()
    _fit(model, step=_linear, schedule=schedule)
    assert float(model.weight.detach()) == pytest.approx(-0.1 * sum(schedule(step) for step in range(5)), rel=1e-5)


def test_adam_is_torchs_own():
    model, twin = Slope(2.0), Slope(2.0)
    losses = _fit(model, steps=8).losses
    adam = torch.optim.Adam(twin.parameters(), lr=0.1, betas=(0.9, 0.999), eps=1e-8)
    expected = []
    for _ in range(8):
        adam.zero_grad()
        loss = (twin(torch.ones(2)) - 1).abs().mean()
        loss.backward()
        adam.step()
        expected.append(loss.item())
    assert losses == tuple(expected)
    assert torch.equal(model.weight, twin.weight)


@pytest.mark.parametrize(("clip_norm", "expected"), [(None, 5.0), (10.0, 5.0), (1.0, 1.0), (0.25, 0.25)])
def test_the_gradient_is_clipped_to_the_norm(clip_norm, expected):
    # Adam hides the length of a gradient, its first moment does not: (1 - 0.9) g after one step
    model = nn.Linear(2, 1, bias=False)

    def step(model, batch, generator):
        return model(torch.tensor([3.0, 4.0])).sum()

    norms = []
    handle = register_optimizer_step_post_hook(
        lambda optimizer, *_: norms.append(optimizer.state[model.weight]["exp_avg"].norm().item() / 0.1)
    )
    _fit(model, steps=1, step=step, clip_norm=clip_norm)
    handle.remove()
    assert norms == pytest.approx([expected], rel=1e-4)


def test_frozen_parameters_stay(make_model, pairs):
    model = make_model()
    frozen = model[4].bias.detach().clone()
    _fit(model, pairs)
    assert torch.equal(model[4].bias, frozen)


def test_the_generator_depends_on_seed_and_step_alone():
    def draws(seed, steps):
        seen = []

        def step(model, batch, generator):
            seen.append(float(torch.rand((), generator=generator)))
            return _linear(model, batch, generator)

        _fit(Slope(), steps=steps, step=step, seed=seed)
        return seen

    assert len(set(draws(0, 5))) == 5
    assert draws(0, 5)[:3] == draws(0, 3)
    assert not set(draws(0, 5)) & set(draws(1, 5))


def test_the_global_generators_are_neither_read_nor_moved():
    def losses():
        return _fit(
            Slope(), step=lambda model, batch, generator: _linear(model, batch, generator) + torch.rand(())
        ).losses

    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = losses()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert losses() == first
    assert len(set(first)) == 5


def _poisoned(at):
    count = iter(range(100))

    def step(model, batch, generator):
        return _linear(model, batch, generator) * (math.nan if next(count) == at else 1.0)

    return step


@pytest.mark.parametrize("at", [0, 3])
def test_a_loss_that_is_not_finite_stops_and_names_the_step(at):
    with pytest.raises(FloatingPointError, match=rf"loss of step {at} \(from 0\) is nan.*no checkpoint was asked for"):
        _fit(Slope(), step=_poisoned(at))


def test_a_loss_that_is_not_finite_keeps_the_last_checkpoint(tmp_path):
    path = tmp_path / "run.pt"
    with pytest.raises(FloatingPointError, match="step 5"):
        _fit(Slope(), steps=8, step=_poisoned(5), checkpoint=path, checkpoint_every=2)
    model = Slope()
    assert _fit(model, steps=4, step=_linear, checkpoint=path).steps == 4
    assert float(model.weight.detach()) == pytest.approx(-0.4, rel=1e-5)


def test_a_weight_that_is_not_finite_is_not_saved(tmp_path):
    def step(model, batch, generator):
        return model(torch.zeros(1)).sqrt().sum()  # 0, with the gradient 0 * inf

    path = tmp_path / "run.pt"
    with pytest.raises(FloatingPointError, match="weight is not finite after step 0"):
        _fit(Slope(), steps=1, step=step, checkpoint=path)
    assert not path.exists()


@pytest.mark.parametrize(("loss", "got"), [(torch.zeros(2, requires_grad=True), r"shape \(2,\)"), (0.5, "float")])
def test_a_step_must_return_a_scalar_tensor(loss, got):
    with pytest.raises(TypeError, match=f"without dimensions, got {got}"):
        _fit(Slope(), step=lambda model, batch, generator: loss)


def test_the_bar_shows_loss_and_learning_rate(capsys):
    _fit(Slope(), step=_linear, schedule=halve_every(4), progress=True)
    shown = capsys.readouterr().err
    assert "5/5" in shown
    assert "loss=-1.2000, lr=5.0e-02" in shown
    _fit(Slope(), step=_linear)
    assert capsys.readouterr().err == ""


def test_bfloat16_runs_the_model_alone():
    seen = {}

    class Probe(Slope):
        def forward(self, x):
            seen["product"] = (x.reshape(1, -1) @ x.reshape(-1, 1)).dtype
            return super().forward(x)

    def loss(prediction, target):
        seen["prediction"], seen["loss"] = prediction.dtype, (prediction.reshape(1, -1) @ target.reshape(-1, 1)).dtype
        return (prediction - target).abs().mean()

    model = Probe(1.5)
    _fit(model, step=supervised(loss=loss), mixed_precision="bf16")
    assert seen == {"product": torch.bfloat16, "prediction": torch.float32, "loss": torch.float32}
    assert model.weight.dtype == torch.float32
