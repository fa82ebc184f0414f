"""Published checkpoints of RDN: how to recognise them and how to rename their tensors."""

import math
from typing import NamedTuple

from restorekit.models._layouts.layout import (
    Layout,
    Reading,
    StateDict,
    absorb_range,
    bounded,
    count,
    has,
    rename,
    shuffle_factor,
)


class _Names(NamedTuple):
    """What a project calls the layers."""

    entry: str
    shallow: str
    block: str
    conv: str  # in a block, of layer {}
    fusion: str  # in a block
    fusions: str


_EDSR_PYTORCH = _Names("SFENet1", "SFENet2", "RDBs", "convs.{}.conv.0", "LFF", "GFF")
_YJN870 = _Names("sfe1", "sfe2", "rdbs", "layers.{}.conv", "lff", "gff")


def _read(state: StateDict, names: _Names, stages: list[str], last: str) -> Reading:
    """Read a file whose upsampler has these convolutions, followed by ``last``."""
    blocks = count(state, rf"{names.block}\.(\d+)\.")
    layers = count(state, rf"{names.block}\.0\." + names.conv.format(r"(\d+)") + r"\.")
    bounded(state, blocks, layers)
    channels, in_channels = state[f"{names.entry}.weight"].shape[:2]
    growth = state[f"{names.block}.0.{names.conv.format(0)}.weight"].shape[0]
    width = state[f"{last}.weight"].shape[1]
    if width != channels:
        raise ValueError(f"its upsampler has {width} channels and its features {channels}, which is not offered")
    renamed = {names.entry: "entry", names.shallow: "shallow", last: "exit"}
    renamed |= {f"{names.fusions}.{i}": f"fusion.{i}" for i in (0, 1)}
    renamed |= {stage: f"upsampler.convs.{i}" for i, stage in enumerate(stages)}
    for i in range(blocks):
        renamed |= {f"{names.block}.{i}.{names.conv.format(j)}": f"body.{i}.convs.{j}" for j in range(layers)}
        renamed[f"{names.block}.{i}.{names.fusion}"] = f"body.{i}.fusion"
    scale = math.prod(shuffle_factor(state[f"{stage}.weight"], channels) for stage in stages)
    config = {"scale": scale, "channels": channels, "growth": growth, "blocks": blocks, "layers": layers}
    return {**config, "in_channels": in_channels}, rename(state, renamed)


def _read_edsr_pytorch(state: StateDict) -> Reading:
    """Convolutions and shuffles take turns in ``UPNet``; the last convolution makes the picture."""
    end = count(state, r"UPNet\.(\d+)\.") - 1
    reading = _read(state, _EDSR_PYTORCH, [f"UPNet.{i}" for i in range(0, end, 2)], f"UPNet.{max(end, 0)}")
    absorb_range(reading[1])
    return reading


def _read_yjn870(state: StateDict) -> Reading:
    stages = [f"upscale.{i}" for i in range(0, count(state, r"upscale\.(\d+)\."), 2)]
    return _read(state, _YJN870, stages, "output")


RDN_LAYOUTS = (
    Layout("RDN (EDSR-PyTorch)", has("SFENet1.weight", "RDBs.0.LFF.weight"), _read_edsr_pytorch),
    Layout("RDN (yjn870)", has("sfe1.weight", "rdbs.0.lff.weight"), _read_yjn870),
)
