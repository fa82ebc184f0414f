"""The PyTorch port of VDSR whose weights are in circulation."""

from restorekit.models._layouts.layout import Layout, Reading, StateDict, count, has, rename


def _read(state: StateDict) -> Reading:
    middle = count(state, r"residual_layer\.(\d+)\.")
    names = {"input": "entry", "output": "exit"}
    names |= {f"residual_layer.{i}.conv": f"body.{i}" for i in range(middle)}
    tensors = rename(state, names, kinds=["weight"])
    channels, in_channels = tensors["entry.weight"].shape[:2]
    # One network serves all scales: the authors enlarge outside of it.
    return {"scale": 1, "in_channels": in_channels, "channels": channels, "depth": middle + 2}, tensors


VDSR_LAYOUTS = (Layout("VDSR (twtygqyy)", has("input.weight", "residual_layer.0.conv.weight"), _read),)
