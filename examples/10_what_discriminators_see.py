"""Do discriminators know what a photograph is, or only what damages one? Their features, drawn as clouds of points.

Crops of photographs come in four kinds: as they are, as JPEG of quality 7 to 10, blurred by bilinear interpolation to a
quarter and back, and scrambled, which keeps the spectrum and destroys all else. A loss for JPEG needs features that
tell the second kind from the first; the others it need not know. Beside the discriminators of the MDF loss for JPEG
stands a rival that has learned in some seconds to tell photographs from blurred ones, as the discriminator of a GAN for
super-resolution does in days. This redraws Figures 1 and 2 in the supplement of the paper on MDF, from pictures that
ship with scikit-image, or from your own. Needs the extras ``plots`` and ``experiments``.

The paper averages the maps of the discriminators over their channels. Points then lie near each other if they show the
same thing at the same place, so the averages over the pixels, one for each channel, are drawn as well.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from skimage import data
from sklearn.manifold import TSNE
from torch import Generator, Tensor, nn

from restorekit.data import ImageFolder
from restorekit.degrade import jpeg, scramble
from restorekit.image import resize, to_image, to_tensor
from restorekit.losses import GANLoss, MDFLoss
from restorekit.models import PatchDiscriminator

STYLES = {
    "original": ("black", "o"),
    "JPEG": ("#d55e00", "^"),
    "blurred": ("#0072b2", "s"),
    "scrambled": ("#009e73", "x"),
}
SHOWN = 3  # the crop that is drawn; by default the astronaut's face
AT_ONCE = 10  # pictures: the maps of eight discriminators take memory
PATCH, BATCH = 48, 8  # of the rival's training

Features = Callable[[Tensor], Tensor]  # pictures (N, 3, H, W) to vectors (N, D)


def crops(folder: Path | None, count: int, side: int) -> Tensor:
    """About ``count`` crops (N, 3, side, side) that do not overlap, the same number of each picture."""
    if folder is None:
        photographs = (data.astronaut(), data.chelsea(), data.coffee(), data.rocket(), data.stereo_motorcycle()[0])
        pictures = [to_tensor(picture) for picture in photographs]
    else:
        files = ImageFolder(folder)
        pictures = [to_tensor(files[i]) for i in range(len(files))]
    each = max(1, count // len(pictures))
    return torch.cat([part for picture in pictures for part in spread(picture, each, side)])


def spread(picture: Tensor, count: int, side: int) -> list[Tensor]:
    """At most ``count`` tiles of a picture, evenly spread over it."""
    tiles = [
        picture[..., top : top + side, left : left + side]
        for top in range(0, picture.shape[-2] - side + 1, side)
        for left in range(0, picture.shape[-1] - side + 1, side)
    ]
    return [tiles[i] for i in np.linspace(0, len(tiles) - 1, min(count, len(tiles))).round().astype(int)]


def blurred(x: Tensor) -> Tensor:
    """A quarter of the size and back, bilinearly."""
    return resize(resize(x, 1 / 4, kernel="bilinear"), size=x.shape[-2:], kernel="bilinear")


def kinds(x: Tensor) -> dict[str, Tensor]:
    """The pictures in each of the four kinds."""
    generator = Generator().manual_seed(0)
    quality = torch.randint(7, 11, (len(x),), generator=generator)
    return {
        "original": x,
        "JPEG": jpeg(x, quality.float()),
        "blurred": blurred(x),
        "scrambled": scramble(x, generator=generator),
    }


def over_channels(maps: list[Tensor]) -> Tensor:
    """The mean of the channels at every pixel of every map, (N, D)."""
    return torch.cat([x.mean(1).flatten(1) for x in maps], 1)


def over_pixels(maps: list[Tensor]) -> Tensor:
    """The mean of the pixels in every channel of every map, (N, D)."""
    return torch.cat([x.mean((2, 3)) for x in maps], 1)


def mdf(loss: MDFLoss) -> Callable[[Tensor], list[Tensor]]:
    """What the loss sees of pictures: the maps of all scales and layers."""
    return lambda x: [layer for scale in loss.features(x).maps for layer in scale]


def rival(steps: int) -> Callable[[Tensor], list[Tensor]]:
    """A discriminator that has learned to tell photographs from blurred ones; what its last but one layer sees."""
    others = (data.camera(), data.coins(), data.brick(), data.grass(), data.gravel(), data.hubble_deep_field())
    pictures = [to_tensor(picture).expand(-1, 3, -1, -1) for picture in others]
    generator = Generator().manual_seed(0)
    torch.manual_seed(0)  # of the initial weights
    network = PatchDiscriminator(channels=16)
    optimizer, game = torch.optim.Adam(network.parameters(), lr=1e-3), GANLoss("vanilla")
    for _ in range(steps):
        real = torch.cat([patch(pictures, generator) for _ in range(BATCH)])
        optimizer.zero_grad()
        game.discriminator(network(real), network(blurred(real))).backward()
        optimizer.step()
    body = nn.Sequential(network.entry, nn.LeakyReLU(0.01), network.body).eval()
    return lambda x: [body(x)]


def patch(pictures: list[Tensor], generator: Generator) -> Tensor:
    """A random patch of a random picture."""
    picture = pictures[torch.randint(len(pictures), (), generator=generator)]
    top, left = (int(torch.randint(size - PATCH + 1, (), generator=generator)) for size in picture.shape[-2:])
    return picture[..., top : top + PATCH, left : left + PATCH]


@torch.inference_mode()
def distances(features: Features, pictures: dict[str, Tensor]) -> Tensor:
    """From each picture of all kinds, one kind after the other, to each."""
    vectors = torch.cat([features(part) for x in pictures.values() for part in x.split(AT_ONCE)])
    return torch.cdist(vectors, vectors, compute_mode="donot_use_mm_for_euclid_dist")


def accuracy(between: Tensor, count: int, kind: int) -> float:
    """How often the nearest neighbour is of the same kind, among ``count`` originals and the pictures of one kind.

    What was made of the same crop does not count as a neighbour. 0.5 is what guessing achieves.
    """
    chosen = torch.cat([torch.arange(count), torch.arange(kind * count, (kind + 1) * count)])
    crop, damaged = chosen % count, chosen >= count
    pairs = between[chosen][:, chosen].masked_fill(crop[:, None] == crop, torch.inf)
    return (damaged[pairs.argmin(1)] == damaged).double().mean().item()


def table(found: dict[str, Tensor], count: int) -> dict[str, list[float]]:
    """Print and return how well originals are told from each other kind."""
    print(f"Told from originals by the nearest neighbour, of {count} crops (0.50: not at all):")
    print(f"{'':<28}" + "".join(f"{kind:>11}" for kind in list(STYLES)[1:]))
    shares = {name: [accuracy(between, count, kind) for kind in (1, 2, 3)] for name, between in found.items()}
    for name, row in shares.items():
        print(f"{name:<28}" + "".join(f"{share:>11.2f}" for share in row))
    return shares


def draw(pictures: dict[str, Tensor], found: dict[str, Tensor], shares: dict[str, list[float]], path: str) -> None:
    """A crop in each kind, and below it a cloud for each way of seeing."""
    figure = Figure(figsize=(5 * len(found), 8), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=(5, 11))
    for axis, (kind, x) in zip(upper.subplots(1, len(STYLES)), pictures.items(), strict=True):
        axis.imshow(to_image(x[min(SHOWN, len(x) - 1)]))
        axis.set_axis_off()
        axis.set_title(kind, color=STYLES[kind][0], fontsize=14)
    panels = lower.subplots(1, len(found), subplot_kw={"projection": "3d"}, squeeze=False)[0]
    for axis, (name, between) in zip(panels, found.items(), strict=True):
        count = len(between) // len(STYLES)
        tsne = TSNE(3, metric="precomputed", init="random", perplexity=min(30, count / 2), random_state=0)
        points = tsne.fit_transform(between.numpy())
        for part, (kind, (colour, mark)) in zip(points.reshape(-1, count, 3), STYLES.items(), strict=True):
            axis.scatter(*part.T, c=colour, marker=mark, s=22, alpha=0.75, label=kind, depthshade=False)
        told = ", ".join(f"{kind} {share:.0%}" for kind, share in zip(list(STYLES)[1:], shares[name], strict=True))
        axis.set_title(f"{name}\ntold from originals: {told}", fontsize=11)
        axis.set(xticklabels=[], yticklabels=[], zticklabels=[])
        axis.set_box_aspect((1, 1, 1), zoom=1.1)
    lower.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False, fontsize=12
    )
    figure.savefig(path, dpi=80)


def main() -> None:
    """Damage, look, measure, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="photographs (default: five from scikit-image)")
    parser.add_argument("--crops", type=int, default=60, help="how many, of all photographs (default: %(default)s)")
    parser.add_argument("--side", type=int, default=96, help="of a crop, pixels (default: %(default)s)")
    parser.add_argument(
        "--rival", type=int, default=150, help="steps that it learns, 0: no rival (default: %(default)s)"
    )
    parser.add_argument("--discriminators", type=Path, help="file of your own to use instead of those for JPEG")
    parser.add_argument("--out", default="what_discriminators_see.png", help="picture to write (default: %(default)s)")
    options = parser.parse_args()

    pictures = kinds(crops(options.folder, options.crops, options.side))
    own = options.discriminators
    seen = mdf(MDFLoss.from_pretrained("jpeg") if own is None else MDFLoss.from_file(own))
    ways: dict[str, Features] = {
        "MDF, mean over channels": lambda x: over_channels(seen(x)),
        "MDF, mean over pixels": lambda x: over_pixels(seen(x)),
    }
    if options.rival:
        other = rival(options.rival)
        ways["Rival, mean over pixels"] = lambda x: over_pixels(other(x))
    found = {name: distances(features, pictures) for name, features in ways.items()}
    draw(pictures, found, table(found, len(pictures["original"])), options.out)


if __name__ == "__main__":
    main()
