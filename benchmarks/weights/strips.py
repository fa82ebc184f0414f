"""Photographs of scikit-image before and after, with the weights that ship.

    cd benchmarks && python -m weights.strips --write ../docs/pictures/weights

Of the astronaut (NASA), coffee (Rachel Michetti), the cat (Stéfan van der Walt), the motorcycle (Middlebury Stereo).
No training saw them.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from skimage import data

from restorekit.degrade import boxes, gaussian_noise, jpeg, shdd
from restorekit.image import atomic_path, resize, resize_uint8, to_image, to_tensor
from restorekit.inference import restore
from restorekit.metrics import psnr
from restorekit.models import load_checkpoint
from weights.ship import PACKAGE

Picture = NDArray[np.uint8]
Part = tuple[slice, slice]
TEXT, GAP = 20, 4
NETWORKS = {"super_resolution": "carn_m", "denoising": "edsr_denoising", "jpeg": "edsr_jpeg", "mixed": "mepsnet"}


def super_resolution(weights: Path) -> Image.Image:
    """The astronaut at a quarter of its size, enlarged."""
    truth = data.astronaut()
    small = resize_uint8(truth, 1 / 4)
    found = {
        "pixels, by 4": small.repeat(4, axis=0).repeat(4, axis=1),
        "bicubic": to_image(resize(to_tensor(small), 4), like="uint8"),
        "restored": restore(load_checkpoint(weights), small, scale=4),
    }
    return strip(found, truth, (slice(24, 184), slice(150, 310)))


def denoising(weights: Path) -> Image.Image:
    """Coffee with noise of sigma 25, in the 8 bits of a file."""
    truth = data.coffee()
    noisy = gaussian_noise(to_tensor(truth), 25 / 255, generator=torch.Generator().manual_seed(0))
    return repaired("sigma 25", to_image(noisy, like="uint8"), weights, truth, (slice(70, 230), slice(230, 410)))


def jpeg_artefacts(weights: Path) -> Image.Image:
    """The cat as JPEG of quality 10."""
    truth = data.chelsea()
    coded = to_image(jpeg(to_tensor(truth), 10), like="uint8")
    return repaired("JPEG, quality 10", coded, weights, truth, (slice(40, 200), slice(110, 320)))


def mixed(weights: Path) -> Image.Image:
    """The motorcycle at half of its size in three parts, each damaged in its own way."""
    truth = resize_uint8(data.stereo_motorcycle()[0], 1 / 2)
    lq, recipe = shdd("moderate")(to_tensor(truth), generator=torch.Generator().manual_seed(1), return_recipe=True)
    shown = repaired("damaged", to_image(lq, like="uint8"), weights, truth, (slice(40, 215), slice(75, 305)))
    blocks = [f"{' '.join(block['types']) or 'none'} {told(block['levels'])}".strip() for block in boxes(recipe)[0]]
    return captioned(shown, "SHDD moderate: " + "; ".join(blocks))


def told(levels: list[float]) -> str:
    """Levels as text."""
    return ", ".join(f"{level:g}" for level in levels)


def repaired(label: str, damaged: Picture, weights: Path, truth: Picture, part: Part) -> Image.Image:
    """The damaged picture, what is made of it, and the truth."""
    return strip({label: damaged, "restored": restore(load_checkpoint(weights), damaged)}, truth, part)


def strip(found: Mapping[str, Picture], truth: Picture, part: Part) -> Image.Image:
    """A part of each picture side by side, the truth last, with the PSNR of the whole above."""
    labels = {name: f"{name}, {quality(picture, truth):.2f} dB" for name, picture in found.items()}
    tiles = {labels[name]: picture[part] for name, picture in found.items()} | {"original": truth[part]}
    height, width = truth[part].shape[:2]
    page = Image.new("RGB", (len(tiles) * (width + GAP) - GAP, height + TEXT), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(13)
    for place, (label, tile) in enumerate(tiles.items()):
        left = place * (width + GAP)
        page.paste(Image.fromarray(tile), (left, TEXT))
        pen.text((left + 2, 2), label, fill="black", font=font)
    return page


def captioned(page: Image.Image, text: str) -> Image.Image:
    """With a line of text below."""
    taller = Image.new("RGB", (page.width, page.height + TEXT), "white")
    taller.paste(page, (0, 0))
    ImageDraw.Draw(taller).text((2, page.height + 2), text, fill="black", font=ImageFont.load_default(13))
    return taller


def quality(picture: Picture, truth: Picture) -> float:
    """PSNR over all channels of the whole picture, dB."""
    return psnr(to_tensor(picture), to_tensor(truth)).item()


STRIPS = {"super_resolution": super_resolution, "denoising": denoising, "jpeg": jpeg_artefacts, "mixed": mixed}


def main(arguments: list[str] | None = None) -> None:
    """Draw those whose weights are there."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument("--weights", type=Path, default=PACKAGE, help="folder of the files (default: the library's)")
    parser.add_argument("--write", type=Path, required=True, help="folder of the pictures")
    chosen = parser.parse_args(arguments)
    chosen.write.mkdir(parents=True, exist_ok=True)
    for name, draw in STRIPS.items():
        file = chosen.weights / f"{NETWORKS[name]}.safetensors"
        if not file.exists():
            print(f"{name}: no weights yet, {file.name}")
            continue
        with atomic_path(chosen.write / f"strip_{name}.png") as beside:
            draw(file).save(beside, format="PNG", optimize=True)


if __name__ == "__main__":
    main()
