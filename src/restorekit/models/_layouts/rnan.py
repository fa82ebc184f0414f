"""Published checkpoints of RNAN: how to recognise them and how to rename their tensors."""

from restorekit.models._layouts.layout import (
    Layout,
    Reading,
    StateDict,
    absorb_mean_shift,
    absorb_range,
    count,
    has,
    read_upsampler,
    rename,
)

_BLOCKS = {  # their residual blocks in a group -> ours; the first one of a non-local mask stands at another place
    "RA_RB1.0": "head",
    "RA_TB.0.body.0": "trunk.0",
    "RA_TB.0.body.1": "trunk.1",
    "RA_MB.0.MB_RB2.0": "mask.inside.0",
    "RA_MB.0.MB_RB2.1": "mask.inside.1",
    "RA_MB.0.MB_RB3.0": "mask.after",
    "RA_tail.0": "tail.0",
    "RA_tail.1": "tail.1",
}
_CONVS = {"MB_Down.0": "down", "MB_Up.0": "up", "MB_1x1conv.0": "pointwise"}
_NON_LOCAL = {"theta": "theta", "phi": "phi", "g": "g", "W": "project"}


def _group(theirs: str, ours: str, *, non_local: bool) -> dict[str, str]:
    """Their and our layer names of a group."""
    blocks = {**_BLOCKS, f"RA_MB.0.MB_RB1.{int(non_local)}": "mask.before"}
    names = {f"body.0.{old}.body.{2 * k}": f"{new}.conv{k + 1}" for old, new in blocks.items() for k in (0, 1)}
    names |= {f"body.0.RA_MB.0.{old}": f"mask.{new}" for old, new in _CONVS.items()}
    if non_local:
        names |= {f"body.0.RA_MB.0.MB_RB1.0.{old}": f"mask.non_local.{new}" for old, new in _NON_LOCAL.items()}
    names["body.1"] = "conv"
    return {f"{theirs}.{old}": f"{ours}.{new}" for old, new in names.items()}


def _read(state: StateDict, last: str) -> Reading:
    """Read all but the upsampler."""
    blocks = count(state, r"body\.(\d+)\.body\.")
    channels, in_channels = state["head.0.weight"].shape[:2]
    names = {"head.0": "entry", f"body.{blocks}": f"body.{blocks + 1}", last: "exit"}
    names |= _group("body_nl_low.0", "body.0", non_local=True)
    names |= _group("body_nl_high.0", f"body.{blocks + 2}", non_local=True)
    for i in range(blocks):
        names |= _group(f"body.{i}", f"body.{i + 1}", non_local=False)
    return {"channels": channels, "blocks": blocks, "in_channels": in_channels}, rename(state, names)


def _read_restoration(state: StateDict) -> Reading:
    config, tensors = _read(state, "tail.0")
    absorb_range(tensors)
    return {"scale": 1, **config, "mean": (0.0,) * config["in_channels"]}, tensors


def _read_super_resolution(state: StateDict) -> Reading:
    config, tensors = _read(state, "tail.1")
    scale, stages = read_upsampler(state, "tail.0", config["channels"])
    tensors |= rename(state, stages)
    return {"scale": scale, **config, "mean": absorb_mean_shift(state, tensors, rgb_range=255.0)}, tensors


RNAN_LAYOUTS = (
    Layout("RNAN for denoising or JPEG", has("body_nl_low.0.body.1.weight", "tail.0.weight"), _read_restoration),
    Layout("RNAN for super-resolution", has("body_nl_low.0.body.1.weight", "tail.0.0.weight"), _read_super_resolution),
)
