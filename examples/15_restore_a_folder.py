"""Restore a folder of pictures, and the folders in it; go on where a run was stopped; share the work among processes.

    15_restore_a_folder.py photos restored --weights weights.safetensors
    torchrun --nproc-per-node 4 15_restore_a_folder.py photos restored --weights weights.safetensors
    accelerate launch --multi_gpu --num_processes 4 15_restore_a_folder.py photos restored --weights weights.safetensors

Launched processes take every so-manieth picture each, and a GPU each if there are any; for several without a GPU,
accelerate wants ACCELERATE_USE_CPU=1 in the environment. Without arguments, a
demonstration runs in a temporary folder, with weights that know nothing.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

import torch
from skimage import data

from restorekit.image import write_image
from restorekit.inference import FolderResult, restore_folder
from restorekit.models import carn_m, load_checkpoint


def device() -> torch.device | None:
    """The GPU of this process; None leaves the network on the CPU."""
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if torch.cuda.is_available() else None


def report(what: str, result: FolderResult) -> None:
    """One line for a run."""
    print(f"{what}: {len(result.restored)} restored, {len(result.skipped)} skipped, {len(result.failed)} failed")


def demonstrate() -> None:
    """Restore half of a folder, as a run that was stopped would, and then the rest."""
    with tempfile.TemporaryDirectory() as name:
        photos, restored = Path(name, "photos"), Path(name, "restored")
        (photos / "more").mkdir(parents=True)
        write_image(photos / "astronaut.jpg", data.astronaut()[:96, 170:300])
        write_image(photos / "cat.png", data.chelsea()[60:180, 80:280])
        write_image(photos / "more" / "coffee.png", data.coffee()[100:220, 150:350])
        write_image(photos / "more" / "coins.png", data.coins()[:100, :150])
        model = carn_m(scale=2, channels=16)
        report("half of it", restore_folder(model, photos, restored, share=(0, 2)))
        result = restore_folder(model, photos, restored)
        report("all of it", result)
        for path in sorted([*result.restored, *result.skipped]):
            print(path.relative_to(restored).as_posix())


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, nargs="?", help="folder of pictures")
    parser.add_argument("out", type=Path, nargs="?", help="folder for the restored ones, made if absent")
    parser.add_argument("--weights", type=Path, help="checkpoint: .safetensors, or .pth with tensors only")
    parser.add_argument("--scale", type=int, help="which factor, if the file holds several")
    parser.add_argument("--existing", default="skip", choices=["skip", "overwrite", "error"], help="what to do with "
                        "results that are there already (default: %(default)s)")  # fmt: skip
    options = parser.parse_args()
    if options.pictures is None:
        demonstrate()
        return 0
    if options.out is None or options.weights is None:
        parser.error("PICTURES, OUT and --weights are needed, or none of them for the demonstration")
    result = restore_folder(
        load_checkpoint(options.weights),
        options.pictures,
        options.out,
        existing=options.existing,
        scale=options.scale,
        device=device(),
    )
    report(f"process {os.environ.get('RANK', '0')}", result)
    return min(len(result.failed), 1)


if __name__ == "__main__":
    sys.exit(main())
