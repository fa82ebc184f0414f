"""Measure two ways of doing the same thing, fairly: warmed up, in turns, as medians with their spread."""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch


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


def compare(title: str, ways: dict[str, Callable[[], object]], *, repeats: int) -> dict[str, float]:
    """Run all ways in turns and print a row for each: median, interquartile range, ratio to the first.

    Args:
        title: What is measured.
        ways: Name and call of each way; the first is what the others are compared with.
        repeats: Timed runs of each, after one that is not timed.

    Returns:
        Median seconds by name.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for call in ways.values():
        call()
    for _ in range(repeats):
        for name, call in ways.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    first = next(iter(medians.values()))
    print(f"\n{title} ({repeats} runs each, in turns)")
    for name, values in seconds.items():
        low, _, high = statistics.quantiles(values, n=4) if len(values) > 1 else values * 3
        row = f"{1e3 * medians[name]:10.1f} ms   IQR {1e3 * low:.1f} to {1e3 * high:.1f}"
        print(f"  {name:<38}{row:<46}ratio {medians[name] / first:.2f}")
    return medians


def arguments(description: str) -> argparse.Namespace:
    """The options that every benchmark has; prints the machine."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="small pictures and few runs: does it work?")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads of torch")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    print(machine())
    return chosen
