"""The page of the weights' results: prose from ``page.md``, numbers from what was scored.

    cd benchmarks && python -m weights.page ../docs/weights.json

writes ``results.md`` beside the file.
"""

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from page import markdown

from restorekit.image import atomic_path
from weights import card
from weights.recipe import HELD_OUT

TEMPLATE = Path(__file__).with_name("page.md")
Report = Mapping[str, Mapping[str, Any]]
# What the README shows: weights, damage, and the protocol of the published numbers, where there are any.
SUMMARY = (
    ("carn", "x4", "sr-y-truncated"),
    ("carn", "x2", "sr-y-truncated"),
    ("carn_m", "x4", "sr-y-truncated"),
    ("edsr_denoising", "sigma 25", "rgb-whole"),
    ("edsr_jpeg", "quality 10", "grey-whole"),
    ("mepsnet", "SHDD moderate", "rgb-whole"),
)


def page(report: Report, template: str) -> str:
    """The template with all marks filled in: those of tables, and names of files for their scores."""
    lines: list[str] = []
    for line in template.replace("[[pictures]]", str(400 - 400 // HELD_OUT)).splitlines():
        marked = line.startswith("[[") and line.endswith("]]")
        lines += filled(line[2:-2], report) if marked else [line]
    return "\n".join(lines).rstrip() + "\n"


def filled(mark: str, report: Report) -> list[str]:
    """What stands for a mark."""
    if mark == "files":
        return files(report)
    if mark == "machines":
        return [f"- {machine}" for machine in dict.fromkeys(found["training"]["machine"] for found in report.values())]
    if mark == "data":
        return card.prose(card.DATA)
    if mark == "terms":
        return card.prose(card.TERMS)
    if mark == "trainings":
        return joined(training(name, found) for name, found in report.items())
    return scores(mark.split(), report)


def scores(names: list[str], report: Report) -> list[str]:
    """Tables of several files, and what is to be said of published numbers."""
    chosen = {name: report[name] for name in names if name in report}
    if not chosen:
        return [f"Not scored yet: `python -m weights.score {' '.join(names)} ...`."]
    caveats = dict.fromkeys(card.CAVEATS[name] for name in chosen if name in card.CAVEATS)
    return joined([["PSNR in dB / SSIM."], *card.tables(chosen), *(card.prose(text) for text in caveats)])


def summary(report: Report) -> list[str]:
    """The table of the README: PSNR in dB, a set after the other."""
    cells = [["weights", "damage", "sets", "protocol", "input, or bicubic", "restored", "published"]]
    for name, damage, protocol in SUMMARY:
        lines = [line for line in report[name]["scores"] if (line["condition"], line["protocol"]) == (damage, protocol)]
        sources = [line["published"] for line in lines if line["published"]]
        told = "" if not sources or name.startswith("carn") else f" ({sources[0]['of'].partition(',')[0]})"
        cells.append([name, damage, ", ".join(line["set"] for line in lines), protocol])
        for columns in ([line["reference"] for line in lines], lines, sources):
            cells[-1].append(" / ".join(f"{one['psnr']:.2f}" for one in columns))
        cells[-1][-1] += told
    return markdown(cells)


def files(report: Report) -> list[str]:
    """A row for each file: what it costs, to run and to train."""
    cells = [["weights", "network", "parameters", "multiply-adds", "steps", "hours", "half precision, dB"]]
    for name, found in report.items():
        kept = found["training"]
        steps = sum(stage["steps"] for stage in kept["stages"])
        cells.append([name, found["network"], f"{found['parameters']:,}", card.multadds(found), f"{steps:,}"])
        cells[-1] += [f"{sum(kept['seconds']) / 3600:.1f}", f"{found['half_difference']:.4f}"]
    return markdown(cells)


def training(name: str, found: Mapping[str, Any]) -> list[str]:
    """The recipe, the curve, and where it ran."""
    kept = found["training"]
    return joined(
        [
            [f"### {name}"],
            card.prose(card.ABOUT[name][1]),
            card.stages(kept),
            card.prose(f"{card.settings(kept)} {card.hardware(kept)}"),
            [f"![Loss and held-out PSNR of {name} against steps](pictures/weights/{name}.png)"],
        ]
    )


def joined(parts: Iterator[list[str]] | list[list[str]]) -> list[str]:
    """Paragraphs with an empty line between them."""
    lines = [line for part in parts for line in [*part, ""]]
    return lines[:-1]


def main(arguments: list[str] | None = None) -> None:
    """Write the page beside the numbers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument("numbers", type=Path, help="weights.json")
    numbers = parser.parse_args(arguments).numbers
    report = json.loads(numbers.read_text(encoding="utf-8"))["weights"]
    with atomic_path(numbers.with_name("results.md")) as beside:
        beside.write_text(page(report, TEMPLATE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
