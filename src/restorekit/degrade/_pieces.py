"""Arithmetic whose bits depend on the picture alone, not on the number of threads or on the rest of the batch."""

from collections.abc import Callable

import torch
from torch import Tensor

# torch shares 32768 or more elements among its threads. Where one thread's part ends, a power, sine or logarithm may
# be computed by another routine than in the middle, and a sum is taken in another order: the last bit differs.
PIECE = 1 << 14


def in_pieces(function: Callable[..., Tensor], x: Tensor, *levels: Tensor) -> Tensor:
    """A pointwise ``function(x, *levels)``, on a CPU by pieces too small to be shared among threads.

    Args:
        function: Takes the pixels of a piece (P,) and each level as (1,).
        x: (N, ...).
        levels: Each (N, 1, 1, 1).
    """
    if x.device.type != "cpu":
        return function(x, *levels)
    pictures = [
        torch.cat([function(piece, *(level[i].flatten() for level in levels)) for piece in torch.split(picture, PIECE)])
        for i, picture in enumerate(x.flatten(1))
    ]
    return torch.stack(pictures).reshape(x.shape)


def mean_of_each(x: Tensor) -> Tensor:
    """Mean of each picture of (N, C, H, W): (N, 1, 1, 1)."""
    if x.device.type != "cpu":
        return x.mean((1, 2, 3), keepdim=True)
    return (torch.stack([total(picture) for picture in x]) / x[0].numel()).view(-1, 1, 1, 1)


def total(x: Tensor) -> Tensor:
    """Sum of all elements: ()."""
    if x.device.type != "cpu":
        return x.sum()
    return torch.stack([piece.sum() for piece in torch.split(x.flatten(), PIECE)]).sum()
