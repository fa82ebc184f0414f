"""Kill trainings with SIGKILL at random moments, and see what that costs them.

Each recipe trains a tiny network. After each kill its checkpoints must be whole and hold all steps but those since the
last one was due, and no more than one unfinished file may lie about. Then the run is called again; in the end it must
have the same weights, bit for bit, as one that was left alone. torch is imported once: each start is a fork, which
makes hundreds of kills cheap.

    python benchmarks/kills.py --kills 10 --rounds 3
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
import traceback
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypedDict

os.environ.update(OMP_NUM_THREADS="1", ACCELERATE_USE_CPU="1")  # before torch: no threads that a fork would lose

import accelerate  # noqa: F401 -- once, not in each child
import torch
import torch._dynamo  # a second, which the first optimiser of each child would take
from torch import Tensor, nn
from tqdm import tqdm

from restorekit import augment, models, train

EVERY = 4  # steps between two checkpoints
Job = Callable[["Settings"], Sequence[nn.Module]]  # trains to the end, from the checkpoint where there is one


class Settings(TypedDict):
    """What all trainings that are killed have in common."""

    checkpoint: Path
    checkpoint_every: int
    progress: bool


def pictures(count: int, *size: int) -> Tensor:
    """Noise (count, 3, H, W), always the same."""
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(0))


def pairs(scale: int, *, count: int = 6, side: int = 8) -> list[tuple[Tensor, Tensor]]:
    """Pictures, and what they are the small versions of."""
    return [(x, x.repeat_interleave(scale, 1).repeat_interleave(scale, 2)) for x in pictures(count, side, side)]


def supervised(settings: Settings) -> Sequence[nn.Module]:
    """With an average, an augmentation that draws, and Adam's moments to lose."""
    model = models.carn_m(2, channels=8, head="desubpixel")
    step = train.supervised(augment=augment.cutblur)
    result = train.fit(model, pairs(2), steps=40, batch_size=2, step=step, ema_decay=0.9, **settings)
    assert result.ema is not None
    return model, result.ema


def adversarial(settings: Settings) -> Sequence[nn.Module]:
    """Two networks, which learn in turn."""
    model, discriminator = models.carn_m(2, channels=8), models.PatchDiscriminator(channels=4)
    step = train.adversarial(discriminator, content=nn.functional.l1_loss)
    train.fit(model, pairs(2, side=16), steps=30, batch_size=2, step=step, **settings)
    return model, discriminator


def progressive(settings: Settings) -> Sequence[nn.Module]:
    """A network that grows between two stages."""
    model = models.ProgressiveCARN(4, channels=4, blocks=1, units=1)
    train.progressive(
        model, pairs(4), stages=[train.ProgressiveStage(14, 4), train.ProgressiveStage(14, 2)], **settings
    )
    return (model,)


def pseudo_pairs(settings: Settings) -> Sequence[nn.Module]:
    """Crops of pictures that have no larger version."""
    model = models.carn_m(2, channels=8)
    train.pseudo_pairs(model, list(pictures(3, 24, 24)), steps=40, patch_size=8, batch_size=2, **settings)
    return (model,)


def zero_shot(settings: Settings) -> Sequence[nn.Module]:
    """A schedule that looks at what was measured."""
    quick = train.ZeroShotSettings(crop_size=16, test_every=2, check_every=3, patience=8, back_projections=2)
    model = models.zssr(1, channels=8, depth=2)
    train.zero_shot(pictures(1, 16, 16), model=model, settings=quick, steps=40, **settings)
    return (model,)


def two_stage(settings: Settings) -> Sequence[nn.Module]:
    """Several data sets, and a network that takes its priors apart between two stages."""
    model = models.IDR(channels=8, blocks=(1, 1, 1, 1))
    sets = {"noise/25": pairs(1), "blur": pairs(1, count=4)}
    train.two_stage(model, sets, steps=(12, 12), **settings)
    return (model,)


def fit_mdf(settings: Settings) -> Sequence[nn.Module]:
    """Two scales, with what one hands on to the next."""
    run = train.fit_mdf(pictures(1, 20, 26), "denoising", num_scales=2, iterations=15, min_side=12, **settings)
    return run.discriminators


JOBS: dict[str, Job] = {
    job.__name__: job for job in (supervised, adversarial, progressive, pseudo_pairs, zero_shot, two_stage, fit_mdf)
}


@dataclass
class Outcome:
    """What became of one run that was killed again and again."""

    recipe: str
    steps: int
    kills: int = 0
    while_writing: int = 0  # kills that left an unfinished file
    most_lost: int = 0  # steps done that the checkpoint did not hold
    most_left: int = 0  # unfinished files that lay about at once
    left_at_end: int = 0
    same_bits: bool = False

    @property
    def good(self) -> bool:
        """Whether the run lost what it may lose and no more."""
        return self.same_bits and self.most_lost <= EVERY and self.most_left <= 1 and self.left_at_end == 0


