"""All benchmarks with one command: a process for each group, a page and its numbers at the end.

    python benchmarks/run.py --write docs/benchmarks.md

writes ``docs/benchmarks.md`` and ``docs/benchmarks.json`` beside it, after every group, so that what was measured stays
if the next one fails or is interrupted. ``--only metrics losses`` measures those and keeps the others' numbers,
``--resume`` leaves out what the file holds already, ``--only`` without a name just writes the page again.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import growth
import page
from harness import Measurement

from restorekit.image import atomic_path

HERE = Path(__file__).parent
# Each group with the script that measures it and about how many seconds that takes on two quiet cores.
GROUPS = {
    "machine": ("floor.py", 10),
    "inference": ("inference.py", 270),
    "networks": ("networks.py", 120),
    "memory": ("memory.py", 60),
    "metrics": ("metrics.py", 140),
    "losses": ("losses.py", 140),
    "mdf": ("mdf.py", 130),
    "augment": ("augment.py", 30),
    "degrade": ("degrade.py", 15),
    "jpeg": ("jpeg.py", 25),
    "resize": ("resize.py", 20),
    "data": ("data.py", 90),
    "training": ("training_step.py", 90),
    "dropins": ("dropins.py", 150),
    "growth": ("growth.py", 200),
}
LIMIT = 900  # seconds after which a group is given up


def run(name: str, threads: int, quick: bool) -> dict[str, Any] | None:
    """Measure a group in a process of its own; None if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "numbers.json"
        command = [sys.executable, str(HERE / GROUPS[name][0]), "--threads", str(threads), "--json", str(path)]
        try:
            subprocess.run([*command, *(["--quick"] if quick else [])], check=True, timeout=LIMIT)
            numbers: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (subprocess.SubprocessError, OSError) as error:
            print(f"{name} failed: {error}", flush=True)
            return None
    return numbers


def stored(path: Path) -> dict[str, dict[str, Any]]:
    """The groups measured before."""
    return json.loads(path.read_text(encoding="utf-8"))["groups"] if path.exists() else {}


def write(groups: dict[str, dict[str, Any]], target: Path) -> None:
    """The page, the numbers and the plot."""
    ordered = {name: groups[name] for name in GROUPS if name in groups}
    text = page.page(ordered, page.TEMPLATE.read_text(encoding="utf-8"))
    numbers = json.dumps({"groups": ordered}, indent=1) + "\n"
    for path, content in ((target.with_suffix(".json"), numbers), (target, text)):
        with atomic_path(path) as beside:
            beside.write_text(content, encoding="utf-8")
    if "growth" in ordered:
        measurements = [Measurement.from_json(one) for one in ordered["growth"]["measurements"]]
        try:
            growth.plot(measurements, target.parent / "pictures" / "cost_growth.png")
        except ImportError as error:
            print(f"the plot is left as it was: {error}", flush=True)


def measure(names: Sequence[str], groups: dict[str, dict[str, Any]], chosen: argparse.Namespace) -> list[str]:
    """Run group after group and write after each; the names of those that failed."""
    failed, left = [], sum(GROUPS[name][1] for name in names)
    print(f"{len(names)} groups, about {left / 60:.0f} minutes" + (" if not quick" if chosen.quick else ""), flush=True)
    for number, name in enumerate(names, start=1):
        seconds, start = GROUPS[name][1], time.perf_counter()
        print(f"\n=== {number} of {len(names)}: {name}, about {seconds} s; {left / 60:.0f} minutes left", flush=True)
        numbers = run(name, chosen.threads, chosen.quick)
        print(f"=== {name} took {time.perf_counter() - start:.0f} s", flush=True)
        left -= seconds
        if numbers is None:
            failed.append(name)
        elif chosen.write:
            groups[name] = numbers
            write(groups, chosen.write)
    return failed


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is asked for and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--write", type=Path, metavar="FILE", help="the page; its numbers lie beside it as JSON")
    parser.add_argument("--only", nargs="*", choices=list(GROUPS), metavar="GROUP", help=f"some of {', '.join(GROUPS)}")
    parser.add_argument("--resume", action="store_true", help="leave out what the file of numbers holds")
    parser.add_argument("--quick", action="store_true", help="small pictures and few runs: does it work?")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch")
    chosen = parser.parse_args(arguments)
    groups = stored(chosen.write.with_suffix(".json")) if chosen.write else {}
    names = [name for name in GROUPS if chosen.only is None or name in chosen.only]
    names = [name for name in names if not (chosen.resume and name in groups)]
    failed = measure(names, groups, chosen)
    if chosen.write:
        write(groups, chosen.write)
    if failed:
        print(f"failed, their numbers are those of before: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
