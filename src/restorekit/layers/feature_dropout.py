"""Dropout of features in connected pieces: square blocks or whole maps."""

from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restorekit._check import check_batch, check_generator, check_integer, check_interval
from restorekit._random import uniform


def drop_block(
    x: Tensor,
    p: float = 0.1,
    *,
    block_size: int | None = 7,
    training: bool = True,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Set square blocks of each feature map to zero and scale up the rest, so that the expectation is ``x``.

        y = x * mask / (1 - p),   P(mask = 0) = p at every place

    Blocks lie anywhere, over the edge and over each other too. Their centres are drawn at each place with the
    probability 1 - (1 - p)^(1 / block_size^2), with which exactly the share p is lost everywhere.

    Args:
        x: Features (N, C, H, W).
        p: Probability that a feature is dropped, in [0, 1).
        block_size: Side of a block in pixels; 1 is ordinary dropout. None drops whole maps, which is ``nn.Dropout2d``
            with a generator.
        training: If false, ``x`` itself is returned.
        generator: Source of the draws.

    Returns:
        Features (N, C, H, W).

    Raises:
        TypeError: ``x`` is no floating-point tensor, or an argument is not what its name says.
        ValueError: ``p`` outside [0, 1), or ``block_size`` below 1.

    Example:
        >>> out = drop_block(torch.ones(1, 8, 9, 9), 0.5, block_size=3)
        >>> sorted(set(out.flatten().tolist()))
        [0.0, 2.0]

    Source:
        Blocks: Ghiasi et al., NeurIPS 2018 (arXiv:1810.12890), with masks of their own for each map. There blocks lie
        inside the map, so that edges are dropped less, p is met approximately as overlaps are left out of account, and
        the factor is the reciprocal of the share that was kept. Whole maps: Tompson et al., CVPR 2015
        (arXiv:1411.4280).
    """
    check_batch(x)
    check_generator(generator)
    _check_options(p, block_size)
    if not training or p == 0:
        return x
    if block_size is None:
        mask = uniform((*x.shape[:2], 1, 1), device=x.device, generator=generator) >= p
        return x * (mask / (1 - p)).to(x.dtype)
    # A place is covered by the blocks around block_size^2 centres, some of which lie outside of the map.
    height, width = (side + block_size - 1 for side in x.shape[2:])
    centre = 1 - (1 - p) ** (1 / block_size**2)
    centres = uniform((*x.shape[:2], height, width), device=x.device, generator=generator) < centre
    dropped = F.max_pool2d(centres.to(torch.float32), block_size, stride=1)
    return x * ((1 - dropped) / (1 - p)).to(x.dtype)


@final
class DropBlock(nn.Module):
    """``drop_block`` in training, nothing in evaluation.

    Args:
        p: Probability that a feature is dropped, in [0, 1).
        block_size: Side of a block in pixels; None drops whole maps.

    Raises:
        TypeError: An argument that is no number.
        ValueError: ``p`` outside [0, 1), or ``block_size`` below 1.

    Example:
        >>> DropBlock(0.1, block_size=3)(torch.rand(2, 8, 5, 7)).shape
        torch.Size([2, 8, 5, 7])

    Source:
        Ghiasi et al., NeurIPS 2018 (arXiv:1810.12890), see ``drop_block``.
    """

    def __init__(self, p: float = 0.1, *, block_size: int | None = 7) -> None:
        super().__init__()
        _check_options(p, block_size)
        self.p, self.block_size = p, block_size

    def forward(self, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Map features (N, C, H, W) to features of the same shape."""
        return drop_block(x, self.p, block_size=self.block_size, training=self.training, generator=generator)

    def extra_repr(self) -> str:
        return f"{self.p}, block_size={self.block_size}"


def _check_options(p: float, block_size: int | None) -> None:
    check_interval(p, "p", 0, 1)
    if p == 1:
        raise ValueError("p must be below 1, or nothing is left to scale up")
    if block_size is not None:
        check_integer(block_size, "block_size", 1)
