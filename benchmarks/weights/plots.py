"""The curve of a training."""

from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from evidence.plots import save


def curve(name: str, training: Mapping[str, Any], path: Path) -> None:
    """Loss above, PSNR of the held-out pictures below; a dashed line where another stage begins."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    stages = list(accumulate(stage["steps"] for stage in training["stages"]))
    losses = training["losses"]
    edges = np.linspace(0, stages[-1], len(losses) + 1)
    figure = Figure(figsize=(7, 4.6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    above.plot((edges[:-1] + edges[1:]) / 2, losses, color="tab:blue", linewidth=1.2)
    above.set(title=name, ylabel="L1 loss, training", yscale="log")
    # Before the first step the network is far from what it becomes, and would squeeze the rest into a line.
    measured = training["measured"][1:] or training["measured"]
    below.plot(*zip(*measured, strict=True), "o-", color="tab:orange", markersize=3, linewidth=1.2)
    below.set(xlabel="step", ylabel="PSNR, held out, dB", xlim=(0, stages[-1]))
    for axes in (above, below):
        axes.grid(linewidth=0.5, alpha=0.6, which="both")
        for end in stages[:-1]:
            axes.axvline(end, color="black", linewidth=0.8, linestyle="--")
    save(figure, path)
