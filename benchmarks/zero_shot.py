"""One picture: ZSSR, which learns from it alone, against a network that was trained before, as the thesis' Table 5.4.

    python benchmarks/zero_shot.py --image HR.png --weights simusr.safetensors --json zero_shot.json --strip strip.png

PSNR and SSIM by "sr-y", seconds, and multiply-adds: of the convolutions alone, those of a training step counted three
times (for itself, the gradient of the features and that of the weights). The true picture is shrunk by
``resize_uint8``. Without weights the network is a fresh CARN, which takes as long and restores nothing. The picture by
default is a motorcycle that ships with scikit-image, from 112 x 75 pixels. A strip needs the extra ``plots``.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from harness import Measurement, Options, machine, record, surroundings
from numpy.typing import NDArray
from skimage import data
from torch import Tensor

from restorekit.data import PairedFolder
from restorekit.evaluation import Evaluation, evaluate
from restorekit.image import atomic_path, read_image, resize, resize_uint8, to_image, to_tensor, write_image
from restorekit.inference import restore
from restorekit.metrics import count_multadds
from restorekit.models import carn, load_checkpoint
from restorekit.train import ZERO_SHOT_SETTINGS, ZeroShotResult, ZeroShotSettings, zero_shot

ZSSR, FEED_FORWARD = "restorekit, ZSSR", "restorekit, feed-forward"


@dataclass(frozen=True)
class Arithmetic:
    """Multiply-adds of a run of ZSSR."""

    training: float
    measuring: float
    enlarging: float

    @property
    def total(self) -> float:
        return self.training + self.measuring + self.enlarging


def arithmetic(result: ZeroShotResult, settings: ZeroShotSettings, scale: int, size: tuple[int, int]) -> Arithmetic:
    """What the network of a run did, for a picture of ``size`` and one crop in each step."""
    pixel = float(result.model.trace(1).multadds_per_pixel)
    training = measuring = enlarging = 0.0
    solved = zip(settings.steps_to(scale), settings.bases(scale), result.losses, result.measured, strict=True)
    for factors, base, losses, errors in solved:
        lq, out = (size[0] * size[1] * pair[0] * pair[1] for pair in (base, factors))
        square = factors[0] / base[0] == factors[1] / base[1]
        training += 3 * pixel * settings.crop_size**2 * len(losses)
        measuring += pixel * lq * len(errors)
        enlarging += pixel * out * ((8 if square else 4) if settings.ensemble else 1)
    return Arithmetic(training, measuring, enlarging)


def timed(call: Callable[[], Tensor], repeats: int) -> tuple[Tensor, float]:
    """What a call returns, and the median of its seconds; one that is repeated is warmed up first."""
    out, seconds = call() if repeats > 1 else None, []
    for _ in range(repeats):
        start = time.perf_counter()
        out = call()
        seconds.append(time.perf_counter() - start)
    assert out is not None
    return out, statistics.median(seconds)


def true_picture(path: Path | None, scale: int, quick: bool) -> NDArray[np.uint8]:
    """The picture to come near to, cut to a multiple of the scale."""
    picture = read_image(path) if path else data.stereo_motorcycle()[0][100:400, 200:648]
    picture = picture[:48, :64] if quick else picture
    if picture.dtype != np.uint8:
        raise SystemExit(f"the picture must have 8 bits, got {picture.dtype}")
    height, width = (side // scale * scale for side in picture.shape[:2])
    return picture[:height, :width]


def scores(pictures: dict[str, Tensor], hr: NDArray[np.uint8], lr: NDArray[np.uint8]) -> dict[str, Evaluation]:
    """Each enlarged picture by "sr-y"."""
    scale = hr.shape[0] // lr.shape[0]
    with tempfile.TemporaryDirectory() as folder:
        for name, picture in (("lr", lr), ("hr", hr)):
            Path(folder, name).mkdir()
            write_image(Path(folder, name, "picture.png"), picture)
        pair = PairedFolder(Path(folder, "lr"), Path(folder, "hr"), scale=scale)
        return {name: evaluate(lambda _, out=out: out, pair, scale=scale) for name, out in pictures.items()}


def draw(pictures: dict[str, Tensor], found: dict[str, Evaluation], path: Path) -> None:
    """The pictures side by side."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(4.2 * len(pictures), 4.2), layout="constrained")
    for axis, (name, picture) in zip(figure.subplots(1, len(pictures)), pictures.items(), strict=True):
        axis.imshow(to_image(picture, like="uint8"))
        score = f"\n{found[name].psnr:.2f} dB, {found[name].ssim:.4f}" if name in found else ""
        axis.set_title(name.removeprefix("restorekit, ") + score)
        axis.set_axis_off()
    figure.savefig(path, dpi=100)


