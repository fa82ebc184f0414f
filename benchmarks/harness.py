"""Measure several ways of doing the same thing, fairly: warmed up, in turns, as medians with their spread.

Every script here offers ``measure(options) -> list[Measurement]`` and ends in ``main(__doc__, measure)``. A way whose
name starts with "restorekit" is ours; the first one is what the others are compared with.
"""

import argparse
import importlib
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from restorekit.image import atomic_path

OURS = "restorekit"
PACKAGES = ("restorekit", "torch", "numpy", "scipy", "scikit-image", "pillow", "kornia", "pytorch-msssim")
PACKAGES += ("torchmetrics", "piq", "basicsr", "onnxruntime", "openvino")


@dataclass(frozen=True)
class Floor:
    """What the machine takes at least: the larger of arithmetic and memory traffic, each at the measured limit."""

    seconds: float
    flops: float
    bytes: float


@dataclass(frozen=True)
class Way:
    """One way of doing it: median and quartiles in the unit of the measurement, and the floor of a time."""

    name: str
    median: float
    low: float
    high: float
    floor: Floor | None = None

    @property
    def ours(self) -> bool:
        return self.name.startswith(OURS)


@dataclass(frozen=True)
class Measurement:
    """A row of a table: what was measured, and each way of doing it."""

    title: str
    ways: tuple[Way, ...]
    table: str = ""  # rows of one name make one table
    unit: str = "s"
    runs: int = 1
    note: str = ""
    aside: tuple[str, ...] = ()  # ways that do something else, for orientation: no peers
    at: float | None = None  # where the row stands on the axis of a plot

    def __getitem__(self, name: str) -> float:
        """The median of a way."""
        return next(way.median for way in self.ways if way.name == name)

    def ratio(self, way: Way) -> float | None:
        """To the first way."""
        first = self.ways[0].median
        return way.median / first if first else None

    def to_json(self) -> dict[str, Any]:
        """All fields, and what follows from them for those who read the file."""
        values = asdict(self)
        for one, way in zip(values["ways"], self.ways, strict=True):
            one["ratio"] = self.ratio(way)
            one["times_floor"] = way.median / way.floor.seconds if way.floor else None
        return values

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Measurement":
        """What ``to_json`` gave."""
        ways = []
        for one in values["ways"]:
            floor = Floor(**one["floor"]) if one["floor"] else None
            ways.append(Way(one["name"], one["median"], one["low"], one["high"], floor))
        return cls(**{**values, "ways": tuple(ways), "aside": tuple(values["aside"])})


@dataclass
class Options:
    """How thoroughly to measure, and what is to be said beside the numbers."""

    quick: bool = False
    threads: int = 1
    notes: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        """Print a line that belongs under the tables, too; once."""
        if text not in self.notes:
            print(text, flush=True)
            self.notes.append(text)

    def peer(self, name: str, module: str) -> Any:
        """A package to compare with, or None and a line where it cannot be imported."""
        try:
            return importlib.import_module(module)
        except (ImportError, RuntimeError) as error:  # torchvision built for another torch raises the latter
            self.say(f"{name} is left out: {error}")
            return None


def compare(
    title: str,
    ways: Mapping[str, Callable[[], object]],
    *,
    repeats: int,
    table: str = "",
    floors: Mapping[str, Floor] | None = None,
    note: str = "",
    aside: Sequence[str] = (),
    limit: float = 20.0,
) -> Measurement:
    """Run all ways in turns and print a row for each: median, interquartile range, ratio to the first.

    A peer that raises an error is left out, and the note says so, unless it is the first; ours must work.

    Args:
        title: What is measured.
        ways: Name and call of each way; the first is what the others are compared with.
        repeats: Timed runs of each, after one that is not timed.
        table: The table that the row belongs to.
        floors: What the machine takes at least, by name of the way.
        note: What is to be said of the results, such as how far they differ.
        aside: Ways that are no peers.
        limit: Seconds after which no further round begins; there are three rounds at least, where asked for.

    Returns:
        The measurement, which gives median seconds by name.
    """
    first, (ways, lost) = next(iter(ways)), working(ways)
    if first not in ways:
        raise RuntimeError(f"nothing to compare with: {lost[0]}")
    note = "; ".join(filter(None, [note, *lost]))
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    began = time.perf_counter()
    for done in range(repeats):
        if done >= 3 and time.perf_counter() - began > limit:
            break
        for name, call in ways.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    found = tuple(summary(name, values, floor=(floors or {}).get(name)) for name, values in seconds.items())
    runs = max(map(len, seconds.values()), default=0)
    return shown(Measurement(title, found, table, runs=runs, note=note, aside=tuple(aside)))


