"""Containers that chain blocks, with and without cascading connections."""

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from restorekit._check import check_integer


def _store_once(blocks: Sequence[nn.Module]) -> tuple[nn.ModuleList, list[int]]:
    """The distinct modules in order of appearance, and for each step which of them runs."""
    distinct = list(dict.fromkeys(blocks))
    if not distinct:
        raise ValueError("blocks must hold at least one module, got none")
    return nn.ModuleList(distinct), [distinct.index(block) for block in blocks]


@final
class Chain(nn.Module):
    """Run blocks one after the other; a block that is given several times is stored once.

    Args:
        blocks: Modules that keep the shape (N, C, H, W), at least one. The same object may appear repeatedly.

    Raises:
        ValueError: ``blocks`` is empty.

    Example:
        >>> block = nn.Conv2d(4, 4, 3, padding=1)
        >>> len(Chain([block, block, block]).state_dict())
        2
    """

    def __init__(self, blocks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.blocks, self.steps = _store_once(blocks)

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, C, H, W) to features of the same shape."""
        for step in self.steps:
            x = self.blocks[step](x)
        return x

    def extra_repr(self) -> str:
        return f"steps={self.steps}"


@final
class Cascade(nn.Module):
    """Chain blocks so that each one sees every earlier output.

        seen_0 = x,   seen_i = [seen_{i-1}, block_i(out_{i-1})],   out_i = f(conv1x1_i(seen_i)),   out_0 = x

    Blocks may be cascades themselves (CARN's global cascade over local ones), and may be one shared block repeated
    (CARN-M's recursion), which is stored once.

    Args:
        blocks: Modules that keep the shape (N, channels, H, W), at least one. The same object may appear repeatedly.
        channels: Width of the input and of every block.
        fusion_relu: f is a ReLU; otherwise the identity.

    Raises:
        ValueError: ``blocks`` is empty, or ``channels`` below 1.

    Example:
        >>> from restorekit.layers import ResidualBlock
        >>> Cascade([ResidualBlock(8) for _ in range(3)], 8)(torch.rand(1, 8, 5, 7)).shape
        torch.Size([1, 8, 5, 7])

    Source:
        Ahn et al., ECCV 2018 (CARN); thesis equations 2.1 to 2.3. Read literally, the equations concatenate fused
        outputs; all published code and weights concatenate the raw block outputs, as here. The ECCV networks have a
        ReLU after each fusion, PCARN and the thesis' text have none.
    """

    def __init__(self, blocks: Sequence[nn.Module], channels: int, *, fusion_relu: bool = True) -> None:
        super().__init__()
        check_integer(channels, "channels", 1)
        self.blocks, self.steps = _store_once(blocks)
        self.fusions = nn.ModuleList(nn.Conv2d((i + 2) * channels, channels, 1) for i in range(len(self.steps)))
        self.fusion_relu = fusion_relu

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, channels, H, W) to features of the same shape."""
        seen = out = x
        for step, fusion in zip(self.steps, self.fusions, strict=True):
            seen = torch.cat([seen, self.blocks[step](out)], dim=1)
            out = fusion(seen)
            if self.fusion_relu:
                out = out.relu()
        return out

    def extra_repr(self) -> str:
        return f"steps={self.steps}, fusion_relu={self.fusion_relu}"
