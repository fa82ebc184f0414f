"""Blind degradation of the second order: blur, resizing, noise and JPEG, twice over, all drawn."""

import math
from dataclasses import dataclass
from typing import final

import torch

from restorekit._check import check_integer
from restorekit.degrade._law import Draw, Law
from restorekit.degrade.compose import Chain, OneOf, Sometimes
from restorekit.degrade.distortion import Composition, Distortion, Program

_KERNELS = ["area", "bilinear", "bicubic"]
_GREY = [True, True, False, False, False]  # with probability 0.4
_SIZES = [7, 9, 11, 13, 15, 17, 19, 21]


def blind_degradation(scale: int = 4) -> Composition:
    """Damage of unknown kind, as pictures suffer on their way through cameras, editors and networks.

    Twice in a row blur, resizing, noise and JPEG, then the final size with a sinc filter and JPEG in either order:

    | stage | first | second |
    |---|---|---|
    | blur | always | with probability 0.8 |
    | sigma of the blur in px | 0.2 to 3 | 0.2 to 1.5 |
    | resizing up / down / not | 0.2 / 0.7 / 0.1 | 0.3 / 0.4 / 0.3 |
    | factor | 0.15 to 1.5 of the picture | 0.3 to 1.2 of the final size |
    | Gaussian noise (probability 0.5), sigma of 255 | 1 to 30 | 1 to 25 |
    | otherwise Poisson noise, scale | 0.05 to 3 | 0.05 to 2.5 |
    | noise is grey | with probability 0.4 | with probability 0.4 |
    | JPEG quality | 30 to 95 | 30 to 95 |

    A blur has a kernel of 7 to 21 px and is, in this order, round or stretched Gaussian (0.405, 0.225), generalized
    Gaussian (0.108, 0.027), a plateau (0.108, 0.027), or a sinc (0.1). The last sinc filter has probability 0.8.

    Args:
        scale: How many times smaller the result is, at least 1.

    Returns:
        A composition. It takes pictures whose sides are multiples of ``scale`` and gives exactly H / scale, W / scale.

    Raises:
        TypeError: ``scale`` is not an integer.
        ValueError: ``scale`` is below 1; on use, a side is no multiple of ``scale``.

    Example:
        >>> blind_degradation(4)(torch.rand(2, 3, 64, 96)).shape
        torch.Size([2, 3, 16, 24])

    Source: Wang et al., "Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure Synthetic Data", ICCVW 2021
        (arXiv:2107.10833), with the numbers of the authors' options for x4. Different here: everything is drawn for
        each picture, where the authors draw the factor, the order and the kind of noise for the batch and mix batches
        in a pool; JPEG is the exact codec at a whole quality; Poisson noise of scale s has 256 / s^2 photons at white,
        which gives the variance of the authors' noise on a picture that uses all grey levels; results are clamped after
        each step instead of before JPEG only. The result is not rounded to 8 bits when the sinc filter comes last. The
        clean picture is not sharpened; do that before, if you want to train on sharpened targets.
    """
    check_integer(scale, "scale", 1)
    first = Chain(
        _blur(3.0),
        _Resize(scale, (0.2, 0.7, 0.1), (0.15, 1.5), of_result=False),
        _noise(30, 3.0),
        _jpeg(),
    )
    second = Chain(
        Sometimes(_blur(1.5), 0.8),
        _Resize(scale, (0.3, 0.4, 0.3), (0.3, 1.2), of_result=True),
        _noise(25, 2.5),
    )
    ending = Chain(
        _Resize(scale, (0.0, 0.0, 1.0), (1.0, 1.0), of_result=True),
        Sometimes(_sinc(_SIZES, math.pi / 3), 0.8),
    )
    return _Blind(scale, Chain(first, second, OneOf(Chain(ending, _jpeg()), Chain(_jpeg(), ending))))


