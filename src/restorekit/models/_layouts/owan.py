"""The published checkpoint of OWAN: how to recognise it and how to rename its tensors."""

from restorekit.models._layouts.layout import Layout, Reading, StateDict, bounded, count, has, rename

# Convolutions inside each of the eight operations, theirs and ours alike; the average has none.
_OPERATIONS = ((0, 1, 3, 4),) * 4 + ((0, 1),) * 3


def _group(index: int, steps: int) -> dict[str, str]:
    """Their and our names of the convolutions of a group: its attention stands in front of it in their list."""
    theirs, ours = f"layers.{2 * index + 1}", f"body.{index}"
    names = {f"{theirs}.preprocess.op.0": f"{ours}.entry"}
    for i in range(steps):
        names[f"{theirs}._ops.{i}._out.0"] = f"{ours}.steps.{i}.fusion"
        for k, convs in enumerate(_OPERATIONS):
            old, new = f"{theirs}._ops.{i}._ops.{k}.op", f"{ours}.steps.{i}.operations.{k}"
            names |= {f"{old}.{conv}": f"{new}.{conv}" for conv in convs}
    return names


def _read(state: StateDict) -> Reading:
    blocks, steps = count(state, r"layers\.(\d+)\.") // 2, count(state, r"layers\.1\._ops\.(\d+)\.")
    bounded(state, blocks, steps)
    channels, in_channels = state["FEB.0.weight"].shape[:2]
    names = {"FEB.0": "entry", "conv2": "exit"}
    names |= {f"FEB.{i + 1}.{conv}": f"features.{i}.{conv}" for i in range(4) for conv in ("conv1", "conv2")}
    attentions: dict[str, str] = {}
    for i in range(blocks):
        names |= _group(i, steps)
        attentions[f"layers.{2 * i}.ca_fc.0"] = f"body.{i}.attention.squeeze"
        attentions[f"layers.{2 * i}.ca_fc.2"] = f"body.{i}.attention.excite"
    config = {"channels": channels, "blocks": blocks, "steps": steps, "in_channels": in_channels}
    return config, rename(state, names, ["weight"]) | rename(state, attentions)


OWAN_LAYOUTS = (Layout("OWAN", has("FEB.0.weight", "layers.0.ca_fc.0.weight"), _read),)
