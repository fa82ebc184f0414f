"""What the trainings share: the pictures, the stages, and a run that goes on where it was stopped."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from harness import machine
from torch import Tensor

from restorekit.data import CropCache, ImageFolder
from restorekit.image import atomic_path, read_image, to_tensor
from restorekit.metrics import psnr
from restorekit.models import Restorer, save_weights
from restorekit.train import cosine, fit, supervised
from restorekit.train.keyed import Pairs
from restorekit.train.supervised import Step

CROP, STRIDE = 240, 180  # pixels of the true pictures; divisible by 2, 3 and 4
HELD_OUT = 40  # every so manieth picture is kept out of training, to see how it goes
MEASURE_EVERY = 500


@dataclass(frozen=True)
class Stage:
    """A part of a training: the learning rate falls along half a cosine from ``learning_rate`` to ``floor`` times it.

    ``patch_size`` is that of the degraded picture, ``recolour`` the share of pictures whose colours are changed.
    """

    steps: int
    patch_size: int
    batch_size: int
    learning_rate: float
    floor: float = 0.0
    recolour: float = 0.0


@dataclass(frozen=True)
class Pictures:
    """Training pictures, decoded once for all trainings, and those of them that are kept out."""

    folder: Path
    out: Path  # where the decoded crops go

    def training(self, scale: int | None = None) -> CropCache:
        """Crops of all pictures but the held-out ones; with ``scale`` pairs of small and large ones."""
        kept = [read_image(path) for index, path in enumerate(self._paths()) if index % HELD_OUT]
        place = self.out / (f"crops_x{scale}.npy" if scale else "crops.npy")
        return CropCache(kept, place, size=CROP, stride=STRIDE, scale=scale, progress=False)

    def held_out(self, side: int) -> list[Tensor]:
        """The centres of the held-out pictures, (1, 3, side, side)."""
        centres = []
        for path in self._paths()[::HELD_OUT]:
            picture = to_tensor(read_image(path))
            top, left = (max(length - side, 0) // 2 for length in picture.shape[2:])
            centres.append(picture[..., top : top + side, left : left + side])
        return centres

    def _paths(self) -> Sequence[Path]:
        return ImageFolder(self.folder).paths


@dataclass(frozen=True)
class Recipe:
    """How one file of weights was trained.

    Args:
        name: Of the file, and of the folder of the run.
        network: Builds it; initial weights come from the global generator.
        pairs: Training pairs of a stage, from the pictures, the stage and a seed.
        step: The training step of a stage.
        stages: One after the other, each from fresh moments of Adam.
        examples: Degraded and true held-out pictures, from the pictures; with them comes the scale to run at.
        start: SHA-256 of the file that the network begins with, if any.
    """

    name: str
    network: Callable[[], Restorer]
    pairs: Callable[[Pictures, Stage, int], Pairs | Mapping[Any, Pairs]]
    step: Callable[[Stage], Step]
    stages: tuple[Stage, ...]
    examples: Callable[[Pictures], tuple[int, list[tuple[Tensor, Tensor]]]]
    start: str | None = None

    def train(self, pictures: Pictures, out: Path, seed: int, *, progress: bool = True) -> dict[str, Any]:
        """Train all stages, from where an earlier call stopped, and write ``weights.safetensors`` and ``run.json``."""
        out.mkdir(parents=True, exist_ok=True)
        settings = {"name": self.name, "seed": seed, "start": self.start, "stages": list(map(asdict, self.stages))}
        begin(out / "settings.json", settings)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = self.network().to(memory_format=torch.channels_last)
        scale, examples = self.examples(pictures)
        run: dict[str, Any] = {**settings, "machine": machine(), "losses": [], "measured": [], "seconds": []}
        for index, stage in enumerate(self.stages):
            with timed(out / f"stage{index}.seconds"):
                result = fit(
                    model,
                    self.pairs(pictures, stage, seed + index),
                    steps=stage.steps,
                    batch_size=stage.batch_size,
                    step=self.step(stage),
                    learning_rate=stage.learning_rate,
                    schedule=cosine(stage.steps, floor=stage.floor),
                    clip_norm=1.0,
                    measure=lambda net: mean_psnr(net, examples, scale),
                    measure_every=MEASURE_EVERY,
                    mixed_precision="bf16",
                    checkpoint=out / f"stage{index}.pt",
                    checkpoint_every=MEASURE_EVERY,
                    seed=seed + index,
                    progress=progress,
                )
            run["losses"] += [round(loss, 6) for loss in result.losses]
            run["measured"] += list(result.measured)
            run["seconds"].append(float((out / f"stage{index}.seconds").read_text(encoding="utf-8")))
        with torch.no_grad():
            run["final"] = mean_psnr(model.eval(), examples, scale)
        save_weights(model, out / "weights.safetensors")
        with atomic_path(out / "run.json") as beside:
            beside.write_text(json.dumps(run, allow_nan=False), encoding="utf-8")
        return run


def plain(_: Stage) -> Step:
    """L1, with nothing added."""
    return supervised()


def begin(path: Path, settings: Mapping[str, Any]) -> None:
    """Write down what a folder is for, or require that it is for this."""
    if not path.exists():
        with atomic_path(path) as beside:
            beside.write_text(json.dumps(settings), encoding="utf-8")
    elif json.loads(path.read_text(encoding="utf-8")) != settings:
        raise ValueError(f"{path.parent} holds a run with other settings, seed or start; give another folder of runs")


@contextmanager
def timed(path: Path) -> Iterator[None]:
    """Add the time until the end, or a stop, to that of earlier calls."""
    before, began = float(path.read_text(encoding="utf-8")) if path.exists() else 0.0, time.perf_counter()
    try:
        yield
    finally:
        with atomic_path(path) as beside:
            beside.write_text(f"{before + time.perf_counter() - began:.1f}", encoding="utf-8")


def mean_psnr(model: Restorer, examples: Sequence[tuple[Tensor, Tensor]], scale: int) -> float:
    """PSNR over all channels, dB, the mean over the pictures."""
    device = next(model.parameters()).device
    restored = ((model(lq.to(device), scale=scale).clamp(0, 1).cpu(), hq) for lq, hq in examples)
    return fmean(psnr(prediction, hq).item() for prediction, hq in restored)