class Start:
    """A training in a process of its own, which tells each step that it has done."""

    def __init__(self, job: Job, folder: Path) -> None:
        self._told, tell = os.pipe()
        self.process = os.fork()
        if self.process == 0:
            os.close(self._told)
            _train(job, folder, tell)
        os.close(tell)
        self.steps = 0

    def wait_for(self, steps: int) -> bool:
        """Until so many steps are done; False if the process ended before."""
        while self.steps < steps:
            told = os.read(self._told, 1)
            if not told:
                return False
            self.steps += 1
        return True

    def kill(self) -> None:
        """End it as the system would, and count the steps that it did before it was gone."""
        os.kill(self.process, signal.SIGKILL)
        self.end()

    def end(self) -> int:
        """Wait for the end; the exit status."""
        self.wait_for(sys.maxsize)
        os.close(self._told)
        return os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])


def _train(job: Job, folder: Path, tell: int) -> None:
    """What the child does; it never returns."""
    update = tqdm.update

    def counted(bar: "tqdm[Any]", n: float | None = 1) -> Any:
        os.write(tell, b"." * int(n or 0))  # goes to the parent at once, whatever happens to this process
        return update(bar, n)

    tqdm.update = counted  # type: ignore[method-assign]
    try:
        torch.manual_seed(0)  # of the initial weights
        networks = job(Settings(checkpoint=folder / "run.pt", checkpoint_every=EVERY, progress=False))
        torch.save([list(module.state_dict().values()) for module in networks], folder.with_suffix(".weights"))
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def kept(folder: Path) -> int:
    """Steps in the checkpoints, all of which must be whole."""
    steps = 0
    for path in folder.glob("[!.]*.pt"):
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None, f"{path} is damaged"
        steps += len(torch.load(path, weights_only=True)["losses"])
    return steps


def unfinished(folder: Path) -> int:
    """Files that writers left behind."""
    return sum(path.name.startswith(".") for path in folder.iterdir())


def torture(recipe: str, root: Path, kills: int, seed: int) -> Outcome:
    """Kill a run so many times, let it end, compare it with one that was left alone."""
    job, moments = JOBS[recipe], random.Random(seed)
    calm, killed = root / f"{recipe}-calm", root / f"{recipe}-{seed}"
    if not calm.is_dir():
        finish(job, calm)
    killed.mkdir()
    outcome = Outcome(recipe, kept(calm))
    while outcome.kills < kills and kept(killed) < outcome.steps:
        share = 2 * (outcome.steps - kept(killed)) // (kills - outcome.kills + 1)
        strike(job, killed, moments.randint(0, max(1, share)), 0.01 * moments.random(), outcome)
    finish(job, killed)
    outcome.left_at_end = unfinished(killed) + unfinished(calm)
    outcome.same_bits = _same(calm.with_suffix(".weights"), killed.with_suffix(".weights"))
    return outcome


def strike(job: Job, folder: Path, steps: int, seconds: float, outcome: Outcome) -> None:
    """Start a run, kill it some time after so many steps, and note what that cost."""
    before, start = kept(folder), Start(job, folder)
    start.wait_for(steps)
    time.sleep(seconds)
    start.kill()
    left = unfinished(folder)
    outcome.kills += 1
    outcome.while_writing += left > 0
    outcome.most_left = max(outcome.most_left, left)
    outcome.most_lost = max(outcome.most_lost, before + start.steps - kept(folder))


def finish(job: Job, folder: Path) -> None:
    """Let a run go on to its end."""
    folder.mkdir(exist_ok=True)
    status = Start(job, folder).end()
    assert status == 0, f"the run in {folder} ended with status {status}"


def _same(one: Path, other: Path) -> bool:
    first, second = (torch.load(path, weights_only=True) for path in (one, other))
    return len(first) == len(second) and all(
        len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
        for a, b in zip(first, second, strict=True)
    )


def table(outcomes: Sequence[Outcome]) -> str:
    """All outcomes, one a line."""
    names = [field.name for field in fields(Outcome)]
    lines = [[name.replace("_", " ") for name in names], ["---"] * len(names)]
    lines += [[str(getattr(outcome, name)) for name in names] for outcome in outcomes]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Print the table; the exit status tells whether anything was lost that must not be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10, help="of each run (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=1, help="runs of each recipe (default: %(default)s)")
    parser.add_argument("--recipes", nargs="+", choices=JOBS, default=list(JOBS), metavar="NAME", help="all by default")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as root:
        outcomes = [
            torture(recipe, Path(root), options.kills, seed)
            for recipe in options.recipes
            for seed in range(options.rounds)
        ]
    print(f"A checkpoint every {EVERY} steps.\n\n{table(outcomes)}")
    sys.exit(not all(outcome.good for outcome in outcomes))


if __name__ == "__main__":
    main()
