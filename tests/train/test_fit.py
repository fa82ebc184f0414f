"""A run as a whole: exact resume, seeds, the model's device and mode, signals, bad input, two processes."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from restorekit.augment import cutblur
from restorekit.data import RandomCropPairs
from restorekit.models import carn_m
from restorekit.train import fit, halve_every, supervised

STEPS = 10
TWO_PROCESSES = """
import json, os, sys, torch
from torch import nn
from restorekit.train import Partner, Turns, fit, frozen, supervised


def blend(lq, hq, *, generator=None):
    partner = torch.randperm(len(lq), generator=generator)
    share = torch.rand(len(lq), 1, 1, 1, generator=generator)
    return share * lq + (1 - share) * lq[partner], hq


class Heads(nn.Module):
    def __init__(self):
        super().__init__()
        self.heads = nn.ModuleList(nn.Conv2d(3, 3, 3, padding=1) for _ in range(2))

    def forward(self, x):
        return self.heads[0](x)  # the other one gets no gradient


class Scaled(nn.Conv2d):
    def forward(self, x, scale=None):
        return super().forward(x) * scale


class Contest(Turns):
    def __init__(self):
        self.partners = {"judge": Partner(nn.Conv2d(3, 1, 3), 1e-3)}

    def turns(self, model, partners, batch, generator):
        lq, hq = batch
        out = model(lq)
        yield "judge", partners["judge"](out.detach() - hq).mean()
        with frozen(partners["judge"]) as judge:
            yield "model", (out - hq).abs().mean() - 0.01 * judge(out - hq).mean()


if __name__ == "__main__":
    out, case = sys.argv[1:]
    generator = torch.Generator().manual_seed(0)
    pairs = [(x, 1 - x) for x in torch.rand(21, 3, 8, 8, generator=generator)]
    torch.manual_seed(int(os.environ.get("RANK", 0)))  # the first process' weights count
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 3, 3, padding=1))
    if case == "heads":
        model = Heads()
    if case == "keyed":
        model, pairs = Scaled(3, 3, 3, padding=1), {1: pairs[:10], 2: pairs[10:]}
    step = supervised(augment=blend if case == "blend" else None, micro_batch=1 if case == "parts" else None)
    result = fit(model, pairs, steps=50, batch_size=4, learning_rate=1e-2, step=Contest() if case == "turns" else step,
                 ema_decay=0.9, clip_norm=0.5, accumulate=2 if case == "keyed" else 1,
                 find_unused_parameters=case == "heads", checkpoint=out + ".pt", progress=False)
    if os.environ.get("RANK", "0") == "0":
        with open(out, "w") as file:
            weight = next(model.parameters()).detach().sum().item()
            json.dump([int(os.environ.get("WORLD_SIZE", 1)), result.losses, weight], file)
"""


def _shift(lq, hq, *, generator=None):
    return lq + 0.1 * torch.rand(len(lq), 1, 1, 1, generator=generator), hq


def _run(model, pairs, *, steps=STEPS, **options):
    settings = {
        "batch_size": 4,
        "learning_rate": 0.01,
        "schedule": halve_every(4),
        "clip_norm": 1.0,
        "step": supervised(augment=_shift),
        "progress": False,
        **options,
    }
    return fit(model, pairs, steps=steps, **settings)


def _weights(module):
    return [] if module is None else list(module.state_dict().values())


def _same(one, other):
    assert len(one) == len(other)
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def _moments(path):
    """Adam's moments, from the file of a finished run."""
    states = torch.load(path, weights_only=True)["optimizer"]["state"]
    return [value for number in sorted(states) for _, value in sorted(states[number].items())]


@pytest.mark.parametrize("ema_decay", [None, 0.9])
@pytest.mark.parametrize("stops", [(1,), (4,), (9,), (3, 5)])
def test_a_resumed_run_ends_with_the_same_bits(make_model, pairs, tmp_path, stops, ema_decay):
    model, whole = make_model(), tmp_path / "whole.pt"
    expected = _run(model, pairs, ema_decay=ema_decay, checkpoint=whole)
    for stop in (*stops, STEPS):
        torch.manual_seed(stop)  # whatever the user does in between
        again = make_model(seed=0 if stop == stops[0] else stop)  # the file holds the weights from then on
        result = _run(again, pairs, steps=stop, ema_decay=ema_decay, checkpoint=tmp_path / "parts.pt")
        assert result.steps == stop
    assert result.losses == expected.losses
    assert _same(_weights(again), _weights(model))
    assert _same(_weights(result.ema), _weights(expected.ema))
    assert _same(_moments(tmp_path / "parts.pt"), _moments(whole))
    assert (result.ema is None) == (ema_decay is None)


