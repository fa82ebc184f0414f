"""The published checkpoint of RIDNet: how to recognise it and how to rename its tensors."""

from restorekit.models._layouts.layout import Layout, Reading, StateDict, absorb_mean_shift, count, has, rename

_BLOCK = {  # their layers in a block -> ours
    "r1.body1.0": "near.0",
    "r1.body1.2": "near.2",
    "r1.body2.0": "far.0",
    "r1.body2.2": "far.2",
    "r1.body3.0": "merge",
    "r2.body.0": "unit.conv1",
    "r2.body.2": "unit.conv2",
    "r3.body.0": "deep_unit.conv1",
    "r3.body.2": "deep_unit.conv2",
    "r3.body.4": "deep_unit.pointwise",
    "ca.c1.body.0": "attention.squeeze",
    "ca.c2.body.0": "attention.excite",
}


def _read(state: StateDict) -> Reading:
    blocks = count(state, r"b(\d+)\.r1\.") - 1  # they count from 1
    names = {f"b{i + 1}.{old}": f"body.{i}.{new}" for i in range(blocks) for old, new in _BLOCK.items()}
    tensors = rename(state, {"head.body.0": "entry", "tail": "exit", **names})
    squeezed, channels = state["b1.ca.c1.body.0.weight"].shape[:2]
    mean = absorb_mean_shift(state, tensors, rgb_range=255.0)
    return {"channels": channels, "blocks": blocks, "reduction": channels // squeezed, "mean": mean}, tensors


RIDNET_LAYOUTS = (Layout("RIDNet", has("b1.r1.body1.0.weight", "head.body.0.weight", "tail.weight"), _read),)
