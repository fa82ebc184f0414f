"""How the cost of ``restore`` with CARN-M grows: time and peak memory against pixels, batch, threads and scale.

Every point is a process of its own, so that peaks are its own. Peaks include Python and torch, "before the picture".
One thread stops at 1 megapixel, as its line is known by then.
"""

import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from harness import Measurement, Options, main, record
from processes import fresh, peak

from restorekit.image import atomic_path
from restorekit.inference import restore
from restorekit.models import create_model

TIME, MEMORY = "Time a megapixel of input, by pixels", "Peak memory, by pixels"
REDUCED: dict[str, Any] = {"channels": 8, "blocks": 1, "units": 1}


@dataclass(frozen=True)
class Cost:
    """Seconds of a call, MB before the picture and at the peak."""

    seconds: float
    before: float
    peak: float


def point(options: Options, scale: int, shape: tuple[int, ...]) -> Cost:
    """Restore random pictures in this process; several times where that is quick."""
    model = create_model("carn_m", scale=scale, **(REDUCED if options.quick else {})).eval()
    picture = torch.randint(0, 256, shape, dtype=torch.uint8)
    image = picture.numpy() if len(shape) == 3 else picture.permute(0, 3, 1, 2).float() / 255
    restore(model, torch.rand(3, 64, 64))  # what libraries allocate once
    before, seconds = peak(), []
    while sum(seconds) < (0.1 if options.quick else 2.0) and len(seconds) < 5:
        start = time.perf_counter()
        restore(model, image)
        seconds.append(time.perf_counter() - start)
    return Cost(statistics.median(seconds), before, peak())


def cost(options: Options, threads: int, scale: int, shape: tuple[int, ...]) -> Cost | None:
    """The same in a new process."""
    found: Cost | None = fresh(point, options, scale, shape, threads=threads)
    if found is None:
        options.say(f"x{scale}, {' x '.join(map(str, shape))}, {threads} threads: ended without a result")
    return found


def size(megapixels: float) -> tuple[int, int, int]:
    """A picture of 4:3."""
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    return height, round(megapixels * 1e6 / height), 3


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The exponent of growth: the slope of a straight line through the points on logarithmic axes."""
    return statistics.linear_regression(*zip(*[map(math.log, pair) for pair in points], strict=True)).slope


def by_pixels(options: Options) -> list[Measurement]:
    """Time and memory of x2 for one thread and two."""
    sizes = (0.01, 0.03) if options.quick else (0.1, 0.3, 1, 3, 8, 20)
    found: list[Measurement] = []
    costs: dict[float, dict[str, Cost]] = {}
    for megapixels in sizes:
        for threads in (1, 2):
            if threads == 1 and megapixels > 1:
                continue
            if one := cost(options, threads, 2, size(megapixels)):
                costs.setdefault(megapixels, {})[f"{threads} thread{'s' * (threads > 1)}"] = one
        row = costs.get(megapixels, {})
        times = {name: one.seconds / megapixels for name, one in row.items()}
        found.append(record(f"{megapixels:g} MP", times, table=TIME, unit="s", at=megapixels))
        peaks = {name: one.peak for name, one in row.items()}
        note = "".join(f"{one.before:.0f} MB before the picture" for one in list(row.values())[-1:])
        found.append(record(f"{megapixels:g} MP", peaks, table=MEMORY, unit="MB", at=megapixels, note=note))
    for name in ("1 thread", "2 threads"):
        points = [(m, row[name].seconds) for m, row in costs.items() if name in row]
        if len(points) > 1:
            options.say(f"{name}: time grows as pixels to the power of {slope(points):.2f}")
    return found


def by_batch(options: Options) -> list[Measurement]:
    """Small pictures of equal size in one call."""
    side = 16 if options.quick else 96
    found = []
    for batch in (1, 4) if options.quick else (1, 4, 16, 32):
        if one := cost(options, options.threads, 2, (batch, side, side, 3)):
            title = f"{batch} of {side} x {side}"
            found.append(
                record(title, {"each picture": one.seconds / batch}, table="Time by batch", unit="s", at=batch)
            )
            found.append(record(title, {"all": one.peak}, table="Peak memory by batch", unit="MB", at=batch))
    return found


def by_scale(options: Options) -> list[Measurement]:
    """One picture at every scale."""
    megapixels = 0.01 if options.quick else 0.3
    found = []
    for scale in (2, 3, 4):
        if one := cost(options, options.threads, scale, size(megapixels)):
            ways = {"input": one.seconds / megapixels, "output": one.seconds / megapixels / scale**2}
            title = f"x{scale}, {megapixels} MP"
            found.append(record(title, ways, table="Time a megapixel, by scale", unit="s", at=scale))
            found.append(record(title, {"all": one.peak}, table="Peak memory by scale", unit="MB", at=scale))
    return found


def plot(measurements: Sequence[Measurement], path: Path) -> None:
    """Time and memory against pixels on logarithmic axes, beside straight lines for "in proportion"."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes in (left, right):
        axes.set(xscale="log", yscale="log")
    for name, marker in (("1 thread", "s"), ("2 threads", "o")):
        for axes, table in ((left, TIME), (right, MEMORY)):
            rows = [m for m in measurements if m.table == table and any(way.name == name for way in m.ways)]
            per = [m.at if table == TIME else 1.0 for m in rows]
            values = [m[name] * factor for m, factor in zip(rows, per, strict=True)]
            axes.plot([m.at for m in rows], values, marker=marker, label=name)
            if rows and name == "2 threads":
                ends = [rows[0].at, rows[-1].at]
                axes.plot(ends, [values[0] * x / ends[0] for x in ends], "--", color="grey", label="in proportion")
    most = max((way.median for m in measurements if m.table == MEMORY for way in m.ways), default=1000)
    right.set_ylim(100, 10 ** math.ceil(math.log10(most)))  # the dashed line may leave it
    left.set(title="Time", ylabel="seconds")
    right.set(title="Peak memory of the process", ylabel="MB")
    for axes in (left, right):
        axes.set_xlabel("megapixels of input, x2")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("")
        axes.grid(which="major", linewidth=0.5, alpha=0.6)
        axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as beside:
        figure.savefig(beside, format="png", dpi=110, metadata={"Software": None})


def measure(options: Options) -> list[Measurement]:
    """Pixels and threads, then batch, then scale."""
    return [*by_pixels(options), *by_batch(options), *by_scale(options)]


if __name__ == "__main__":
    main(__doc__, measure)
