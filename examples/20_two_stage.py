"""Train a small IDR in its two stages on three degradations, and ask it what it takes each damaged picture for.

In the first stage the network is told the degradation of each batch and learns what that looks like; in the second it
learns to tell how much of each is in a picture, so that afterwards nobody needs to say. A minute is too short to tell
them apart with certainty. With ``--checkpoint``, a run that was stopped goes on where it was. Everything ships with
scikit-image; the cat ``chelsea`` is kept out of the training. Needs the extras ``train`` and ``plots``.
"""

import argparse

import torch
from matplotlib.figure import Figure
from skimage import data
from torch import Generator, Tensor

from restorekit.data import DegradedFolder, RandomCropPairs
from restorekit.degrade import Distortion
from restorekit.image import to_image, to_tensor
from restorekit.inference import restore
from restorekit.metrics import psnr
from restorekit.models import IDR
from restorekit.models.idr import DEGRADATIONS
from restorekit.train import cosine, two_stage

DAMAGE = {
    "noise": Distortion("gaussian_noise", 30 / 255),
    "haze": Distortion("haze", (0.1, 0.2)),
    "low-light": Distortion("low_light", (0.5, 0.7), options={"gamma": 1.5}),
}
VERSIONS = 3  # damaged ones of each photograph, in each degradation


def train(steps: int, checkpoint: str | None) -> IDR:
    """A data set for each degradation; the network changes its stage half-way."""
    photographs = [data.astronaut(), data.coffee(), data.rocket(), *data.stereo_motorcycle()[:2]]
    pairs = {
        name: RandomCropPairs(
            list(DegradedFolder(photographs, damage, variants=VERSIONS)), patch_size=32, scale=1, length=100_000
        )
        for name, damage in DAMAGE.items()
    }
    torch.set_num_threads(1)  # steps as small as these gain little from more
    torch.manual_seed(0)  # of the initial weights
    model = IDR(channels=8, blocks=(1, 1, 1, 1), heads=(1, 1, 2, 2), refinement_blocks=1, hub_size=8)
    two_stage(
        model,
        pairs,
        steps=(steps // 2, steps - steps // 2),
        batch_size=6,
        learning_rate=2e-3,  # above the published 1e-4: there is a minute, not days
        schedule=cosine(steps, floor=0.02),
        classification_weight=0.1,  # above the published 0.01, for the same reason
        checkpoint=checkpoint,
    )
    return model


def main() -> None:
    """Train, restore the cat from each degradation, say what the network took it for, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=400, help="of both stages together (default: %(default)s)")
    parser.add_argument("--checkpoint", help="file to keep the training in, and to go on from")
    parser.add_argument("--out", default="two_stages.png", help="picture to write (default: %(default)s)")
    options = parser.parse_args()

    model = train(options.steps, options.checkpoint).eval()
    truth = to_tensor(data.chelsea())
    rows = []
    for name, damage in DAMAGE.items():
        damaged = damage(truth, generator=Generator().manual_seed(1))
        restored = restore(model, damaged)
        with torch.no_grad():
            chances = torch.stack(model.analyse(damaged).probabilities).mean(dim=(0, 1))
        guess = list(DEGRADATIONS)[int(chances.argmax())]
        before, after = psnr(damaged, truth).item(), psnr(restored, truth).item()
        print(f"{name}: {before:.2f} dB damaged, {after:.2f} dB restored, taken for {guess} ({chances.max():.0%})")
        rows.append((name, before, damaged, after, restored))
    draw(rows, options.out)


def draw(rows: list[tuple[str, float, Tensor, float, Tensor]], path: str) -> None:
    """Damaged above, restored below."""
    figure = Figure(figsize=(12, 5.6), layout="constrained")
    for axes, (name, before, damaged, after, restored) in zip(figure.subplots(2, len(rows)).T, rows, strict=True):
        titles = (f"{name}, {before:.2f} dB", f"restored, {after:.2f} dB")
        for axis, title, picture in zip(axes, titles, (damaged, restored), strict=True):
            axis.set_title(title)
            axis.imshow(to_image(picture, like="uint8"))
            axis.set_axis_off()
    figure.savefig(path, dpi=80)


if __name__ == "__main__":
    main()
