"""The discriminator of PCARN as its authors' code stores it."""

from restorekit.models._layouts.layout import Layout, Reading, StateDict, has, rename

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def _read(state: StateDict) -> Reading:
    tensors = rename(
        state, {"body.0": "entry", "body.9": "exit"} | {f"body.{i + 2}.0": f"body.{i}.conv" for i in range(7)}
    )
    norms = {f"body.{i + 2}.1": f"body.{i}.norm" for i in range(7)}
    tensors |= rename(state, norms, ("weight", "bias", *_STATISTICS))
    channels, in_channels = state["body.0.weight"].shape[:2]
    return {"in_channels": in_channels, "channels": channels}, tensors


PATCH_DISCRIMINATOR_LAYOUTS = (
    Layout("the discriminator of PCARN", has("body.0.weight", "body.2.1.running_mean", "body.9.weight"), _read),
)
