"""EDSR's published checkpoints: how to recognise them and how to rename their tensors."""

from dataclasses import dataclass

from restorekit.layers import DIV2K_MEAN
from restorekit.models._layouts.layout import (
    UNSAID,
    Layout,
    Reading,
    StateDict,
    absorb_mean_shift,
    absorb_range,
    count,
    folded_head,
    has,
    read_upsampler,
    rename,
)

_RES_SCALES = {(64, 16): 1.0, (256, 32): 0.1}  # of the published sizes (channels, blocks): no tensor tells it


@dataclass(frozen=True)
class _Names:
    """How a project names its layers, by default as the authors; "{}" stands for the number of blocks."""

    entry: str = "head.0"
    conv1: str = "body.0"
    conv2: str = "body.2"
    trunk: str = "body.{}"
    upsampler: str = "tail.0"
    exit: str = "tail.1"


_OFFICIAL = _Names()
_CUTBLUR = _Names(entry="head.1")
_BASICSR = _Names(
    entry="conv_first",
    conv1="conv1",
    conv2="conv2",
    trunk="conv_after_body",
    upsampler="upsample",
    exit="conv_last",
)


def _read(state: StateDict, theirs: _Names) -> Reading:
    blocks = count(state, rf"body\.(\d+)\.{theirs.conv1}\.")
    channels, in_channels = state[f"{theirs.entry}.weight"].shape[0], state[f"{theirs.exit}.weight"].shape[0]
    scale, names = read_upsampler(state, theirs.upsampler, channels)
    for i in range(blocks):
        names |= {f"body.{i}.{theirs.conv1}": f"body.{i}.conv1", f"body.{i}.{theirs.conv2}": f"body.{i}.conv2"}
    names |= {theirs.entry: "entry", theirs.trunk.format(blocks): f"body.{blocks}", theirs.exit: "exit"}
    config = {"scale": scale, "channels": channels, "blocks": blocks, "in_channels": in_channels}
    return {**config, "res_scale": _RES_SCALES.get((channels, blocks), UNSAID)}, rename(state, names)


def _read_official(state: StateDict) -> Reading:
    config, tensors = _read(state, _OFFICIAL)
    return {**config, "mean": absorb_mean_shift(state, tensors, rgb_range=255.0)}, tensors


def _read_cutblur(state: StateDict) -> Reading:
    config, tensors = _read(state, _CUTBLUR)
    mean = absorb_mean_shift(state, tensors, rgb_range=255.0)
    return {**config, "mean": mean, "res_scale": 0.1, **folded_head(state, config["in_channels"])}, tensors


def _read_basicsr(state: StateDict) -> Reading:
    config, tensors = _read(state, _BASICSR)
    absorb_range(tensors)
    return {**config, "mean": DIV2K_MEAN}, tensors  # a constant of its code, which no file holds


EDSR_LAYOUTS = (
    Layout("EDSR (official)", has("head.0.weight", "body.0.body.0.weight", "tail.1.weight"), _read_official),
    Layout("EDSR (CutBlur)", has("head.1.weight", "body.0.body.0.weight", "tail.1.weight"), _read_cutblur),
    Layout("EDSR (BasicSR)", has("body.0.conv1.weight", "conv_after_body.weight"), _read_basicsr),
)
