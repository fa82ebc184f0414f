"""Train the weights that come with the library.

    cd benchmarks && python -m weights.train carn_m --data PICTURES --out RUNS

PICTURES is a folder of training pictures (the 400 of BSDS for what is shipped). Ctrl-C stops; the same command goes on.
"""

import argparse
from pathlib import Path

import torch

from weights import same_size, sparse, super_resolution
from weights.recipe import Pictures

_ALL = (
    super_resolution.CARN_M, same_size.DENOISING, same_size.JPEG, super_resolution.CARN, same_size.MIXED,
    sparse.SPARSE, sparse.DENSE,
)  # fmt: skip
RECIPES = {recipe.name: recipe for recipe in _ALL}


def main() -> None:
    """Train by name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=RECIPES, help="which, one after the other")
    parser.add_argument("--data", type=Path, required=True, help="folder of training pictures")
    parser.add_argument("--out", type=Path, required=True, help="folder of runs; a run that was stopped goes on")
    parser.add_argument("--seed", type=int, default=0, help="of initial weights, data and draws")
    parser.add_argument("--threads", type=int, default=1, help="of the processor")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    for name in chosen.names:
        RECIPES[name].train(Pictures(chosen.data, chosen.out), chosen.out / name, chosen.seed)


if __name__ == "__main__":
    main()
