"""What lies beyond the border of a picture."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Border = Literal["reflect", "symmetric", "replicate", "zero", "circular", "valid"]


def _outside(size: int, radius: int, border: Border, device: torch.device) -> tuple[Tensor, Tensor]:
    """Which pixels of a row of ``size`` stand in for the ``radius`` places before it and after it."""
    place = torch.arange(radius, device=device)
    place = torch.stack([place - radius, place + size])
    if border == "circular":
        place = place % size
    else:
        # To and fro as often as needed: a row may be shorter than the radius, and one pixel reflects onto itself.
        last = 2 * size - 1 if border == "symmetric" else 2 * size - 2
        place = place % (last + 1 if border == "symmetric" else max(last, 1))
        place = torch.minimum(place, last - place)
    return place[0], place[1]


def extend(x: Tensor, radius: int, dim: int, border: Border) -> Tensor:
    """Add ``radius`` pixels on both sides of axis ``dim`` (-2 or -1)."""
    if border == "valid" or radius == 0:
        return x
    if border == "zero":
        return F.pad(x, (radius, radius) if dim == -1 else (0, 0, radius, radius))
    if border == "replicate":
        shape = [radius if i == x.ndim + dim else size for i, size in enumerate(x.shape)]
        first, last = x.narrow(dim, 0, 1), x.narrow(dim, x.shape[dim] - 1, 1)
        return torch.cat([first.expand(shape), x, last.expand(shape)], dim)
    before, after = _outside(x.shape[dim], radius, border, x.device)
    return torch.cat([x.index_select(dim, before), x, x.index_select(dim, after)], dim)
