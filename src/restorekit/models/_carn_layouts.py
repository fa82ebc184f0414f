"""The CARN family's published checkpoints: how to recognise them and how to rename their tensors."""

import re
from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import Tensor

from restorekit.layers import DIV2K_MEAN
from restorekit.models._layouts import Layout, StateDict

_UNIT_CONVS = {  # the authors' name inside a unit -> ours, by layout
    "body": {"body.0": "conv1", "body.2": "conv2", "body.4": "pointwise"},
    "conv": {"conv1": "conv1", "conv2": "conv2", "pw": "pointwise"},
}


def _read_mean(state: StateDict, rgb_range: float) -> tuple[float, ...]:
    """The mean colour in [0, 1] that the file's two frozen 1x1 convolutions apply."""
    means = []
    for side, sign in (("sub_mean", -1), ("add_mean", 1)):
        prefix = f"{side}.shifter" if f"{side}.shifter.weight" in state else side
        matrix = state[f"{prefix}.weight"].double().reshape(3, 3)
        if not torch.allclose(matrix, torch.eye(3, dtype=torch.float64), atol=1e-4):
            raise ValueError(f"{prefix}.weight must be the identity (a plain shift of the mean), got {matrix.tolist()}")
        bias = state[f"{prefix}.bias"]
        means.append(sign * bias.double() / rgb_range)
    if not torch.allclose(means[0], means[1], atol=1e-6):
        raise ValueError(f"the mean taken off, {means[0].tolist()}, is not the mean put back, {means[1].tolist()}")
    published = torch.tensor(DIV2K_MEAN, dtype=torch.float64)
    precision = max(1e-6, torch.finfo(bias.dtype).eps)  # a file in half precision holds a rounded mean
    if torch.allclose(means[0], published, rtol=0, atol=precision):
        return DIV2K_MEAN
    return tuple(round(value, 6) for value in means[0].tolist())


def _count(state: StateDict, pattern: str) -> int:
    """The largest number that the pattern's group matches among the keys."""
    return max((int(found[1]) for key in state if (found := re.match(pattern, key))), default=0)


def _same_units(state: StateDict, unit_convs: dict[str, str], blocks: int, units: int) -> bool:
    """Whether every unit of a block stores the same tensors as its first one."""
    names = [f"{name}.{kind}" for name in unit_convs for kind in ("weight", "bias")]
    return all(
        torch.equal(state[f"b{i}.b1.{name}"], state[f"b{i}.b{j}.{name}"])
        for i in range(1, blocks + 1)
        for j in range(2, units + 1)
        for name in names
    )


