"""Train the discriminators of an MDF loss on one photograph, and write them with a model card and curves.

Those that come with the library were trained so; their cards name the command. For a degradation of your own, put a
function or a composition of ``restorekit.degrade`` in the place of the task. Ctrl-C stops; the same command goes on.
Needs the extra ``plots``.
"""

import argparse
import os
import platform
import shlex
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from skimage import data

from restorekit.image import read_image, to_tensor
from restorekit.models import save_discriminators
from restorekit.train import MDFFit, fit_mdf

DISTORTIONS = {
    "sisr": "bicubic enlargement from between 1/2 and 1/4 of the size",
    "denoising": "Gaussian noise of sigma 0 to 25/255",
    "jpeg": "JPEG of quality 5 to 20",
}
PICTURES: dict[str, tuple[Callable[[], np.ndarray], str]] = {  # that ship with scikit-image
    "coffee": (data.coffee, "photograph by Rachel Michetti, CC0"),
    "motorcycle": (lambda: data.stereo_motorcycle()[0], "left picture of a pair in the Middlebury 2014 benchmark"),
}
CARD = """# MDF discriminators: {task}

{count} discriminators, coarse to fine ({widths} channels wide), for `restorekit.losses.MDFLoss`.

| | |
|---|---|
| read by | `MDFLoss.from_file("mdf_{task}.safetensors")`; those in the library, `MDFLoss.from_pretrained("{task}")` |
| seed picture | {picture} |
| distortion | {distortion}, drawn anew in every step |
| iterations | {iterations} for each of {count} scales (3 steps of the discriminator, 3 of the generator) |
| pyramid | short side {coarse} px to long side {fine} px |
| penalty weight | {penalty_weight} |
| seed | {seed} |
| precision | {precision}; stored in half precision |
| machine | {machine}, torch {torch} |
| time | {time} |
| command | `{command}` |

The end of each scale, means over the last tenth of its iterations:

| scale | score of the real picture less that of the restored | penalty | PSNR of the restored, dB |
|---|---|---|---|
{rows}

Another machine, or another number of threads, gives other weights of the same kind.
"""


def seed_picture(name: str) -> tuple[np.ndarray, str]:
    """A picture that ships with scikit-image, or from a file, and what a card says of it."""
    if name not in PICTURES:
        return read_image(name), f"`{Path(name).name}`"
    load, origin = PICTURES[name]
    return load(), f"{name} of scikit-image ({origin})"


def machine(threads: int) -> str:
    """The processor by name where the system tells, else its architecture; and how much of it was used."""
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text(encoding="utf-8").splitlines() if listed.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name} ({platform.system()}, {platform.machine()}), {threads} of {os.cpu_count()} threads"


def command(options: argparse.Namespace, defaults: argparse.Namespace) -> str:
    """What to type to train the same again, wherever the files are to go."""
    words = ["python", f"examples/{Path(__file__).name}"]
    for name, value in vars(options).items():
        if name == "task" or (name != "out" and value != getattr(defaults, name)):
            shown = Path(value).name if name == "picture" else str(value)  # the folder is another one elsewhere
            words += [f"--{name.replace('_', '-')}", *([] if value is True else [shown])]
    return shlex.join(words)


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
            axis.plot(along, values, color=f"C{number % 2}", linewidth=0.7, marker="." if len(values) == 1 else None)
        start += len(curve.psnr)
    upper.axhline(0, color="0.6", linewidth=0.6)
    upper.set_ylabel("score, real - restored")
    lower.set_ylabel("PSNR of the restored, dB")
    lower.set_xlabel("iteration; a change of colour is the next scale")
    figure.savefig(path, dpi=90)


def write(run: MDFFit, options: argparse.Namespace, facts: dict[str, str]) -> None:
    """The discriminators, their card and their curves."""
    card = CARD.format(
        task=options.task,
        count=len(run.discriminators),
        widths=", ".join(str(net.config["channels"]) for net in run.discriminators),
        distortion=DISTORTIONS[options.task],
        iterations=options.iterations,
        coarse=options.min_side,
        penalty_weight=options.penalty_weight,
        seed=options.seed,
        precision="float32" if options.float32 else "bfloat16 autocast over float32 weights",
        machine=machine(options.threads),
        torch=torch.__version__,
        rows=rows(run),
        **facts,
    )
    save_discriminators(run.discriminators, options.out / f"mdf_{options.task}.safetensors", half=True)
    (options.out / f"mdf_{options.task}.md").write_text(card, encoding="utf-8")
    draw(run, options.out / f"mdf_{options.task}.png")


def arguments() -> argparse.ArgumentParser:
    """What can be chosen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=DISTORTIONS, default="sisr", help="what is distorted (default: %(default)s)")
    own = f"seed picture: {', '.join(PICTURES)} from scikit-image, or a file (default: %(default)s)"
    parser.add_argument("--picture", default="coffee", help=own)
    parser.add_argument("--iterations", type=int, default=60, help="for each scale (default: %(default)s)")
    parser.add_argument("--max-side", type=int, default=144, help="pixels of the finest scale (default: %(default)s)")
    parser.add_argument("--min-side", type=int, default=25, help="pixels of the coarsest scale (default: %(default)s)")
    parser.add_argument("--penalty-weight", type=float, default=0.3, help="on the slope (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of all that is random (default: %(default)s)")
    parser.add_argument("--float32", action="store_true", help="do without bfloat16, which is fast on recent CPUs only")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path(), help="folder to write to (default: here)")
    return parser


def main() -> None:
    """Train, write three files."""
    parser = arguments()
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    pixels, origin = seed_picture(options.picture)
    checkpoint, begin = options.out / f"mdf_{options.task}.ckpt", time.perf_counter()
    resumed = checkpoint.exists()
    run = fit_mdf(
        to_tensor(pixels),
        options.task,
        iterations=options.iterations,
        max_side=options.max_side,
        min_side=options.min_side,
        penalty_weight=options.penalty_weight,
        mixed_precision=None if options.float32 else "bf16",
        checkpoint=checkpoint,
        seed=options.seed,
    )
    minutes = f"{(time.perf_counter() - begin) / 60:.1f} minutes"
    facts = {
        "picture": origin,
        "fine": str(min(options.max_side, max(pixels.shape[:2]))),
        "time": f"{minutes} after the last of several starts" if resumed else minutes,
        "command": command(options, parser.parse_args([])),
    }
    write(run, options, facts)
    checkpoint.unlink()
    print(f"mdf_{options.task}.safetensors, its card and its curves are in {options.out.resolve()}")


if __name__ == "__main__":
    main()
