"""Images per second for training with and without the crop cache, against what CARN-M takes in a training step.

Pictures are made up: smooth noise with texture, written as PNG and JPEG of 1020 x 678, half the size of DIV2K's. The
need is that of batches of 16 patches of 48 pixels by 4, on the same cores; the goal is that reading takes less time
than the step. Without the cache every worker decodes and shrinks the whole picture for each patch, unless it can keep
them all.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from harness import Measurement, Options, compare, main, record
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from restorekit.data import CropCache, DegradedFolder, ImageFolder, RandomCropPairs
from restorekit.models import carn_m

BATCH, PATCH, SCALE = 16, 48, 4


def make_pictures(folder: Path, count: int, size: tuple[int, int], suffix: str) -> Path:
    """Write pictures that compress about as photographs do."""
    folder.mkdir()
    generator = torch.Generator().manual_seed(0)
    for number in range(count):
        x = torch.zeros(1, 3, *size)
        for step in (2, 8, 64):
            small = torch.rand(1, 3, size[0] // step + 2, size[1] // step + 2, generator=generator)
            x += F.interpolate(small, size=size, mode="bicubic") * step**0.5
        pixels = np.uint8((255 * (x - x.min()) / (x.max() - x.min()))[0].permute(1, 2, 0).numpy())
        Image.fromarray(pixels).save(folder / f"{number:03}.{suffix}", quality=90)
    return folder


def faded(x: torch.Tensor, *, generator: torch.Generator | None = None, return_recipe: bool = False) -> torch.Tensor:
    """A degradation that costs next to nothing: what is measured is how the clean picture is read."""
    return x / 2


def reading(pairs: Dataset, batches: int, workers: int) -> Callable[[], None]:
    """Read some batches as a training loop does: items from all over the set, by workers that stay."""
    order = torch.randint(len(pairs), (batches * BATCH,), generator=torch.Generator().manual_seed(0)).tolist()
    loader = DataLoader(pairs, batch_size=BATCH, num_workers=workers, sampler=order, persistent_workers=workers > 0)

    def read() -> None:
        for _ in loader:
            pass

    return read


@dataclass(frozen=True)
class Load:
    """How much is read."""

    batches: int
    workers: int
    repeats: int


def rates(title: str, ways: dict[str, Dataset], load: Load) -> list[Measurement]:
    """Time each way, then say it as pairs a second."""
    calls = {name: reading(pairs, load.batches, load.workers) for name, pairs in ways.items()}
    title = f"{title}, {load.workers} workers"
    table = f"{load.batches} batches of {BATCH}"
    found = compare(title, calls, repeats=load.repeats, table=table)
    pairs = {name: load.batches * BATCH / found[name] for name in ways}
    return [found, record(title, pairs, table="Rate", unit="pairs/s")]


def train_step(batch: int) -> Callable[[], None]:
    """One step of CARN-M on a batch in memory."""
    torch.manual_seed(0)
    model = carn_m(scale=SCALE)
    optimizer = torch.optim.Adam(model.parameters())
    lq, hq = torch.rand(batch, 3, PATCH, PATCH), torch.rand(batch, 3, SCALE * PATCH, SCALE * PATCH)

    def step() -> None:
        optimizer.zero_grad()
        F.l1_loss(model(lq), hq).backward()
        optimizer.step()

    return step


def both(folder: Path, root: Path, load: Load) -> list[Measurement]:
    """Both data sets on one folder."""
    size = 2 * SCALE * PATCH
    pairs = CropCache(folder, root / f"{folder.name}-pairs.npy", size=size, scale=SCALE, progress=False)
    single = CropCache(folder, root / f"{folder.name}.npy", size=size, progress=False)
    options = {"patch_size": PATCH, "scale": SCALE, "length": 10**6}
    crops = {
        "pictures": RandomCropPairs(ImageFolder(folder), cache_bytes=0, **options),
        "restorekit, pictures kept in each worker": RandomCropPairs(ImageFolder(folder), **options),
        "restorekit, crop cache": RandomCropPairs(pairs, **options),
    }
    degraded = {
        "pictures": DegradedFolder(folder, faded, patch_size=PATCH, variants=10**5),
        "restorekit, crop cache": DegradedFolder(single, faded, patch_size=PATCH, variants=10**5),
    }
    return [
        *rates(f"{folder.name}: pairs by {SCALE}", crops, load),
        *rates(f"{folder.name}: degraded patches", degraded, load),
    ]


def measure(options: Options) -> list[Measurement]:
    """The training step, then the ways to feed it."""
    batch = 1 if options.quick else BATCH
    side = 2 * SCALE * PATCH
    count, size = (2, (side, side)) if options.quick else (24, (678, 1020))
    batches, repeats = (1, 1) if options.quick else (4, 3)
    step = compare("CARN-M by 4", {"one training step": train_step(batch)}, repeats=3, table="What has to be fed")
    rate = {"pairs": batch / step["one training step"]}
    found = [step, record("a step takes in", rate, table="Rate", unit="pairs/s")]
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        for suffix in ("jpg",) if options.quick else ("png", "jpg"):
            folder = make_pictures(root / suffix, count, size, suffix)
            for workers in (0,) if options.quick else (0, 2):
                found += both(folder, root, Load(batches, workers, repeats))
    return found


if __name__ == "__main__":
    main(__doc__, measure)
