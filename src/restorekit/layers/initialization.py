"""Initial weights by name: the distributions that the thesis compares."""

import math
from collections.abc import Callable

import torch
from torch import Generator, nn
from torch.nn.utils.parametrize import is_parametrized

from restorekit._check import check_generator
from restorekit.layers.sparse import SparseGroupConv2d

INITIALIZERS: dict[str, tuple[str, float]] = {
    "uniform": ("uniform", 1.0),
    "uniform-0.1": ("uniform", 0.1),
    "he-uniform": ("uniform", math.sqrt(6)),
    "he-uniform-0.1": ("uniform", 0.1 * math.sqrt(6)),
    "he-normal": ("normal", math.sqrt(2)),
    "he-normal-0.1": ("normal", 0.1 * math.sqrt(2)),
}
"""Name -> (distribution, gain): the range of U or the standard deviation of N is ``gain / sqrt(fan_in)``."""


def initialize(module: nn.Module, name: str = "uniform", *, generator: Generator | None = None) -> None:
    """Redraw every convolution of a network in place: weights by name, biases zero.

    Args:
        module: Network whose ``nn.Conv2d`` and ``SparseGroupConv2d`` weights are redrawn; a shared layer is drawn once.
        name: With F = fan-in = in_channels / groups * kernel area: "uniform" U(+-sqrt(1/F)), "he-uniform"
            U(+-sqrt(6/F)), "he-normal" N(0, 2/F); with the ending "-0.1" the range or deviation is a tenth.
        generator: Source of randomness on any device; torch's default for the device of the weights if None.

    Raises:
        ValueError: An unknown name; the message lists the known.

    Example:
        >>> initialize(conv := nn.Conv2d(4, 8, 3), "he-normal")
        >>> conv.bias.abs().max().item()
        0.0

    Source:
        Ahn's thesis, Table 2.3, where "uniform" is the best. The thesis writes c_in and calls it fan-in; the published
        code takes the fan-in with the kernel area, as here, and zero biases (PCARN).
    """
    if not isinstance(name, str) or name not in INITIALIZERS:
        raise ValueError(f"init must be one of {', '.join(INITIALIZERS)}, got {name!r}")
    check_generator(generator)
    distribution, gain = INITIALIZERS[name]
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | SparseGroupConv2d):
            spread = gain / math.sqrt(layer.weight[0].numel())
            draw: Callable[..., object] = nn.init.uniform_ if distribution == "uniform" else nn.init.normal_
            low = -spread if distribution == "uniform" else 0.0
            # One CPU generator gives one result on every device, so the draw happens where the generator lives.
            drawn = torch.empty_like(layer.weight, device=None if generator is None else generator.device)
            draw(drawn, low, spread, generator=generator)
            with torch.no_grad():
                if is_parametrized(layer, "weight"):  # its parts, such as length and direction, are worked out again
                    layer.weight = drawn
                else:
                    layer.weight.copy_(drawn)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
