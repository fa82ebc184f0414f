"""MEPSNet's published checkpoint: how to recognise it and how to rename its tensors."""

from collections.abc import Iterator
from itertools import product

import torch

from restorekit.models._layouts.layout import Layout, Reading, StateDict, absorb_mean_shift, bounded, count, has, rename

_BANK = "bank.templates"


def _read(state: StateDict) -> Reading:
    experts = count(state, r"body\.(\d+)\.head\.0\.")
    units = count(state, r"body\.0\.body\.(\d+)\.body\.")
    blocks = count(state, r"body\.0\.body\.0\.body\.(\d+)\.body\.")
    bounded(state, experts, units, blocks)
    names = {"head.0.expand_conv1": "entry", "head.0.expand_conv2": "extraction.1", "head.0.conv": "extraction.3"}
    for e in range(experts):
        names |= {f"body.{e}.head.0": f"experts.{e}.entry", f"body.{e}.tail.0": f"experts.{e}.exit"}
    names |= {f"body.{experts}.squeeze": "fusion.squeeze", f"body.{experts}.excitation": "fusion.excite"}
    names |= {"tail.0.reconst.0": "reconstruction", "tail.0.reconst.2": "exit"}
    tensors = rename(state, names) | {_BANK: state[_BANK]}
    for theirs, ours in _layers(experts, units, blocks):
        tensors[f"{ours}.coefficients"] = state[f"{theirs}.coefficients"].squeeze((1, 2, 3, 4))
    _check_aliases(state, experts, [theirs for theirs, _ in _layers(experts, units, blocks)])
    sizes = {"experts": experts, "units": units, "blocks": blocks, "num_templates": state[_BANK].shape[0]}
    widths = {"channels": state[_BANK].shape[1], "extraction_channels": state["head.0.conv.weight"].shape[0]}
    colours = {"in_channels": state["tail.0.reconst.2.weight"].shape[0]}
    return {**sizes, **widths, **colours, "mean": absorb_mean_shift(state, tensors, rgb_range=255.0)}, tensors


def _layers(experts: int, units: int, blocks: int) -> Iterator[tuple[str, str]]:
    """The old and new names of the layers that mix their kernels."""
    for e, u, b, (old, new) in product(range(experts), range(units), range(blocks), ((0, "conv1"), (2, "conv2"))):
        yield f"body.{e}.body.{u}.body.{b}.body.{old}", f"experts.{e}.body.{u}.body.{b}.{new}"


def _check_aliases(state: StateDict, experts: int, layers: list[str]) -> None:
    """Accept the bank under the name of each module that refers to it, as long as it is the same bank."""
    for holder in (*(f"body.{e}" for e in range(experts)), *layers):
        key = f"{holder}.{_BANK}"
        if key in state and not torch.equal(state[key], state[_BANK]):
            raise ValueError(f"{key!r} differs from {_BANK!r}, which all layers share")


MEPSNET_LAYOUTS = (Layout("MEPSNet (official)", has(_BANK, "head.0.expand_conv1.weight"), _read),)
