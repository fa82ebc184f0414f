"""What one step does: the update against Adam's closed form, clipping, randomness, losses and the bar."""

import itertools
import math

import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from restorekit.train import Adaptive, cosine, fit, halve_every, supervised


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


def _mean(model, batch, generator):
    return model(batch[0]).mean()


class Tenfold(Adaptive):
    """A tenth at each measurement that is no better than the one before; ends at a hundredth."""

    def factor(self, step, measured):
        worse = sum(b >= a for a, b in itertools.pairwise(measured))
        return 0.1**worse if worse < 2 else 0.0


class Counting(nn.Module):
    """Counts its forwards in a buffer, so that a measurement depends on the step alone."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3))
        self.register_buffer("count", torch.tensor(-1))

    def forward(self, x):
        self.count += 1
        return x * self.weight


def test_an_adaptive_schedule_slows_down_and_ends_the_run(tmp_path):
    table = {0: 5.0, 2: 4.0, 4: 4.5, 6: 4.0, 8: 6.0}
    rates = []

    def measure(model):
        assert not model.training
        assert not torch.is_grad_enabled()
        return table[int(model.count)]

    class Watched(Tenfold):
        def factor(self, step, measured):
            rates.append(super().factor(step, measured))
            return rates[-1]

    def run(steps, name):
        model = Counting()
        options = {"measure": measure, "measure_every": 2, "schedule": Watched()}
        return _fit(model, step=_mean, steps=steps, checkpoint=tmp_path / name, **options), model

    result, model = run(50, "whole.pt")
    assert result.measured == (5.0, 4.0, 4.5, 4.0, 6.0)
    assert result.steps == 9
    assert rates == pytest.approx([1.0] * 5 + [0.1] * 4 + [0.0])
    assert model.training
    run(4, "parts.pt")
    again, twin = run(50, "parts.pt")
    assert (again.losses, again.measured) == (result.losses, result.measured)
    assert torch.equal(twin.weight, model.weight)
    finished, _ = run(50, "whole.pt")
    assert finished.losses == result.losses


def test_a_measurement_that_is_not_finite_stops():
    with pytest.raises(FloatingPointError, match="measure must return a finite number, got nan after step 0"):
        _fit(nn.Linear(1, 1), step=_mean, measure=lambda model: math.nan)


def test_an_adaptive_schedule_needs_measurements():
    with pytest.raises(ValueError, match="needs measure="):
        _fit(nn.Linear(1, 1), step=_mean, schedule=Tenfold())


def test_the_averaged_model_is_measured():
    seen = []
    _fit(
        nn.Linear(1, 1),
        step=_mean,
        steps=9,
        measure=lambda model: seen.append(model) or 0.0,
        measure_every=4,
        ema_decay=0.5,
    )
    assert len(seen) == 3
    assert not any(parameter.requires_grad for parameter in seen[0].parameters())


def _rates(model, **options):
    """The learning rate that Adam has for each parameter at the end."""
    seen = {}

    def note(optimizer, *_):
        names = {parameter: name for name, parameter in model.named_parameters()}
        seen.update({names[p]: group["lr"] for group in optimizer.param_groups for p in group["params"]})

    handle = register_optimizer_step_post_hook(note)
    _fit(model, step=_mean, steps=1, **options)
    handle.remove()
    return seen


def test_rates_go_by_the_longest_start_of_a_name():
    model = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
    rates = _rates(model, rate_factors={"0.": 0.1, "0.bias": 0.5})
    assert rates == pytest.approx({"0.weight": 0.01, "0.bias": 0.05, "1.weight": 0.1, "1.bias": 0.1})


def test_a_start_that_no_parameter_has_is_refused():
    with pytest.raises(ValueError, match="starts of trained parameters, such as 'weight', got 'head'"):
        _fit(Slope(), step=_linear, rate_factors={"head": 0.1})


def test_betas_and_weight_decay_are_adams():
    model, twin = Slope(2.0), Slope(2.0)
    _fit(model, steps=4, betas=(0.5, 0.9), weight_decay=0.3)
    adam = torch.optim.Adam(twin.parameters(), lr=0.1, betas=(0.5, 0.9), weight_decay=0.3)
    for _ in range(4):
        adam.zero_grad()
        (twin(torch.ones(2)) - 1).abs().mean().backward()
        adam.step()
    assert float(model.weight.detach()) == pytest.approx(float(twin.weight.detach()), abs=1e-6)


@pytest.mark.parametrize("accumulate", [2, 4])
def test_accumulated_gradients_are_those_of_the_whole_batch(pairs, accumulate):
    def train(**options):
        torch.manual_seed(0)
        model = nn.Conv2d(3, 3, 3, padding=1)
        return _fit(model, pairs, batch_size=4, learning_rate=0.01, **options), model

    (whole, model), (parts, twin) = train(), train(accumulate=accumulate)
    assert parts.losses == pytest.approx(whole.losses, abs=1e-6)
    assert torch.allclose(model.weight, twin.weight, atol=1e-5)


def test_accumulation_holds_one_part_at_a_time(pairs):
    sizes = []

    def step(model, batch, generator):
        sizes.append(len(batch[0]))
        return model(batch[0]).mean()

    _fit(nn.Conv2d(3, 3, 1), pairs, batch_size=6, steps=2, accumulate=3, step=step)
    assert sizes == [2] * 6
