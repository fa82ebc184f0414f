"""Where each output sample of a resampled axis comes from, and with which weights, as MATLAB's ``imresize`` has it."""

import math
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Kernel = Literal["bicubic", "bilinear", "box", "lanczos2", "lanczos3", "nearest"]
Edge = Literal["reflect", "replicate"]
Like = Literal["matlab", "torch"]
Array = NDArray[np.float64]


def _cubic(a: float) -> Callable[[Array], Array]:
    def kernel(x: Array) -> Array:
        x = np.abs(x)
        near: Array = ((a + 2) * x - (a + 3)) * x * x + 1
        far: Array = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
        return np.where(x <= 1, near, np.where(x < 2, far, 0.0))

    return kernel


def _triangle(x: Array) -> Array:
    weights: Array = np.maximum(0.0, 1 - np.abs(x))
    return weights


def _box(x: Array) -> Array:
    return ((x >= -0.5) & (x < 0.5)).astype(np.float64)


def _lanczos(lobes: int) -> Callable[[Array], Array]:
    return lambda x: np.where(np.abs(x) < lobes, np.sinc(x) * np.sinc(x / lobes), 0.0)


KERNELS: dict[str, tuple[int, Callable[[Array], Array]]] = {  # name -> (support in samples, function)
    "bicubic": (4, _cubic(-0.5)),
    "bilinear": (2, _triangle),
    "box": (1, _box),
    "lanczos2": (4, _lanczos(2)),
    "lanczos3": (6, _lanczos(3)),
    "nearest": (1, _box),
}
_TORCH_CUBIC = (4, _cubic(-0.75))  # torch's cubic differs without antialiasing only


class Taps(NamedTuple):
    """One axis: output i is ``sum_k weights[i, k] * x[source[i, k]]``."""

    first: NDArray[np.int64]  # (outputs,) the leftmost source, which may lie outside the picture
    source: NDArray[np.int64]  # (outputs, taps) folded into the picture
    weights: Array  # (outputs, taps), rows sum to one


def fold(index: NDArray[np.int64], length: int, edge: Edge) -> NDArray[np.int64]:
    if edge == "replicate":
        return index.clip(0, length - 1)
    index = index % (2 * length)  # mirrored with the edge pixel repeated, as often as needed
    return np.where(index < length, index, 2 * length - 1 - index)


@lru_cache(maxsize=64)
def make_taps(
    length: int, outputs: int, scale: Fraction, kernel: Kernel, antialias: bool, edge: Edge, like: Like
) -> Taps:
    width, function = KERNELS[kernel]
    if like == "torch" and kernel == "bicubic" and not antialias:
        width, function = _TORCH_CUBIC
    p, q = scale.numerator, scale.denominator
    stretched = antialias and kernel != "nearest" and p < q
    # Output centre ((i + 1/2) / scale - 1/2) as whole part and remainder: exact integers keep every period identical.
    numerator = (2 * np.arange(outputs, dtype=np.int64) + 1) * q - p
    whole, rest = np.divmod(numerator, 2 * p)
    reach = math.ceil(width * q / p / 2 if stretched else width / 2) + 1
    offsets = np.arange(-reach, reach + 1)
    # Distance from the centre in kernel units, rounded once: a sample on the edge of a box must not fall on both sides.
    weights = function((rest[:, None] - 2 * p * offsets) / (2 * (q if stretched else p)))
    used = np.flatnonzero(weights.any(axis=0))
    offsets, weights = offsets[used[0] : used[-1] + 1], weights[:, used[0] : used[-1] + 1]
    index = whole[:, None] + offsets
    if like == "torch" and antialias and kernel != "nearest":  # torch and Pillow cut the window at the border
        weights = np.where((index >= 0) & (index < length), weights, 0.0)
    weights = weights / weights.sum(axis=1, keepdims=True)
    return Taps(whole + offsets[0], fold(index, length, "replicate" if like == "torch" else edge), weights)
