"""Bicubic enlargement as a part of a network: the values of ``image.resize``, in operations that export."""

from typing import final

import torch
from torch import Tensor, nn

from restorekit._check import check_batch, check_integer

_REACH = 2  # the cubic kernel ends 2 px from the output's place


@final
class BicubicUpsampler(nn.Module):
    """Enlarge pictures by a whole factor with the cubic kernel (a = -0.5), as ``image.resize(x, scale)`` does.

        out[q * scale + r] = sum_k cubic((r + 1/2) / scale - 1/2 - k) * x[q + k],   k = -2 ... 2, rows, then columns

    Beyond the border the picture is mirrored with its edge pixel repeated. There are no parameters and no convolution.
    Halves are computed in float32, also under autocast. Exported graphs take pictures of any height and width.

    Args:
        scale: Factor of at least 1; 1 returns the picture itself.

    Raises:
        TypeError: ``scale`` is no integer.
        ValueError: ``scale`` below 1.

    Example:
        >>> BicubicUpsampler(3)(torch.rand(1, 3, 5, 7)).shape
        torch.Size([1, 3, 15, 21])

    Source:
        Keys, IEEE TASSP 1981 (cubic convolution), with the conventions of MATLAB's ``imresize``.
    """

    def __init__(self, scale: int) -> None:
        super().__init__()
        check_integer(scale, "scale", 1)
        self.scale = scale
        # Of each of the `scale` outputs that a pixel becomes: the places in the padded axis, and their weights.
        self.phases = [_taps((phase + 0.5) / scale - 0.5) for phase in range(scale)]

    def forward(self, x: Tensor) -> Tensor:
        """Map pictures (N, C, H, W) to (N, C, scale * H, scale * W), of the same dtype."""
        check_batch(x)
        if self.scale == 1:
            return x
        compute = x if x.dtype in {torch.float32, torch.float64} else x.float()
        return self._enlarge(self._enlarge(compute, 2), 3).to(x.dtype)

    def _enlarge(self, x: Tensor, axis: int) -> Tensor:
        length = x.shape[axis]
        padded = _mirror(x, axis)
        outputs = []
        for (first, scaled), *others in self.phases:
            out = padded.narrow(axis, first, length) * scaled
            for place, weight in others:
                out = out.add(padded.narrow(axis, place, length), alpha=weight)
            outputs.append(out)
        return torch.stack(outputs, dim=axis + 1).flatten(axis, axis + 1)

    def extra_repr(self) -> str:
        return f"scale={self.scale}"


def _taps(position: float) -> list[tuple[int, float]]:
    """Places and weights of the samples that an output at ``position`` (in samples) is made of."""
    taps = [(place, _cubic(position - (place - _REACH))) for place in range(2 * _REACH + 1)]
    return [(place, weight) for place, weight in taps if weight != 0]


def _cubic(distance: float) -> float:
    x = abs(distance)
    if x <= 1:
        return (1.5 * x - 2.5) * x * x + 1
    return ((-0.5 * x + 2.5) * x - 4) * x + 2 if x < _REACH else 0.0


def _mirror(x: Tensor, axis: int) -> Tensor:
    """Two mirrored samples at each end; by index, because padding modes refuse axes shorter than the padding."""
    length = x.shape[axis]
    index = torch.arange(-_REACH, length + _REACH, device=x.device)
    index = torch.where(index < 0, -1 - index, index)
    index = torch.minimum(index, 2 * length - 1 - index).clamp(min=0)  # a single sample is its own mirror image
    return x.index_select(axis, index)
