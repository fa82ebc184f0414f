"""Write SHDD, the thesis' spatially varying distortions, for a folder of pictures; read it back and show its labels.

Without ``--clean`` it takes three photographs that ship with scikit-image. A second call with the same arguments goes
on where the first one was stopped.
"""

import argparse
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from skimage import data

from restorekit.data import DegradedSet, write_degraded
from restorekit.degrade import boxes, shdd
from restorekit.image import to_image, write_image


def photographs(folder: Path) -> Path:
    """Write the photographs that ship with scikit-image."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("astronaut", "chelsea", "coffee"):
        write_image(folder / f"{name}.png", getattr(data, name)())
    return folder


def labelled(pairs: DegradedSet, index: int) -> Image.Image:
    """One degraded picture, its blocks framed and named."""
    lq, _, recipe = pairs[index]
    picture = to_image(lq)
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(16)
    for block in boxes(recipe)[0]:
        top, left, bottom, right = block["box"]
        pen.rectangle((left, top, right - 1, bottom - 1), outline="white", width=2)
        label = "\n".join(f"{kind}\n{level:g}" for kind, level in zip(block["types"], block["levels"], strict=True))
        pen.text((left + 6, top + 4), label, fill="white", font=font, stroke_width=2, stroke_fill="black")
    return picture


def main() -> None:
    """Write, read, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clean", type=Path, help="folder of clean pictures")
    parser.add_argument("--out", type=Path, default=Path("shdd"), help="folder to fill (default: %(default)s)")
    parser.add_argument("--difficulty", default="moderate", choices=["easy", "moderate", "difficult"])
    parser.add_argument("--variants", type=int, default=12, help="versions of each picture (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of all draws (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=0, help="processes (default: %(default)s)")
    options = parser.parse_args()

    clean = options.clean or photographs(options.out / "clean")
    write_degraded(
        clean,
        shdd(options.difficulty),
        options.out / "set",
        variants=options.variants,
        seed=options.seed,
        workers=options.workers,
    )
    pairs = DegradedSet(options.out / "set", hq_root=clean, labels=True, verify=True)
    labelled(pairs, 0).save(options.out / "labels.png")
    print(f"{len(pairs)} pictures in {options.out / 'set'}, the first with its labels in {options.out / 'labels.png'}")


if __name__ == "__main__":
    main()
