"""A contact sheet of every degradation, composition and augmentation, on a photograph that ships with scikit-image."""

import argparse
import math
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
GAP = 4
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
    "f_noise 8 (of 512 px)": drawn(degrade.f_noise, 8, reference_size=512),
    "quantize 8": plain(degrade.quantize, 8),
    "gaussian_blur 2": plain(degrade.gaussian_blur, 2),
    "gaussian_blur 4, 1": lambda x, generator: degrade.gaussian_blur(x, (4.0, 1.0), angle=0.8),
    "generalized_blur 3": plain(degrade.generalized_blur, 3, beta=0.6),
    "sinc_blur 0.8": plain(degrade.sinc_blur, 0.8),
    "motion_blur 15": plain(degrade.motion_blur, 15, angle=0.6),
    "defocus_blur 4": plain(degrade.defocus_blur, 4),
    "jpeg 10": plain(degrade.jpeg, 10),
    "differentiable_jpeg 10": plain(degrade.differentiable_jpeg, 10),
    "low_pass 0.2": plain(degrade.low_pass, 0.2),
    "downscale 2": plain(degrade.downscale, 2),
    "resample 0.4": plain(degrade.resample, 0.4, kernel="bilinear"),
    "nlm_denoise 0.08": plain(degrade.nlm_denoise, 0.08),
    "contrast 40": plain(degrade.contrast, 40),
    "brightness 0.2": plain(degrade.brightness, 0.2),
    "low_light 0.5": drawn(degrade.low_light, 0.5, gamma=2.0, noise=0.02),
    "sinusoidal_grating 0.15": plain(degrade.sinusoidal_grating, 0.15, angle=0.5),
    "rain 0.4": drawn(degrade.rain, 0.4, angle=0.2),
    "haze 0.15": drawn(degrade.haze, 0.15),
    "scramble": drawn(degrade.scramble),
    "at_psnr noise 20 dB": lambda x, generator: degrade.at_psnr("gaussian_noise", x, 20, generator=generator),
    "at_psnr contrast 20 dB": lambda x, generator: degrade.at_psnr("contrast", x, 20, generator=generator),
}

COMPOSITIONS: dict[str, Draw] = {
    "mixed_distortion mild": composed(degrade.mixed_distortion("mild")),
    "mixed_distortion severe": composed(degrade.mixed_distortion("severe")),
    "sr_dn 3": composed(degrade.sr_dn(3)),
    "sr_blur 3": composed(degrade.sr_blur(3)),
    "shdd easy": composed(degrade.shdd("easy", reference_size=1024)),
    "shdd difficult": composed(degrade.shdd("difficult", reference_size=1024)),
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

# Seeds whose draws show something: a partner that is another picture, regions of different kinds.
SEEDS = {"shdd easy": 9, "shdd difficult": 9, "flickr_distortion basic": 4, "blend": 7, "cutmixup": 9, "Mixture sr": 0}


def photograph(size: int) -> Tensor:
    """The astronaut's head and shoulders, (1, 3, size, size)."""
    return resize(to_tensor(np.ascontiguousarray(data.astronaut()[:320, 64:384])), size=(size, size)).clamp(0, 1)


def sections(size: int) -> dict[str, dict[str, Tensor]]:
    """Every picture (3, H, W) of the sheet under its label, by section."""
    clean = photograph(size)
    cat = resize(to_tensor(np.ascontiguousarray(data.chelsea()[:300, 90:390])), size=(size, size)).clamp(0, 1)
    hq = torch.cat([clean, cat])
    lq = degrade.gaussian_noise(hq, 0.1, generator=Generator().manual_seed(0))

    def damaged(functions: dict[str, Draw]) -> dict[str, Tensor]:
        return {
            label: draw(clean, Generator().manual_seed(SEEDS.get(label, 3)))[0] for label, draw in functions.items()
        }

    def augmented(label: str) -> Tensor:
        return AUGMENTATIONS[label](lq, hq, generator=Generator().manual_seed(SEEDS.get(label, 4)))[0][0]

    return {
        "restorekit.degrade": {"the photograph": clean[0]} | damaged(DEGRADATIONS),
        "restorekit.degrade: compositions": damaged(COMPOSITIONS),
        "restorekit.augment: lq of a pair of noisy and clean": {"noisy": lq[0]}
        | {label: augmented(label) for label in AUGMENTATIONS},
    }


def sheet(parts: dict[str, dict[str, Tensor]], size: int) -> Image.Image:
    """Rows of tiles, each with its label below; small pictures are enlarged pixel by pixel."""
    rows = sum(math.ceil(len(part) / COLUMNS) for part in parts.values())
    page = Image.new("RGB", (COLUMNS * (size + GAP), rows * (size + LINE) + len(parts) * 2 * LINE), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(11)
    top = 0
    for title, part in parts.items():
        pen.text((2, top + LINE // 2), title, fill="black", font=ImageFont.load_default(15))
        top += 2 * LINE
        for place, (label, picture) in enumerate(part.items()):
            row, column = divmod(place, COLUMNS)
            corner = column * (size + GAP), top + row * (size + LINE)
            page.paste(to_image(picture).resize((size, size), Image.Resampling.NEAREST), corner)
            pen.text((corner[0] + 2, corner[1] + size + 2), label, fill="black", font=font)
        top += math.ceil(len(part) / COLUMNS) * (size + LINE)
    return page


def main() -> None:
    """Write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=TILE, help="side of a tile, pixels (default: %(default)s)")
    parser.add_argument("--out", default="gallery.png", help="picture to write (default: %(default)s)")
    options = parser.parse_args()
    parts = sections(options.size)
    sheet(parts, options.size).save(options.out)
    print(f"{options.out} written, {sum(map(len, parts.values()))} pictures")


if __name__ == "__main__":
    main()
