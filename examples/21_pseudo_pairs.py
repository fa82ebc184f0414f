"""Learn to enlarge photographs of which no larger version exists, and see what the larger ones would have been worth.

One network learns from small photographs alone: each is the target of its own shrunk version (SimUSR). The other learns
from the same photographs with their large versions, which is what everybody does who has them. Small photographs with
noise go through ``pseudo_pairs(..., denoiser=...)``, and what is enlarged afterwards through the same function.
Everything ships with scikit-image; the cat ``chelsea`` is kept out. Needs the extras ``train`` and ``plots``.
"""

import argparse

import numpy as np
import torch
from matplotlib.figure import Figure
from skimage import data
from torch import Tensor

from restorekit.data import RandomCropPairs
from restorekit.image import resize, resize_uint8, to_image, to_tensor
from restorekit.inference import restore
from restorekit.metrics import psnr
from restorekit.models import CARN, carn
from restorekit.train import FitOptions, cosine, fit, pseudo_pairs

SCALE, PATCH = 2, 20


def small(photograph: np.ndarray) -> np.ndarray:
    """Half the size; sides that are even afterwards too."""
    height, width = (side // 4 * 4 for side in photograph.shape[:2])
    return resize_uint8(photograph[:height, :width], 1 / SCALE)


def network() -> CARN:
    """The same initial weights for both."""
    torch.manual_seed(0)
    return carn(SCALE, channels=24, blocks=2, units=2)


def train(steps: int) -> tuple[CARN, CARN]:
    """Without the large versions and with them, otherwise alike."""
    photographs = [data.astronaut(), data.coffee(), data.rocket(), *data.stereo_motorcycle()[:2]]
    torch.set_num_threads(1)  # steps as small as these gain little from more
    shared: FitOptions = {"learning_rate": 2e-3, "schedule": cosine(steps, floor=0.02), "clip_norm": 10.0}
    without, with_them = network(), network()
    pseudo_pairs(without, [small(x) for x in photographs], steps=steps, patch_size=PATCH, batch_size=8, **shared)
    pairs = RandomCropPairs(photographs, patch_size=PATCH, scale=SCALE, length=8 * steps)
    fit(with_them, pairs, steps=steps, batch_size=8, **shared)
    return without, with_them


def main() -> None:
    """Train both, enlarge the cat, measure, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=500, help="training steps of each (default: %(default)s)")
    parser.add_argument("--out", default="pseudo_pairs.png", help="picture to write (default: %(default)s)")
    options = parser.parse_args()

    without, with_them = train(options.steps)
    given = to_tensor(small(data.chelsea()))
    truth = to_tensor(data.chelsea())[..., : SCALE * given.shape[2], : SCALE * given.shape[3]]
    pictures = {
        "Bicubic": resize(given, SCALE),
        "Small photographs alone": restore(without, given),
        "Large ones too": restore(with_them, given),
    }
    titled = {"Original": truth}
    for name, picture in pictures.items():
        score = psnr(picture.clamp(0, 1), truth, crop_border=SCALE).item()
        print(f"{name}: {score:.2f} dB")
        titled[f"{name}, {score:.2f} dB"] = picture
    draw(titled, options.out)


def draw(pictures: dict[str, Tensor], path: str) -> None:
    """The pictures side by side, whole and a detail."""
    figure = Figure(figsize=(14, 5.4), layout="constrained")
    for (whole, detail), (name, picture) in zip(figure.subplots(2, len(pictures)).T, pictures.items(), strict=True):
        pixels = to_image(picture, like="uint8")
        whole.set_title(name, fontsize=10)
        for axis, shown in ((whole, pixels), (detail, pixels[80:140, 140:230])):
            axis.imshow(shown)
            axis.set_axis_off()
    figure.savefig(path, dpi=80)


if __name__ == "__main__":
    main()
