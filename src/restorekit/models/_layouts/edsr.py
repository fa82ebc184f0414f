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
    has,
    rename,
)

_RES_SCALES = {(64, 16): 1.0, (256, 32): 0.1}  # of the published sizes (channels, blocks): no tensor tells it


def read_upsampler(state: StateDict, name: str, channels: int) -> tuple[int, dict[str, str]]:
    """Enlargement factor and renamed layers of a chain of convolutions and pixel shuffles, at every second index."""
    stages = (count(state, rf"{name}\.(\d+)\.") + 1) // 2
    scale = 1
    for stage in range(stages):
        scale *= round((state[f"{name}.{2 * stage}.weight"].shape[0] / channels) ** 0.5)
    return scale, {f"{name}.{2 * stage}": f"upsampler.convs.{stage}" for stage in range(stages)}


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


def folded_head(state: StateDict, colours: int) -> dict[str, object]:
    """Scale and head of a CutBlur network, from the colours that its first convolution takes."""
    scale = round((state["head.1.weight"].shape[1] / colours) ** 0.5)
    return {"scale": scale, "head": "desubpixel" if scale > 1 else "conv"}


def _read_basicsr(state: StateDict) -> Reading:
    config, tensors = _read(state, _BASICSR)
    absorb_range(tensors)
    return {**config, "mean": DIV2K_MEAN}, tensors  # a constant of its code, which no file holds


EDSR_LAYOUTS = (
    Layout("EDSR (official)", has("head.0.weight", "body.0.body.0.weight", "tail.1.weight"), _read_official),
    Layout("EDSR (CutBlur)", has("head.1.weight", "body.0.body.0.weight", "tail.1.weight"), _read_cutblur),
    Layout("EDSR (BasicSR)", has("body.0.conv1.weight", "conv_after_body.weight"), _read_basicsr),
)
