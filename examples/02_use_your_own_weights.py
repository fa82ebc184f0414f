"""Restore a picture with a checkpoint file of yours, however large the picture is.

    02_use_your_own_weights.py weights.safetensors photo.jpg restored.png
    02_use_your_own_weights.py carn_m.pth photo.png restored.tif --scale 4 --bfloat16

The file may come from ``restorekit.models.save_weights`` or from the authors of CARN, EDSR and others: which network
it holds is read from the file. From PNG or TIFF to PNG or TIFF only a band of the picture is in memory at any time.
Without arguments, a demonstration runs in a temporary folder, with weights that know nothing.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import torch
from skimage import data

from restorekit.image import MAX_PIXELS, picture_size, write_image
from restorekit.inference import restore_file
from restorekit.models import carn_m, load_checkpoint, save_weights


def demonstrate() -> None:
    """Make a checkpoint and a picture, and restore it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_image(folder / "cat.png", data.chelsea()[60:180, 80:280])
        save_weights(carn_m(scale=2, channels=16), folder / "weights.safetensors")
        restore_file(load_checkpoint(folder / "weights.safetensors"), folder / "cat.png", folder / "restored.png")
        print(f"cat.png: {picture_size(folder / 'cat.png')} -> {picture_size(folder / 'restored.png')}")


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path, nargs="?", help="checkpoint: .safetensors, or .pth with tensors only")
    parser.add_argument("picture", type=Path, nargs="?", help="picture file")
    parser.add_argument("out", type=Path, nargs="?", help="file to write")
    parser.add_argument("--scale", type=int, help="which factor, if the file holds several as the authors' do")
    parser.add_argument("--bfloat16", action="store_true", help="compute in it: faster where the processor knows it")
    parser.add_argument("--max-pixels", type=int, default=MAX_PIXELS, help="refuse more (default: %(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT")
    options = parser.parse_args()
    if options.weights is None:
        demonstrate()
        return 0
    if options.out is None:
        parser.error("WEIGHTS, PICTURE and OUT are needed, or none of them for the demonstration")
    try:
        restore_file(
            load_checkpoint(options.weights),
            options.picture,
            options.out,
            scale=options.scale,
            dtype=torch.bfloat16 if options.bfloat16 else None,
            progress=True,
            max_pixels=options.max_pixels,
            overwrite=options.overwrite,
        )
    except (OSError, ValueError) as error:
        parser.error(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
