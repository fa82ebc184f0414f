"""RCAN's published checkpoints: how to recognise them and how to rename their tensors."""

from dataclasses import dataclass

from restorekit.layers import DIV2K_MEAN
from restorekit.models._layouts.layout import (
    Layout,
    Reading,
    StateDict,
    absorb_mean_shift,
    absorb_range,
    bounded,
    count,
    folded_head,
    has,
    read_upsampler,
    rename,
)


@dataclass(frozen=True)
class _Names:
    """How a project names its layers, by default as the authors; "{}" stands for the number of groups or blocks."""

    entry: str = "head.0"
    group: str = "body"  # the chain of blocks inside a group
    block: str = "body"  # the layers of a block
    squeeze: str = "3.conv_du.0"
    excite: str = "3.conv_du.2"
    group_exit: str = "body.{}"
    trunk: str = "body.{}"
    upsampler: str = "tail.0"
    exit: str = "tail.1"


_OFFICIAL = _Names()
_CUTBLUR = _Names(entry="head.1")
_BASICSR = _Names(
    entry="conv_first",
    group="residual_group",
    block="rcab",
    squeeze="3.attention.1",
    excite="3.attention.3",
    group_exit="conv",
    trunk="conv_after_body",
    upsampler="upsample",
    exit="conv_last",
)


def _read(state: StateDict, theirs: _Names) -> Reading:
    groups = count(state, rf"body\.(\d+)\.{theirs.group}\.")
    blocks = count(state, rf"body\.0\.{theirs.group}\.(\d+)\.{theirs.block}\.")
    bounded(state, groups, blocks)
    channels, in_channels = state[f"{theirs.entry}.weight"].shape[0], state[f"{theirs.exit}.weight"].shape[0]
    scale, names = read_upsampler(state, theirs.upsampler, channels)
    layers = {"0": "conv1", "2": "conv2", theirs.squeeze: "attention.squeeze", theirs.excite: "attention.excite"}
    for g in range(groups):
        for b in range(blocks):
            unit = f"body.{g}.{theirs.group}.{b}.{theirs.block}"
            names |= {f"{unit}.{old}": f"body.{g}.body.{b}.{new}" for old, new in layers.items()}
        names[f"body.{g}.{theirs.group_exit.format(blocks)}"] = f"body.{g}.body.{blocks}"
    names |= {theirs.entry: "entry", theirs.trunk.format(groups): f"body.{groups}", theirs.exit: "exit"}
    inner = state[f"body.0.{theirs.group}.0.{theirs.block}.{theirs.squeeze}.weight"].shape[0]
    sizes = {"channels": channels, "residual_groups": groups, "blocks": blocks, "reduction": channels // inner}
    return {"scale": scale, **sizes, "in_channels": in_channels}, rename(state, names)


def _read_official(state: StateDict) -> Reading:
    config, tensors = _read(state, _OFFICIAL)
    return {**config, "mean": absorb_mean_shift(state, tensors, rgb_range=255.0)}, tensors


def _read_cutblur(state: StateDict) -> Reading:
    config, tensors = _read(state, _CUTBLUR)
    mean = absorb_mean_shift(state, tensors, rgb_range=255.0)
    return {**config, "mean": mean, **folded_head(state, config["in_channels"])}, tensors


def _read_basicsr(state: StateDict) -> Reading:
    config, tensors = _read(state, _BASICSR)
    absorb_range(tensors)
    return {**config, "mean": DIV2K_MEAN}, tensors  # a constant of its code, which no file holds


_ATTENTION = "body.0.body.0.body.3.conv_du.0.weight"
RCAN_LAYOUTS = (
    Layout("RCAN (official)", has("head.0.weight", _ATTENTION), _read_official),
    Layout("RCAN (CutBlur)", has("head.1.weight", _ATTENTION), _read_cutblur),
    Layout("RCAN (BasicSR)", has("body.0.residual_group.0.rcab.3.attention.1.weight"), _read_basicsr),
)