def test_carn_m_with_cutblur_resumes_with_the_same_bits(tmp_path):
    picture = np.random.default_rng(0).random((40, 50, 3), np.float32)
    pairs = RandomCropPairs([picture], patch_size=8, scale=2, length=64)

    def train(model, steps, name):
        return _run(
            model, pairs, steps=steps, step=supervised(augment=cutblur), ema_decay=0.9, checkpoint=tmp_path / name
        )

    first, second = carn_m(2, channels=8, head="desubpixel"), carn_m(2, channels=8, head="desubpixel")
    second.load_state_dict(first.state_dict())
    expected = train(first, 6, "whole.pt")
    train(second, 3, "parts.pt")
    result = train(second, 6, "parts.pt")
    assert result.losses == expected.losses
    assert _same(_weights(second), _weights(first))
    assert _same(_weights(result.ema), _weights(expected.ema))


def test_a_finished_run_is_read_back(make_model, pairs, tmp_path):
    model, again = make_model(), make_model(seed=1)
    expected = _run(model, pairs, checkpoint=tmp_path / "run.pt")
    assert _run(again, pairs, checkpoint=tmp_path / "run.pt").losses == expected.losses
    assert _same(_weights(again), _weights(model))


@pytest.mark.parametrize("workers", [0, 2])
def test_the_number_of_workers_changes_nothing(make_model, pairs, workers):
    torch.manual_seed(0)
    state = torch.get_rng_state()
    assert _run(make_model(), pairs, workers=workers).losses == _run(make_model(), pairs).losses
    assert torch.equal(torch.get_rng_state(), state)


def test_the_seed_decides(make_model, pairs):
    first, second, other = (make_model() for _ in range(3))
    assert _run(first, pairs).losses == _run(second, pairs).losses
    assert _same(_weights(first), _weights(second))
    assert _run(other, pairs, seed=1).losses != _run(make_model(), pairs).losses
    assert not _same(_weights(first), _weights(other))


def test_the_loss_goes_down(make_model, pairs):
    losses = _run(make_model(), pairs, steps=150, schedule=halve_every(1000), step=None).losses
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])


def test_the_model_comes_back_as_it_was(make_model, pairs):
    model = make_model().eval()
    model[1].train()
    result = _run(model, pairs, ema_decay=0.9)
    assert [module.training for module in model] == [False, True, False, False, False]
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(value.device.type == "cpu" for value in model.state_dict().values())
    assert not any(module.training for module in result.ema.modules())


def test_an_error_gives_the_model_back_too(make_model, pairs):
    model, seen = make_model().eval(), []

    def step(forward, batch, generator):
        seen.append(model.training)
        raise RuntimeError("a bug in the step")

    with pytest.raises(RuntimeError, match="a bug in the step"):
        _run(model, pairs, step=step)
    assert seen == [True]
    assert not any(module.training for module in model.modules())


def test_old_gradients_are_dropped(make_model, pairs):
    fresh, stale = make_model(), make_model()
    for parameter in stale.parameters():
        parameter.grad = torch.full_like(parameter, 100.0)
    assert _run(stale, pairs).losses == _run(fresh, pairs).losses


def _signalled(number, at):
    count, plain = iter(range(100)), supervised(augment=_shift)

    def step(model, batch, generator):
        if next(count) == at:
            signal.raise_signal(number)
        return plain(model, batch, generator)

    return step


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_a_signal_writes_a_checkpoint_to_go_on_from(make_model, pairs, tmp_path, number, error):
    path, model, again = tmp_path / "run.pt", make_model(), make_model()
    expected = _run(model, pairs)
    handler = signal.getsignal(number)
    with pytest.raises(error):
        _run(again, pairs, step=_signalled(number, at=5), checkpoint=path)
    assert signal.getsignal(number) == handler
    assert len(torch.load(path, weights_only=True)["losses"]) == 6
    assert _run(again, pairs, checkpoint=path).losses == expected.losses
    assert _same(_weights(again), _weights(model))