def measure(chosen: argparse.Namespace, options: Options) -> list[Measurement]:
    """Enlarge in both ways and compare."""
    usual = "doubling" if chosen.scale == 4 else "default"
    settings: ZeroShotSettings = ZERO_SHOT_SETTINGS[chosen.settings or usual]
    hr = true_picture(chosen.image, chosen.scale, options.quick)
    lr = resize_uint8(hr, 1 / chosen.scale)
    x = to_tensor(lr)
    network = (load_checkpoint(chosen.weights) if chosen.weights else carn(scale=chosen.scale)).eval()
    precision, dtype = ("bf16", torch.bfloat16) if chosen.bf16 else (None, None)
    start = time.perf_counter()
    result = zero_shot(x, scale=chosen.scale, settings=settings, steps=chosen.steps, mixed_precision=precision)
    taken = time.perf_counter() - start
    with torch.no_grad():
        out, quick = timed(lambda: restore(network, x, scale=chosen.scale, dtype=dtype), 3 if options.quick else 7)
    pictures = {"bicubic": resize(x, chosen.scale), ZSSR: result.image, FEED_FORWARD: out}
    found = scores(pictures, hr, lr)
    if chosen.strip:
        draw({**pictures, "true": to_tensor(hr)}, found, chosen.strip)
    if not chosen.weights:
        options.say("The feed-forward network has fresh weights: its time means something, its picture nothing.")
    cost = arithmetic(result, settings, chosen.scale, lr.shape[:2])
    once = count_multadds(network, hr_size=hr.shape[:2], scale=chosen.scale)
    title = f"to {hr.shape[1]} x {hr.shape[0]}, {type(network).__name__}, {result.steps} steps of ZSSR"
    return rows(title, found, (quick, taken), once, cost)


def rows(
    title: str, found: dict[str, Evaluation], seconds: tuple[float, float], once: float, cost: Arithmetic
) -> list[Measurement]:
    """Quality, seconds and arithmetic; the feed-forward network first, which the other is compared with."""
    parts = f"{cost.training / cost.total:.0%} training, {cost.measuring / cost.total:.0%} measuring"
    return [
        record(title, {name: one.psnr for name, one in found.items()}, table="PSNR, sr-y", unit="dB"),
        record(title, {name: one.ssim for name, one in found.items()}, table="SSIM, sr-y", unit=""),
        record(title, dict(zip((FEED_FORWARD, ZSSR), seconds, strict=True)), table="Time", unit="s"),
        record(
            title,
            {FEED_FORWARD: once / 1e9, ZSSR: cost.total / 1e9},
            table="Multiply-adds",
            unit="G",
            note=f"{parts}, the rest enlarging",
        ),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the options, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", type=Path, metavar="FILE", help="true picture, 8 bits")
    parser.add_argument("--scale", type=int, default=4, help="default: %(default)s")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="checkpoint of the feed-forward network")
    parser.add_argument("--settings", choices=list(ZERO_SHOT_SETTINGS), help="default: doubling to 4, else default")
    parser.add_argument("--steps", type=int, default=3000, help="most steps of ZSSR, default: %(default)s")
    parser.add_argument("--bf16", action="store_true", help="both in bfloat16")
    parser.add_argument("--quick", action="store_true", help="a small piece of the picture: does it work?")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads of torch")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers into a file as well")
    parser.add_argument("--strip", type=Path, metavar="FILE", help="write the pictures side by side")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    print(machine(), flush=True)
    options = Options(chosen.quick, chosen.threads)
    found = measure(chosen, options)
    if chosen.json:
        report = {**surroundings(options), "notes": options.notes, "measurements": [one.to_json() for one in found]}
        with atomic_path(chosen.json) as beside:
            beside.write_text(json.dumps(report, allow_nan=False), encoding="utf-8")


if __name__ == "__main__":
    main()
