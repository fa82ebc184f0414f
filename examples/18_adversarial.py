"""Train a small PCARN for x2 on its pixels first, then against a discriminator, and show what that changes.

A network that is trained on pixels alone restores a mean of all pictures that may be right, which is soft. The
discriminator learns to tell that from photographs, and the network to be taken for one: sharper, at a lower PSNR. PCARN
holds the content in place by the features of a VGG-19 with ImageNet's weights, which cannot ship with this library:

    18_adversarial.py --vgg vgg19-dcbb9e9d.pth

Without that file the content is held by L1, and the share of the discriminator is larger. A minute is enough for
sharper fur, and for traces of a pattern in it. Everything ships with scikit-image. Needs the extras ``train`` and
``plots``.
"""

import argparse
import copy
from pathlib import Path

import torch
from matplotlib.figure import Figure
from skimage import data
from torch import Tensor, nn

from restorekit.data import RandomCropPairs
from restorekit.image import resize, resize_uint8, to_image, to_tensor
from restorekit.losses import VGGLoss
from restorekit.metrics import psnr
from restorekit.models import CARN, MultiScaleDiscriminator, PatchDiscriminator, load_trunk, pcarn
from restorekit.train import adversarial, cosine, fit

SCALE, BATCH_SIZE = 2, 8
L1_SHARE, VGG_SHARE = 1e-2, 5e-3  # of the discriminator in the network's loss; PCARN has the second one


def pairs() -> RandomCropPairs:
    """Small patches of photographs, and the large ones that belong to them."""
    pictures = [data.astronaut(), data.coffee(), data.rocket(), data.stereo_motorcycle()[0]]
    pictures += [data.brick(), data.grass(), data.gravel()]
    return RandomCropPairs(pictures, patch_size=16, scale=SCALE, length=10_000)


def on_pixels(steps: int) -> CARN:
    """The start: L1, as for any other network."""
    torch.manual_seed(0)  # of the initial weights
    model = pcarn(SCALE, channels=24, blocks=1)
    # above the published 1e-4: there is a minute, not days
    fit(model, pairs(), steps=steps, batch_size=BATCH_SIZE, learning_rate=2e-3, schedule=cosine(steps, floor=0.02))
    return model


def against_a_discriminator(start: CARN, steps: int, vgg: Path | None) -> CARN:
    """The same network, trained on by the recipe."""
    model = copy.deepcopy(start)
    torch.manual_seed(0)
    discriminator = MultiScaleDiscriminator([PatchDiscriminator(channels=8) for _ in range(2)])  # 3 of 64 in PCARN
    step = adversarial(
        discriminator,
        content=nn.L1Loss() if vgg is None else VGGLoss(load_trunk("vgg19", vgg)),
        gan_weight=L1_SHARE if vgg is None else VGG_SHARE,
        discriminator_rate=1e-3,
    )
    fit(model, pairs(), steps=steps, batch_size=BATCH_SIZE, step=step, learning_rate=3e-4, clip_norm=10)
    return model


@torch.inference_mode()
def restored(model: CARN, lq: Tensor) -> Tensor:
    """A whole picture."""
    return model.eval()(lq).clamp(0, 1)


def sharpness(picture: Tensor) -> float:
    """How much neighbours differ, in levels of 255."""
    return 255 * picture.diff(dim=-1).abs().mean().item()


def strip(pictures: dict[str, Tensor], path: str) -> None:
    """Draw a detail of each picture side by side."""
    figure = Figure(figsize=(4.4 * len(pictures), 4), layout="constrained")
    for axis, (name, picture) in zip(figure.subplots(1, len(pictures)), pictures.items(), strict=True):
        axis.imshow(to_image(picture, like="uint8")[60:200, 130:300])
        axis.set_title(name)
        axis.set_axis_off()
    figure.savefig(path, dpi=80)


def main() -> None:
    """Train twice, restore, measure, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=400, help="on pixels (default: %(default)s)")
    parser.add_argument("--gan-steps", type=int, default=250, help="against a discriminator (default: %(default)s)")
    parser.add_argument("--vgg", type=Path, help="ImageNet's weights of VGG-19, a file of torchvision")
    parser.add_argument("--out", default="adversarial.png", help="picture to write (default: %(default)s)")
    options = parser.parse_args()

    torch.set_num_threads(1)  # steps as small as these gain little from more
    truth = data.chelsea()[:, :450]
    lq, hq = to_tensor(resize_uint8(truth, 1 / SCALE)), to_tensor(truth)
    start = on_pixels(options.steps)
    model = against_a_discriminator(start, options.gan_steps, options.vgg)
    found = {
        "Bicubic": resize(lq, SCALE).clamp(0, 1),
        "PCARN on pixels": restored(start, lq),
        "PCARN against a discriminator": restored(model, lq),
    }
    for name, picture in found.items():
        print(f"{name}: PSNR {psnr(picture, hq, crop_border=SCALE).item():.2f} dB, sharpness {sharpness(picture):.2f}")
    print(f"Original: sharpness {sharpness(hq):.2f}")
    strip(found | {"Original": hq}, options.out)


if __name__ == "__main__":
    main()
