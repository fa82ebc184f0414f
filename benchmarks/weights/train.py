"""Train the weights that come with the library.

    cd benchmarks && python -m weights.train carn_m --data PICTURES --out RUNS

PICTURES is a folder of training pictures (the 400 of BSDS for what is shipped). Ctrl-C stops; the same command goes on.
``--start`` begins with trained weights, those of the library among them, and ``--times`` makes all stages longer:

    python -m weights.train carn_m --data PICTURES --out LONGER --times 10 --start carn_m.safetensors
"""

import argparse
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path

import torch

from restorekit.models import load_checkpoint
from weights import same_size, sparse, super_resolution
from weights.recipe import Pictures, Recipe

_ALL = (
    super_resolution.CARN_M, same_size.DENOISING, same_size.JPEG, super_resolution.CARN, same_size.MIXED,
    sparse.SPARSE, sparse.DENSE,
)  # fmt: skip
RECIPES = {recipe.name: recipe for recipe in _ALL}


def changed(recipe: Recipe, start: Path | None, times: int) -> Recipe:
    """The recipe from other initial weights, and with more steps."""
    longer = replace(recipe, stages=tuple(replace(stage, steps=times * stage.steps) for stage in recipe.stages))
    if start is None:
        return longer
    return replace(longer, network=partial(load_checkpoint, start), start=sha256(start.read_bytes()).hexdigest())


def main(arguments: list[str] | None = None) -> None:
    """Train by name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=RECIPES, help="which, one after the other")
    parser.add_argument("--data", type=Path, required=True, help="folder of training pictures")
    parser.add_argument("--out", type=Path, required=True, help="folder of runs; a run that was stopped goes on")
    parser.add_argument("--seed", type=int, default=0, help="of initial weights, data and draws")
    parser.add_argument("--threads", type=int, default=1, help="of the processor")
    parser.add_argument("--start", type=Path, help="file of weights to begin with; one name only")
    parser.add_argument("--times", type=int, default=1, help="so many times the steps of the recipe")
    chosen = parser.parse_args(arguments)
    if chosen.start is not None and len(chosen.names) > 1:
        parser.error("--start goes with one name")
    torch.set_num_threads(chosen.threads)
    for name in chosen.names:
        recipe = changed(RECIPES[name], chosen.start, chosen.times)
        recipe.train(Pictures(chosen.data, chosen.out), chosen.out / name, chosen.seed)


if __name__ == "__main__":
    main()
