"""Train the discriminators of an MDF loss on one photograph, and write them with a model card and curves.

Those that come with the library were trained so, on the left picture of a motorcycle that ships with scikit-image
(Middlebury Stereo Data Set, CC0). For a degradation of your own, put a function or a composition of
``restorekit.degrade`` in the place of the task. Ctrl-C stops; the same command goes on. Needs the extra ``plots``.
"""

import argparse
import platform
import time
from pathlib import Path

import torch
from matplotlib.figure import Figure
from skimage import data
from torch import Tensor

from restorekit.image import read_image, to_tensor
from restorekit.models import save_discriminators
from restorekit.train import MDFFit, fit_mdf

CARD = """# MDF discriminators: {task}

Eight discriminators, coarse to fine (four of 32 channels, four of 64), for `restorekit.losses.MDFLoss`.

| | |
|---|---|
| loaded by | `MDFLoss.from_pretrained("{task}")` |
| seed picture | {picture} |
| distortion | {distortion}, drawn anew in every step |
| iterations | {iterations} for each of 8 scales (3 steps of the discriminator, 3 of the generator) |
| pyramid | short side {coarse} px to long side {max_side} px |
| penalty weight | {penalty_weight} |
| seed | {seed} |
| precision | {precision}; stored in half precision |
| machine | {machine}, torch {torch}, {threads} thread(s) |
| time | {minutes:.0f} minutes |
| command | `{command}` |

The last iterations of each scale, averaged over a tenth of them:

| scale | score of the real picture less that of the restored | penalty | PSNR of the restored, dB |
|---|---|---|---|
{rows}

Another machine, or another number of threads, gives other weights of the same kind.
"""
DISTORTIONS = {
    "sisr": "bicubic enlargement from between 1/2 and 1/4 of the size",
    "denoising": "Gaussian noise of sigma 25/255",
    "jpeg": "JPEG of quality 5 to 20",
}


def rows(run: MDFFit) -> str:
    """The end of each scale's curves, as lines of a table."""
    lines = []
    for number, curve in enumerate(run.curves):
        tail = slice(-max(1, len(curve.psnr) // 10), None)
        means = [sum(values[tail]) / len(values[tail]) for values in (curve.distance, curve.penalty, curve.psnr)]
        lines.append(f"| {number} | {means[0]:.3f} | {means[1]:.3f} | {means[2]:.2f} |")
    return "\n".join(lines)


def draw(run: MDFFit, path: Path) -> None:
    """Distance of the scores and PSNR, one scale behind the other."""
    figure = Figure(figsize=(9, 4.6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    start = 0
    for number, curve in enumerate(run.curves):
        along = range(start, start + len(curve.psnr))
        for axis, values in ((upper, curve.distance), (lower, curve.psnr)):
            axis.plot(along, values, color=f"C{number % 2}", linewidth=0.7)
        start += len(curve.psnr)
    upper.axhline(0, color="0.6", linewidth=0.6)
    upper.set_ylabel("score, real - restored")
    lower.set_ylabel("PSNR of the restored, dB")
    lower.set_xlabel("iteration; a change of colour is the next scale")
    figure.savefig(path, dpi=90)


def main() -> None:
    """Train, write three files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=DISTORTIONS, default="sisr", help="what is distorted (default: %(default)s)")
    parser.add_argument("--picture", type=Path, help="seed picture (default: a motorcycle from scikit-image)")
    parser.add_argument("--iterations", type=int, default=200, help="for each scale (default: %(default)s)")
    parser.add_argument("--max-side", type=int, default=144, help="pixels of the finest scale (default: %(default)s)")
    parser.add_argument("--min-side", type=int, default=25, help="pixels of the coarsest scale (default: %(default)s)")
    parser.add_argument("--penalty-weight", type=float, default=0.3, help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    parser.add_argument("--float32", action="store_true", help="without bfloat16, which is faster on a recent CPU")
    parser.add_argument("--threads", type=int, default=1, help="(default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path(), help="folder to write to (default: here)")
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    pixels = data.stereo_motorcycle()[0] if options.picture is None else read_image(options.picture)
    picture: Tensor = to_tensor(pixels)
    checkpoint, begin = options.out / f"mdf_{options.task}.ckpt", time.perf_counter()
    run = fit_mdf(
        picture,
        options.task,
        iterations=options.iterations,
        max_side=options.max_side,
        min_side=options.min_side,
        penalty_weight=options.penalty_weight,
        mixed_precision=None if options.float32 else "bf16",
        checkpoint=checkpoint,
        seed=options.seed,
    )
    card = CARD.format(
        task=options.task,
        picture="stereo_motorcycle (left) of scikit-image" if options.picture is None else options.picture.name,
        distortion=DISTORTIONS[options.task],
        iterations=options.iterations,
        coarse=options.min_side,
        max_side=options.max_side,
        penalty_weight=options.penalty_weight,
        seed=options.seed,
        precision="float32" if options.float32 else "bfloat16 autocast over float32 weights",
        machine=platform.processor() or platform.machine(),
        torch=torch.__version__,
        threads=options.threads,
        minutes=(time.perf_counter() - begin) / 60,
        command=f"python examples/{Path(__file__).name} --task {options.task}",
        rows=rows(run),
    )
    save_discriminators(run.discriminators, options.out / f"mdf_{options.task}.safetensors", half=True)
    (options.out / f"mdf_{options.task}.md").write_text(card, encoding="utf-8")
    draw(run, options.out / f"mdf_{options.task}.png")
    checkpoint.unlink()
    print(f"mdf_{options.task}.safetensors, its card and its curves are in {options.out.resolve()}")


if __name__ == "__main__":
    main()
