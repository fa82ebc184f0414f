"""What the augmentations of pairs share: checks, boxes on the pixels of lq, and mixing at the size of hq."""

import torch
from torch import Tensor

from restorekit._check import check_batch, check_same_kind


def check_pair(lq: Tensor, hq: Tensor) -> int:
    """Require a pair of batches whose sizes are related by one integer factor, and return it."""
    check_batch(lq, "lq")
    check_batch(hq, "hq")
    if lq.shape[:2] != hq.shape[:2]:
        raise ValueError(
            f"lq and hq must have the same batch size and channels, got {tuple(lq.shape)} and {tuple(hq.shape)}"
        )
    check_same_kind(lq, hq, ("lq", "hq"))
    scale = hq.shape[-1] // lq.shape[-1]
    if scale < 1 or hq.shape[-2:] != (scale * lq.shape[-2], scale * lq.shape[-1]):
        raise ValueError(
            f"hq must be lq's size times one integer on both axes, got {tuple(hq.shape[-2:])} for "
            f"{tuple(lq.shape[-2:])}; crop the pair to match"
        )
    return scale


def spans(ratio: Tensor, position: Tensor, size: int) -> Tensor:
    """Mark floor(ratio * size) neighbours out of ``size``, started uniformly by ``position``: two (N,) to (N, size)."""
    length = (ratio * size).floor()
    # A float32 position is at most 1 - 2^-24, so position * places never rounds up to places.
    start = (position * (size - length + 1)).floor()
    place = torch.arange(size, device=ratio.device)
    return (place >= start[:, None]) & (place < (start + length)[:, None])


def box_mask(ratio: Tensor, position: Tensor, height: int, width: int) -> Tensor:
    """Boxes of ``ratio`` (N,) of both sides, fully inside, placed by ``position`` (N, 2) in [0, 1): (N, 1, H, W)."""
    rows = spans(ratio, position[:, 0], height)
    columns = spans(ratio, position[:, 1], width)
    return (rows[:, :, None] & columns[:, None, :]).unsqueeze(1)


def where_enlarged(mask: Tensor, hq: Tensor, lq: Tensor, scale: int) -> Tensor:
    """``where(mask, hq, lq)`` with ``mask`` and ``lq`` enlarged by nearest neighbour to the size of ``hq``."""
    if scale == 1:
        return torch.where(mask, hq, lq)
    # Only the width is repeated in memory; rows are repeated by broadcasting: (N, C, H, scale, W * scale).
    mask = mask.repeat_interleave(scale, -1).unsqueeze(3)
    lq = lq.repeat_interleave(scale, -1).unsqueeze(3)
    rows = hq.reshape(*lq.shape[:3], scale, hq.shape[-1])
    return torch.where(mask, rows, lq).reshape(hq.shape)
