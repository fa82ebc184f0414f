"""Convert EDSR in two ways, to fewer parameters and to more capacity, and train what comes out.

``share_parameters`` lets the convolutions of the body mix their kernels from 16 templates; ``sparsify`` gives each
four kernels that every picture mixes for itself. Everything ships with scikit-image. Needs the extras ``train`` and
``plots``.
"""

import argparse

import numpy as np
import torch
from matplotlib.figure import Figure
from skimage import data
from torch import nn

from restorekit.data import RandomCropPairs
from restorekit.layers import ConversionReport, share_parameters, sparsify
from restorekit.models import edsr
from restorekit.train import fit

SCALE = 4
SIZE = (1, 3, 180, 320)  # of the input that multiply-adds are counted for: by 4 it is a picture of 1280 x 720
WINDOW = 20  # losses jump from crop to crop: means of so many steps are compared


def in_body(name: str, _layer: nn.Conv2d) -> bool:
    """The residual blocks and the convolution behind them."""
    return name.startswith("body")


def table(reports: dict[str, ConversionReport]) -> None:
    """Print numbers before and after."""
    print(f"{'':<10}{'convolutions':>13}{'parameters':>25}{'multiply-adds, G':>19}{'kernel error':>14}")
    for name, r in reports.items():
        assert r.multadds_before is not None
        assert r.multadds_after is not None
        parameters = f"{r.parameters_before:,} -> {r.parameters_after:,}"
        multadds = f"{r.multadds_before / 1e9:.2f} -> {r.multadds_after / 1e9:.2f}"
        print(f"{name:<10}{r.replaced:>13}{parameters:>25}{multadds:>19}{r.kernel_error:>14.3f}")


def train(model: nn.Module, steps: int) -> np.ndarray:
    """The loss of every step on small crops, the same for each network."""
    pictures = [data.astronaut(), data.coffee(), data.chelsea(), data.rocket()]
    pairs = RandomCropPairs(pictures, patch_size=10, scale=SCALE, length=steps * 4)
    return np.array(fit(model, pairs, steps=steps, batch_size=4, learning_rate=3e-4).losses)


def draw(losses: dict[str, np.ndarray], path: str) -> None:
    """Draw the means of neighbouring losses."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axis = figure.subplots()
    for name, values in losses.items():
        smooth = np.convolve(values, np.full(WINDOW, 1 / WINDOW), mode="valid")
        axis.plot(np.arange(len(smooth)) + WINDOW, smooth, label=name)
    axis.set(xlabel="Step", ylabel=f"L1 loss, mean of {WINDOW} steps", yscale="log")
    axis.legend()
    figure.savefig(path, dpi=100)


def main() -> None:
    """Convert, print the numbers, train, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200, help="training steps of each network (default: %(default)s)")
    parser.add_argument("--channels", type=int, default=64, help="width of EDSR (default: %(default)s, the baseline)")
    parser.add_argument("--blocks", type=int, default=16, help="blocks of EDSR (default: %(default)s, the baseline)")
    parser.add_argument("--out", default="losses.png", help="picture to write (default: %(default)s)")
    options = parser.parse_args()

    torch.set_num_threads(1)  # steps as small as these gain little from more, and lose a lot where cores are shared
    torch.manual_seed(0)  # of the initial weights
    plain = edsr(SCALE, channels=options.channels, blocks=options.blocks)
    shared, sharing = share_parameters(plain, min(16, options.blocks), where=in_body, input_size=SIZE)
    sparse, sparsity = sparsify(plain, 4, where=in_body, input_size=SIZE)
    table({"shared": sharing, "sparse": sparsity})

    losses = {name: train(m, options.steps) for name, m in {"plain": plain, "shared": shared, "sparse": sparse}.items()}
    for name, values in losses.items():
        print(f"{name:<10}loss {values[:WINDOW].mean():.4f} -> {values[-WINDOW:].mean():.4f}")
    draw(losses, options.out)


if __name__ == "__main__":
    main()
