"""A photograph that no run has seen, as the networks of one seed restore it.

    cd benchmarks && python -m evidence.strips --out RUNS --write ../docs/pictures

The astronaut of scikit-image (NASA), shrunk by ``resize_uint8``.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from skimage import data

from evidence import adversarial, progressive
from evidence.experiment import Experiment, Metric
from evidence.page import ARMS
from evidence.plots import save
from restorekit.image import resize, resize_uint8, to_image, to_tensor
from restorekit.inference import restore
from restorekit.losses import MDFLoss
from restorekit.metrics import psnr
from restorekit.models import load_checkpoint

Pictures = Mapping[str, NDArray[np.uint8]]
WHOLE, DETAIL = (slice(0, 320), slice(80, 400)), (slice(60, 160), slice(90, 190))
METRICS: dict[str, tuple[str, Metric]] = {
    "PSNR": ("{:.2f} dB", psnr),
    "MDF": ("{:.3f}", MDFLoss.from_pretrained("sisr", reduction="none")),
}


def pictures(experiment: Experiment, seed: int, out: Path) -> Pictures:
    """Bicubic, every arm, the truth."""
    truth = data.astronaut()[WHOLE]
    small = resize_uint8(truth, 1 / experiment.scale)
    found = {"bicubic": to_image(resize(to_tensor(small), experiment.scale), like="uint8")}
    for arm, label in ARMS[experiment.name].items():
        model = load_checkpoint(out / experiment.name / f"{arm}-{seed}" / "weights.safetensors")
        found[label] = restore(model.eval(), small)
    return {**found, "original": truth}


def strip(found: Pictures, path: Path) -> None:
    """Side by side with what they score, a detail of each below."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    truth = to_tensor(found["original"])
    figure = Figure(figsize=(3.2 * len(found), 6.9), layout="constrained")
    for (whole, part), (title, picture) in zip(figure.subplots(2, len(found)).T, found.items(), strict=True):
        lines = [title]
        if title != "original":
            x = to_tensor(picture)
            lines += [", ".join(f"{name} {form.format(f(x, truth).item())}" for name, (form, f) in METRICS.items())]
        whole.set_title("\n".join(lines))
        for axes, shown in ((whole, picture), (part, picture[DETAIL])):
            axes.imshow(shown, interpolation="nearest")
            axes.set_axis_off()
    save(figure, path)


def main() -> None:
    """Draw the strips of the experiments where there is something to see."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of runs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", type=Path, required=True, help="folder of the pictures")
    chosen = parser.parse_args()
    for script in (adversarial, progressive):
        found = pictures(script.EXPERIMENT, chosen.seed, chosen.out)
        strip(found, chosen.write / f"evidence_{script.EXPERIMENT.name}_strip.png")


if __name__ == "__main__":
    main()
