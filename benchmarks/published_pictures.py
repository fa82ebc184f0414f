"""Do image.resize_uint8 and evaluate reproduce what was published? Needs the benchmark sets, such as Set5 and Set14.

    python benchmarks/published_pictures.py FOLDER [FOLDER ...]

Each folder holds HR/ and LRbicx2/, LRbicx3/, LRbicx4/. Prints the share of LR values that resize_uint8 makes exactly,
and the scores of bicubic interpolation by both protocols.
"""

import argparse
from pathlib import Path

from torch import Tensor

from restorekit.data import PairedFolder
from restorekit.evaluation import PROTOCOLS, evaluate
from restorekit.image import resize_uint8, to_image, to_tensor


def equal_share(folder: Path, scale: int) -> tuple[int, int]:
    """Number of equal values and of all values in the low-resolution pictures."""
    pairs = PairedFolder(folder / f"LRbicx{scale}", folder / "HR", scale=scale)
    equal = total = 0
    for i in range(len(pairs)):
        published, truth = pairs.read(i)
        equal += int((resize_uint8(truth, 1 / scale) == published).sum())
        total += published.size
    return equal, total


def main() -> None:
    """Print a row for each set and scale."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    for folder in parser.parse_args().folders:
        for scale in (2, 3, 4):

            def bicubic(x: Tensor, scale: int = scale) -> Tensor:
                return to_tensor(resize_uint8(to_image(x, like="uint8"), scale))

            equal, total = equal_share(folder, scale)
            results = [evaluate(bicubic, folder, scale=scale, protocol=name) for name in PROTOCOLS]
            scores = "   ".join(f"{r.protocol.name} {r.psnr:.3f} dB {r.ssim:.4f}" for r in results)
            print(f"{folder.name} x{scale}: {equal} of {total} values equal   bicubic {scores}")


if __name__ == "__main__":
    main()
