"""A contact sheet of every degradation, composition and augmentation, on a photograph that ships with scikit-image."""

import argparse
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from skimage import data
from torch import Generator, Tensor

from restorekit import augment, degrade
from restorekit.image import resize, to_image, to_tensor

TILE = 160
COLUMNS = 8
LINE = 18  # height of a label, pixels

Draw = Callable[[Tensor, Generator], Tensor]


def plain(function: Callable[..., Tensor], level: float, **options: object) -> Draw:
    """A degradation that draws nothing."""
    return lambda x, generator: function(x, level, **options)


def drawn(function: Callable[..., Tensor], *level: float, **options: object) -> Draw:
    """A degradation that draws."""
    return lambda x, generator: function(x, *level, generator=generator, **options)


def composed(composition: Callable[..., Tensor]) -> Draw:
    """A composition of degradations."""
    return lambda x, generator: composition(x, generator=generator)


DEGRADATIONS: dict[str, Draw] = {
    "gaussian_noise 0.1": drawn(degrade.gaussian_noise, 0.1),
    "poisson_noise 30": drawn(degrade.poisson_noise, 30),
    "salt_and_pepper 0.05": drawn(degrade.salt_and_pepper, 0.05),
    "f_noise 6": drawn(degrade.f_noise, 6),
    "quantize 8": plain(degrade.quantize, 8),
    "gaussian_blur 2": plain(degrade.gaussian_blur, 2),
    "gaussian_blur (4, 1)": lambda x, generator: degrade.gaussian_blur(x, (4.0, 1.0), angle=0.8),
    "motion_blur 15": plain(degrade.motion_blur, 15, angle=0.6),
    "defocus_blur 4": plain(degrade.defocus_blur, 4),
    "jpeg 10": plain(degrade.jpeg, 10),
    "differentiable_jpeg 10": plain(degrade.differentiable_jpeg, 10),
    "low_pass 0.2": plain(degrade.low_pass, 0.2),
    "downscale 2": plain(degrade.downscale, 2),
    "nlm_denoise 0.08": plain(degrade.nlm_denoise, 0.08),
    "contrast 40": plain(degrade.contrast, 40),
    "brightness 0.2": plain(degrade.brightness, 0.2),
    "low_light 0.5": drawn(degrade.low_light, 0.5, gamma=2.0, noise=0.02),
    "sinusoidal_grating 0.15": plain(degrade.sinusoidal_grating, 0.15, angle=0.5),
    "rain 0.4": drawn(degrade.rain, 0.4, angle=0.2),
    "haze 1.5": drawn(degrade.haze, 1.5),
    "scramble": drawn(degrade.scramble),
    "at_psnr noise 20 dB": lambda x, generator: degrade.at_psnr("gaussian_noise", x, 20, generator=generator),
    "at_psnr contrast 20 dB": lambda x, generator: degrade.at_psnr("contrast", x, 20, generator=generator),
}

COMPOSITIONS: dict[str, Draw] = {
    "mixed_distortion mild": composed(degrade.mixed_distortion("mild")),
    "mixed_distortion severe": composed(degrade.mixed_distortion("severe")),
    "sr_dn 3": composed(degrade.sr_dn(3)),
    "sr_blur 3": composed(degrade.sr_blur(3)),
    "shdd easy": composed(degrade.shdd("easy")),
    "shdd difficult": composed(degrade.shdd("difficult")),
    "flickr_distortion basic": composed(degrade.flickr_distortion("detection-basic")),
    "blind_degradation 2": composed(degrade.blind_degradation(2)),
}

AUGMENTATIONS: dict[str, Callable[..., tuple[Tensor, Tensor]]] = {
    "cutout rectangle": partial(augment.cutout, alpha=0.4, shape="rectangle"),
    "cutmix": partial(augment.cutmix, alpha=0.5),
    "mixup": augment.mixup,
    "cutmixup": augment.cutmixup,
    "permute_rgb": augment.permute_rgb,
    "blend": augment.blend,
    "cutblur": partial(augment.cutblur, alpha=0.5),
    "flip_rotate": augment.flip_rotate,
    "frequency_masking": augment.frequency_masking,
    "Mixture sr": augment.Mixture("sr"),
}


def photograph(size: int) -> Tensor:
    """The astronaut's head and shoulders, (1, 3, size, size)."""
    return resize(to_tensor(np.ascontiguousarray(data.astronaut()[:320, 64:384])), size=(size, size)).clamp(0, 1)


def tiles(size: int) -> dict[str, Tensor]:
    """Every picture of the sheet (3, H, W) under its label."""
    clean = photograph(size)
    cat = resize(to_tensor(np.ascontiguousarray(data.chelsea()[:300, 90:390])), size=(size, size)).clamp(0, 1)
    shown = {"the photograph": clean[0]}
    for number, (label, function) in enumerate({**DEGRADATIONS, **COMPOSITIONS}.items()):
        shown[label] = function(clean, Generator().manual_seed(number))[0]
    hq = torch.cat([clean, cat])
    lq = resize(hq, 1 / 4)
    for number, (label, pair) in enumerate(AUGMENTATIONS.items()):
        shown[f"augment: {label}"] = pair(lq, hq, generator=Generator().manual_seed(number))[0][0]
    return shown


def sheet(pictures: dict[str, Tensor], size: int) -> Image.Image:
    """Rows of tiles, each with its label below; small pictures are enlarged pixel by pixel."""
    rows = -(-len(pictures) // COLUMNS)
    page = Image.new("RGB", (COLUMNS * (size + 4), rows * (size + LINE)), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(11)
    for place, (label, picture) in enumerate(pictures.items()):
        left, top = place % COLUMNS * (size + 4), place // COLUMNS * (size + LINE)
        tile = to_image(picture)
        page.paste(tile.resize((size, size), Image.Resampling.NEAREST), (left, top))
        pen.text((left + 2, top + size + 2), label, fill="black", font=font)
    return page


def main() -> None:
    """Write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=TILE, help="side of a tile, pixels (default: %(default)s)")
    parser.add_argument("--out", default="gallery.png", help="picture to write (default: %(default)s)")
    options = parser.parse_args()
    pictures = tiles(options.size)
    sheet(pictures, options.size).save(options.out)
    print(f"{options.out} written, {len(pictures)} pictures")


if __name__ == "__main__":
    main()
