"""Plots of the evidence: a dot for each seed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from evidence.experiment import SETS
from evidence.page import ARMS, METRICS, of_arm
from restorekit.image import atomic_path


def dots(name: str, runs: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Every seed of every arm, lines between what started alike, and the means as bars."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    shown = {arm: label for arm, label in ARMS[name].items() if of_arm(runs, arm)}
    if not shown:
        return
    metrics = [metric for metric in ("psnr", "mdf") if metric in runs[0]["scores"][SETS[0]]]
    panels = [(metric, where) for metric in metrics for where in SETS]
    figure = Figure(figsize=(len(panels) * (1.2 + 0.65 * max(len(shown), 3)), 3.4), layout="constrained")
    for axes, (metric, where) in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels, strict=True):
        columns = [{run["seed"]: run["scores"][where][metric] for run in of_arm(runs, arm)} for arm in shown]
        for seed in sorted(set().union(*columns)):
            known = [(x, column[seed]) for x, column in enumerate(columns) if seed in column]
            axes.plot(*zip(*known, strict=True), "o-", linewidth=0.7, markersize=5, label=f"seed {seed}")
        means = [fmean(column.values()) for column in columns]
        axes.hlines(means, np.arange(len(means)) - 0.3, np.arange(len(means)) + 0.3, color="black", linewidth=2)
        axes.set(title=where, ylabel=METRICS[metric][0], xlim=(-0.5, len(means) - 0.5))
        axes.set_xticks(range(len(shown)), [label.replace(", ", "\n") for label in shown.values()])
        axes.grid(axis="y", linewidth=0.5, alpha=0.6)
    axes.legend(fontsize="small")
    save(figure, path)


def save(figure: Any, path: Path) -> None:
    """As a small file that is the same whenever it is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as beside:
        figure.savefig(beside, format="png", dpi=80, metadata={"Software": None})
