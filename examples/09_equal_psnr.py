"""Distort a photograph in five ways of equal PSNR, and see which way each loss minds most.

PSNR cannot tell these distortions apart, so whatever a loss says of them it says by itself. The MDF losses are meant to
mind most what the network of their task gets wrong: blur in super-resolution, noise or blur in denoising. This redraws
Figures 7 and 8 in the supplement of the paper on MDF. The photograph ships with scikit-image. Needs the extra
``plots``.
"""

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from PIL import Image
from skimage import data
from torch import Tensor, nn

from restorekit.degrade import at_psnr
from restorekit.image import to_image, to_tensor
from restorekit.losses import MDFLoss, MSSSIMLoss, SSIMLoss

FAMILIES = ("blur", "noise", "grating", "contrast", "brightness")
TASKS = ("sisr", "denoising", "jpeg")
SHOWN = (20, 30, 40)  # dB, of the pictures
LEVELS = (20, 22.5, 25, 27.5, 30, 32.5, 35, 37.5, 40)
COLOURS = dict(zip(FAMILIES, ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00"), strict=True))
MARKS = dict(zip(FAMILIES, "osD^v", strict=True))

Loss = Callable[..., Tensor]  # of a picture, and the true one or what a loss has seen of it
Pictures = dict[str, dict[float, Tensor]]  # by family and dB; what cannot be reached is missing
Curves = dict[str, dict[float, float]]


def photograph(path: Path | None, side: int) -> Tensor:
    """The middle of a photograph, (1, 3, side, side) or less."""
    picture = to_tensor(data.chelsea() if path is None else Image.open(path).convert("RGB"))
    top, left = (max(0, (size - side) // 2) for size in picture.shape[-2:])
    return picture[..., top : top + side, left : left + side].contiguous()


def distorted(picture: Tensor, levels: tuple[float, ...]) -> Pictures:
    """The picture in every family at every level."""
    found: Pictures = {family: {} for family in FAMILIES}
    for family, rows in found.items():
        for level in levels:
            try:
                rows[level] = at_psnr(family, picture, level, generator=torch.Generator().manual_seed(0))
            except ValueError as error:  # a blur takes away the detail that there is, and no more
                print(f"left out: {family} at {level:g} dB: {error}")
    return found


def losses(own: Path | None) -> dict[str, Loss]:
    """The losses to compare, by name."""
    compared: dict[str, Loss] = {"L1": nn.L1Loss(), "SSIM": SSIMLoss(), "MS-SSIM": MSSSIMLoss()}
    if own is not None:
        return compared | {f"MDF, {own.name}": MDFLoss.from_file(own)}
    return compared | {f"MDF, {task}": MDFLoss.from_pretrained(task) for task in TASKS}


@torch.inference_mode()
def curves(loss: Loss, pictures: Pictures, original: Tensor) -> Curves:
    """The loss of every picture."""
    target = loss.features(original) if isinstance(loss, MDFLoss) else original  # looked at once, compared often
    return {
        family: {level: loss(picture, target).item() for level, picture in rows.items()}
        for family, rows in pictures.items()
    }


def ranking(found: Curves, level: float) -> list[str]:
    """The families that reach a level, the greatest loss first."""
    reached = [family for family in FAMILIES if level in found[family]]
    return sorted(reached, key=lambda family: -found[family][level])


def table(measured: dict[str, Curves], levels: tuple[float, ...]) -> None:
    """Print which family costs most, and how many times the second."""
    print("Ranked first, and how many times the loss of the second:")
    print(f"{'':<9}" + "".join(f"{name:<17}" for name in measured).rstrip())
    for level in levels:
        cells = []
        for found in measured.values():
            first, second = ranking(found, level)[:2]
            cells.append(f"{first} {found[first][level] / found[second][level]:.2f}")
        print(f"{f'{level:g} dB':<9}" + "".join(f"{cell:<17}" for cell in cells).rstrip())


def draw_pictures(area: SubFigure, pictures: Pictures, original: Tensor) -> None:
    """The original, and beside it a row for each PSNR and a column for each family."""
    layout = [["original", *(f"{family} {level}" for family in FAMILIES)] for level in SHOWN]
    axes = area.subplot_mosaic(layout)
    show(axes["original"], original, "original")
    for family in FAMILIES:
        for level in SHOWN:
            axis = axes[f"{family} {level}"]
            show(axis, pictures[family].get(level), family if level == SHOWN[0] else "")
            if family == FAMILIES[0]:
                axis.set_ylabel(f"{level} dB", fontsize=13)


def show(axis: Axes, picture: Tensor | None, title: str) -> None:
    """One picture without ticks; an empty frame if there is none."""
    axis.set(xticks=[], yticks=[], aspect="equal")
    axis.set_title(title, fontsize=13, color=COLOURS.get(title, "black"))
    if picture is None:
        axis.text(0.5, 0.5, "cannot be\nreached", ha="center", va="center", transform=axis.transAxes)
    else:
        axis.imshow(to_image(picture))


def draw_curves(area: SubFigure, measured: dict[str, Curves]) -> None:
    """A panel for each loss; both axes logarithmic, as dB are."""
    rows = math.ceil(len(measured) / 3)
    panels = area.subplots(rows, math.ceil(len(measured) / rows), sharex=True).flatten()
    for axis, (name, found) in zip(panels, measured.items(), strict=True):
        for family, row in found.items():
            axis.semilogy(list(row), list(row.values()), marker=MARKS[family], color=COLOURS[family], label=family)
        axis.set_title(name, fontsize=13)
        axis.set_xticks(SHOWN)
        axis.grid(which="major", color="0.9")
        axis.tick_params(which="both", labelsize=9)
    area.supxlabel("PSNR, dB")
    area.supylabel("Loss")
    area.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=5, frameon=False, fontsize=12)


def main() -> None:
    """Distort, measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", type=Path, help="photograph (default: a cat from scikit-image)")
    parser.add_argument("--side", type=int, default=192, help="of its middle, 161 or more (default: %(default)s)")
    parser.add_argument("--levels", type=float, nargs="+", default=LEVELS, help="PSNR in dB (default: 20 to 40)")
    parser.add_argument("--discriminators", type=Path, help="file of your own to use for the MDF loss")
    parser.add_argument("--out", default="equal_psnr.png", help="picture to write (default: %(default)s)")
    options = parser.parse_args()

    original, levels = photograph(options.image, options.side), tuple(sorted({*options.levels, *SHOWN}))
    pictures = distorted(original, levels)
    measured = {name: curves(loss, pictures, original) for name, loss in losses(options.discriminators).items()}
    table(measured, levels)

    figure = Figure(figsize=(13, 15), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=(7, 8))
    draw_pictures(upper, pictures, original)
    draw_curves(lower, measured)
    figure.savefig(options.out, dpi=80)


if __name__ == "__main__":
    main()
