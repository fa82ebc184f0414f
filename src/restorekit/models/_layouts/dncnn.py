"""KAIR's files of DnCNN, with BatchNorm ("BR") and merged ("R"): one numbered list of layers, ReLUs counted."""

from collections.abc import Callable, Collection

import torch

from restorekit.models._layouts.layout import Layout, Reading, StateDict, count, rename

_STATISTICS = ("weight", "bias", "running_mean", "running_var")


def _matches(*, batch_norm: bool) -> Callable[[Collection[str]], bool]:
    """A test for DnCNN's files; the list of MSRResNet0 begins alike, but holds its residual units at index 1."""

    def matches(keys: Collection[str]) -> bool:
        nested = any(key.startswith("model.1.") for key in keys)
        plain = {"model.0.weight", "model.2.weight"} <= set(keys) and not nested
        return plain and ("model.3.running_mean" in keys) == batch_norm

    return matches


def _read(state: StateDict, step: int) -> Reading:
    """Layers stand ``step`` apart: convolution, ReLU and, in files of three, the BatchNorm between them."""
    middle = (count(state, r"model\.(\d+)\.") - 3) // step
    places = {f"body.{i}": 2 + step * i for i in range(middle)}
    convs = {f"model.{place}": f"{name}.conv" for name, place in places.items()}
    tensors = rename(state, {"model.0": "entry", **convs, f"model.{2 + step * middle}": "exit"})
    channels, in_channels = tensors["entry.weight"].shape[:2]
    if step == 3:
        norms = {f"model.{place + 1}": f"{name}.norm" for name, place in places.items()}
        tensors |= rename(state, norms, _STATISTICS)
        for old, new in norms.items():
            counted = f"{old}.num_batches_tracked"  # old files lack it
            tensors[f"{new}.num_batches_tracked"] = state[counted] if counted in state else torch.tensor(0)
    config = {"depth": middle + 2, "in_channels": in_channels, "channels": channels, "batch_norm": step == 3}
    return config, tensors


def _read_merged(state: StateDict) -> Reading:
    return _read(state, 2)


def _read_batch_norm(state: StateDict) -> Reading:
    return _read(state, 3)


DNCNN_LAYOUTS = (
    Layout("DnCNN (KAIR, BatchNorm merged)", _matches(batch_norm=False), _read_merged),
    Layout("DnCNN (KAIR, with BatchNorm)", _matches(batch_norm=True), _read_batch_norm),
)
