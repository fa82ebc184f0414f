"""Weights and pictures by a rule that any program can follow, for comparing trunks with other libraries."""

import math

import torch


def ruled(shape, place, dtype=torch.float64):
    """Numbers in [-0.5, 0.5): the fractional parts of (i + 1) times the golden ratio and of 0.37 times the place."""
    i = torch.arange(1, math.prod(shape) + 1, dtype=torch.float64)
    return (torch.frac(i * 0.6180339887498949 + 0.37 * place) - 0.5).reshape(shape).to(dtype)


def fill(module):
    """Write ruled numbers into a module's tensors, in the order of its state dict, kernels with a variance of 2 / n."""
    with torch.no_grad():
        for place, tensor in enumerate(module.state_dict().values()):
            gain = math.sqrt(24 / tensor[0].numel()) if tensor.ndim > 1 else 0.2
            tensor.copy_(gain * ruled(tensor.shape, place))
    return module


def pictures(height=40, width=36, dtype=torch.float64):
    """Two pairs of waves and the same with other waves on top, in [0, 1]."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    c = torch.arange(6).view(2, 3, 1, 1)
    target = 0.5 + 0.4 * torch.sin(2 * math.pi * (x * (c + 1) + y * (c + 2)) / 48)
    prediction = target + 0.1 * torch.cos(2 * math.pi * (x * (3 - c) - y * (c + 1)) / 20)
    return prediction.to(dtype), target.to(dtype)
