"""The PyTorch port of FSRCNN whose weights are in circulation."""

from restorekit.models._layouts.layout import UNSAID, Layout, Reading, StateDict, count, has, rename


def _read(state: StateDict) -> Reading:
    # Convolutions and PReLUs take turns: shrink, the mapping layers, expand.
    blocks = max(1, (count(state, r"mid_part\.(\d+)\.") + 1) // 2 - 2)
    layers = {"first_part.0": "entry", "mid_part.0": "shrink", f"mid_part.{2 * blocks + 2}": "expand"}
    layers |= {f"mid_part.{2 * i + 2}": f"body.{i}" for i in range(blocks)}
    tensors = rename(state, {old: f"{new}.conv" for old, new in layers.items()} | {"last_part": "exit"})
    slopes = {_next(old): f"{new}.activation" for old, new in layers.items()}
    tensors |= rename(state, slopes, kinds=["weight"])
    channels, in_channels = tensors["entry.conv.weight"].shape[:2]
    sizes = {"channels": channels, "shrunk_channels": tensors["shrink.conv.weight"].shape[0], "blocks": blocks}
    # The last kernel is 9x9 at every scale.
    return {"scale": UNSAID, "in_channels": in_channels, **sizes}, tensors


def _next(name: str) -> str:
    part, index = name.split(".")
    return f"{part}.{int(index) + 1}"


FSRCNN_LAYOUTS = (
    Layout("FSRCNN (yjn870)", has("first_part.0.weight", "mid_part.0.weight", "last_part.weight"), _read),
)
