"""Train a small CARN-M x2 with CutBlur for half a minute, restore a photograph that it never saw, and show both.

Everything ships with scikit-image: a dozen pictures to train on, and the cat ``chelsea``, which is kept out. Needs the
extras ``train`` and ``plots``.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from skimage import data

from restorekit.augment import cutblur
from restorekit.data import RandomCropPairs
from restorekit.image import resize, resize_uint8, rgb_to_y, to_image, to_tensor
from restorekit.inference import restore
from restorekit.metrics import psnr, ssim
from restorekit.models import CARN, carn_m, fold_desubpixel, save_weights
from restorekit.train import cosine, fit, supervised

SCALE = 2
BATCH_SIZE = 8
DETAIL = (slice(50, 130), slice(130, 250))  # rows and columns of the detail that is shown enlarged


def train(steps: int) -> CARN:
    """CutBlur mixes pictures of one size, so the network learns on enlarged ones; folding it undoes that."""
    pictures = [
        *data.stereo_motorcycle()[:2],
        *(data.astronaut(), data.coffee(), data.rocket(), data.camera(), data.coins(), data.brick(), data.grass()),
        *(data.gravel(), data.immunohistochemistry(), data.hubble_deep_field()),
    ]
    pairs = RandomCropPairs(pictures, patch_size=16, scale=SCALE, length=steps * BATCH_SIZE)
    torch.set_num_threads(1)  # steps as small as these gain little from more, and lose a lot where cores are shared
    torch.manual_seed(0)  # of the initial weights
    model = carn_m(scale=SCALE, channels=32, units=1, global_skip=True, head="desubpixel")
    fit(
        model.to(memory_format=torch.channels_last),  # the faster layout on a CPU
        pairs,
        steps=steps,
        batch_size=BATCH_SIZE,
        step=supervised(augment=cutblur),
        learning_rate=4e-3,  # far above the published 1e-4: there is half a minute, not a week
        schedule=cosine(steps, floor=0.02),
    )
    return fold_desubpixel(model)


def score(picture: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """PSNR and SSIM as in the papers: on Y, without a border as wide as the scale."""
    pair = to_tensor(picture), to_tensor(truth)
    return tuple(measure(*pair, crop_border=SCALE, y_channel=True).item() for measure in (psnr, ssim))


def error(picture: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Distance of the luma, in levels of 255."""
    return 255 * (rgb_to_y(to_tensor(picture)) - rgb_to_y(to_tensor(truth))).abs()[0, 0].numpy()


def compare(truth: np.ndarray, small: np.ndarray, results: dict[str, np.ndarray], path: str) -> None:
    """Draw whole pictures, a detail and the errors: one column for each picture."""
    figure = Figure(figsize=(12, 9.3), layout="constrained")
    axes = figure.subplots(3, 3)
    height, width = truth.shape[:2]
    rows, columns = DETAIL
    errors = [error(picture, truth) for picture in results.values()]
    for (whole, detail, _), (name, picture) in zip(axes.T, {"Original": truth, **results}.items(), strict=True):
        numbers = "" if picture is truth else "\nPSNR {:.2f} dB   SSIM {:.4f}".format(*score(picture, truth))
        whole.set_title(name + numbers)
        whole.imshow(picture)
        size = columns.stop - columns.start, rows.stop - rows.start
        whole.add_patch(Rectangle((columns.start, rows.start), *size, fill=False, edgecolor="white"))
        detail.imshow(picture[DETAIL])
    axes[2, 0].imshow(small, extent=(0.25 * width, 0.75 * width, 0.75 * height, 0.25 * height))
    axes[2, 0].set(xlim=(0, width), ylim=(height, 0), title=f"Input, {small.shape[1]} x {small.shape[0]} pixels")
    for axis, values in zip(axes[2, 1:], errors, strict=True):
        shown = axis.imshow(values, cmap="inferno", vmin=0, vmax=np.quantile(errors, 0.999))
        axis.set_title(f"Error, {values.mean():.2f} on average")
    figure.colorbar(
        shown, ax=axes[2, 1:], location="bottom", aspect=50, shrink=0.6, label="distance of Y, levels of 255"
    )
    for axis in axes.flat:
        axis.set_axis_off()
    figure.savefig(path, dpi=80)


def main() -> None:
    """Train, restore, measure, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2500, help="training steps (default: %(default)s)")
    parser.add_argument("--out", default="cutblur.png", help="picture to write (default: %(default)s)")
    parser.add_argument("--weights", type=Path, help="file to keep the network in, for the command restorekit")
    options = parser.parse_args()
    start = time.perf_counter()

    model = train(options.steps)
    if options.weights is not None:
        save_weights(model, options.weights)
    truth = data.chelsea()[:, :450]  # an even number of columns
    small = resize_uint8(truth, 1 / SCALE)
    results = {
        "Bicubic": to_image(resize(to_tensor(small), SCALE), like="uint8"),
        "CARN-M with CutBlur": restore(model, small),
    }
    for name, picture in results.items():
        print("{:20} PSNR {:.2f} dB   SSIM {:.4f}".format(name, *score(picture, truth)))
    compare(truth, small, results, options.out)
    print(f"{options.out} written, {time.perf_counter() - start:.0f} seconds in all")


if __name__ == "__main__":
    main()
