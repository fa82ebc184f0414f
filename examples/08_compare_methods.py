"""Compare nearest neighbours, bicubic interpolation and a small trained network, and write the report as one HTML file.

The network is trained for half a minute on pictures that ship with scikit-image and never sees the photographs that it
is judged on: others from scikit-image, or those of a folder of your own, such as Set14 (``HR/`` and ``LRbicx2/``, or
just the true pictures). Needs the extras ``train`` and ``plots``.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from skimage import data
from torch import Tensor, nn
from torch.nn import functional as F

from restorekit.data import RandomCropPairs
from restorekit.evaluation import Comparison, compare, evaluate
from restorekit.image import resize, write_image
from restorekit.models import CARN, carn_m
from restorekit.train import cosine, fit, supervised

SCALE = 2
BATCH_SIZE = 8

Method = nn.Module | Callable[[Tensor], Tensor]


def train(steps: int) -> CARN:
    """A small CARN-M that learns what bicubic interpolation misses."""
    pictures = [
        *data.stereo_motorcycle()[:2],
        *(data.clock(), data.brick(), data.grass(), data.gravel()),
        *(data.immunohistochemistry(), data.hubble_deep_field()),
    ]
    pairs = RandomCropPairs(pictures, patch_size=16, scale=SCALE, length=steps * BATCH_SIZE)
    torch.set_num_threads(1)  # steps as small as these gain little from more, and lose a lot where cores are shared
    torch.manual_seed(0)  # of the initial weights
    model = carn_m(scale=SCALE, channels=32, units=1, global_skip=True)
    fit(
        model.to(memory_format=torch.channels_last),  # the faster layout on a CPU
        pairs,
        steps=steps,
        batch_size=BATCH_SIZE,
        step=supervised(),
        learning_rate=4e-3,  # far above the published 1e-4: there is half a minute, not a week
        schedule=cosine(steps, floor=0.02),
    )
    return model


def write_photographs(folder: Path, side: int) -> None:
    """Photographs that the network is not trained on, cut to ``side`` pixels at most."""
    folder.mkdir()
    photographs = {
        "astronaut": data.astronaut(),
        "camera": data.camera(),
        "chelsea": data.chelsea(),
        "coffee": data.coffee(),
        "coins": data.coins(),
        "rocket": data.rocket(),
    }
    for name, pixels in photographs.items():
        top, left = (max(0, (size - side) // 2) for size in pixels.shape[:2])
        write_image(folder / f"{name}.png", pixels[top : top + side, left : left + side])


def report(models: dict[str, Method], folder: Path, kept: Path, path: str) -> Comparison:
    """Restore the folder with every method and compare them."""
    results = {
        name: evaluate(model, folder, scale=SCALE, keep_pictures=kept / str(index))
        for index, (name, model) in enumerate(models.items())
    }
    truth = folder / "HR" if (folder / "HR").is_dir() else folder
    pictures = {"Original": truth} | {name: kept / str(index) for index, name in enumerate(models)}
    return compare(results, path, pictures=pictures, title=f"{folder.resolve().name}, enlarged {SCALE} times")


def main() -> None:
    """Train, restore, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="true pictures (default: photographs from scikit-image)")
    parser.add_argument("--steps", type=int, default=1500, help="training steps (default: %(default)s)")
    parser.add_argument("--side", type=int, default=512, help="most pixels of a default photograph's side")
    parser.add_argument("--out", default="report.html", help="file to write (default: %(default)s)")
    options = parser.parse_args()

    models = {
        "Nearest": lambda x: F.interpolate(x, scale_factor=SCALE),
        "Bicubic": lambda x: resize(x, SCALE),
        "CARN-M, small": train(options.steps),
    }
    with TemporaryDirectory() as scratch:
        folder = options.folder
        if folder is None:
            folder = Path(scratch) / "Photographs"
            write_photographs(folder, options.side)
        print(report(models, folder, Path(scratch) / "restored", options.out))
    print(f"\n{options.out} written; open it in a browser")


if __name__ == "__main__":
    main()
