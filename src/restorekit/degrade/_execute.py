"""Runs the program of a picture: the one place where recipes become pixels."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from restorekit._random import seeded, uniform
from restorekit.degrade._functions import FUNCTIONS, Function, check_cost

Step = Mapping[str, Any]


def execute(x: Tensor, programs: Sequence[Sequence[Step]], functions: Mapping[str, Function], name: str) -> Tensor:
    """Run one program on each picture alone, so that nothing depends on what else is in the batch."""
    known = {**FUNCTIONS, **functions}
    # One order in memory: what a convolution adds up first depends on it.
    x = x.contiguous()
    out = [_run(x[i : i + 1], steps, known, f"{name} {i}") for i, steps in enumerate(programs)]
    sizes = {tuple(picture.shape[1:]) for picture in out}
    if len(sizes) > 1:
        raise ValueError(
            f"the pictures of the batch come out in different shapes, {' and '.join(map(str, sorted(sizes)))}; "
            "end the composition in one size (resample with size=...) or run the pictures one by one"
        )
    return torch.cat(out)


def _run(x: Tensor, steps: Sequence[Step], functions: Mapping[str, Function], place: str) -> Tensor:
    for i, step in enumerate(steps):
        x = _step(x, step, functions, f"{place}, step {i}")
    return x


def _step(x: Tensor, step: Step, functions: Mapping[str, Function], place: str) -> Tensor:
    if step["type"] == "regions":
        return _regions(x, step["regions"], functions, place)
    if step["type"] == "mask":
        return _blend(x, step, functions, place)
    return call(functions[step["type"]], x, step, place)


def call(function: Function, x: Tensor, step: Step, place: str) -> Tensor:
    """Apply the function of a step; its complaints say where they come from."""
    level = _unlisted(step["level"])
    options = {name: _unlisted(value) for name, value in step.get("options", {}).items()}
    generator = {"generator": seeded(step["seed"])} if "seed" in step else {}
    try:
        check_cost(step["type"], level, options, (x.shape[-2], x.shape[-1]))
        out = function(x, level, **options, **generator)
    except ValueError as error:
        raise ValueError(f"{place}: {step['type']}: {error}") from error
    except TypeError as error:
        raise TypeError(f"{place}: {step['type']}: {error}") from error
    if not isinstance(out, Tensor) or out.ndim != 4 or out.shape[0] != 1:
        got = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
        raise TypeError(f"{place}: {step['type']} must return pictures (1, C, H, W), got {got}")
    return out


def _unlisted(value: Any) -> Any:
    """JSON knows no tuples; the functions take pairs as such."""
    return tuple(value) if isinstance(value, list) else value


def _regions(x: Tensor, regions: Sequence[Step], functions: Mapping[str, Function], place: str) -> Tensor:
    out = x.clone()
    for i, region in enumerate(regions):
        here = f"{place}, region {i}"
        top, left, bottom, right = region["box"]
        if bottom > x.shape[-2] or right > x.shape[-1]:
            raise ValueError(f"{here}: box {region['box']} lies outside the picture of size {tuple(x.shape[-2:])}")
        changed = _same_shape(_run(x, region["steps"], functions, here), x, here)
        out[..., top:bottom, left:right] = changed[..., top:bottom, left:right]
    return out


def _same_shape(changed: Tensor, x: Tensor, place: str) -> Tensor:
    if changed.shape != x.shape:
        raise ValueError(
            f"{place}: what is done in a part of a picture must keep its shape {tuple(x.shape)}, "
            f"got {tuple(changed.shape)}"
        )
    return changed


def _blend(x: Tensor, step: Step, functions: Mapping[str, Function], place: str) -> Tensor:
    layers = [
        _same_shape(_run(x, layer["steps"], functions, f"{place}, layer {i}"), x, f"{place}, layer {i}")
        for i, layer in enumerate(step["layers"])
    ]
    stack = torch.stack(layers).to(torch.promote_types(x.dtype, torch.float32))
    weights = mask_weights(step, x.shape[-2], x.shape[-1]).to(stack)[:, None, None]
    # Written as steps away from the first layer, equal layers stay what they are to the last bit.
    out = stack[0]
    for weight, layer in zip(weights[1:], stack[1:], strict=True):
        out = out + weight * (layer - stack[0])
    return out.clamp(stack.amin(0), stack.amax(0)).to(x.dtype)  # takes away rounding only


def mask_weights(step: Step, height: int, width: int) -> Tensor:
    """Weights (K, H, W) of the layers of a "mask" step, positive and of sum 1.

    Each layer has a smooth random field of [1, 2): values on a coarse grid, joined by smooth steps. Its weight is the
    share of its field's eighth power, steep enough for one layer to prevail in most places. Products and sums alone, so
    that the number of threads cannot show in the last bit.
    """
    spacing = max(step["smoothness"] * min(height, width), 1.0)
    rows, columns = int(height / spacing) + 2, int(width / spacing) + 2
    count = len(step["layers"])
    field = uniform((count, rows, columns), device=torch.device("cpu"), generator=seeded(step["seed"]))
    power = _enlarge(_enlarge(field, height, spacing).mT, width, spacing).mT + 1
    for _ in range(3):
        power = power * power
    total = power[0]
    for other in power[1:]:
        total = total + other
    return power / total


def _enlarge(field: Tensor, length: int, spacing: float) -> Tensor:
    """Values (K, R, C) at distances of ``spacing`` to (K, length, C)."""
    place = torch.arange(length, dtype=torch.float64, device="cpu") / spacing
    before = place.floor()
    step = (place - before).float()
    step = (step * step * (3 - 2 * step))[:, None]
    return field[:, before.long()] * (1 - step) + field[:, before.long() + 1] * step
