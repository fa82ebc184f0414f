"""Train a small colour DnCNN on noise of one strength, and show what it takes off a photograph.

Everything ships with scikit-image: photographs to train on, and the cat ``chelsea``, which is kept out. Needs the
extras ``train`` and ``plots``.
"""

import argparse

import numpy as np
import torch
from matplotlib.figure import Figure
from skimage import data
from torch import Generator, Tensor

from restorekit.data import RandomCropPairs
from restorekit.image import to_image, to_tensor
from restorekit.inference import restore
from restorekit.metrics import psnr
from restorekit.models import DnCNN, dncnn
from restorekit.train import cosine, fit, supervised

SIGMA = 25 / 255
BATCH_SIZE = 8


def add_noise(lq: Tensor, hq: Tensor, *, generator: Generator | None = None) -> tuple[Tensor, Tensor]:
    """White Gaussian noise, drawn anew for every batch."""
    noise = torch.randn(lq.shape, generator=generator, device=generator.device if generator else lq.device)
    return lq + SIGMA * noise.to(lq), hq


def train(steps: int) -> DnCNN:
    """Pairs of equal pictures, one of which gets noise on its way into the network."""
    pictures = [data.astronaut(), data.coffee(), data.rocket(), *data.stereo_motorcycle()[:2], data.brick()]
    pairs = RandomCropPairs(pictures, patch_size=40, scale=1, length=steps * BATCH_SIZE)
    torch.set_num_threads(1)  # steps as small as these gain little from more, and lose a lot where cores are shared
    torch.manual_seed(0)  # of the initial weights
    model = dncnn(8, in_channels=3, channels=32, batch_norm=False)  # small batches train better without
    fit(
        model,
        pairs,
        steps=steps,
        batch_size=BATCH_SIZE,
        step=supervised(augment=add_noise),
        learning_rate=2e-3,  # above the published 1e-3: there is a minute, not a day
        schedule=cosine(steps, floor=0.02),
    )
    return model


def strip(pictures: dict[str, np.ndarray], path: str) -> None:
    """Draw the pictures side by side, whole and a detail."""
    figure = Figure(figsize=(12, 6.2), layout="constrained")
    for (whole, detail), (name, picture) in zip(figure.subplots(2, len(pictures)).T, pictures.items(), strict=True):
        whole.set_title(name)
        for axis, shown in ((whole, picture), (detail, picture[50:130, 130:250])):
            axis.imshow(shown)
            axis.set_axis_off()
    figure.savefig(path, dpi=80)


def main() -> None:
    """Train, restore, measure, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=600, help="training steps (default: %(default)s)")
    parser.add_argument("--out", default="denoised.png", help="picture to write (default: %(default)s)")
    options = parser.parse_args()

    model = train(options.steps)
    truth = to_tensor(data.chelsea())
    noisy, _ = add_noise(truth, truth, generator=Generator().manual_seed(1))
    restored = restore(model, noisy)
    before, after = (psnr(x, truth).item() for x in (noisy, restored))
    print(f"PSNR {before:.2f} dB with noise, {after:.2f} dB restored")
    titled = {"Original": truth, f"Noisy, {before:.2f} dB": noisy, f"DnCNN, {after:.2f} dB": restored}
    strip({name: to_image(x, like="uint8") for name, x in titled.items()}, options.out)


if __name__ == "__main__":
    main()
