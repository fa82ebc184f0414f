"""Draw what augmentations do to the spatial frequencies of a photograph, as Figure 4.3 of Ahn's thesis does.

The power of a photograph falls with frequency along nearly a straight line. Cutout lifts its end: erased pixels are
white noise. Mixup moves all of it towards the curves of the partners. CutBlur keeps the lower frequencies; of those
that the smaller picture lacks some power is lost, and the blocks of the nearest-neighbour enlargement give some back at
the highest. (A photograph with less detail gets more from the blocks than it had.) Pictures ship with scikit-image.
Needs the extra ``plots``.
"""

import argparse

import torch
from matplotlib.figure import Figure
from skimage import data
from torch import Generator, Tensor

from restorekit.augment import cutblur, cutout, mixup
from restorekit.image import resize, to_tensor
from restorekit.metrics import power_spectral_density

SIZE = 296  # pixels, the most that all pictures have; a multiple of the scale
SCALE = 2  # of the smaller picture that CutBlur takes the damaged pixels from
HIGH = 0.4  # cycles per pixel: where the printed comparison begins


def photographs() -> Tensor:
    """The photograph that is measured, and others to be mixed with: (5, 3, SIZE, SIZE)."""
    pictures = (data.chelsea(), data.astronaut(), data.coffee(), data.rocket(), data.stereo_motorcycle()[0])
    return torch.cat([to_tensor(picture)[..., :SIZE, 64 : 64 + SIZE] for picture in pictures])


def augmented(hq: Tensor, generator: Generator) -> dict[str, Tensor]:
    """The first picture of the batch after one draw of each augmentation."""
    batches = {
        "Cutout": cutout(hq, hq, generator=generator),
        "Mixup": mixup(hq, hq, generator=generator),
        "CutBlur": cutblur(resize(hq, scale=1 / SCALE), hq, generator=generator),
    }
    return {name: lq[:1] for name, (lq, _) in batches.items()}


def densities(draws: int) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """The frequencies (bins,), the density of the photograph (bins,), and those of each draw by name (draws, bins)."""
    hq, generator = photographs(), Generator().manual_seed(0)
    frequencies, original = power_spectral_density(hq[:1])
    found: dict[str, list[Tensor]] = {}
    for _ in range(draws):
        for name, picture in augmented(hq, generator).items():
            found.setdefault(name, []).append(power_spectral_density(picture)[1])
    return frequencies, original[0], {name: torch.cat(rows) for name, rows in found.items()}


def table(frequencies: Tensor, original: Tensor, found: dict[str, Tensor]) -> None:
    """Print how much power is left at the highest frequencies, and how far a draw is from the photograph at all."""
    high = frequencies > HIGH
    print(f"{'':<10}{f'power above {HIGH} / original':>28}{'mean distance to original':>29}")
    for name, density in found.items():
        share = density[:, high].mean() / original[high].mean()
        distance = 10 * (density / original).log10().abs().mean()
        print(f"{name:<10}{share:>28.2f}{distance:>26.2f} dB")


def draw(frequencies: Tensor, curves: dict[str, Tensor], draws: int, path: str) -> None:
    """Both axes logarithmic, so that a power law is a straight line; the colours of the thesis."""
    styles = {
        "Original": {"color": "yellowgreen", "linewidth": 2.5, "alpha": 0.6},
        "Cutout": {"color": "red", "linewidth": 1.0},
        "Mixup": {"color": "blue", "linewidth": 1.0},
        "CutBlur": {"color": "darkgreen", "linewidth": 1.2, "linestyle": ":"},
    }
    figure = Figure(figsize=(11, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, density in curves.items():
        left.loglog(frequencies, density, label=name, **styles[name])
        right.semilogx(frequencies, 10 * (density / curves["Original"]).log10(), **styles[name])
    left.set_ylabel("Density, (pixel value)² per (cycle per pixel)²")
    right.set_ylabel("Density over that of the original, dB")
    left.legend(loc="lower left")
    for axis in (left, right):
        axis.axvspan(HIGH, 0.5, color="0.93", zorder=0)
        axis.set(xlabel="Spatial frequency, cycles per pixel", xlim=(float(frequencies[0]), 0.5))
        axis.grid(which="both", color="0.92", linewidth=0.5)
    figure.suptitle(f"A photograph before and after augmentation, mean of {draws} draws (grey: compared in the table)")
    figure.savefig(path, dpi=90)


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=40, help="draws of each augmentation (default: %(default)s)")
    parser.add_argument("--out", default="power_spectral_density.png", help="picture to write (default: %(default)s)")
    options = parser.parse_args()

    frequencies, original, found = densities(options.draws)
    table(frequencies, original, found)
    curves = {"Original": original} | {name: density.mean(0) for name, density in found.items()}
    draw(frequencies, curves, options.draws, options.out)


if __name__ == "__main__":
    main()
