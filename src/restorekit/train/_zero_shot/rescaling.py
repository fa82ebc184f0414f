"""How a picture gets smaller and larger: the way that the training assumes, by a factor for each axis."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from restorekit.image import filter2d, resize
from restorekit.train._zero_shot.settings import Factors

_ODD = 1e-3  # by how much the sum of a kernel may miss 1


@dataclass(frozen=True)
class Rescaling:
    """Shrinking by a kernel, or by the bicubic one where there is none, and bicubic enlargement by the same factors."""

    factors: Factors
    kernel: Tensor | None = None

    def down(self, x: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """Pictures (N, C, H, W) at the smaller scale; without a size, of ceil(H / vertical) and so on."""
        if self.kernel is None:
            return resize(x, tuple(1 / factor for factor in self.factors), size=size)
        if size is None:
            size = (math.ceil(x.shape[-2] / self.factors[0]), math.ceil(x.shape[-1] / self.factors[1]))
        out = filter2d(x, self.kernel.to(x.device), border="symmetric")
        for axis, factor, count in zip((-2, -1), self.factors, size, strict=True):
            places = np.linspace(0, x.shape[axis] - factor, count).round().astype(np.int64).clip(0)
            out = out.index_select(axis, torch.from_numpy(places).to(x.device))
        return out

    def up(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Pictures of a given size at the larger scale."""
        return resize(x, self.factors, size=size)

    def son(self, father: Tensor, noise: float, generator: torch.Generator) -> Tensor:
        """The shrunk version of a picture, with some noise, in [0, 1]."""
        out = self.down(father)
        if noise > 0:
            out = out + noise * torch.randn(out.shape, generator=generator).to(out)
        return out.clamp(0, 1)


def centred(kernel: Tensor, factors: Factors) -> Tensor:
    """The kernel on a grid of odd size, its centre of mass where the first output pixel's centre lies.

    That is (factor - 1) / 2 pixels behind the first input pixel. The kernel moves by splines, its sum stays 1.
    """
    taps = kernel.detach().double().cpu().numpy()
    taps = np.pad(taps, [(0, 1 - side % 2) for side in taps.shape])
    middle = (np.array(taps.shape) - 1) / 2 + (np.array(factors) - 1) / 2
    move = middle - np.array(ndimage.center_of_mass(taps))
    taps = np.pad(taps, math.ceil(np.abs(move).max()) + 1)
    moved = ndimage.shift(taps, move)
    return torch.from_numpy(moved / moved.sum()).float()


def rescalings(
    factors: Sequence[Factors], bases: Sequence[Factors], kernel: Tensor | Sequence[Tensor] | None
) -> list[Rescaling]:
    """One for each factor, relative to the picture that it starts from."""
    relative = [(f[0] / b[0], f[1] / b[1]) for f, b in zip(factors, bases, strict=True)]
    if kernel is None:
        return [Rescaling(own) for own in relative]
    kernels = [kernel] if isinstance(kernel, Tensor) else list(kernel)
    if len(kernels) != len(relative):
        raise ValueError(f"kernel must be given for each of the {len(relative)} factors, got {len(kernels)}")
    for one in kernels:
        _check_kernel(one)
    return [Rescaling(own, centred(one, own)) for own, one in zip(relative, kernels, strict=True)]


def _check_kernel(kernel: object) -> None:
    if not isinstance(kernel, Tensor) or not kernel.is_floating_point():
        raise TypeError(f"kernel must be a floating-point tensor (kh, kw), got {type(kernel).__name__}")
    if kernel.ndim != 2 or kernel.numel() == 0:
        raise ValueError(f"kernel must have 2 dimensions (kh, kw), got shape {tuple(kernel.shape)}")
    total = float(kernel.sum())
    if not abs(total - 1) <= _ODD:  # NaN among them
        raise ValueError(f"kernel must sum to 1, got {total:g}; divide it by its sum")
