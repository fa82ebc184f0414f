"""Turn noise into a photograph by gradient descent on its pixels: what the gradient of each loss is good for.

A loss that trains a network has to lead any wrong picture towards the right one, not just tell that it is wrong. Here
nothing but the loss leads: noise is optimised for 25 steps of Adam. L2 and SSIM run beside the MDF losses for
comparison. The photograph ships with scikit-image. Needs the extra ``plots``.
"""

import argparse
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from PIL import Image
from skimage import data
from torch import Tensor, nn

from restorekit.image import resize, to_image, to_tensor
from restorekit.losses import MDFLoss, SSIMLoss
from restorekit.metrics import psnr

TASKS = ("sisr", "denoising", "jpeg")
STEPS = 25
SHOWN = (0, 5, 10, 25)
RATE = 0.1
STYLES = (("#0072b2", "-"), ("#d55e00", "-"), ("#009e73", "-"), ("0.2", "--"), ("0.55", ":"))

Loss = Callable[[Tensor, Tensor], Tensor]


def photograph(path: Path | None, side: int) -> Tensor:
    """The middle square of a photograph, made small: (1, 3, side, side)."""
    picture = to_tensor(data.chelsea() if path is None else Image.open(path).convert("RGB"))
    square = min(picture.shape[-2:])
    top, left = ((size - square) // 2 for size in picture.shape[-2:])
    return resize(picture[..., top : top + square, left : left + square], size=(side, side)).clamp(0, 1)


def losses(own: Path | None) -> dict[str, Loss]:
    """The losses to compare, by name."""
    if own is not None:
        found: dict[str, Loss] = {f"MDF, {own.name}": MDFLoss.from_file(own)}
    else:
        found = {f"MDF, {task}": MDFLoss.from_pretrained(task) for task in TASKS}
    return found | {"L2": nn.MSELoss(), "SSIM": SSIMLoss()}


def descend(loss: Loss, target: Tensor) -> list[Tensor]:
    """The picture before the first step and after each: ``STEPS + 1`` of them, not clamped."""
    noise = torch.rand(target.shape, generator=torch.Generator().manual_seed(0))
    pixels = noise.requires_grad_()
    optimizer = torch.optim.Adam([pixels], lr=RATE)
    history = [pixels.detach().clone()]
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss(pixels, target).backward()
        optimizer.step()
        history.append(pixels.detach().clone())
    return history


def table(curves: dict[str, list[float]]) -> None:
    """Print the PSNR at the steps that are shown, and whether it ever fell."""
    print(f"{'PSNR, dB':<18}" + "".join(f"{f'step {step}':>9}" for step in SHOWN) + "     gain   rose in")
    for name, curve in curves.items():
        rises = sum(after > before for before, after in pairwise(curve))
        cells = "".join(f"{curve[step]:>9.2f}" for step in SHOWN)
        print(f"{name:<18}{cells}{curve[-1] - curve[0]:>+9.2f}   {rises} of {STEPS} steps")


def show(axis: Axes, picture: Tensor) -> None:
    """One picture without ticks."""
    axis.imshow(to_image(picture), interpolation="nearest")
    axis.set(xticks=[], yticks=[])


def draw_strips(area: SubFigure, histories: dict[str, list[Tensor]], curves: dict[str, list[float]]) -> None:
    """A row for each loss, a column for each step that is shown."""
    axes = area.subplots(len(histories), len(SHOWN))
    for row, (name, history) in zip(axes, histories.items(), strict=True):
        for axis, step in zip(row, SHOWN, strict=True):
            show(axis, history[step])
            axis.set_xlabel(f"{curves[name][step]:.1f} dB", fontsize=11)
        row[0].set_ylabel(name, fontsize=12)
    for axis, step in zip(axes[0], SHOWN, strict=True):
        axis.set_title(f"step {step}", fontsize=12)


def draw_curves(area: SubFigure, target: Tensor, curves: dict[str, list[float]]) -> None:
    """The photograph, and below it the PSNR after each step."""
    upper, lower = area.subplots(2, 1, height_ratios=(2, 3))
    show(upper, target)
    upper.set_title("the photograph", fontsize=12)
    for (name, curve), (colour, line) in zip(curves.items(), STYLES[-len(curves) :], strict=True):
        lower.plot(curve, color=colour, linestyle=line, linewidth=2, label=name)
    lower.set(xlabel=f"Steps of Adam at learning rate {RATE}", ylabel="PSNR, dB", xlim=(0, STEPS))
    lower.grid(color="0.9")
    lower.legend(loc="upper left", fontsize=11)


def main() -> None:
    """Descend, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", type=Path, help="photograph (default: a cat from scikit-image)")
    parser.add_argument(
        "--side", type=int, default=96, help="pixels that it is made of, 11 or more (default: %(default)s)"
    )
    parser.add_argument("--discriminators", type=Path, help="file of your own to use for the MDF loss")
    parser.add_argument("--out", default="optimise_the_pixels.png", help="picture to write (default: %(default)s)")
    options = parser.parse_args()

    target = photograph(options.image, options.side)
    histories = {name: descend(loss, target) for name, loss in losses(options.discriminators).items()}
    curves = {name: [psnr(picture, target).item() for picture in history] for name, history in histories.items()}
    table(curves)

    figure = Figure(figsize=(14, 1 + 2.2 * len(histories)), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(9, 6))
    draw_strips(left, histories, curves)
    draw_curves(right, target, curves)
    figure.savefig(options.out, dpi=80)


if __name__ == "__main__":
    main()
