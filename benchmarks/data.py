"""Images per second for training with and without the crop cache, against what CARN-M takes in a training step.

Pictures are made up: smooth noise with texture, written as PNG and JPEG of 1020 x 678, half the size of DIV2K's. The
need is that of batches of 16 patches of 48 pixels by 4, on the same cores; the goal is that reading takes less time
than the step. Without the cache every worker decodes and shrinks the whole picture for each patch, unless it can keep
them all.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from harness import arguments, compare
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


def rates(title: str, ways: dict[str, Dataset], batches: int, workers: int, repeats: int) -> None:
    """Time each way and print pictures per second."""
    calls = {name: reading(pairs, batches, workers) for name, pairs in ways.items()}
    seconds = compare(f"{title}, {workers} workers, {batches} batches of {BATCH}", calls, repeats=repeats)
    for name, median in seconds.items():
        print(f"  {name:<38}{batches * BATCH / median:10.0f} pairs a second")


def train_step() -> Callable[[], None]:
    """One step of CARN-M on a batch in memory."""
    torch.manual_seed(0)
    model = carn_m(scale=SCALE)
    optimizer = torch.optim.Adam(model.parameters())
    lq, hq = torch.rand(BATCH, 3, PATCH, PATCH), torch.rand(BATCH, 3, SCALE * PATCH, SCALE * PATCH)

    def step() -> None:
        optimizer.zero_grad()
        F.l1_loss(model(lq), hq).backward()
        optimizer.step()

    return step


def measure(folder: Path, root: Path, batches: int, workers: int, repeats: int) -> None:
    """Both data sets on one folder."""
    size = 2 * SCALE * PATCH
    pairs = CropCache(folder, root / f"{folder.name}-pairs.npy", size=size, scale=SCALE, progress=False)
    single = CropCache(folder, root / f"{folder.name}.npy", size=size, progress=False)
    options = {"patch_size": PATCH, "scale": SCALE, "length": 10**6}
    rates(
        f"{folder.name}: pairs by {SCALE}",
        {
            "pictures, nothing kept": RandomCropPairs(ImageFolder(folder), cache_bytes=0, **options),
            "pictures, kept in each worker": RandomCropPairs(ImageFolder(folder), **options),
            "crop cache": RandomCropPairs(pairs, **options),
        },
        batches,
        workers,
        repeats,
    )
    rates(
        f"{folder.name}: degraded patches",
        {
            "pictures": DegradedFolder(folder, faded, patch_size=PATCH, variants=10**5),
            "crop cache": DegradedFolder(single, faded, patch_size=PATCH, variants=10**5),
        },
        batches,
        workers,
        repeats,
    )


def main() -> None:
    """Measure the step, then the ways to feed it."""
    options = arguments(__doc__.splitlines()[0])
    count, size = (4, (226, 340)) if options.quick else (24, (678, 1020))
    if min(size) < 2 * SCALE * PATCH:
        size = (2 * SCALE * PATCH, 2 * SCALE * PATCH)
    batches, repeats = (2, 1) if options.quick else (4, 5)
    need = compare("what has to be fed", {"CARN-M by 4, one training step": train_step()}, repeats=3)
    print(f"  {'a step takes in':<38}{BATCH / next(iter(need.values())):10.0f} pairs a second")
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        for suffix in ("png", "jpg"):
            folder = make_pictures(root / suffix, count, size, suffix)
            for workers in (0, 2):
                measure(folder, root, batches, workers, repeats)


if __name__ == "__main__":
    main()
