"""A process that dies among others: the rest end at once, say so, and leave what the run goes on from."""

import os
import runpy
import subprocess
import sys

import pytest
import torch
from accelerate import Accelerator
from torch import nn

from restorekit.train import fit, supervised
from restorekit.train._peers import lost_peer

STEPS, EVERY, BEFORE, KILLED = 50, 10, 10, 25
SCRIPT = """
import os, signal, sys, torch
from torch import nn
from restorekit.train import fit, supervised


def run(checkpoint, *, steps=50, killed=None, after=None):
    pairs = [(x, 1 - x) for x in torch.rand(21, 3, 8, 8, generator=torch.Generator().manual_seed(0))]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 3, 3, padding=1))
    plain, count = supervised(), iter(range(steps + 1))

    def step(model, batch, generator):
        if next(count) == after and os.environ["RANK"] == killed:
            os.kill(os.getpid(), signal.SIGKILL)
        return plain(model, batch, generator)

    result = fit(model, pairs, steps=steps, batch_size=4, learning_rate=1e-2, step=step, ema_decay=0.9,
                 checkpoint=checkpoint, checkpoint_every=10, progress=False)
    return model, result


if __name__ == "__main__":
    run(sys.argv[1], killed=sys.argv[2], after=int(sys.argv[3]))
"""


def _launch(script, *arguments):
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    launcher += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "1", "OMP_NUM_THREADS": "1"}
    command = [*launcher, str(script), *map(str, arguments)]
    # gloo itself waits for half an hour before it gives up on a silent peer
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_rank_ends_the_job_and_leaves_a_checkpoint(tmp_path, rank):
    script, path = tmp_path / "script.py", tmp_path / "run.pt"
    script.write_text(SCRIPT)
    run = runpy.run_path(str(script))["run"]
    whole, expected = run(tmp_path / "whole.pt")
    run(path, steps=BEFORE)  # begun by one process, gone on with by two, ended by one
    done = _launch(script, path, rank, KILLED - BEFORE)
    assert done.returncode != 0
    assert f"another process of this run is gone, so it stopped after {KILLED} of {STEPS} steps" in done.stderr
    assert f"call fit again to go on from {path}" in done.stderr
    # the first process writes down where it stands; without it, the steps since the last checkpoint are lost
    assert len(torch.load(path, weights_only=True)["losses"]) == (KILLED if rank == 1 else KILLED // EVERY * EVERY)
    model, result = run(path)
    last = KILLED - 1  # the loss that the survivor may have to note without the other's part
    for part in (slice(last), slice(last + 1, None)):
        assert result.losses[part] == pytest.approx(expected.losses[part], abs=1e-4)
    for one, other in ((model, whole), (result.ema, expected.ema)):
        for value, wanted in zip(one.state_dict().values(), other.state_dict().values(), strict=True):
            torch.testing.assert_close(value, wanted, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("message", "lost"),
    [
        ("[pair.cc:537] Read error [127.0.0.1]:54191: Connection reset by peer.", True),
        ("Gloo connectFullMesh failed", True),
        ("NCCL communicator was aborted on rank 1", True),
        ("[tcp.cc] writev: Broken pipe", True),
        ("The size of tensor a (3) must match the size of tensor b (4)", False),
        ("CUDA out of memory", False),
    ],
)
def test_a_lost_peer_is_told_from_other_errors(message, lost):
    assert lost_peer(RuntimeError(message)) == lost
    assert lost_peer(torch.distributed.DistNetworkError("anything"))


@pytest.fixture
def alone_among_two(monkeypatch):
    """As if there were another process, which never says anything."""

    class OfTwo(Accelerator):
        num_processes = 2

    monkeypatch.setattr(sys.modules["restorekit.train.fit"], "launched", lambda *settings: OfTwo())


@pytest.mark.parametrize("statistics", [False, True])
@pytest.mark.usefixtures("alone_among_two")
def test_what_the_survivor_writes_is_the_state_between_two_steps(tmp_path, pairs, statistics):
    def run(path, lost=None):
        model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3) if statistics else nn.ReLU())
        nn.init.constant_(model[0].weight, 0.5)
        nn.init.zeros_(model[0].bias)
        plain, count = supervised(), iter(range(9))

        def step(model, batch, generator):
            loss = plain(model, batch, generator)  # has changed BatchNorm's statistics when it fails
            if next(count) == lost:
                raise RuntimeError("[tcp/pair.cc:537] Read error: Connection reset by peer")
            return loss

        options = {"steps": 8, "batch_size": 4, "step": step, "checkpoint": path, "checkpoint_every": 4}
        return fit(model, pairs, progress=False, **options), model

    expected, whole = run(tmp_path / "whole.pt")
    with pytest.raises(RuntimeError, match=r"is gone, so it stopped after 6 of 8 steps; call fit again to go on from"):
        run(tmp_path / "run.pt", lost=6)
    kept = torch.load(tmp_path / "run.pt", weights_only=True)["losses"]
    assert len(kept) == (4 if statistics else 6)
    result, model = run(tmp_path / "run.pt")
    assert result.losses == expected.losses
    for value, wanted in zip(model.state_dict().values(), whole.state_dict().values(), strict=True):
        assert torch.equal(value, wanted)
