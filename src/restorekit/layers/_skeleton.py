"""A copy of a network without memory, for dry runs."""

import copy
from typing import Any

import torch
from torch import nn


def skeleton(model: nn.Module) -> nn.Module:
    """A copy whose tensors have shapes and no memory: the network itself may be at work in another thread."""
    memo: dict[int, Any] = {id(buffer): torch.empty_like(buffer, device="meta") for buffer in model.buffers()}
    for parameter in model.parameters():
        memo[id(parameter)] = nn.Parameter(torch.empty_like(parameter, device="meta"), requires_grad=False)
    return copy.deepcopy(model, memo)
