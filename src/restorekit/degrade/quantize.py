"""Fewer grey levels."""

import torch
from torch import Tensor

from restorekit._check import check_batch
from restorekit.degrade._level import finished, per_picture

# In bins. Less than the 1/256 that lies between an 8-bit tone and the next threshold, more than float32 rounds k/255.
_SLACK = 2.0**-12


def quantize(x: Tensor, level: int | Tensor) -> Tensor:
    """Keep ``level`` grey levels: on the 8-bit scale thresholds every 256 / level, each tone down to the one below it.

    Args:
        x: Pictures (N, C, H, W) in [0, 1]; what lies outside falls to the first or last level. bfloat16 is too coarse
            to hold every 8-bit tone on its side of a threshold.
        level: Number of grey levels, whole, in [2, 256]; a number or one for each picture (N,). 256 leaves 8-bit
            pictures as they are.

    Returns:
        Pictures (N, C, H, W) of the dtype of ``x``, with the tones ``k * 256 / level / 255`` for k from 0 to
        ``level - 1``: white becomes darker. Not differentiable; the result has no graph.

    Raises:
        TypeError: ``x`` is not a floating-point tensor, or ``level`` no number.
        ValueError: ``level`` is not whole, outside its range or has the wrong length.

    Example:
        >>> (quantize(torch.tensor([[[[0.0, 0.4, 0.6, 1.0]]]]), 4) * 255).round().int().tolist()
        [[[[0, 64, 128, 192]]]]

    Source: Ahn's thesis, section 6.2, names the distortion without levels; the author's public generator has this law
        and lists 12, 10, 8, 6, 4.
    """
    check_batch(x)
    levels = per_picture(level, "level", x, 2, 256, unit="grey levels").detach()
    # A level that lives on another device is not read, as everywhere.
    on_cpu = not isinstance(level, Tensor) or level.device.type == "cpu"
    if on_cpu and bool((levels != levels.round()).any()):
        raise ValueError(f"level must be a whole number of grey levels in [2, 256], got {level}")
    with torch.no_grad():
        position = x.to(levels.dtype) * 255 * levels / 256
        rounding = (
            torch.finfo(x.dtype).eps / 2
        )  # of float16 and bfloat16, which may have put a tone below its threshold
        tone = (position + position * rounding + _SLACK).floor().clamp(min=0).minimum(levels - 1)
        return finished(tone * 256 / levels / 255, x, clip=False)
