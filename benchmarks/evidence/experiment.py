"""What the experiments share: the start and the data of a seed, how a network is judged, and what is kept of a run.

An experiment is a table of arms, functions that train one network. Arms of one seed start from the same weights and see
the same pictures in the same order. Each run lies in a folder of its own, ``out/experiment/arm-seed``: the checkpoint
that it goes on from, the trained weights, and ``result.json``.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from restorekit.data import CropCache, RandomCropPairs
from restorekit.evaluation import evaluate
from restorekit.image import atomic_path, resize
from restorekit.models import Restorer, save_weights

SEEDS = (0, 1, 2)
SETS = ("Set5", "Set14")
REFERENCE = "bicubic"  # an arm of every experiment: nothing is trained
Metric = Callable[[Tensor, Tensor], Tensor]
Built = TypeVar("Built", bound=nn.Module)


@dataclass(frozen=True)
class Job:
    """One run: which arm and seed, and where everything lies."""

    experiment: str
    arm: str
    seed: int
    data: Path  # folder of training pictures
    benchmark: Path  # folder of Set5 and Set14, which training does not see
    out: Path  # folder of all runs

    def folder(self, arm: str | None = None) -> Path:
        """Of this run, or of another arm with the same seed."""
        return self.out / self.experiment / f"{arm or self.arm}-{self.seed}"

    @property
    def checkpoint(self) -> Path:
        """Where training goes on from after a stop."""
        return self.folder() / "run.pt"

    def crops(self, scale: int, *, patch_size: int, length: int) -> RandomCropPairs:
        """Training pairs of this seed, from pictures that are decoded once for all runs of a scale."""
        whole = CropCache(
            self.data, self.out / f"crops_x{scale}.npy", size=320, stride=160, scale=scale, progress=False
        )
        return RandomCropPairs(whole, patch_size=patch_size, scale=scale, length=length, seed=self.seed)

    def start(self, build: Callable[[], Built]) -> Built:
        """A network with the initial weights of this seed, in the layout that is faster on a CPU."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return build().to(memory_format=torch.channels_last)


@dataclass(frozen=True)
class Trained:
    """What an arm gives back."""

    model: Restorer
    losses: Sequence[float]
    multadds: float  # of the forward passes of the trained network, over the whole run
    notes: Mapping[str, Any] = field(default_factory=dict)  # whatever else belongs to the run


@dataclass(frozen=True)
class Experiment:
    """Arms by name, and what they are judged by beside PSNR and SSIM.

    ``needs`` names the arm whose weights another one starts from.
    """

    name: str
    scale: int
    arms: Mapping[str, Callable[[Job], Trained]]
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    needs: Mapping[str, str] = field(default_factory=dict)

    def jobs(self) -> Iterable[tuple[str, int]]:
        """Every arm with every seed, seed by seed, the reference once."""
        yield REFERENCE, SEEDS[0]
        for seed in SEEDS:
            for arm in self.arms:
                yield arm, seed

    def run(self, job: Job) -> dict[str, Any]:
        """Train, judge and keep; what was kept before is returned as it is."""
        path = job.folder() / "result.json"
        if path.exists():
            kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return kept
        job.folder().mkdir(parents=True, exist_ok=True)
        began = time.perf_counter()
        found: dict[str, Any] = {"arm": job.arm, "seed": job.seed}
        if job.arm == REFERENCE:
            found["scores"] = self.judge(lambda x: resize(x, self.scale), job.benchmark)
        else:
            trained = self.arms[job.arm](job)
            save_weights(trained.model, job.folder() / "weights.safetensors")
            found |= {"steps": len(trained.losses), "multadds": trained.multadds, **trained.notes}
            found |= {"losses": thinned(trained.losses), "scores": self.judge(trained.model, job.benchmark)}
        found["seconds"] = round(time.perf_counter() - began)
        with atomic_path(path) as beside:
            beside.write_text(json.dumps(found, indent=1, allow_nan=False), encoding="utf-8")
        return found

    def judge(self, model: Restorer | Callable[[Tensor], Tensor], benchmark: Path) -> dict[str, dict[str, float]]:
        """Means over the pictures of each set, by the protocol of the papers."""
        scores = {}
        for name in SETS:
            found = evaluate(model, benchmark / name, scale=self.scale, metrics=self.metrics)
            rows = [record.scores for record in found.records]
            scores[name] = {metric: fmean(row[metric] for row in rows) for metric in rows[0]}
        return scores


def thinned(losses: Sequence[float], points: int = 20) -> list[float]:
    """Means over equal parts of a run: enough for a curve."""
    edges = [round(len(losses) * k / points) for k in range(points + 1)]
    return [round(fmean(losses[a:b]), 6) for a, b in pairwise(edges) if a < b]


def main(experiment: Experiment, description: str | None) -> None:
    """Run one arm with one seed."""
    parser = argparse.ArgumentParser(description=(description or "").strip().splitlines()[0])
    parser.add_argument("--arm", required=True, choices=[*experiment.arms, REFERENCE])
    parser.add_argument("--seed", type=int, default=0, help="of initial weights, data and draws")
    parser.add_argument("--data", type=Path, required=True, help="folder of training pictures")
    parser.add_argument("--benchmark", type=Path, required=True, help="folder that holds Set5 and Set14")
    parser.add_argument("--out", type=Path, required=True, help="folder of runs; a run that was stopped goes on")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    job = Job(experiment.name, chosen.arm, chosen.seed, chosen.data, chosen.benchmark, chosen.out)
    found = experiment.run(job)
    print(f"{experiment.name}, {job.arm}, seed {job.seed}: {found['scores']}, {found['seconds']} s", flush=True)
