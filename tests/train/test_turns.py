"""Networks that take turns in one step, against two optimisers written out."""

import copy
import math

import pytest
import torch
from torch import nn

from restorekit.train import Partner, Turns, fit, frozen

ITEMS = list(torch.rand(12, 3, generator=torch.Generator().manual_seed(0)))


class Contest(Turns):
    """The judge learns to tell the model's answers from the truth, the model to be taken for it."""

    def __init__(self, judge, *, rate=None, order=("judge", "model")):
        self.partners = {"judge": Partner(judge, rate)}
        self.order = order

    def turns(self, model, partners, batch, generator):
        answer = model(batch)
        for name in self.order:
            if name == "judge":
                yield name, (partners["judge"](answer.detach()) - partners["judge"](batch)).mean()
            else:
                with frozen(partners["judge"]) as judge:
                    yield name, -judge(answer).mean() + (answer - batch).square().mean()


def _networks():
    torch.manual_seed(0)
    model = nn.Linear(3, 3)
    judge = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    return model, judge


def _fit(model, step, **options):
    settings = {"steps": 9, "batch_size": 4, "learning_rate": 0.02, "progress": False, "channels_last": False}
    return fit(model, ITEMS, step=step, **{**settings, **options})


def _batches(seen):
    def step(model, batch, generator):
        seen.append(batch.clone())
        return model(batch).mean()

    return step


def test_the_updates_are_those_of_two_optimisers_in_turn():
    model, judge = _networks()
    twin, twin_judge = copy.deepcopy(model), copy.deepcopy(judge)
    result = _fit(model, Contest(judge, rate=0.01), clip_norm=0.05, schedule=lambda step: 1 / (1 + step))
    batches = []
    _fit(copy.deepcopy(twin), _batches(batches))
    adam, judge_adam = torch.optim.Adam(twin.parameters()), torch.optim.Adam(twin_judge.parameters())
    losses, judge_losses = [], []
    for number, batch in enumerate(batches):
        for optimizer, rate in ((adam, 0.02), (judge_adam, 0.01)):
            optimizer.param_groups[0]["lr"] = rate / (1 + number)
        answer = twin(batch)
        judge_adam.zero_grad()
        loss = (twin_judge(answer.detach()) - twin_judge(batch)).mean()
        loss.backward()
        judge_adam.step()
        judge_losses.append(loss.item())
        adam.zero_grad()
        loss = -twin_judge(answer).mean() + (answer - batch).square().mean()
        loss.backward()
        nn.utils.clip_grad_norm_(twin.parameters(), 0.05)
        adam.step()
        losses.append(loss.item())
    assert result.losses == pytest.approx(losses, abs=1e-6)
    assert result.partner_losses["judge"] == pytest.approx(judge_losses, abs=1e-6)
    for mine, theirs in zip(
        [*model.parameters(), *judge.parameters()], [*twin.parameters(), *twin_judge.parameters()], strict=True
    ):
        assert torch.allclose(mine, theirs, atol=1e-6)


def test_a_frozen_network_passes_gradients_through_and_gets_none():
    _, judge = _networks()
    judge[0].bias.requires_grad_(False)
    x = torch.ones(2, 3, requires_grad=True)
    with frozen(judge) as fixed:
        fixed(x).sum().backward()
    assert x.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in judge.parameters())
    assert [parameter.requires_grad for parameter in judge.parameters()] == [True, False, True, True]


def test_frozen_ends_after_an_error_too():
    _, judge = _networks()
    with pytest.raises(KeyError), frozen(judge):
        raise KeyError
    assert all(parameter.requires_grad for parameter in judge.parameters())


def test_gradients_of_one_turn_do_not_reach_the_next():
    class Leaky(Contest):
        def turns(self, model, partners, batch, generator):
            answer = model(batch)
            yield "model", -partners["judge"](answer).mean()  # leaves a gradient in the judge, which must be dropped
            yield "judge", 0.0 * partners["judge"](batch).mean()

    model, judge = _networks()
    before = copy.deepcopy(judge.state_dict())
    _fit(model, Leaky(judge), steps=1)
    assert all(torch.equal(value, before[name]) for name, value in judge.state_dict().items())