def working(ways: Mapping[str, Callable[[], object]]) -> tuple[dict[str, Callable[[], object]], list[str]]:
    """Call each way once: those that run, and what is to be said of peers that do not; ours must."""
    found: dict[str, Callable[[], object]] = {}
    lost = []
    for name, call in ways.items():
        try:
            call()
        except Exception as error:  # whatever a package of others does
            if name.startswith(OURS):
                raise
            lost.append(f"{name} is left out: {brief(error)}")
        else:
            found[name] = call
    return found, lost


def brief(error: BaseException) -> str:
    """An error on one line that is not too long."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"


def record(
    title: str,
    values: Mapping[str, float],
    *,
    table: str,
    unit: str,
    note: str = "",
    aside: Sequence[str] = (),
    at: float | None = None,
) -> Measurement:
    """Print and return numbers that were measured once, such as memory."""
    ways = tuple(summary(name, [value]) for name, value in values.items())
    return shown(Measurement(title, ways, table, unit, note=note, aside=tuple(aside), at=at))


def summary(name: str, values: Sequence[float], *, floor: Floor | None = None) -> Way:
    """Median and quartiles of what was measured several times."""
    low, _, high = statistics.quantiles(values, n=4) if len(values) > 1 else [*values] * 3
    return Way(name, statistics.median(values), low, high, floor)


def amount(value: float, unit: str) -> str:
    """A number as one reads it, with its unit."""
    if unit != "s":
        return f"{value:,.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"
    if value >= 10:
        return f"{value:.1f} s"
    milliseconds = 1e3 * value
    return f"{milliseconds:.0f} ms" if milliseconds >= 100 else f"{milliseconds:.{1 if milliseconds >= 1 else 3}f} ms"


def shown(measurement: Measurement) -> Measurement:
    """Print a measurement and give it back."""
    heading = ": ".join(text for text in (measurement.table, measurement.title) if text)
    print(f"\n{heading}" + (f" ({measurement.runs} runs each, in turns)" if measurement.runs > 1 else ""))
    if measurement.note:
        print(f"  {measurement.note}")
    for way in measurement.ways:
        row = f"{amount(way.median, measurement.unit):>13}"
        if measurement.runs > 1:
            row += f"   IQR {amount(way.low, measurement.unit)} to {amount(way.high, measurement.unit)}"
        ratio = measurement.ratio(way)
        ratio_cell = "" if ratio is None else f"ratio {ratio:.2f}"
        floor_cell = f"   {way.median / way.floor.seconds:.1f} times the floor" if way.floor else ""
        print(f"  {way.name:<38}{row:<48}{ratio_cell}{floor_cell}", flush=True)
    return measurement


def machine() -> str:
    """The machine and the libraries that a number belongs to, on one line."""
    return (
        f"{_processor()}, {os.cpu_count()} cores, torch {torch.__version__}, {torch.get_num_threads()} threads, "
        f"{platform.system()}"
    )


def _processor() -> str:
    details = Path("/proc/cpuinfo")
    lines = details.read_text().splitlines() if details.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """What is installed of the packages that take part."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def surroundings(options: Options) -> dict[str, Any]:
    """Where and when the numbers were taken."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "system": f"{platform.system()}, Python {platform.python_version()}",
        "threads": options.threads,
        "quick": options.quick,
        "versions": versions(),
    }


def main(description: str, measure: Callable[[Options], list[Measurement]]) -> None:
    """Read the options that every benchmark has, measure, and keep the numbers in a file if one is named."""
    parser = argparse.ArgumentParser(description=description.strip().splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small pictures and few runs: does it work?")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads of torch")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers into a file as well")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    print(machine(), flush=True)
    options, start = Options(chosen.quick, chosen.threads), time.perf_counter()
    found = measure(options)
    if chosen.json:
        report = {**surroundings(options), "seconds": round(time.perf_counter() - start, 1), "notes": options.notes}
        report["measurements"] = [one.to_json() for one in found]
        with atomic_path(chosen.json) as beside:
            beside.write_text(json.dumps(report, allow_nan=False), encoding="utf-8")
