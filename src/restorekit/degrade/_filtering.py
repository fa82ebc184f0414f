"""What blurs with a sampled kernel share: the grid, and one filter for each picture."""

from typing import Literal, get_args

import torch
from torch import Tensor

from restorekit.image import filter2d

Border = Literal["reflect", "symmetric", "replicate", "zero", "circular"]


def grid(kernel_size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Distances from the centre, rightwards (1, k) and upwards (k, 1), in float64."""
    place = torch.arange(kernel_size, dtype=torch.float64, device=device) - kernel_size // 2
    return place[None, :], -place[:, None]


def filter_each(x: Tensor, kernel: Tensor, border: Border) -> Tensor:
    """Filter each picture with its own kernel (N, k, k), one after the other.

    The arithmetic of a batched convolution depends on the size of the batch, and a recipe must not.
    """
    if border not in get_args(Border):
        raise ValueError(f"border must be one of {', '.join(get_args(Border))}, got {border!r}")
    return torch.cat([filter2d(x[i : i + 1], kernel[i], border=border) for i in range(x.shape[0])])
