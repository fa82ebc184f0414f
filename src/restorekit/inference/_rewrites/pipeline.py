"""All rewrites in their order."""

import copy
import math
from contextlib import nullcontext
from typing import final

import torch
from torch import Tensor, fx, nn

from restorekit.inference._rewrites.attention import mix_channels, split_gates
from restorekit.inference._rewrites.concatenation import split_concatenations
from restorekit.inference._rewrites.folding import fold_batch_norm, fold_constants
from restorekit.inference._rewrites.fusing import fuse_activations, fuse_sums, overwrite_sums, shuffle_last
from restorekit.inference._rewrites.graph import clean, convolutions, note_shapes, shape_at
from restorekit.inference._rewrites.linear_tail import merge_linear_tails
from restorekit.inference._rewrites.precision import narrow, note_pictures
from restorekit.inference._rewrites.scaling import add_products
from restorekit.inference._rewrites.shuffling import shuffle_behind, shuffle_transposed
from restorekit.inference._rewrites.strips import cut_into_strips
from restorekit.inference._rewrites.tracing import OneScale, flat_graph
from restorekit.models import Restorer

_SIDE = 16  # pixels of the picture of the dry run, before ``size_multiple``


def rewritten(model: Restorer, scale: int, dtype: torch.dtype, *, cast: bool = True) -> nn.Module:
    """What one scale of a network computes, for pictures whose sides are multiples of ``size_multiple``.

    Without ``cast`` all tensors keep the network's dtype, for a runtime that makes ``dtype`` of them by itself.

    ``meta["widest"]`` is the number of values for each pixel of the picture in the largest tensor outside the strips.
    It shares no memory with the network. One whose path depends on the picture keeps its own forward, as does one whose
    kernels come out as something else than numbers, which fused activations would hide.
    """
    with torch.inference_mode(False), torch.no_grad():
        graph = flat_graph(model, scale)
        own = next(model.parameters()).dtype
        side = _SIDE * model.size_multiple
        x = torch.empty(2, model.in_channels, side, side, dtype=own, device="meta")
        computed = dtype if cast else own
        if graph is None or not _rewrite(graph, x, computed, fold=dtype == own):
            return AsItIs(model, scale, computed)
        clean(graph)
    graph.meta["widest"] = max(math.prod(shape_at(node)) for node in graph.graph.nodes) / (2 * side**2)
    return graph


def _rewrite(graph: fx.GraphModule, x: Tensor, dtype: torch.dtype, *, fold: bool) -> bool:
    """Rewrite a graph of pictures like ``x``; False if it cannot be trusted."""
    if not note_shapes(graph, x):
        return False
    note_pictures(graph)
    fold_batch_norm(graph)
    if not all(weight.isfinite().all() for _, conv in convolutions(graph) for weight in conv.parameters()):
        return False
    mix_channels(graph)
    split_gates(graph)
    shuffle_transposed(graph)
    shuffle_last(graph)
    fuse_activations(graph)
    shuffle_behind(graph)
    if fold:
        fold_constants(graph)
    split_concatenations(graph)
    fuse_sums(graph)
    fuse_activations(graph)
    merge_linear_tails(graph)
    overwrite_sums(graph)
    if dtype != x.dtype:
        narrow(graph, dtype, x.dtype)
        if not note_shapes(graph, x):
            return False
    cut_into_strips(graph, x.dtype)
    add_products(graph)
    return True


@final
class AsItIs(nn.Module):
    """A network that cannot be followed, with its kernels in channels last; under autocast for a half type."""

    def __init__(self, model: Restorer, scale: int, dtype: torch.dtype) -> None:
        super().__init__()
        is_narrow = dtype in {torch.float16, torch.bfloat16} and dtype != next(model.parameters()).dtype
        self.narrow = dtype if is_narrow else None
        self.dtype = dtype if self.narrow is None else torch.float32  # autocast leaves float64 alone
        self.single = OneScale(copy.deepcopy(model).eval(), scale).to(self.dtype)
        self.single.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x: Tensor) -> Tensor:
        with nullcontext() if self.narrow is None else torch.autocast(x.device.type, self.narrow):
            restored: Tensor = self.single(x.to(self.dtype))
        return restored.to(x.dtype)