def test_ctrl_c_says_where_to_go_on(make_model, pairs, tmp_path):
    with pytest.raises(KeyboardInterrupt, match=r"stopped after 3 of 10 steps; call fit again to go on from .*run.pt"):
        _run(make_model(), pairs, step=_signalled(signal.SIGINT, at=2), checkpoint=tmp_path / "run.pt")
    with pytest.raises(KeyboardInterrupt, match="no checkpoint was asked for"):
        _run(make_model(), pairs, step=_signalled(signal.SIGINT, at=2))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 1}, r"seed 0 \(here 1\)"),
        ({"batch_size": 2}, r"batch_size 4 \(here 2\)"),
        ({"learning_rate": 0.02}, r"learning_rate 0.01 \(here 0.02\)"),
        ({"schedule": halve_every(3)}, r"next_learning_rate 0.0025 \(here 0.00125\)"),
        ({"ema_decay": 0.9}, r"ema_decay None \(here 0.9\)"),
        ({"clip_norm": None}, r"clip_norm 1.0 \(here None\)"),
    ],
)
def test_the_checkpoint_of_another_run_is_refused(make_model, pairs, tmp_path, change, named):
    path = tmp_path / "run.pt"
    _run(make_model(), pairs, checkpoint=path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=named):
        _run(make_model(), pairs, checkpoint=path, steps=2 * STEPS, **change)
    assert path.read_bytes() == before


def test_other_data_is_refused(make_model, pairs, tmp_path):
    _run(make_model(), pairs, checkpoint=tmp_path / "run.pt")
    with pytest.raises(ValueError, match=r"items 10 \(here 9\)"):
        _run(make_model(), pairs[:9], checkpoint=tmp_path / "run.pt")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"steps": 0}, ValueError, "steps must be at least 1"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
        ({"workers": -1}, ValueError, "workers must be at least 0"),
        ({"checkpoint_every": 0}, ValueError, "checkpoint_every must be at least 1"),
        ({"ema_decay": 2.0}, ValueError, "decay must be in"),
        ({"checkpoint": Path("absent") / "run.pt"}, FileNotFoundError, "folder that exists"),
        ({"pairs": []}, ValueError, "at least one item"),
        ({"schedule": 3}, TypeError, "schedule must be a function of the step"),
        ({"pairs": iter([1])}, TypeError, "with a length and items, got list_iterator"),
        ({"model": nn.ReLU()}, ValueError, "ReLU has no parameter with requires_grad"),
    ],
)
def test_bad_input_is_refused(make_model, pairs, change, error, message):
    arguments = {"model": make_model(), "pairs": pairs, **change}
    with pytest.raises(error, match=message):
        _run(arguments.pop("model"), arguments.pop("pairs"), **arguments)


def test_a_missing_accelerate_is_named_with_its_extra(make_model, pairs, monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(ImportError, match=r"pip install 'restorekit\[train\]'"):
        _run(make_model(), pairs)


def test_half_precision_from_the_launcher_is_refused(make_model, pairs, monkeypatch):
    monkeypatch.setattr("accelerate.Accelerator.mixed_precision", "fp16")
    with pytest.raises(ValueError, match="'bf16' alone, accelerate was told 'fp16'"):
        _run(make_model(), pairs)


def test_processes_that_know_nothing_of_each_other_are_refused(make_model, pairs, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("ACCELERATE_USE_CPU")
    with pytest.raises(RuntimeError, match="ACCELERATE_USE_CPU=1"):
        _run(make_model(), pairs)


def _launch(script, out, case, *, processes):
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", str(processes)]
    launcher += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    alone = [sys.executable]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "1", "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default"}
    command = [*(launcher if processes > 1 else alone), str(script), str(out), case]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(out.read_text())


@pytest.mark.parametrize("case", ["none", "blend", "heads", "parts", "keyed", "turns"])
def test_two_processes_follow_the_curve_of_one(tmp_path, case):
    script = tmp_path / "script.py"
    script.write_text(TWO_PROCESSES)
    ranks, losses, weight = _launch(script, tmp_path / "one.json", case, processes=1)
    two_ranks, two_losses, two_weight = _launch(script, tmp_path / "two.json", case, processes=2)
    assert (ranks, two_ranks) == (1, 2)
    assert two_losses == pytest.approx(losses, abs=1e-6)
    assert two_weight == pytest.approx(weight, abs=1e-4)
    assert sorted(file.name for file in tmp_path.glob("*.pt")) == ["one.json.pt", "two.json.pt"]
    assert losses[-1] < 0.5 * losses[0]
