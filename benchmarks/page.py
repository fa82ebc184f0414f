"""The benchmark page: prose from ``page.md``, tables from what was measured."""

import math
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from harness import Measurement, Way, amount

TEMPLATE = Path(__file__).with_name("page.md")
EQUAL = 1.05  # what runs on another day can change
COMPARED = ("s", "MB")  # units of which less is better


def page(groups: dict[str, dict[str, Any]], template: str) -> str:
    """The template with ``[[summary]]``, ``[[machines]]`` and the tables of each ``[[name of a group]]`` filled in."""
    found = {name: [Measurement.from_json(m) for m in group["measurements"]] for name, group in groups.items()}
    lines = []
    for line in template.splitlines():
        if line.startswith("[[") and line.endswith("]]"):
            name = line.strip("[]")
            if name == "summary":
                lines += overview(found)
            elif name == "machines":
                lines += machines(groups)
            else:
                lines += group_lines(name, groups.get(name), found.get(name, []))
        else:
            lines.append(line)
    return "\n".join(lines).rstrip() + "\n"


def machines(groups: dict[str, dict[str, Any]]) -> list[str]:
    """Where the numbers were taken, a line for each machine with its groups."""
    seen: dict[str, list[str]] = {}
    for name, group in groups.items():
        packages = ", ".join(f"{package} {version}" for package, version in group["versions"].items())
        quick = " **A quick run: these numbers mean nothing.**" if group["quick"] else ""
        text = (
            f"{group['processor']} ({group['instructions']}), {group['cores']} cores, {group['threads']} threads, "
            f"{group['system']}, {group['date']}, {packages}.{quick}"
        )
        seen.setdefault(text, []).append(name)
    if len(seen) == 1:
        return list(seen)
    return [f"- {', '.join(names)}: {text}" for text, names in seen.items()]


def group_lines(name: str, group: dict[str, Any] | None, measurements: Sequence[Measurement]) -> list[str]:
    """All tables of a group, then its notes."""
    if group is None:
        return [f"Not measured yet: `python benchmarks/run.py --only {name} --write docs/benchmarks.md`."]
    tables: dict[str, list[Measurement]] = {}
    for one in measurements:
        tables.setdefault(one.table, []).append(one)
    parts = [table(heading, rows) for heading, rows in tables.items()]
    if group["notes"]:
        parts.append([f"- {escaped(note)}" for note in group["notes"]])
    return list(chain.from_iterable([*part, ""] for part in parts))[:-1]


def table(heading: str, rows: Sequence[Measurement]) -> list[str]:
    """One measurement with a line for each way, or several with a column for each."""
    columns = list(dict.fromkeys(way.name for row in rows for way in row.ways))
    body = ways_down(rows[0]) if len(rows) == 1 else ways_across(rows, columns)
    title = f"**{escaped(heading or rows[0].title)}**"
    notes = [f"{row.title}: {row.note}." if len(rows) > 1 else f"{row.note}." for row in rows if row.note]
    return [title, "", *body, *(["", escaped(" ".join(notes))] if notes else [])]


def ways_down(row: Measurement) -> list[str]:
    """A line for each way."""
    cells = [[row.title, "median", "±", "ratio", "floor", "times the floor"]]
    for way in row.ways:
        ratio, floor = row.ratio(way), way.floor
        cells.append([way.name, amount(way.median, row.unit), spread(way), "" if ratio is None else f"{ratio:.2f}"])
        cells[-1] += [amount(floor.seconds, "s"), f"{way.median / floor.seconds:.1f}"] if floor else ["", ""]
    keep = [i for i in range(6) if any(line[i] for line in cells[1:])]
    return markdown([[line[i] for i in keep] for line in cells])


def ways_across(rows: Sequence[Measurement], columns: Sequence[str]) -> list[str]:
    """A line for each measurement, and the geometric mean of the ratios below."""
    cells = [["", *columns]]
    for row in rows:
        ways = {way.name: way for way in row.ways}
        cells.append([row.title, *(cell(row, ways[name]) if name in ways else "" for name in columns)])
    means = [mean_ratio(rows, name) for name in columns]
    if len(rows) > 2 and any(means[1:]):
        cells.append(["geometric mean of the ratios", *means])
    return markdown(cells)


def cell(row: Measurement, way: Way) -> str:
    """Median, spread, ratio to the first way, and how far from the floor."""
    ratio = row.ratio(way) if len(row.ways) > 1 else None
    parts = [" ± ".join(filter(None, [amount(way.median, row.unit), spread(way)]))]
    parts += [] if ratio is None else [f"{ratio:.2f}"]
    parts += [f"{way.median / way.floor.seconds:.1f} floors"] if way.floor else []
    return ", ".join(parts)


def spread(way: Way) -> str:
    """Half of the interquartile range beside the median."""
    return f"{50 * (way.high - way.low) / way.median:.0f} %" if way.high > way.low else ""


def mean_ratio(rows: Sequence[Measurement], name: str) -> str:
    """Of a way that takes part in every row."""
    ratios = [row.ratio(way) for row in rows for way in row.ways if way.name == name]
    return f"{geometric(r for r in ratios if r):.2f}" if len(ratios) == len(rows) and all(ratios) else ""


def geometric(values: Iterable[float]) -> float:
    """The geometric mean."""
    logarithms = [math.log(value) for value in values]
    return math.exp(sum(logarithms) / len(logarithms))


def rival(row: Measurement, way: Way) -> Way | None:
    """The best peer of one of our ways: among those of its type, bfloat16 or not, if there are any."""
    peers = [other for other in row.ways if not other.ours and other.name not in row.aside]
    alike = [other for other in peers if ("bfloat16" in other.name) == ("bfloat16" in way.name)]
    return min(alike or peers, key=lambda other: other.median, default=None)


def overview(found: dict[str, list[Measurement]]) -> list[str]:
    """How often ours was better or worse than the best peer, and every row in which it was worse."""
    cells, losses = [["group", "better", "within 5 %", "worse", "geometric mean, ours to the best peer"]], []
    for name, measurements in found.items():
        ratios = []
        for row in (one for one in measurements if one.unit in COMPARED):
            for way in row.ways:
                other = rival(row, way) if way.ours else None
                if other is None or min(other.median, way.median) <= 0:
                    continue
                ratios.append(way.median / other.median)
                if ratios[-1] > EQUAL:
                    losses.append(loss(name, row, way, other))
        if ratios:
            better, worse = sum(r < 1 / EQUAL for r in ratios), sum(r > EQUAL for r in ratios)
            equal = len(ratios) - better - worse
            cells.append([name, str(better), str(equal), str(worse), f"{geometric(ratios):.2f}"])
    if len(cells) == 1:
        return ["Nothing measured yet."]
    return [*markdown(cells), "", "Where ours is worse:" if losses else "Ours is nowhere worse.", "", *losses]


def loss(name: str, row: Measurement, way: Way, other: Way) -> str:
    """One row in which ours was worse."""
    where = ", ".join(text for text in (name, row.table, row.title) if text)
    numbers = f"{way.name} {amount(way.median, row.unit)}, {other.name} {amount(other.median, row.unit)}"
    return escaped(f"- {where}: {numbers}")


def markdown(cells: Sequence[Sequence[str]]) -> list[str]:
    """A table; the first line is its head."""
    lines = [f"| {' | '.join(map(escaped, line))} |" for line in cells]
    return [lines[0], "|" + "---|" * len(cells[0]), *lines[1:]]


def escaped(text: str) -> str:
    """Without what would end a cell or begin something else."""
    return text.replace("|", "/").replace("*", "\\*").replace("_", "\\_").replace("<", "&lt;")
