"""Restore a folder of pictures with a checkpoint file of yours.

    02_use_your_own_weights.py weights.safetensors photos restored
    02_use_your_own_weights.py carn_m.pth photos restored --scale 4

The file may come from ``restorekit.models.save_weights`` or from the authors of CARN and PCARN: which network it holds
is read from the file. Without arguments, a demonstration runs in a temporary folder, with weights that know nothing.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from skimage import data
from tqdm import tqdm

from restorekit.data import ImageFolder
from restorekit.image import picture_size, write_image
from restorekit.inference import restore
from restorekit.models import carn_m, load_checkpoint, save_weights


def restore_folder(
    weights: Path, pictures: Path, out: Path, *, scale: int | None = None, overwrite: bool = False
) -> int:
    """Write every picture of a folder, restored, as PNG into another; return how many could not be restored."""
    model = load_checkpoint(weights)
    scale = model.pick_scale(scale)  # tells at once if the file holds several and none was chosen
    targets = {path: out / f"{path.name.removesuffix('.png')}.png" for path in ImageFolder(pictures).paths}
    taken = [target for target in targets.values() if target.exists()]
    if taken and not overwrite:
        raise FileExistsError(f"{taken[0]} exists ({len(taken)} such files in all); --overwrite replaces them")
    if out.resolve() == pictures.resolve():
        raise ValueError(f"{out} holds the pictures themselves; name another folder for the restored ones")
    out.mkdir(parents=True, exist_ok=True)
    failed = 0
    for path, target in tqdm(targets.items(), desc="restore", unit="picture"):
        try:
            write_image(target, restore(model, path, scale=scale, tile="auto"))
        except (ValueError, OSError) as error:  # one bad file should not stop a thousand good ones
            tqdm.write(f"{path} left out: {error}", file=sys.stderr)
            failed += 1
    return failed


def demonstrate() -> int:
    """Make a checkpoint and two pictures, and restore them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "photos").mkdir()
        write_image(folder / "photos" / "cat.png", data.chelsea()[60:180, 80:280])
        write_image(folder / "photos" / "coins.png", data.coins()[:100, :150])
        save_weights(carn_m(scale=2, channels=16), folder / "weights.safetensors")
        failed = restore_folder(folder / "weights.safetensors", folder / "photos", folder / "restored")
        for path in ImageFolder(folder / "restored").paths:
            before, after = (picture_size(folder / part / path.name) for part in ("photos", "restored"))
            print(f"{path.name}: {before} -> {after}")
    return failed


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path, nargs="?", help="checkpoint: .safetensors, or .pth with tensors only")
    parser.add_argument("pictures", type=Path, nargs="?", help="folder of pictures")
    parser.add_argument("out", type=Path, nargs="?", help="folder for the restored ones, made if absent")
    parser.add_argument("--scale", type=int, help="which factor, if the file holds several as the authors' do")
    parser.add_argument("--overwrite", action="store_true", help="replace pictures that exist in OUT")
    options = parser.parse_args()
    if options.weights is None:
        return demonstrate()
    if options.out is None:
        parser.error("WEIGHTS, PICTURES and OUT are needed, or none of them for the demonstration")
    try:
        failed = restore_folder(
            options.weights, options.pictures, options.out, scale=options.scale, overwrite=options.overwrite
        )
        return min(failed, 1)
    except (OSError, ValueError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    sys.exit(main())
