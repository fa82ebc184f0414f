"""What every registered network is, and where it runs: a table, printed or written into the documentation.

Parameters, MultAdds and the receptive radius belong to what ``create_model(name)`` builds. The checks run on the same
network, or on a shallower one where ``REDUCED`` says so, with fresh weights and small pictures. Each compares with the
plain network and gives the largest difference, relative to the largest value.
"""

import argparse
import copy
import functools
import re
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.export import Dim
from torch.nn.parallel import DistributedDataParallel

from restorekit.image import atomic_path
from restorekit.inference import optimize, tiled
from restorekit.metrics import count_multadds, count_parameters
from restorekit.models import Restorer, create_model, export_onnx, list_models

# Tracing hundreds of equal blocks takes minutes and shows nothing that two of them do not.
REDUCED: dict[str, dict[str, Any]] = {"rcan": {"residual_groups": 2, "blocks": 2}}
# Networks that do not run without an option.
NEEDED: dict[str, dict[str, Any]] = {"idr": {"degradation": "noise"}}
UNSEEN = ((5, 7), (8, 3))  # height and width in size multiples; exports are made at 12 x 9


def picture(model: Restorer, rows: int, columns: int, batch: int = 2) -> Tensor:
    """Random pictures of so many size multiples, in the dtype of the network."""
    unit, dtype = model.size_multiple, next(model.parameters()).dtype
    generator = torch.Generator().manual_seed(0)
    return torch.rand(batch, model.in_channels, rows * unit, columns * unit, generator=generator, dtype=dtype)


def difference(out: Tensor, expected: Tensor) -> float:
    """The largest difference beside the largest value; infinite where that says nothing."""
    largest = expected.abs().max()
    if out.shape != expected.shape or not (out.isfinite().all() and 0 < largest < float("inf")):
        return float("inf")
    return ((out - expected).abs().max() / largest).item()


def worst(model: Restorer, other: Callable[[Tensor], Tensor], pictures: list[Tensor], scale: int) -> float:
    """The largest difference between a network and the same in another form, in evaluation mode."""
    model.eval()
    with torch.no_grad():
        return max(difference(other(x), model(x, scale=scale)) for x in pictures)


