"""Every registered network, called plainly in eager float32 against ``inference.optimize`` in float32 and bfloat16.

Weights are random. Each picture is as large as makes the same number of multiply-adds of all networks, between 40 and
256 pixels a side.
"""

from functools import partial

import torch
from deployment import NEEDED
from floor import Limits, limits
from harness import Measurement, Options, compare, main
from torch import Tensor

from restorekit.inference import optimize
from restorekit.models import Restorer, create_model, list_models


def picture(model: Restorer, multadds: float) -> Tensor:
    """A square one that takes about so many multiply-adds."""
    side = (multadds / float(model.trace(model.scales[-1]).multadds_per_pixel)) ** 0.5
    unit = model.size_multiple
    rounded = unit * max(round(min(max(side, 40), 256) / unit), 1)
    return torch.rand(1, model.in_channels, rounded, rounded, generator=torch.Generator().manual_seed(0))


def row(name: str, options: Options, machine: Limits) -> Measurement:
    """One network in three ways."""
    torch.manual_seed(0)
    model = create_model(name, **NEEDED.get(name, {})).eval()
    scale, x = model.scales[-1], picture(model, 1e8 if options.quick else 8e9)
    ways = {
        "plain, float32": model,
        "restorekit, float32": optimize(model),
        "restorekit, bfloat16": optimize(model, dtype=torch.bfloat16),
    }
    expected, *others = (run(x, scale=scale) for run in ways.values())
    off = [((other - expected).abs().max() / expected.abs().max()).item() for other in others]
    dtypes = (torch.float32, torch.float32, torch.bfloat16)
    return compare(
        f"{name}, {x.shape[-1]} x {x.shape[-2]} by {scale}",
        {way: partial(run, x, scale=scale) for way, run in ways.items()},
        repeats=2 if options.quick else 9,
        table="All networks",
        floors={w: machine.network(model, x, scale, dtype) for w, dtype in zip(ways, dtypes, strict=True)},
        note=f"off by {off[0]:.0e} in float32, {off[1]:.0e} in bfloat16",
        limit=4,
    )


def measure(options: Options, names: list[str] | None = None) -> list[Measurement]:
    """A row for each network."""
    with torch.no_grad():
        machine = limits(options)
        return [row(name, options, machine) for name in names or list_models()]


if __name__ == "__main__":
    main(__doc__, measure)
