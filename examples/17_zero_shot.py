"""Enlarge one picture by a network that learns from nothing else, and show it beside bicubic interpolation.

    17_zero_shot.py
    17_zero_shot.py --image small.png --scale 3 --steps 3000 --crop-size 128 --out enlarged.png

The picture by default is a piece of a motorcycle that ships with scikit-image, made smaller, so that the results can be
compared with the true one; a picture of your own is enlarged as it is. ZSSR finds what repeats at other sizes: edges,
spokes, bricks. Crops and steps are fewer than the published ones, for an answer within about a minute; those of the
last line above take a quarter of an hour. Needs the extras ``train`` and ``plots``.
"""

import argparse
import dataclasses
from pathlib import Path

from matplotlib.figure import Figure
from skimage import data
from torch import Tensor

from restorekit.evaluation import PROTOCOLS
from restorekit.image import read_image, resize, to_image, to_tensor, write_image
from restorekit.metrics import psnr
from restorekit.train import ZERO_SHOT_SETTINGS, zero_shot

PROTOCOL = PROTOCOLS["sr-y"]


def pair(path: Path | None, scale: int) -> tuple[Tensor, Tensor | None]:
    """The picture to enlarge, and the true one if it is known."""
    if path is not None:
        return to_tensor(read_image(path)), None
    true = to_tensor(data.stereo_motorcycle()[0])[..., 180:420, 330:570]
    small = resize(true, 1 / scale)
    return to_tensor(to_image(small, like="uint8")), true  # in 8 bits, as a file would hold it


def score(picture: Tensor, true: Tensor, scale: int) -> float:
    """PSNR as papers on super-resolution give it: luma, without the border."""
    prediction, target = PROTOCOL.prediction(picture), PROTOCOL.target(true)
    return psnr(prediction, target, crop_border=PROTOCOL.border(scale)).item()


def draw(pictures: dict[str, Tensor], path: str) -> None:
    """The pictures side by side."""
    figure = Figure(figsize=(4.5 * len(pictures), 4.9), layout="constrained")
    for axis, (name, picture) in zip(figure.subplots(1, len(pictures)), pictures.items(), strict=True):
        shown = to_image(picture, like="uint8")
        axis.imshow(shown, interpolation="nearest", cmap="gray")
        axis.set_title(name, fontsize=13)
        axis.set_axis_off()
    figure.savefig(path, dpi=80)


def main() -> None:
    """Train, enlarge, compare, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", type=Path, help="picture to enlarge (default: a motorcycle, made smaller)")
    parser.add_argument("--scale", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--steps", type=int, default=1000, help="at most (default: %(default)s)")
    parser.add_argument("--crop-size", type=int, default=64, help="pixels that a step sees (default: %(default)s)")
    parser.add_argument("--checkpoint", help="file to keep the state of a long run in")
    parser.add_argument("--out", help="enlarged picture to write")
    parser.add_argument("--strip", default="zero_shot.png", help="comparison to write (default: %(default)s)")
    options = parser.parse_args()

    x, true = pair(options.image, options.scale)
    usual = ZERO_SHOT_SETTINGS["doubling" if options.scale == 4 else "default"]
    settings = dataclasses.replace(usual, crop_size=options.crop_size)
    result = zero_shot(x, scale=options.scale, settings=settings, steps=options.steps, checkpoint=options.checkpoint)
    errors = result.measured[-1]
    print(f"{result.steps} steps; error of the picture restored from its son: {errors[0]:.2e} to {errors[-1]:.2e}")
    pictures = {"as it was": x, "bicubic": resize(x, options.scale), "learnt from itself": result.image}
    if true is not None:
        for name in ("bicubic", "learnt from itself"):
            decibels = score(pictures[name], true, options.scale)
            print(f"{name}: {decibels:.2f} dB")
            pictures[f"{name}, {decibels:.2f} dB"] = pictures.pop(name)
        pictures["true"] = true
    draw(pictures, options.strip)
    if options.out:
        write_image(options.out, to_image(result.image, like="uint8"))


if __name__ == "__main__":
    main()
