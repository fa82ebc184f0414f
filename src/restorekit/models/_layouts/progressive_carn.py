"""The published checkpoint of the progressive CARN: how to recognise it and how to rename its tensors."""

from restorekit.models._layouts.layout import Layout, Reading, StateDict, bounded, count, has, rename


def _stage_names(theirs: str, ours: str, blocks: int, units: int) -> dict[str, str]:
    """Their layers (counted from 1) and ours of one module of the progression."""
    names = {f"{theirs}.up.body.0": f"{ours}.upsampler.convs.0"}
    for i in range(blocks):
        names[f"{theirs}.c{i + 1}.body.0"] = f"{ours}.body.fusions.{i}"
        for j in range(units):
            unit = f"{ours}.body.blocks.{i}.blocks.{j}"
            names[f"{theirs}.b{i + 1}.c{j + 1}.body.0"] = f"{ours}.body.blocks.{i}.fusions.{j}"
            names[f"{theirs}.b{i + 1}.b{j + 1}.body.1"] = f"{unit}.conv1"
            names[f"{theirs}.b{i + 1}.b{j + 1}.body.3"] = f"{unit}.conv2"
    return names


def _read(state: StateDict) -> Reading:
    stages = count(state, r"to_rgb\.(\d+)\.")
    blocks, units = count(state, r"progression\.0\.c(\d+)\.") - 1, count(state, r"progression\.0\.b1\.c(\d+)\.") - 1
    bounded(state, stages, blocks, units)
    names = {"entry.body.0": "entry"} | {f"to_rgb.{k}": f"to_rgb.{k}" for k in range(stages)}
    for k in range(stages):
        names |= _stage_names(f"progression.{k}", f"stages.{k}", blocks, units)
    channels = state["entry.body.0.weight"].shape[0]
    return {"scale": 2**stages, "channels": channels, "blocks": blocks, "units": units}, rename(state, names)


PROGRESSIVE_CARN_LAYOUTS = (
    Layout("progressive CARN (NTIRE 2018)", has("entry.body.0.weight", "progression.0.b1.b1.body.1.weight"), _read),
)
