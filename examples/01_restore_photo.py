"""Damage a photograph in three ways, restore it with the weights that come with the library, and show it all.

The photograph is the cat ``chelsea`` of scikit-image, which no training saw, or one of yours. It is made four times
smaller, gets noise, and is compressed hard. Needs the extra ``plots``.
"""

import argparse
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from skimage import data
from torch import Tensor

from restorekit.degrade import gaussian_noise, jpeg
from restorekit.image import resize, to_image, to_tensor
from restorekit.inference import restore
from restorekit.metrics import psnr, ssim
from restorekit.models import load_default

SCALE = 4
BORDER = SCALE  # pixels that the scores leave out
LEAST = 32
DETAIL = 100, 160  # rows and columns of the detail that is shown enlarged


class Damage(NamedTuple):
    """A way to damage a photograph, and the task whose network mends it."""

    title: str
    task: str
    damage: Callable[[Tensor], Tensor]
    scale: int = 1


def noisy(x: Tensor) -> Tensor:
    """Noise of a dark room, the same each time."""
    return gaussian_noise(x, 25 / 255, generator=torch.Generator().manual_seed(0))


DAMAGES = (
    Damage(f"{SCALE} times smaller", "super-resolution", lambda x: resize(x, 1 / SCALE).clamp(0, 1), SCALE),
    Damage("noise of sigma 25", "denoising", noisy),
    Damage("JPEG of quality 10", "jpeg-artifact-removal", lambda x: jpeg(x, 10)),
)


def colours(x: Tensor) -> Tensor:
    """Three channels: grey three times, and nothing of transparency."""
    return x[:, :3] if x.shape[1] > 2 else x[:, :1].expand(-1, 3, -1, -1)


def score(picture: Tensor, truth: Tensor) -> str:
    """PSNR and SSIM on Y, as in the papers."""
    options = {"crop_border": BORDER, "y_channel": True}
    return f"PSNR {psnr(picture, truth, **options).item():.2f} dB   SSIM {ssim(picture, truth, **options).item():.4f}"


def draw(truth: Tensor, results: dict[str, tuple[Tensor, Tensor]], path: str) -> None:
    """One row for each damage: the restored picture, and a detail damaged, restored and true."""
    figure = Figure(figsize=(14, 8.6), layout="constrained")
    height, width = truth.shape[2:]
    rows, columns = (min(side, length) for side, length in zip(DETAIL, (height, width), strict=True))
    top, left = (height - rows) // 3, (width - columns) // 2
    detail = (slice(top, top + rows), slice(left, left + columns))
    for axes, (title, (before, after)) in zip(figure.subplots(3, 4), results.items(), strict=True):
        shown = [to_image(picture, like="uint8") for picture in (after, before, after, truth)]
        axes[0].imshow(shown[0])
        axes[0].add_patch(Rectangle((left, top), columns, rows, fill=False, edgecolor="white"))
        for axis, picture in zip(axes[1:], shown[1:], strict=True):
            axis.imshow(picture[detail])
        names = ("Restored", f"{title}\n{score(before, truth)}", f"Restored\n{score(after, truth)}", "Original")
        for axis, name in zip(axes, names, strict=True):
            axis.set_title(name, fontsize=11)
            axis.set_axis_off()
    figure.savefig(path, dpi=80)


def main() -> None:
    """Damage, restore, measure, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photo", nargs="?", help="a photograph of yours (default: a cat)")
    parser.add_argument("--out", default="comparison.png", help="picture to write (default: %(default)s)")
    options = parser.parse_args()
    start = time.perf_counter()

    try:
        truth = colours(to_tensor(data.chelsea() if options.photo is None else options.photo))
    except (OSError, ValueError) as error:
        parser.error(str(error))
    height, width = (side - side % SCALE for side in truth.shape[2:])
    if min(height, width) < LEAST:
        parser.error(
            f"the photograph must be at least {LEAST} px to each side, got {truth.shape[3]} x {truth.shape[2]}"
        )
    truth, results = truth[..., :height, :width], {}
    for title, task, damage, scale in DAMAGES:
        damaged = damage(truth)
        restored = restore(load_default(task), damaged, scale=scale)
        seen = resize(damaged, scale).clamp(0, 1)  # bicubic, where the picture is smaller
        results[title] = seen, restored
        print(f"{title:20} {score(seen, truth)}")
        print(f"{'  restored':20} {score(restored, truth)}")
    draw(truth, results, options.out)
    print(f"{options.out} written, {time.perf_counter() - start:.0f} seconds in all")


if __name__ == "__main__":
    main()
