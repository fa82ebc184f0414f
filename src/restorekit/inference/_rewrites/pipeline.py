"""All rewrites in their order."""

import torch
from torch import fx, nn

from restorekit.inference._rewrites.concatenation import split_concatenations
from restorekit.inference._rewrites.folding import fold_batch_norm, fold_constants, gather_convolutions
from restorekit.inference._rewrites.fusing import fuse_activations, fuse_sums, overwrite_sums, shuffle_last
from restorekit.inference._rewrites.graph import clean, note_shapes
from restorekit.inference._rewrites.precision import narrow, note_pictures
from restorekit.inference._rewrites.shuffling import shuffle_behind
from restorekit.inference._rewrites.strips import cut_into_strips
from restorekit.inference._rewrites.tracing import flat_graph
from restorekit.models import Restorer

_SIDE = 16  # pixels of the picture of the dry run, before ``size_multiple``


def rewritten(model: Restorer, scale: int, dtype: torch.dtype) -> nn.Module | None:
    """What one scale of a network computes, as a rewritten graph; None if it cannot be followed.

    The graph shares no memory with the network.
    """
    graph = flat_graph(model, scale)
    if graph is None:
        return None
    weight = next(model.parameters())
    side = _SIDE * model.size_multiple
    gather_convolutions(graph)
    note_shapes(graph, torch.empty(2, model.in_channels, side, side, dtype=weight.dtype, device="meta"))
    note_pictures(graph)
    fold_batch_norm(graph)
    shuffle_last(graph)
    fuse_activations(graph)
    shuffle_behind(graph)
    if dtype == weight.dtype:
        fold_constants(graph)
    split_concatenations(graph)
    fuse_sums(graph)
    fuse_activations(graph)
    overwrite_sums(graph)
    if dtype != weight.dtype:
        narrow(graph, dtype, weight.dtype)
    cut_into_strips(graph, weight.dtype)
    clean(graph)
    return graph
