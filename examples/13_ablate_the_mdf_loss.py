"""What the MDF loss owes to its scales, to its weight beside the squared error, and to the pictures it was trained on.

The small EDSR of example 12 is trained again and again for three experiments of the paper that proposes the loss
(Mustafa et al., WACV 2022): with 1 to 8 of the discriminators, with the squared error plus lambda times the loss, and,
if asked for, with discriminators that are trained here, on one photograph and on several. The paper sweeps lambda for
LPIPS, whose weights do not ship; with ``--lpips`` so does this.

All files go to the folder ``--work``, where a run that was stopped goes on; it may be that of example 12 if all other
settings are the same. Needs the extras ``train`` and ``plots``.
"""

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from restorekit.data import ImageFolder
from restorekit.evaluation import Evaluation
from restorekit.image import to_tensor
from restorekit.losses import MDFLoss, WeightedSum
from restorekit.train import fit_mdf

sys.path.insert(0, str(Path(__file__).parent))
comparison = import_module("12_compare_losses")

Runs = Mapping[float, tuple[str, nn.Module]]  # name of the run and its loss, by what is varied
Found = Mapping[float, Sequence[Evaluation]]

SCALES = (1, 2, 3, 5, 7, 8)
EXPONENTS = (-3, -2, -1, 0, 1, 2, 3)


def by_scales(bench: "comparison.Bench") -> Runs:
    """The coarsest discriminators alone; all eight are the loss as it is."""
    return {
        count: ("MDF" if count == 8 else f"MDF-{count}-scales", bench.mdf_to_train_with(num_scales=count))
        for count in SCALES
    }


def by_weight(bench: "comparison.Bench") -> Runs:
    """The squared error with a feature distance beside it."""
    name = "LPIPS" if bench.options.lpips else "MDF"
    distance = comparison.losses(bench)[name]
    terms = {10.0**k: {"squared": (nn.MSELoss(), 1.0), "distance": (distance, 10.0**k)} for k in EXPONENTS}
    return {weight: (f"L2+{weight:g}{name}", WeightedSum(both)) for weight, both in terms.items()}


def by_pictures(bench: "comparison.Bench", most: int, iterations: int, side: int) -> Runs:
    """Discriminators trained here on the first training pictures: 1 of them, 2, and so on."""
    pictures = first_pictures(bench.options.train, most)
    bench.folder.mkdir(parents=True, exist_ok=True)
    runs = {}
    for count in range(1, most + 1):
        name = f"MDF-of-{count}"
        print(f"Discriminators of {count} pictures", flush=True)
        checkpoint = bench.folder / f"{name}-discriminators.ckpt"
        found = fit_mdf(
            pictures[:count], bench.task.name, iterations=iterations, max_side=side, checkpoint=checkpoint
        ).discriminators
        runs[count] = name, MDFLoss(found).to(comparison.DEVICE)
    return runs


def first_pictures(folder: Path | None, count: int) -> list[Tensor]:
    """The first training pictures, (1, 3, H, W)."""
    pictures = comparison.training_pictures(folder)
    if len(pictures) < count:
        raise SystemExit(f"--pictures {count} needs as many training pictures, there are {len(pictures)}")
    if isinstance(pictures, ImageFolder):
        return [pictures[index][None] for index in range(count)]
    return [to_tensor(pixels).expand(-1, 3, -1, -1) for pixels in pictures[:count]]


def trained(bench: "comparison.Bench", runs: Runs) -> Found:
    """Train and judge with every loss and seed."""
    seeds = range(bench.options.seeds)
    return {x: [bench.judge(bench.train(name, loss, seed)) for seed in seeds] for x, (name, loss) in runs.items()}


def draw(sweeps: Mapping[str, Found], before: Evaluation, metrics: Sequence[str], path: Path) -> None:
    """A column for each sweep, a row for each metric; bars span the seeds."""
    figure = Figure(figsize=(4.2 * len(sweeps), 3 * len(metrics)), layout="constrained")
    grid = figure.subplots(len(metrics), len(sweeps), squeeze=False, sharey="row")
    for axes, (label, found) in zip(grid.T, sweeps.items(), strict=True):
        for axis, metric in zip(axes, metrics, strict=True):
            curve(axis, found, metric)
            axis.axhline(before.mean(metric), color="grey", linestyle=":", label="bicubic")
            if label == "lambda":
                axis.set_xscale("log")
            else:
                axis.set_xticks(list(found))
        axes[-1].set_xlabel(label)
    for axis, metric in zip(grid[:, 0], metrics, strict=True):
        axis.set_ylabel("PSNR, dB" if metric == "psnr" else f"{metric} (less is better)")
    grid[0, 0].legend()
    figure.savefig(path, dpi=100)


def curve(axis: Axes, found: Found, metric: str) -> None:
    """The mean over the seeds, from the lowest to the highest."""
    values = [[evaluation.mean(metric) for evaluation in evaluations] for evaluations in found.values()]
    means = [fmean(row) for row in values]
    below = [mean - min(row) for mean, row in zip(means, values, strict=True)]
    above = [max(row) - mean for mean, row in zip(means, values, strict=True)]
    axis.errorbar(list(found), means, [below, above], marker="o", capsize=3)
    axis.grid(alpha=0.3)


def main() -> None:
    """Train, judge, print, draw."""
    options = comparison.parser(__doc__, work="ablations", seeds=1)
    sweeps = {"scales": "discriminators", "weight": "lambda", "pictures": "pictures that the loss was trained on"}
    options.add_argument("--sweeps", nargs="+", choices=sweeps, default=["scales", "weight"], help="(default: 2)")
    options.add_argument("--pictures", type=int, default=4, help="most seed pictures (default: %(default)s)")
    options.add_argument("--iterations", type=int, default=200, help="of their training (default: %(default)s)")
    options.add_argument("--seed-side", type=int, default=144, help="their pixels (default: %(default)s)")
    chosen = options.parse_args()
    bench = comparison.Bench(comparison.SISR, chosen)
    makers = {
        "scales": lambda: by_scales(bench),
        "weight": lambda: by_weight(bench),
        "pictures": lambda: by_pictures(bench, chosen.pictures, chosen.iterations, chosen.seed_side),
    }
    found = {}
    for name in chosen.sweeps:
        found[sweeps[name]] = trained(bench, makers[name]())
        rows = {f"{x:g}": evaluations for x, evaluations in found[sweeps[name]].items()}
        print(f"\n{sweeps[name]}\n{comparison.table(rows)}\n", flush=True)
    before = bench.judge(bench.task.untrained)
    draw(found, before, ["psnr", "LPIPS" if chosen.lpips else "MDF"], bench.folder / "ablations.png")
    print(f"{bench.folder / 'ablations.png'} written")


if __name__ == "__main__":
    main()