def _read_body(state: StateDict, style: str, fusion: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Constructor arguments and renamed tensors of everything between entry and upsampler."""
    blocks, units = _count(state, r"c(\d+)\."), _count(state, r"b1\.c(\d+)\.")
    stored = _count(state, r"b1\.b(\d+)\.")
    if max(blocks, units) > len(state):
        raise ValueError(f"its keys count to {blocks} blocks of {units} units, but there are only {len(state)} tensors")
    first = state[f"b1.b1.{next(iter(_UNIT_CONVS[style]))}.weight"]
    channels, groups = first.shape[0], first.shape[0] // first.shape[1]
    names = {theirs: ours for theirs, ours in _UNIT_CONVS[style].items() if f"b1.b1.{theirs}.weight" in state}
    if groups == 1 and len(names) == 3:
        raise ValueError("efficient units with one group are not offered: this library builds plain units for groups=1")
    recursive = stored < units or (groups > 1 and _same_units(state, names, blocks, units))
    renamed = {}
    for i in range(blocks):
        for j in range(1 if recursive else units):
            for theirs, ours in names.items():
                renamed[f"b{i + 1}.b{j + 1}.{theirs}"] = f"body.blocks.{i}.blocks.{j}.{ours}"
        for j in range(units):
            renamed[f"b{i + 1}.c{j + 1}{fusion}"] = f"body.blocks.{i}.fusions.{j}"
        renamed[f"c{i + 1}{fusion}"] = f"body.fusions.{i}"
    config = {"channels": channels, "blocks": blocks, "units": units, "groups": groups, "recursive": recursive}
    return config, rename(state, renamed)


def rename(state: StateDict, names: dict[str, str]) -> dict[str, Tensor]:
    """Pick layers by their old names and give weight and bias the new ones."""
    return {f"{new}.{kind}": state[f"{old}.{kind}"] for old, new in names.items() for kind in ("weight", "bias")}


def _read_upsamplers(state: StateDict, channels: int) -> dict[str, str]:
    """Old and new layer names of the upsamplers; a single-scale file calls its only one ``up``."""
    renamed = {}
    for key in state:
        if found := re.match(r"upsample\.up(\d?)\.body\.([036])\.weight$", key):
            stages = sum(f"upsample.up{found[1]}.body.{index}.weight" in state for index in (0, 3, 6))
            scale = found[1] or str(round((state[key].shape[0] / channels) ** 0.5) ** stages)
            renamed[key.removesuffix(".weight")] = f"upsamplers.{scale}.convs.{int(found[2]) // 3}"
    return renamed


def _read_multi_scale(
    state: StateDict, style: str, fusion: str, *, eccv: bool
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    config, tensors = _read_body(state, style, fusion)
    upsamplers = _read_upsamplers(state, config["channels"])
    scales = sorted({int(name.split(".")[1]) for name in upsamplers.values()})
    tensors |= rename(state, {"entry": "entry", "exit": "exit", **upsamplers})
    config |= {"fusion_relu": eccv, "global_skip": not eccv, "mean": _read_mean(state, 1.0)}
    return {"scale": scales[0] if len(scales) == 1 else tuple(scales), **config}, tensors


def _read_eccv(state: StateDict) -> tuple[dict[str, Any], dict[str, Tensor]]:
    return _read_multi_scale(state, "body", ".body.0", eccv=True)


def _read_pcarn(state: StateDict) -> tuple[dict[str, Any], dict[str, Tensor]]:
    return _read_multi_scale(state, "conv", "", eccv=False)


def _read_cutblur(state: StateDict) -> tuple[dict[str, Any], dict[str, Tensor]]:
    config, tensors = _read_body(state, "body", "")
    scale = round((state["head.1.weight"].shape[1] / 3) ** 0.5)
    stages = {f"tail.0.{2 * k}": f"upsamplers.{scale}.convs.{k}" for k in range(3) if f"tail.0.{2 * k}.weight" in state}
    tensors |= rename(state, {"head.1": "entry", "tail.1": "exit", **stages})
    tensors["entry.weight"] = tensors["entry.weight"] * 255  # the file's network works on 0 to 255, ours on 0 to 1
    tensors["exit.weight"] = tensors["exit.weight"] / 255
    tensors["exit.bias"] = tensors["exit.bias"] / 255
    relu = {"fusion_relu": False, "unit_relu": False, "upsampler_relu": False, "global_skip": True}
    head = {"head": "desubpixel" if scale > 1 else "conv", "mean": _read_mean(state, 255.0)}
    return {"scale": scale, **config, **relu, **head}, tensors


def _has(*keys: str) -> Callable[[Collection[str]], bool]:
    def matches(found: Collection[str]) -> bool:
        return all(key in found for key in keys)

    return matches


CARN_LAYOUTS = (
    Layout("CARN or CARN-M (ECCV 2018)", _has("b1.b1.body.0.weight", "b1.c1.body.0.weight", "exit.weight"), _read_eccv),
    Layout("PCARN or PCARN-M", _has("b1.b1.conv1.weight", "b1.c1.weight", "exit.weight"), _read_pcarn),
    Layout("CutBlur CARN", _has("b1.b1.body.0.weight", "b1.c1.weight", "head.1.weight"), _read_cutblur),
)
