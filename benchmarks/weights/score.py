"""Score trained weights on benchmark sets, and keep the numbers with those of the training in one file.

    cd benchmarks && python -m weights.score --runs RUNS --benchmark SETS --write ../docs/weights.json

RUNS is the folder that ``weights.train`` wrote to, SETS one that holds Set5, Set14 and classic5. Without names, all
that are trained to the end are scored; others in the file stay as they are.
"""

import argparse
import hashlib
import json
from collections.abc import Iterator, Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from evidence.experiment import thinned
from harness import Options as Surroundings
from harness import surroundings

from restorekit.evaluation import Evaluation, evaluate
from restorekit.image import atomic_path
from restorekit.metrics import count_multadds, count_parameters
from restorekit.models import Restorer, load_checkpoint
from weights.conditions import CONDITIONS, Condition, Once, Run
from weights.published import published
from weights.recipe import MEASURE_EVERY
from weights.train import RECIPES

TOLERATED = 0.005  # dB, between weights in single and in half precision
HR_SIZE = (720, 1280)
CURVE_POINTS = 100


def score(name: str, weights: Path, benchmark: Path) -> dict[str, Any]:
    """All numbers of a file, in the precision that it ships in."""
    model, half = load_checkpoint(weights), rounded(load_checkpoint(weights))
    difference = largest_difference(model, half, CONDITIONS[name], benchmark)
    stored = "half" if difference <= TOLERATED else "single"
    shipped = half if stored == "half" else model
    return {
        "source": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "network": type(model).__name__,
        "parameters": count_parameters(model),
        "multadds": {str(scale): count_multadds(model, hr_size=HR_SIZE, scale=scale) for scale in model.scales},
        "stored": stored,
        "half_difference": difference,
        "scores": [line for condition in CONDITIONS[name] for line in lines(name, shipped, condition, benchmark)],
    }


def rounded(model: Restorer) -> Restorer:
    """The network with weights that half precision can hold, computing in single."""
    with torch.no_grad():
        for value in model.state_dict().values():
            if value.is_floating_point():
                value.copy_(value.half())
    return model


def largest_difference(first: Restorer, second: Restorer, conditions: tuple[Condition, ...], benchmark: Path) -> float:
    """Of their PSNR, over all damages, each on its first set and by its first protocol."""

    def psnr(model: Restorer, condition: Condition) -> float:
        run, protocol = condition.restoring(model), condition.protocols[0]
        pictures = condition.pictures(benchmark, condition.sets[0])
        return evaluate(run, pictures, scale=condition.scale, protocol=protocol).psnr

    return max(abs(psnr(first, condition) - psnr(second, condition)) for condition in conditions)


def lines(name: str, model: Restorer, condition: Condition, benchmark: Path) -> Iterator[dict[str, Any]]:
    """A line for each set and protocol, with the reference and what was published beside."""
    runs: dict[str, Run] = {"restored": Once(condition.restoring(model)), condition.reference: Once(condition.plain())}
    for where in condition.sets:
        pictures = condition.pictures(benchmark, where)
        for protocol in condition.protocols:
            found = {
                key: pair(evaluate(run, pictures, scale=condition.scale, protocol=protocol))
                for key, run in runs.items()
            }
            print(name, condition.label, where, protocol.name, found, flush=True)
            yield {
                "condition": condition.label,
                "set": where,
                "protocol": protocol.name,
                **found["restored"],
                "reference": {"name": condition.reference, **found[condition.reference]},
                "published": published(name, condition.label, where, protocol.name),
            }


def pair(found: Evaluation) -> dict[str, float]:
    """PSNR and SSIM, to the digits that are printed and some more."""
    return {"psnr": round(found.psnr, 4), "ssim": round(found.ssim, 6)}


def training(run: Mapping[str, Any]) -> dict[str, Any]:
    """What of a run is worth keeping; its losses as means over equal parts."""
    stages = run["stages"]
    starts = accumulate((stage["steps"] for stage in stages), initial=0)
    steps = [start + step + 1 for start, stage in zip(starts, stages, strict=False) for step in measured_at(stage)]
    total = sum(stage["steps"] for stage in stages)
    if len(run["losses"]) != total or len(run["measured"]) != len(steps):
        raise ValueError(
            f"{run['name']}: the run has {len(run['losses'])} steps and was measured {len(run['measured'])} times, its "
            f"stages have {total} steps and are measured {len(steps)} times; the file is damaged"
        )
    return {
        "seed": run["seed"],
        "start": run["start"],
        "stages": stages,
        "seconds": [round(seconds) for seconds in run["seconds"]],
        "losses": thinned(run["losses"], CURVE_POINTS),
        "measured": [
            *([step, round(value, 3)] for step, value in zip(steps, run["measured"], strict=True)),
            [total, round(run["final"], 3)],
        ],
        "machine": run["machine"],
    }


def measured_at(stage: Mapping[str, Any]) -> range:
    """The steps of a stage, from 0, after which the held-out pictures were restored."""
    return range(0, stage["steps"], MEASURE_EVERY)


def merge(target: Path, name: str, found: Mapping[str, Any], threads: int) -> None:
    """Put the numbers of one file into the others'."""
    report = json.loads(target.read_text(encoding="utf-8")) if target.exists() else {"weights": {}}
    around = surroundings(Surroundings(threads=threads))
    report["weights"][name] = {**found, "scored": {key: around[key] for key in ("date", "processor", "versions")}}
    report["weights"] = {key: report["weights"][key] for key in RECIPES if key in report["weights"]}
    with atomic_path(target) as beside:
        beside.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def main(arguments: list[str] | None = None) -> None:
    """Score by name, and write after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="name", help="which; without, all that are trained")
    parser.add_argument("--runs", type=Path, required=True, help="folder of runs")
    parser.add_argument("--benchmark", type=Path, required=True, help="folder that holds Set5, Set14 and classic5")
    parser.add_argument("--write", type=Path, required=True, help="file of the numbers")
    parser.add_argument("--threads", type=int, default=1, help="of the processor")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    for name in chosen.names or [name for name in RECIPES if (chosen.runs / name / "weights.safetensors").exists()]:
        folder = chosen.runs / name
        run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        kept = training(run)  # before the slow part
        found = score(name, folder / "weights.safetensors", chosen.benchmark)
        merge(chosen.write, name, {**found, "training": kept}, chosen.threads)


if __name__ == "__main__":
    main()
