"""The CARN family's published checkpoints: how to recognise them and how to rename their tensors."""

import re

import torch

from restorekit.models._layouts.layout import (
    Layout,
    Reading,
    StateDict,
    absorb_mean_shift,
    bounded,
    count,
    folded_head,
    has,
    rename,
    shuffle_factor,
)

_UNIT_CONVS = {  # the authors' name inside a unit -> ours, by layout
    "body": {"body.0": "conv1", "body.2": "conv2", "body.4": "pointwise"},
    "conv": {"conv1": "conv1", "conv2": "conv2", "pw": "pointwise"},
}


def _same_units(state: StateDict, unit_convs: dict[str, str], blocks: int, units: int) -> bool:
    """Whether every unit of a block stores the same tensors as its first one."""
    names = [f"{name}.{kind}" for name in unit_convs for kind in ("weight", "bias")]
    return all(
        torch.equal(state[f"b{i}.b1.{name}"], state[f"b{i}.b{j}.{name}"])
        for i in range(1, blocks + 1)
        for j in range(2, units + 1)
        for name in names
    )


def _read_body(state: StateDict, style: str, fusion: str) -> Reading:
    """Constructor arguments and renamed tensors of everything between entry and upsampler."""
    # They count from 1.
    blocks, units = count(state, r"c(\d+)\.") - 1, count(state, r"b1\.c(\d+)\.") - 1
    stored = count(state, r"b1\.b(\d+)\.") - 1
    bounded(state, blocks, units)
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


def _read_upsamplers(state: StateDict, channels: int) -> dict[str, str]:
    """Old and new layer names of the upsamplers; a single-scale file calls its only one ``up``."""
    renamed = {}
    for key in state:
        if found := re.match(r"upsample\.up(\d?)\.body\.([036])\.weight$", key):
            stages = sum(f"upsample.up{found[1]}.body.{index}.weight" in state for index in (0, 3, 6))
            scale = found[1] or str(shuffle_factor(state[key], channels) ** stages)
            renamed[key.removesuffix(".weight")] = f"upsamplers.{scale}.convs.{int(found[2]) // 3}"
    return renamed


def _read_multi_scale(state: StateDict, style: str, fusion: str, *, eccv: bool) -> Reading:
    config, tensors = _read_body(state, style, fusion)
    upsamplers = _read_upsamplers(state, config["channels"])
    scales = sorted({int(name.split(".")[1]) for name in upsamplers.values()})
    tensors |= rename(state, {"entry": "entry", "exit": "exit", **upsamplers})
    mean = absorb_mean_shift(state, tensors, rgb_range=1.0, middle=".shifter")
    config |= {"fusion_relu": eccv, "global_skip": not eccv, "mean": mean}
    return {"scale": scales[0] if len(scales) == 1 else tuple(scales), **config}, tensors


def _read_eccv(state: StateDict) -> Reading:
    return _read_multi_scale(state, "body", ".body.0", eccv=True)


def _read_pcarn(state: StateDict) -> Reading:
    return _read_multi_scale(state, "conv", "", eccv=False)


def _read_cutblur(state: StateDict) -> Reading:
    config, tensors = _read_body(state, "body", "")
    head = folded_head(state, 3)
    scale = head["scale"]
    stages = {f"tail.0.{2 * k}": f"upsamplers.{scale}.convs.{k}" for k in range(3) if f"tail.0.{2 * k}.weight" in state}
    tensors |= rename(state, {"head.1": "entry", "tail.1": "exit", **stages})
    mean = absorb_mean_shift(state, tensors, rgb_range=255.0)
    relu = {"fusion_relu": False, "unit_relu": False, "upsampler_relu": False, "global_skip": True}
    return {**config, **relu, **head, "mean": mean}, tensors


CARN_LAYOUTS = (
    Layout("CARN or CARN-M (ECCV 2018)", has("b1.b1.body.0.weight", "b1.c1.body.0.weight", "exit.weight"), _read_eccv),
    Layout("PCARN or PCARN-M", has("b1.b1.conv1.weight", "b1.c1.weight", "exit.weight"), _read_pcarn),
    Layout("CutBlur CARN", has("b1.b1.body.0.weight", "b1.c1.weight", "head.1.weight"), _read_cutblur),
)
