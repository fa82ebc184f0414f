"""IDR's published checkpoints: how to recognise them and how to rename their tensors."""

from collections.abc import Iterator

import torch
from torch import Tensor

from restorekit.layers import fix_signs
from restorekit.models._layouts.layout import Layout, Reading, StateDict, has, rename
from restorekit.models._layouts.restormer import read_trunk

_TYPES = 5
_PLACES = {f"kdp_level{k}": f"encoder{k}" for k in (1, 2, 3)}  # the code has all three in the encoder
_IDLE = ("attn.temperature", "attn.qkv.weight", "attn.qkv_dwconv.weight")  # that nothing uses

# Their layers and ours, by the tensors that they hold.
_WEIGHTS = {
    "attn.q.0": "attention.query.0",
    "attn.q.1": "attention.query.1",
    "attn.project_out": "attention.exit",
    "ffn.fc1": "feed_forward.entry",
    "ffn.fc2": "feed_forward.exit",
    "SAM.conv1": "degradation.features",
    "SAM.conv2": "degradation.to_image",
    "SAM.conv3": "degradation.to_gate",
    "principle.convolve.convolve.3.1": "routes.kernel.kernels.1",
}
_BIASED = {
    "norm1.body": "norm1",
    "norm2.body": "norm2",
    "attn.kv": "attention.key_value",
    "ffn.dwconv": "feed_forward.local",
    "principle.mlp_img": "from_features",
    "principle.mlp_degra": "from_priors",
    "principle.pred.1": "predictor.0",
    "principle.pred.2": "predictor.1",
    "principle.convolve.convolve.3.0": "routes.kernel.kernels.0",
}
for _theirs, _ours in {"convolve.convolve": "kernel", "addition.add": "additive", "point.weight": "affine"}.items():
    _old, _new = f"principle.{_theirs}", f"routes.{_ours}.evidence"
    _WEIGHTS[f"{_old}.0.1"] = f"{_new}.1"
    _BIASED |= {f"{_old}.0.0": f"{_new}.0"}
    _BIASED |= {f"{_old}.{k}.conv{i}": f"{_new}.{k + 1}.conv{i}" for k in (1, 2) for i in (1, 2)}


def _read(state: StateDict) -> Reading:
    config, tensors = read_trunk(state)
    tensors["hub"] = hub = state["degra_key"]
    if len(hub) != _TYPES:
        raise ValueError(f"its hub must hold {_TYPES} degradations, got {len(hub)}")
    for theirs, ours in _PLACES.items():
        tensors |= dict(_read_module(state, theirs, f"priors.{ours}"))
    tensors |= _read_mixers(state, hub)
    # Its code ends at stage 2, which is what a file is for; load_weights reads it into a network at stage 1 as well.
    config |= {"stage": 2, "hub_size": hub.shape[1], "placement": tuple(_PLACES.values()), "additive_first": True}
    return config, tensors


def _read_module(state: StateDict, theirs: str, ours: str) -> Iterator[tuple[str, Tensor]]:
    for layers, kinds in ((_WEIGHTS, ["weight"]), (_BIASED, ["weight", "bias"])):
        yield from rename(state, {f"{theirs}.{old}": f"{ours}.{new}" for old, new in layers.items()}, kinds).items()
    for key in _IDLE:
        state[f"{theirs}.{key}"]


def _read_mixers(state: StateDict, hub: Tensor) -> dict[str, Tensor]:
    """The mixing weights for singular vectors with fixed signs, given those for the signs of the authors' SVD.

    A frozen hub has the same singular vectors in each of their steps, so that the weights belong to the signs that
    came out. The signs of the SVD here are taken for them: exact if it decides as the one of the training did.
    """
    left, _, right = torch.linalg.svd(hub.float(), full_matrices=False)
    fixed, _ = fix_signs(left, right)
    signs = (fixed * left).sum(dim=-2).sign().flatten()
    tensors = rename(state, {"dmixer.convU": "reformulation.mix_left"})
    tensors |= rename(state, {"dmixer.convV": "reformulation.mix_right"}, ["weight"])
    state["dmixer.convV.bias"]  # without effect: the norm of the priors takes it off
    for key in ("reformulation.mix_left.weight", "reformulation.mix_right.weight"):
        tensors[key] = tensors[key].flatten(1) * signs.to(hub.dtype)
    return tensors


IDR_LAYOUTS = (Layout("IDR (official)", has("dmixer.convU.weight", "kdp_level1.attn.kv.weight"), _read),)
