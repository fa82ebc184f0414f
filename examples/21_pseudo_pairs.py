"""Learn to enlarge photographs of which no larger version exists.

Each small photograph is the target of its own shrunk version (SimUSR), so that the network learns from small ones
alone. Photographs with noise go through ``pseudo_pairs(..., denoiser=...)``; what is enlarged afterwards must then go
through the same function. The large versions are used at the end alone, to measure. Everything ships with scikit-image;
the cat ``chelsea`` is kept out of the training. Needs the extras ``train`` and ``plots``.
"""

import argparse

import numpy as np
import torch
from matplotlib.figure import Figure
from skimage import data
from torch import Tensor

from restorekit.image import resize, resize_uint8, to_image, to_tensor
from restorekit.inference import restore
from restorekit.metrics import psnr
from restorekit.models import VDSR, vdsr
from restorekit.train import cosine, pseudo_pairs

SCALE = 2


def small(photograph: np.ndarray) -> np.ndarray:
    """Half the size, after cutting the sides to multiples of the scale."""
    height, width = (side // SCALE * SCALE for side in photograph.shape[:2])
    return resize_uint8(photograph[:height, :width], 1 / SCALE)


def train(steps: int) -> VDSR:
    """All that is given is small; the factor is the network's own."""
    photographs = [data.astronaut(), data.coffee(), data.rocket(), *data.stereo_motorcycle()[:2]]
    torch.set_num_threads(1)  # steps as small as these gain little from more
    torch.manual_seed(0)  # of the initial weights
    model = vdsr(SCALE, in_channels=3, channels=24, depth=6)
    pseudo_pairs(
        model,
        [small(photograph) for photograph in photographs],
        steps=steps,
        patch_size=20,
        batch_size=8,
        learning_rate=1e-3,
        schedule=cosine(steps, floor=0.02),
        clip_norm=0.4,
    )
    return model


def main() -> None:
    """Train, enlarge the cat, measure, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=600, help="training steps (default: %(default)s)")
    parser.add_argument("--out", default="pseudo_pairs.png", help="picture to write (default: %(default)s)")
    options = parser.parse_args()

    model = train(options.steps)
    given = to_tensor(small(data.chelsea()))
    truth = to_tensor(data.chelsea())[..., : SCALE * given.shape[2], : SCALE * given.shape[3]]
    enlarged, restored = resize(given, SCALE), restore(model, given)
    before, after = (psnr(x.clamp(0, 1), truth, crop_border=SCALE).item() for x in (enlarged, restored))
    print(f"PSNR {before:.2f} dB bicubic, {after:.2f} dB learned from small photographs alone")
    draw({"Original": truth, f"Bicubic, {before:.2f} dB": enlarged, f"Learned, {after:.2f} dB": restored}, options.out)


def draw(pictures: dict[str, Tensor], path: str) -> None:
    """The pictures side by side, whole and a detail."""
    figure = Figure(figsize=(12, 6.2), layout="constrained")
    for (whole, detail), (name, picture) in zip(figure.subplots(2, len(pictures)).T, pictures.items(), strict=True):
        pixels = to_image(picture, like="uint8")
        whole.set_title(name)
        for axis, shown in ((whole, pixels), (detail, pixels[80:140, 140:230])):
            axis.imshow(shown)
            axis.set_axis_off()
    figure.savefig(path, dpi=80)


if __name__ == "__main__":
    main()
