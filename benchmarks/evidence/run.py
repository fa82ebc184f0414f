"""Every run that is missing, a process each, and the numbers of all of them in one file.

    cd benchmarks && python -m evidence.run --data PICTURES --benchmark SETS --out RUNS --write ../docs/evidence.json

PICTURES is a folder of training pictures (the 400 of BSDS for the numbers in docs), SETS holds Set5 and Set14. What
was done before is found in RUNS; a run that was stopped goes on from its checkpoint. ``python -m evidence.page`` makes
the page.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from harness import Options, surroundings

from evidence import adversarial, augmentation, progressive, simusr
from evidence.experiment import Experiment
from restorekit.image import atomic_path

EXPERIMENTS = {script.EXPERIMENT.name: script for script in (augmentation, simusr, progressive, adversarial)}
BENCHMARKS = Path(__file__).parents[1]


def train(script: Any, arm: str, seed: int, chosen: argparse.Namespace) -> bool:
    """One run in a process of its own with one thread; whether its result is there."""
    name = script.EXPERIMENT.name
    result = chosen.out / name / f"{arm}-{seed}" / "result.json"
    if not result.exists():
        command = [sys.executable, "-m", script.__name__, "--arm", arm, "--seed", str(seed)]
        for option in ("data", "benchmark", "out"):
            command += [f"--{option}", str(getattr(chosen, option).resolve())]
        subprocess.run(command, cwd=BENCHMARKS, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False)
    return bool(result.exists())


def train_all(scripts: Iterable[Any], chosen: argparse.Namespace) -> list[str]:
    """First what needs no other run, then the rest, ``--jobs`` at a time; the names of what failed."""
    failed, waves = [], ([], [])
    for script in scripts:
        for arm, seed in script.EXPERIMENT.jobs():
            waves[arm in script.EXPERIMENT.needs].append((script, arm, seed))
    with ThreadPoolExecutor(chosen.jobs) as pool:
        for wave in waves:
            done = list(pool.map(lambda one: train(*one, chosen), wave))
            failed += [f"{s.EXPERIMENT.name}/{a}-{n}" for (s, a, n), good in zip(wave, done, strict=True) if not good]
    return failed


def gather(experiment: Experiment, out: Path) -> list[dict[str, Any]]:
    """The results that there are, in the order of the experiment."""
    paths = (out / experiment.name / f"{arm}-{seed}" / "result.json" for arm, seed in experiment.jobs())
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.exists()]


def write(out: Path, target: Path) -> None:
    """Keep what the file holds of experiments of which no run is here."""
    kept = json.loads(target.read_text(encoding="utf-8")) if target.exists() else {"experiments": {}}
    found = {name: gather(script.EXPERIMENT, out) for name, script in EXPERIMENTS.items()}
    experiments = {name: runs or kept["experiments"].get(name, []) for name, runs in found.items()}
    single = out / "zero_shot.json"  # of one picture, by zero_shot.py
    one = json.loads(single.read_text(encoding="utf-8")) if single.exists() else kept.get("zero_shot")
    with atomic_path(target) as beside:
        report = {**surroundings(Options(threads=1)), "experiments": experiments, "zero_shot": one}
        beside.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Train what is missing and write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--only", nargs="*", choices=list(EXPERIMENTS), metavar="NAME", help="some of them")
    parser.add_argument("--data", type=Path, required=True, help="folder of training pictures")
    parser.add_argument("--benchmark", type=Path, required=True, help="folder that holds Set5 and Set14")
    parser.add_argument("--out", type=Path, required=True, help="folder of runs")
    parser.add_argument("--write", type=Path, metavar="FILE", help="the numbers as JSON")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, one thread each")
    chosen = parser.parse_args(arguments)
    scripts = [script for name, script in EXPERIMENTS.items() if chosen.only is None or name in chosen.only]
    failed = train_all(scripts, chosen)
    if chosen.write:
        write(chosen.out, chosen.write)
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
