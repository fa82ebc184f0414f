"""The page of the evidence: prose from ``page.md``, numbers from what the runs left.

    cd benchmarks && python -m evidence.page ../docs/evidence.json

writes ``evidence.md`` beside the file, and the plots into ``pictures`` there.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from harness import Measurement
from page import markdown

from evidence.experiment import REFERENCE, SETS
from restorekit.evaluation import mean_interval
from restorekit.image import atomic_path

TEMPLATE = Path(__file__).with_name("page.md")
# How each arm is called, the one first that the others are compared with.
ARMS = {
    "augmentation": {
        "none": "none",
        "cutblur": "CutBlur, p 0.2",
        "mixture": "mixture, p 0.2",
        "mixture-always": "mixture, p 1",
    },
    "simusr": {"supervised": "supervised", "simusr": "SimUSR"},
    "progressive": {"direct": "direct", "progressive": "progressive"},
    "adversarial": {"l1": "L1, the start", "gan": "PCARN, 5e-4", "gan-strong": "PCARN, 2e-3"},
}
METRICS = {"psnr": ("PSNR, dB", "{:.2f}"), "ssim": ("SSIM", "{:.4f}"), "mdf": ("MDF distance", "{:.4f}")}
# How ``zero_shot.py`` calls the two, how its numbers are written by their units, and of which the ratio says something.
ZSSR, FEED_FORWARD = "restorekit, ZSSR", "restorekit, feed-forward"
FORMS, COSTS = {"dB": "{:.2f}", "": "{:.4f}", "s": "{:.3f}", "G": "{:,.1f}"}, ("s", "G")
Runs = Sequence[Mapping[str, Any]]


def page(report: Mapping[str, Any], template: str) -> str:
    """The template with ``[[machine]]`` and the numbers of each ``[[name of an experiment]]`` filled in."""
    lines: list[str] = []
    for line in template.splitlines():
        name = line[2:-2]
        if line == "[[machine]]":
            lines.append(machine(report))
        elif line == "[[zero_shot]]":
            lines += one_picture(report.get("zero_shot"))
        elif line.startswith("[[") and line.endswith("]]"):
            lines += section(name, report["experiments"].get(name, []))
        else:
            lines.append(line)
    return "\n".join(lines).rstrip() + "\n"


def machine(report: Mapping[str, Any]) -> str:
    """What the runs were made with."""
    packages = ", ".join(f"{name} {report['versions'][name]}" for name in ("restorekit", "torch"))
    return f"{report['processor']} ({report['instructions']}), one thread a run, {report['system']}, {packages}."


def section(name: str, runs: Runs) -> list[str]:
    """The budget, a table, and how the arms differ."""
    if not any(run["arm"] != REFERENCE for run in runs):
        return [f"Not measured yet: `python -m evidence.run --only {name} ...`."]
    return [budget(name, runs), "", *table(name, runs), "", *differences(name, runs)]


def one_picture(measured: Mapping[str, Any] | None) -> list[str]:
    """What ``zero_shot.py`` found, a row for each measure, with the ratio of the two methods."""
    if measured is None:
        return ["Not measured yet: `python zero_shot.py ...`."]
    rows = [Measurement.from_json(one) for one in measured["measurements"]]
    cells = [[rows[0].title, "bicubic", "SimUSR", "ZSSR", "ZSSR / SimUSR"]]
    for row in rows:
        values = {way.name: way.median for way in row.ways}
        form = FORMS[row.unit]
        shown = [form.format(values[name]) if name in values else "" for name in ("bicubic", FEED_FORWARD, ZSSR)]
        ratio = f"{values[ZSSR] / values[FEED_FORWARD]:,.0f}" if row.unit in COSTS else ""
        cells.append([f"{row.table}, {row.unit}".removesuffix(", "), *shown, ratio])
    return markdown(cells)


def budget(name: str, runs: Runs) -> str:
    """Steps and arithmetic of each arm."""
    parts = []
    for arm, label in ARMS[name].items():
        if found := of_arm(runs, arm):
            multadds = fmean(run["multadds"] for run in found)
            parts.append(f"{label}: {found[0]['steps']:,} steps, {multadds / 1e12:.1f} T multiply-adds")
    return f"Budget of a run, forward passes counted: {'; '.join(parts)}."


def table(name: str, runs: Runs) -> list[str]:
    """A row for each arm: mean and standard deviation over its seeds."""
    cells = [["", *(f"{where}, {METRICS[metric][0]}" for metric, where in columns(runs)), "seeds"]]
    for arm, label in {REFERENCE: "bicubic", **ARMS[name]}.items():
        if found := of_arm(runs, arm):
            shown = [
                spread([run["scores"][where][metric] for run in found], METRICS[metric][1])
                for metric, where in columns(runs)
            ]
            cells.append([label, *shown, str(len(found)) if arm != REFERENCE else ""])
    return markdown(cells)


def differences(name: str, runs: Runs) -> list[str]:
    """Each arm less the first, seed by seed, and where that is clear."""
    (base, first), *others = ARMS[name].items()
    cells = [[f"less {first}, seed by seed", *(f"{where}, {METRICS[metric][0]}" for metric, where in columns(runs))]]
    for arm, label in others:
        found = [(metric, paired(runs, arm, base, metric, where)) for metric, where in columns(runs)]
        if all(values for _, values in found):
            shown = [spread(v, "{:+" + METRICS[metric][1][2:]) + (", clear" if clear(v) else "") for metric, v in found]
            cells.append([label, *shown])
    return markdown(cells) if len(cells) > 1 else []


def columns(runs: Runs) -> list[tuple[str, str]]:
    """What was measured, and on which set."""
    return [(metric, where) for where in SETS for metric in METRICS if metric in runs[0]["scores"][where]]


def paired(runs: Runs, arm: str, base: str, metric: str, where: str) -> list[float]:
    """Differences of the seeds that both arms have."""
    of_base = {run["seed"]: run["scores"][where] for run in of_arm(runs, base)}
    found = [(run["scores"][where], of_base[run["seed"]]) for run in of_arm(runs, arm) if run["seed"] in of_base]
    return [mine[metric] - other[metric] for mine, other in found if metric in mine]


def clear(values: Sequence[float]) -> bool:
    """Whether the 95 % interval of the mean, by Student's t, leaves out 0."""
    found = mean_interval(values)
    return found.low > 0 or found.high < 0  # of one value both are NaN


def spread(values: Sequence[float], form: str) -> str:
    """Mean ± standard deviation; one value stands alone."""
    mean = form.format(fmean(values))
    return f"{mean} ± {form.replace('+', '').format(stdev(values))}" if len(values) > 1 else mean


def of_arm(runs: Runs, arm: str) -> list[Mapping[str, Any]]:
    """Its runs, in the order of their seeds."""
    return sorted((run for run in runs if run["arm"] == arm), key=lambda run: run["seed"])


def main() -> None:
    """Write the page and the plots beside the numbers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument("numbers", type=Path, help="evidence.json")
    numbers = parser.parse_args().numbers
    report = json.loads(numbers.read_text(encoding="utf-8"))
    with atomic_path(numbers.with_suffix(".md")) as beside:
        beside.write_text(page(report, TEMPLATE.read_text(encoding="utf-8")), encoding="utf-8")
    from evidence import plots  # noqa: PLC0415  (matplotlib is an extra)

    for name, runs in report["experiments"].items():
        plots.dots(name, runs, numbers.parent / "pictures" / f"evidence_{name}.png")


if __name__ == "__main__":
    main()