def tiles(model: Restorer, scale: int) -> float:
    """``inference.tiled`` in float64, on a strip that no tile sees all of."""
    model = copy.deepcopy(model).double()
    radius, unit = model.receptive_radius or 0, model.size_multiple
    strip = picture(model, radius // unit + 40, 4, batch=1)
    return worst(model, functools.partial(tiled, model, tile=32 * unit, scale=scale), [strip], scale)


def optimised(model: Restorer, scale: int) -> float:
    """``inference.optimize`` at two sizes, one of them in need of padding."""
    pictures = [picture(model, *size, batch=batch) for batch, size in enumerate(UNSEEN, start=1)]
    pictures[0] = pictures[0][..., model.size_multiple // 2 :, :]
    return worst(model, functools.partial(optimize(model), scale=scale), pictures, scale)


def export(model: Restorer, scale: int) -> float:
    """``torch.export`` with dynamic batch, height and width, at two sizes not seen at export.

    torch cannot prove that padding completes the last multiple, so networks that need multiples are exported for them.
    """
    unit = model.size_multiple
    sides = [Dim.DYNAMIC if unit == 1 else unit * Dim(side, min=2) for side in ("rows", "columns")]
    shapes = {"x": {0: Dim.DYNAMIC, 2: sides[0], 3: sides[1]}, "scale": None}
    arguments = {"scale": scale}
    program = torch.export.export(model.eval(), (picture(model, 12, 9),), arguments, dynamic_shapes=shapes).module()
    unseen = [picture(model, *size, batch=batch) for batch, size in enumerate(UNSEEN, start=1)]
    return worst(model, functools.partial(program, scale=scale), unseen, scale)


def onnx(model: Restorer, scale: int) -> float:
    """``models.export_onnx`` in ONNX Runtime, at two sizes not seen at export, one of them in need of padding."""
    import onnxruntime  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        export_onnx(model, f"{folder}/model.onnx", scale=scale)
        session = onnxruntime.InferenceSession(f"{folder}/model.onnx", providers=["CPUExecutionProvider"])
    unseen = [picture(model, *size, batch=batch) for batch, size in enumerate(UNSEEN, start=1)]
    unseen[0] = unseen[0][..., model.size_multiple // 2 :, :]
    return worst(model, lambda x: torch.from_numpy(session.run(None, {"x": x.numpy()})[0]), unseen, scale)


def compiled(model: Restorer, scale: int) -> float:
    """``torch.compile`` as one graph without a break, forward and backward; the generated code is torch's affair."""
    torch.compiler.reset()
    model, x = copy.deepcopy(model).train(), picture(model, 7, 5)
    expected, gradients = _backward(model, model, x, scale)
    form = torch.compile(copy.deepcopy(model), fullgraph=True, backend="aot_eager")
    out, found = _backward(form, form, x, scale)
    return max(difference(out, expected), difference(found, gradients))


def _backward(model: Callable[..., Tensor], owner: torch.nn.Module, x: Tensor, scale: int) -> tuple[Tensor, Tensor]:
    """The output, and the gradients of all parameters in use as one vector."""
    owner.zero_grad()
    out = model(x, scale=scale)
    out.square().mean().backward()
    used = [parameter.grad.flatten() for parameter in owner.parameters() if parameter.grad is not None]
    return out.detach(), torch.cat(used)


def autocast(model: Restorer, scale: int) -> float:
    """``torch.autocast`` to bfloat16 on the CPU, against float32."""

    def half(x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return model(x, scale=scale).float()

    return worst(model, half, [picture(model, 7, 5)], scale)


def channels_last(model: Restorer, scale: int) -> float:
    """Network and picture in the memory order that convolutions on the CPU prefer."""
    other = copy.deepcopy(model).to(memory_format=torch.channels_last).eval()
    form = lambda x: other(x.contiguous(memory_format=torch.channels_last), scale=scale)  # noqa: E731
    return worst(model, form, [picture(model, 7, 5)], scale)


def ddp(model: Restorer, scale: int) -> float:
    """Two steps under DDP (gloo, one process) against two without.

    DDP waits for a gradient of every parameter that wants one, so those that the scale leaves out are frozen.
    """
    model = copy.deepcopy(model).train()
    for name in model.unused_parameters(scale):
        model.get_parameter(name).requires_grad_(False)
    plain, x = copy.deepcopy(model), picture(model, 7, 5)
    form = None
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    group = dist.group.WORLD  # held to the end of this function, see below
    try:
        # Of the order in memory of depthwise kernels' gradients: it costs a copy, and no correctness.
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        form = DistributedDataParallel(model)
        for network in (form, plain):
            optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=1e-4)
            _backward(network, network, x, scale)
            optimizer.step()
        (out, found), (expected, gradients) = (_backward(n, n, x, scale) for n in (form, plain))
        return max(difference(out, expected), difference(found, gradients))
    finally:
        # The last to let go of the group waits for its threads. Python's reference lets them run meanwhile; the
        # wrapper's keeps the interpreter's lock, which they may want: the process would stand still.
        form = network = None
        dist.destroy_process_group()
        del group


CHECKS: dict[str, tuple[Callable[[Restorer, int], float], float]] = {  # the check, and the difference that it allows
    "tiles": (tiles, 1e-11),
    "optimised": (optimised, 1e-5),
    "export": (export, 1e-5),
    "ONNX": (onnx, 1e-4),
    "compile": (compiled, 1e-4),
    "bfloat16": (autocast, 0.1),
    "channels_last": (channels_last, 1e-5),
    "DDP": (ddp, 1e-4),
}


def attempt(call: Callable[[], str]) -> str:
    """What ``call`` says; a failure is a result too."""
    try:
        return call()
    except Exception as error:  # whatever torch or ONNX Runtime raises
        plain = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).replace("|", "/")  # without a terminal's colours
        return f"fails: {type(error).__name__} {' '.join(plain.split())[:80]}".strip()


def check_cell(check: str, model: Restorer) -> str:
    """The difference that a check found, if it allows as much."""
    if check == "tiles" and model.receptive_radius is None:
        return "sees the whole picture"
    run, allowed = CHECKS[check]
    found = run(model, model.scales[-1])
    text = f"{found:.0e}" if found else "0"
    return text if found <= allowed else f"fails: differs by {text}"


def radius_cell(model: Restorer) -> str:
    """How far the network sees."""
    return "all" if model.receptive_radius is None else f"{model.receptive_radius} px"


def row(name: str) -> list[str]:
    """One network: what it is, then a cell for each check."""
    with torch.device("meta"):
        full = create_model(name, **NEEDED.get(name, {}))
    torch.manual_seed(0)
    model = create_model(name, **NEEDED.get(name, {}), **REDUCED.get(name, {}))
    scale = full.scales[-1]
    return [
        f"`{name}`" + (" \\*" if name in REDUCED else ""),
        str(full.in_channels),
        f"x{scale}",
        f"{count_parameters(full) / 1e3:,.0f} K",
        attempt(lambda: f"{count_multadds(full, scale=scale) / 1e9:,.1f} G"),
        attempt(functools.partial(radius_cell, full)),
        *(attempt(functools.partial(check_cell, check, model)) for check in CHECKS),
    ]


def table(names: list[str]) -> str:
    """The networks as a markdown table; each row takes seconds, so their names are shown as they come."""
    head = ["network", "channels", "scale", "parameters", "MultAdds", "radius", *CHECKS]
    rows = [head, ["---"] * len(head)]
    for name in names:
        print(name, file=sys.stderr, flush=True)
        rows.append(row(name))
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


PAGE = """# Deployment

What `create_model(name)` builds without further options (`idr` for noise), and where it runs.
`python benchmarks/deployment.py --write docs/deployment.md` made this page, with torch {torch} on the CPU.

{table}
Parameters include biases. MultAdds are those of the convolutions for a result of 1280 x 720. The radius is how many
input pixels to each side an output pixel can depend on; "all" means that the network pools or attends over the whole
picture, which no tiles can reproduce. The other columns hold the largest difference from the plain network, relative to
its largest value, on small random pictures with fresh weights, or say what failed.

| Column | Shows |
|---|---|
| tiles | `inference.tiled` in float64, tiles of 32 px (32 multiples where the network needs multiples) |
| optimised | `inference.optimize` in float32, at two sizes, one of them in need of padding |
| export | `torch.export` with dynamic batch, height and width, run at two sizes not seen at export |
| ONNX | `models.export_onnx`, the same in ONNX Runtime |
| compile | `torch.compile(fullgraph=True)`, forward and backward, without the generated code (`backend="aot_eager"`) |
| bfloat16 | `torch.autocast("cpu", torch.bfloat16)` |
| channels_last | network and picture in `torch.channels_last` |
| DDP | two steps of `DistributedDataParallel`, what the scale leaves out frozen |
{reduced}
[Deploy a network](tutorials/deploy.md) shows each of them in use.
"""


def reduced(names: list[str]) -> str:
    """A sentence on the networks that were checked shallower than they are."""
    options = [f"`{n}` ({', '.join(f'{k}={v}' for k, v in REDUCED[n].items())})" for n in names if n in REDUCED]
    return f"\n\\* Checked with fewer blocks: {', '.join(options)}.\n" if options else ""


def main() -> None:
    """Print the table, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list_models(), default=list_models(), help="some networks alone")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the page that holds the table as well")
    chosen = parser.parse_args()
    text = table(chosen.only)
    print(text + reduced(chosen.only))
    if chosen.write:
        page = PAGE.format(torch=torch.__version__.split("+")[0], table=text, reduced=reduced(chosen.only))
        with atomic_path(chosen.write) as beside:
            beside.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
