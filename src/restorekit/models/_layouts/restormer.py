"""Restormer's published checkpoints, whose layers IDR's files share: how to recognise and rename their tensors."""

from collections.abc import Collection, Iterator
from typing import Any

from torch import Tensor

from restorekit.models._layouts.layout import Layout, Reading, StateDict, count, has, rename

EXPANSION = 2.66  # of all published files, which hold the rounded widths only

_BLOCK = {
    "attn.qkv": "attention.qkv",
    "attn.qkv_dwconv": "attention.qkv_local",
    "attn.project_out": "attention.exit",
    "ffn.project_in": "feed_forward.entry",
    "ffn.dwconv": "feed_forward.local",
    "ffn.project_out": "feed_forward.exit",
}
_CHAINS = {
    **{f"encoder_level{k + 1}": f"trunk.encoder.{k}" for k in range(3)},
    "latent": "trunk.latent",
    **{f"decoder_level{k + 1}": f"trunk.decoder.{k}" for k in range(3)},
    "refinement": "trunk.refinement",
}
_LAYERS = {
    "patch_embed.proj": "trunk.entry",
    **{f"down{k + 1}_{k + 2}.body.0": f"trunk.downs.{k}.0" for k in range(3)},
    **{f"up{k + 2}_{k + 1}.body.0": f"trunk.ups.{k}.0" for k in range(3)},
    **{f"reduce_chan_level{k + 1}": f"trunk.reductions.{k}" for k in (1, 2)},
    "output": "exit",
}


def read_trunk(state: StateDict) -> Reading:
    """Arguments and tensors of everything that Restormer and IDR have in common."""
    depths = {theirs: count(state, rf"{theirs}\.(\d+)\.") for theirs in _CHAINS}
    tensors = rename(state, _LAYERS, kinds=["weight"])
    for theirs, ours in _CHAINS.items():
        for k in range(depths[theirs]):
            tensors |= dict(_read_block(state, f"{theirs}.{k}", f"{ours}.{k}"))
    levels = list(_CHAINS)[:4]
    config: dict[str, Any] = {
        "channels": state["patch_embed.proj.weight"].shape[0],
        "blocks": tuple(depths[level] for level in levels),
        "heads": tuple(len(state[f"{level}.0.attn.temperature"]) for level in levels),
        "refinement_blocks": depths["refinement"],
        "expansion": EXPANSION,
        "in_channels": state["output.weight"].shape[0],
    }
    return config, tensors


def _read_block(state: StateDict, theirs: str, ours: str) -> Iterator[tuple[str, Tensor]]:
    yield f"{ours}.attention.temperature", state[f"{theirs}.attn.temperature"]
    yield from rename(state, {f"{theirs}.{old}": f"{ours}.{new}" for old, new in _BLOCK.items()}, ["weight"]).items()
    kinds = ["weight", "bias"] if has_norm_bias(state) else ["weight"]
    yield from rename(state, {f"{theirs}.norm{i}.body": f"{ours}.norm{i}" for i in (1, 2)}, kinds).items()


def has_norm_bias(state: StateDict) -> bool:
    """Whether the layer norms of the file have biases."""
    return "encoder_level1.0.norm1.body.bias" in state


def _read(state: StateDict) -> Reading:
    config, tensors = read_trunk(state)
    return {**config, "norm_bias": has_norm_bias(state)}, tensors


_TRUNK = has("patch_embed.proj.weight", "encoder_level1.0.attn.qkv_dwconv.weight", "reduce_chan_level2.weight")


def _matches(found: Collection[str]) -> bool:
    return _TRUNK(found) and "dmixer.convU.weight" not in found  # which IDR has


RESTORMER_LAYOUTS = (Layout("Restormer (official)", _matches, _read),)