def _blur(sigma: float) -> Composition:
    size: dict[str, Law] = {"kernel_size": _SIZES, "border": "reflect"}
    turned: dict[str, Law] = {**size, "angle": (-math.pi, math.pi)}
    pointed: dict[str, Law] = {"beta": _AboutOne(0.5, 4.0)}
    plateau: dict[str, Law] = {"beta": _AboutOne(1.0, 2.0), "plateau": True}
    pair = _Pair(0.2, sigma)
    return OneOf(
        Distortion("gaussian_blur", (0.2, sigma), options=size),
        Distortion("gaussian_blur", pair, options=turned),
        Distortion("generalized_blur", (0.2, sigma), options={**size, **pointed}),
        Distortion("generalized_blur", pair, options={**turned, **pointed}),
        Distortion("generalized_blur", (0.2, sigma), options={**size, **plateau}),
        Distortion("generalized_blur", pair, options={**turned, **plateau}),
        # A small kernel holds no low cutoff: 3 of the 8 sizes are below 13.
        _sinc(_SIZES[:3], math.pi / 3),
        _sinc(_SIZES[3:], math.pi / 5),
        weights=[0.405, 0.225, 0.108, 0.027, 0.108, 0.027, 0.0375, 0.0625],
    )


def _sinc(sizes: list[int], lowest: float) -> Distortion:
    return Distortion("sinc_blur", (lowest, math.pi), options={"kernel_size": sizes})


def _noise(sigma: float, scale: float) -> Composition:
    return OneOf(
        Distortion("gaussian_noise", (1 / 255, sigma / 255), options={"grey": _GREY}),
        Distortion("poisson_noise", _Photons(0.05, scale), options={"grey": _GREY}),
    )


def _jpeg() -> Distortion:
    return Distortion("jpeg", (30, 95), decimals=0)


def _uniform(low: float, high: float, generator: torch.Generator) -> float:
    return low + (high - low) * torch.rand((), dtype=torch.float64, generator=generator, device="cpu").item()


@dataclass(frozen=True)
class _Pair:
    """Two widths, each uniform."""

    low: float
    high: float

    def __call__(self, generator: torch.Generator) -> tuple[float, float]:
        return _uniform(self.low, self.high, generator), _uniform(self.low, self.high, generator)


@dataclass(frozen=True)
class _AboutOne:
    """Uniform below 1 or uniform above 1, equally likely."""

    low: float
    high: float

    def __call__(self, generator: torch.Generator) -> float:
        below = _uniform(0, 1, generator) < 0.5
        return _uniform(self.low, 1, generator) if below else _uniform(1, self.high, generator)


@dataclass(frozen=True)
class _Photons:
    """Photons at white for a uniform scale of the noise."""

    low: float
    high: float

    def __call__(self, generator: torch.Generator) -> float:
        return 256 / _uniform(self.low, self.high, generator) ** 2


@final
class _Resize(Composition):
    """Up, down or not by a uniform factor, of the picture as it is or of the size of the final result."""

    def __init__(
        self, scale: int, weights: tuple[float, float, float], factors: tuple[float, float], *, of_result: bool
    ) -> None:
        self.scale = scale
        self.weights = weights
        self.factors = factors
        self.of_result = of_result

    @property
    def types(self) -> tuple[str, ...]:
        return ("resample",)

    def _draw(self, draw: Draw) -> Program:
        up, down, _ = self.weights
        place, factor = draw.uniform(), 1.0
        if place < up:
            factor = draw.uniform(1, self.factors[1])
        elif place < up + down:
            factor = draw.uniform(self.factors[0], 1)
        reference = [side / self.scale for side in draw.origin] if self.of_result else draw.size
        height, width = (max(1, math.floor(side * factor)) for side in reference)
        level = max(0.01, math.sqrt(height * width / (draw.size[0] * draw.size[1])))  # the size is what counts
        draw.size = (height, width)
        options = {"kernel": draw.value(_KERNELS), "size": [height, width]}
        return [{"type": "resample", "level": level, "options": options}]

    def __repr__(self) -> str:
        return f"_Resize({self.scale}, {self.weights}, {self.factors}, of_result={self.of_result})"


@final
class _Blind(Composition):
    """The whole, which knows what sizes it takes."""

    def __init__(self, scale: int, part: Composition) -> None:
        self.scale = scale
        self.part = part

    def _parts(self) -> tuple[Composition, ...]:
        return (self.part,)

    def _draw(self, draw: Draw) -> Program:
        # The result is a share of what it starts from, also where it is only a part of a larger composition.
        draw.origin = draw.size
        if draw.size[0] % self.scale or draw.size[1] % self.scale:
            raise ValueError(f"both sides must be multiples of {self.scale}, got {draw.size}; crop the picture")
        return self.part._draw(draw)

    def __repr__(self) -> str:
        return f"blind_degradation({self.scale})"