@pytest.mark.parametrize("stop", [1, 4, 8])
def test_a_resumed_run_ends_with_the_same_bits(tmp_path, stop):
    model, judge = _networks()
    expected = _fit(model, Contest(judge), ema_decay=0.9)
    for steps in (stop, 9):
        again, again_judge = _networks()
        result = _fit(again, Contest(again_judge), steps=steps, ema_decay=0.9, checkpoint=tmp_path / "run.pt")
    assert result.losses == expected.losses
    assert result.partner_losses == expected.partner_losses
    for mine, theirs in ((again, model), (again_judge, judge), (result.ema, expected.ema)):
        assert all(torch.equal(a, b) for a, b in zip(mine.parameters(), theirs.parameters(), strict=True))


def test_the_partner_comes_back_as_it_was():
    model, judge = _networks()
    judge.eval()
    _fit(model, Contest(judge))
    assert not judge.training
    assert all(parameter.grad is None for parameter in judge.parameters())


def test_the_checkpoint_of_a_run_without_the_partner_is_refused(tmp_path):
    model, judge = _networks()
    _fit(model, _batches([]), checkpoint=tmp_path / "run.pt", steps=2)
    with pytest.raises(ValueError, match=r"another run"):
        _fit(model, Contest(judge), checkpoint=tmp_path / "run.pt")


def test_the_checkpoint_of_another_partner_is_refused(tmp_path):
    model, judge = _networks()
    _fit(model, Contest(judge), checkpoint=tmp_path / "run.pt", steps=2)
    judge[2] = nn.Linear(4, 2)
    with pytest.raises(ValueError, match=r"another judge: 2.weight is \(1, 4\) in the file and \(2, 4\) here"):
        _fit(model, Contest(judge), checkpoint=tmp_path / "run.pt")


def test_a_partners_loss_that_is_not_finite_is_named(tmp_path):
    class Broken(Contest):
        def turns(self, model, partners, batch, generator):
            yield "judge", partners["judge"](batch).mean() * math.nan
            yield "model", model(batch).mean()

    model, judge = _networks()
    with pytest.raises(FloatingPointError, match="the loss of the judge of step 0"):
        _fit(model, Broken(judge), checkpoint=tmp_path / "run.pt")
    assert not (tmp_path / "run.pt").exists()


@pytest.mark.parametrize(
    ("order", "message"),
    [(("judge",), "model had none"), (("model",), "judge had none")],
)
def test_every_network_must_have_a_turn(order, message):
    model, judge = _networks()
    with pytest.raises(ValueError, match=message):
        _fit(model, Contest(judge, order=order))


def test_a_turn_must_be_somebodys():
    class Stranger(Contest):
        def turns(self, model, partners, batch, generator):
            yield "critic", model(batch).mean()

    model, judge = _networks()
    with pytest.raises(ValueError, match="a turn must be that of model, judge, got 'critic'"):
        _fit(model, Stranger(judge))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda step: step.partners.update(model=Partner(nn.Linear(1, 1))), "must not be called 'model'"),
        (lambda step: step.partners.update(judge=Partner(nn.Tanh())), "Tanh has no parameter with requires_grad"),
        (lambda step: step.partners.update(judge=Partner(nn.Linear(1, 1), -1.0)), "learning_rate of 'judge'"),
    ],
)
def test_bad_partners_are_named(change, message):
    model, judge = _networks()
    step = Contest(judge)
    change(step)
    with pytest.raises(ValueError, match=message):
        _fit(model, step)


def test_parts_of_a_batch_take_their_turns_together():
    model, judge = _networks()
    twin, twin_judge = copy.deepcopy(model), copy.deepcopy(judge)
    whole = _fit(model, Contest(judge))
    parts = _fit(twin, Contest(twin_judge), accumulate=2)
    assert parts.losses == pytest.approx(whole.losses, abs=1e-6)
    assert parts.partner_losses["judge"] == pytest.approx(whole.partner_losses["judge"], abs=1e-6)
