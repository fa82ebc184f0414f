"""All rewrites in their order."""

import copy
import math
from typing import final

import torch
from torch import Tensor, nn

from restorekit.inference._rewrites.concatenation import split_concatenations
from restorekit.inference._rewrites.folding import fold_batch_norm, fold_constants
from restorekit.inference._rewrites.fusing import fuse_activations, fuse_sums, overwrite_sums, shuffle_last
from restorekit.inference._rewrites.graph import clean, note_shapes, shape_at
from restorekit.inference._rewrites.precision import narrow, note_pictures
from restorekit.inference._rewrites.shuffling import shuffle_behind, shuffle_transposed
from restorekit.inference._rewrites.strips import cut_into_strips
from restorekit.inference._rewrites.tracing import OneScale, flat_graph
from restorekit.models import Restorer

_SIDE = 16  # pixels of the picture of the dry run, before ``size_multiple``


def rewritten(model: Restorer, scale: int, dtype: torch.dtype, *, cast: bool = True) -> nn.Module:
    """What one scale of a network computes, for pictures whose sides are multiples of ``size_multiple``.

    Without ``cast`` all tensors keep the network's dtype, for a runtime that makes ``dtype`` of them by itself.

    ``meta["widest"]`` is the number of values for each pixel of the picture in the largest tensor outside the strips.
    It shares no memory with the network. One whose path depends on the picture keeps its own forward.
    """
    weight = next(model.parameters())
    graph = flat_graph(model, scale)
    if graph is None:
        return AsItIs(model, scale, dtype)
    side = _SIDE * model.size_multiple
    note_shapes(graph, torch.empty(2, model.in_channels, side, side, dtype=weight.dtype, device="meta"))
    note_pictures(graph)
    fold_batch_norm(graph)
    shuffle_transposed(graph)
    shuffle_last(graph)
    fuse_activations(graph)
    shuffle_behind(graph)
    if dtype == weight.dtype:
        fold_constants(graph)
    split_concatenations(graph)
    fuse_sums(graph)
    fuse_activations(graph)
    overwrite_sums(graph)
    if cast and dtype != weight.dtype:
        narrow(graph, dtype, weight.dtype)
    cut_into_strips(graph, weight.dtype)
    clean(graph)
    graph.meta["widest"] = max(math.prod(shape_at(node)) for node in graph.graph.nodes) / (2 * side**2)
    return graph


@final
class AsItIs(nn.Module):
    """A network that cannot be followed, under autocast, with its kernels in channels last."""

    def __init__(self, model: Restorer, scale: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.single = OneScale(copy.deepcopy(model).eval(), scale)
        self.single.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, self.dtype, enabled=self.dtype != x.dtype):
            restored: Tensor = self.single(x)
        return restored.to(x.dtype)
