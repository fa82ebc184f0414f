"""Rewrite a CARN-M x4 for inference, time it beside the network as it is, and show how far its results are.

    16_restore_fast.py
    16_restore_fast.py --weights carn_m.pth --image photo.png --backends onnxruntime openvino

The times depend on the machine: bfloat16 is quick where the processor has instructions for it. Without a checkpoint a
network is trained for so few steps that it restores little, which takes as long as restoring much. Everything ships
with scikit-image. Needs the extra ``plots``, for training ``train``, and for the backends ``onnx`` or ``openvino``.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from skimage import data
from torch import Tensor

from restorekit.data import RandomCropPairs
from restorekit.image import read_image, resize_uint8, to_image, to_tensor
from restorekit.inference import optimize
from restorekit.models import Restorer, carn_m, load_checkpoint
from restorekit.train import fit

SCALE = 4

Run = Callable[[Tensor], Tensor]


def train(steps: int) -> Restorer:
    """A network that adds to the enlarged picture, after a few steps."""
    pictures = [data.astronaut(), data.coffee(), data.rocket(), data.stereo_motorcycle()[0]]
    pairs = RandomCropPairs(pictures, patch_size=12, scale=SCALE, length=4 * steps)
    torch.manual_seed(0)  # of the initial weights
    model, threads = carn_m(scale=SCALE, global_skip=True), torch.get_num_threads()
    torch.set_num_threads(1)  # small steps gain little from more
    fit(model, pairs, steps=steps, batch_size=4, learning_rate=1e-3)
    torch.set_num_threads(threads)
    return model.eval()


def forms(model: Restorer, backends: list[str]) -> dict[str, Run]:
    """The network as it is, and what ``optimize`` makes of it."""
    found: dict[str, Run] = {
        "as it is": model,
        "optimized": optimize(model),
        "optimized, bfloat16": optimize(model, dtype=torch.bfloat16),
    }
    return found | {f"optimized, {backend}": optimize(model, backend=backend) for backend in backends}


@torch.inference_mode()
def seconds(runs: dict[str, Run], x: Tensor, repeats: int) -> dict[str, float]:
    """Median time of each, in turns after a first one, so that whatever else the machine does hits all of them."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run(x)
            taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(times[1:]) for name, times in taken.items()}


def distance(picture: Tensor, other: Tensor) -> np.ndarray:
    """The largest difference among the colours of each pixel, (H, W), in levels of 255."""
    return 255 * (picture - other).abs().amax(dim=1)[0].numpy()


def draw(x: Tensor, results: dict[str, Tensor], path: str) -> None:
    """The pictures above, their differences from the first below."""
    figure = Figure(figsize=(4.4 * len(results), 6.4), layout="constrained")
    axes = figure.subplots(2, len(results))
    plain = results["as it is"]
    for (upper, lower), (name, picture) in zip(axes.T, results.items(), strict=True):
        upper.set_title(name)
        upper.imshow(to_image(picture))
        if picture is plain:
            lower.set_title(f"input, {x.shape[-1]} x {x.shape[-2]} pixels")
            lower.imshow(to_image(x), interpolation="nearest")
            continue
        off = distance(picture, plain)
        lower.set_title(f"difference, at most {off.max():.2g} levels")
        shown = lower.imshow(off.clip(1e-6), cmap="inferno", norm=LogNorm(1e-6, 1))
    figure.colorbar(shown, ax=axes[1, 1:], location="bottom", aspect=60, shrink=0.7, label="levels of 255")
    for axis in axes.flat:
        axis.set_axis_off()
    figure.savefig(path, dpi=80)


def main() -> None:
    """Rewrite, time, compare, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, help="checkpoint of a network x4 in colour (default: train one)")
    parser.add_argument("--image", type=Path, help="picture to restore (default: a cat from scikit-image, made small)")
    parser.add_argument("--backends", nargs="*", default=[], choices=["onnxruntime", "openvino"], help="other runtimes")
    parser.add_argument("--steps", type=int, default=200, help="of training (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="timed turns (default: %(default)s)")
    parser.add_argument("--out", default="restore_fast.png", help="picture to write (default: %(default)s)")
    options = parser.parse_args()

    model = load_checkpoint(options.weights) if options.weights else train(options.steps)
    photo = read_image(options.image) if options.image else resize_uint8(data.chelsea()[:, :448], 1 / 2)
    x = to_tensor(photo)
    runs = forms(model.eval(), options.backends)
    with torch.inference_mode():
        results = {name: run(x) for name, run in runs.items()}
    times = seconds(runs, x, options.repeats)
    plain = "as it is"
    for name, picture in results.items():
        off, ratio = distance(picture, results[plain]).max(), times[plain] / times[name]
        print(f"{name}: {1e3 * times[name]:.0f} ms, {ratio:.1f} times as fast, at most {off:.2g} levels of 255 off")
    draw(x, results, options.out)


if __name__ == "__main__":
    main()
