"""The variables of ZSSR's TensorFlow code, saved by name."""

import re

from restorekit.models._layouts.layout import Layout, Reading, StateDict, has


def _read(state: StateDict) -> Reading:
    depth = sum(re.fullmatch(r"filter_\d+", key) is not None for key in state)
    # TensorFlow keeps kernels as (height, width, inputs, outputs).
    tensors = {f"body.{i}.weight": state[f"filter_{i}"].permute(3, 2, 0, 1) for i in range(depth)}
    channels, in_channels = tensors["body.0.weight"].shape[:2]
    sizes = {"in_channels": in_channels, "channels": channels, "depth": depth}
    return {"scale": 1, **sizes, "bias": False}, tensors  # one network serves all scales


ZSSR_LAYOUTS = (Layout("ZSSR (TensorFlow)", has("filter_0", "filter_1"), _read),)
