"""Train a small progressive CARN for x8 in three stages, and show it beside one that learns x8 from the start.

Stage by stage the network learns to enlarge by 2, by 4 and by 8; what it has learned before goes on learning at a tenth
of the rate. The other network is of the same size, starts from the same weights and sees as many pictures. The paper
trains for 650,000 steps: a minute shows that the deep network has hardly begun by then, where the stages begin with a
shallow one, not which of them is better in the end. Everything ships with scikit-image. Needs the extras ``train`` and
``plots``.

    19_progressive.py --steps 2000 --checkpoint run.pt

keeps a file for each stage; stopped with Ctrl-C, the same call goes on.
"""

import argparse
from pathlib import Path

import torch
from matplotlib.figure import Figure
from skimage import data
from torch import Tensor

from restorekit.data import RandomCropPairs
from restorekit.image import resize, resize_uint8, to_image, to_tensor
from restorekit.metrics import psnr
from restorekit.models import ProgressiveCARN, progressive_carn
from restorekit.train import ProgressiveStage, fit, progressive

SCALE, BATCH_SIZE = 8, 8
RATE = 2e-3  # above the published 1e-4: there is a minute, not a week


def pairs() -> RandomCropPairs:
    """Small patches of photographs and those 8 times as large; earlier stages shrink the targets themselves."""
    pictures = [data.astronaut(), data.coffee(), data.rocket(), data.stereo_motorcycle()[0]]
    return RandomCropPairs(pictures, patch_size=8, scale=SCALE, length=10_000)


def network() -> ProgressiveCARN:
    """With the same weights each time; the published one has 64 channels, 8 blocks and 4 units."""
    torch.manual_seed(0)
    return progressive_carn(SCALE, channels=16, blocks=2, units=1)


def by_stages(steps: int, checkpoint: Path | None) -> ProgressiveCARN:
    """What is cheap gets most of the steps: a step of a stage costs about four times one of the stage before."""
    model = network()
    stages = [ProgressiveStage(part * steps // 4, BATCH_SIZE) for part in (2, 1, 1)]
    for result, scale in zip(
        progressive(model, pairs(), stages=stages, learning_rate=RATE, checkpoint=checkpoint), (2, 4, 8), strict=True
    ):
        print(f"Stage x{scale}: loss {result.losses[0]:.3f} at first, {result.losses[-1]:.3f} at last")
    return model


def at_once(steps: int) -> ProgressiveCARN:
    """The finished network from the first step on."""
    model = network()
    fit(model, pairs(), steps=steps, batch_size=BATCH_SIZE, learning_rate=RATE)
    return model


@torch.inference_mode()
def restored(model: ProgressiveCARN, lq: Tensor) -> Tensor:
    """A whole picture."""
    return model.eval()(lq).clamp(0, 1)


def strip(pictures: dict[str, Tensor], path: str) -> None:
    """Draw the pictures side by side."""
    figure = Figure(figsize=(4.2 * len(pictures), 3.1), layout="constrained")
    for axis, (name, picture) in zip(figure.subplots(1, len(pictures)), pictures.items(), strict=True):
        axis.imshow(to_image(picture, like="uint8"), interpolation="nearest")
        axis.set_title(name)
        axis.set_axis_off()
    figure.savefig(path, dpi=80)


def main() -> None:
    """Train both ways, restore, measure, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=480, help="of all stages together (default: %(default)s)")
    parser.add_argument("--checkpoint", type=Path, help="name of the files to go on from")
    parser.add_argument("--out", default="progressive.png", help="picture to write (default: %(default)s)")
    options = parser.parse_args()

    torch.set_num_threads(1)  # steps as small as these gain little from more
    truth = data.chelsea()[:296, :448]
    lq, hq = to_tensor(resize_uint8(truth, 1 / SCALE)), to_tensor(truth)
    found = {
        "Bicubic": resize(lq, SCALE).clamp(0, 1),
        "At once": restored(at_once(options.steps), lq),
        "Stage by stage": restored(by_stages(options.steps, options.checkpoint), lq),
    }
    shown = {"Low resolution": lq}
    for name, picture in found.items():
        score = psnr(picture, hq, crop_border=SCALE).item()
        print(f"{name}: PSNR {score:.2f} dB")
        shown[f"{name}, {score:.2f} dB"] = picture
    strip(shown | {"Original": hq}, options.out)


if __name__ == "__main__":
    main()
