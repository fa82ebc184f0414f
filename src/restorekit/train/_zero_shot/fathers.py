"""What the network learns to restore: crops of the picture and of its own results, as they are, turned or warped."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from restorekit._random import seeded
from restorekit.train._zero_shot.rescaling import Rescaling
from restorekit.train._zero_shot.settings import ZeroShotSettings

ITEMS = 1 << 16  # more than the steps that a factor takes, so that none is drawn twice
_TAG = 11  # keeps these draws apart from the others that start from the same seed
_NEAR = 1e-6  # rounding of a drawn scale against that of a source

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Fathers:
    """Training pairs of one factor: (enlarged son, father), each (C, crop_size, crop_size).

    A pair depends on the seed, the number of the factor and its own index alone.

    Args:
        sources: Pictures (C, H, W) on the CPU: the given one and the results so far.
        scales: Scale of each, of its less enlarged axis.
        settings: How crops are drawn.
        rescaling: How a father becomes a son.
        seed: Seed of the run.
        number: Number of the factor, from 0.
    """

    sources: tuple[Tensor, ...]
    scales: tuple[float, ...]
    settings: ZeroShotSettings
    rescaling: Rescaling
    seed: int
    number: int

    def __len__(self) -> int:
        return ITEMS

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        generator = seeded(self.seed, _TAG, self.number, index)
        father = self.father(generator)[None]
        son = self.rescaling.son(father, self.settings.noise, generator)
        return self.rescaling.up(son, (father.shape[-2], father.shape[-1]))[0], father[0]

    def father(self, generator: torch.Generator) -> Tensor:
        """One crop, in [0, 1]."""
        draw = Draw.of(generator)
        affine = draw.kind >= self.settings.untouched + self.settings.turned
        untouched = draw.kind < self.settings.untouched
        low, high = self.settings.min_scale, self.scales[-1]
        scale = 1.0 if untouched else low + draw.scale * (high - low)
        source = pick_source(self.scales, scale)
        x = self.sources[source]
        if affine:
            matrix = draw.affine((x.shape[-2], x.shape[-1]), scale / self.scales[source], self.settings)
            return warp(x, matrix, self.settings.crop_size).clamp(0, 1)
        return cut(x, draw.turned((x.shape[-2], x.shape[-1]), self.settings, still=untouched), self.settings.crop_size)


def pick_source(scales: Sequence[float], scale: float) -> int:
    """The least of the sources that are at least as large as ``scale``, the first of equals."""
    fitting = [i for i, own in enumerate(scales) if own > scale - _NEAR]
    return min(fitting, key=lambda i: scales[i])


@dataclass(frozen=True)
class Draw:
    """All random numbers of a father: uniform ones, and those of a standard normal distribution."""

    kind: float
    scale: float
    shift: tuple[float, float]  # horizontal, vertical
    angle: float
    stretch: float
    mirror: float
    shear: tuple[float, float]

    @classmethod
    def of(cls, generator: torch.Generator) -> "Draw":
        """Drawn anew."""
        kind, scale, x, y, angle = torch.rand(5, dtype=torch.float64, generator=generator).tolist()
        stretch, mirror, along, across = torch.randn(4, dtype=torch.float64, generator=generator).tolist()
        return cls(kind, scale, (x, y), angle, stretch, mirror, (along, across))

    def affine(self, size: tuple[int, int], scale: float, settings: ZeroShotSettings) -> Matrix:
        """The map from points (x, y, 1) of a picture of ``size`` (H, W) to those of the crop."""
        centre, half = (size[1] / 2, size[0] / 2), self.stretch * settings.scale_spread / 2
        angle = 2 * math.pi * self.angle if settings.turn else 0.0
        x, y = (share * max(0.0, scale * n - settings.crop_size) for share, n in self._shares(size))
        shear = np.eye(3)
        shear[0, 1], shear[1, 0] = (settings.shear_spread * value for value in self.shear)
        stretched = np.diag([self._side(settings) * (scale + half), scale - half, 1.0])
        linear = shear @ rotation(math.cos(angle), math.sin(angle)) @ stretched
        return move(*centre) @ move(-x, -y) @ linear @ move(-centre[0], -centre[1])

    def turned(self, size: tuple[int, int], settings: ZeroShotSettings, *, still: bool) -> Matrix:
        """The same without interpolation: quarter turns and a mirror about a whole pixel, or neither."""
        turns = int(4 * self.angle) if settings.turn and not still else 0
        side = 1.0 if still else self._side(settings)
        centre = (round(size[1] / 2), round(size[0] / 2))
        x, y = (round(share * max(0, n - settings.crop_size)) for share, n in self._shares(size))
        linear = rotation((1, 0, -1, 0)[turns], (0, 1, 0, -1)[turns]) @ np.diag([side, 1.0, 1.0])
        return move(*centre) @ move(-x, -y) @ linear @ move(-centre[0], -centre[1])

    def _shares(self, size: tuple[int, int]) -> tuple[tuple[float, int], tuple[float, int]]:
        return (self.shift[0], size[1]), (self.shift[1], size[0])

    def _side(self, settings: ZeroShotSettings) -> float:
        return -1.0 if settings.turn and self.mirror < 0 else 1.0


def move(x: float, y: float) -> Matrix:
    """The map that moves points."""
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def rotation(cosine: float, sine: float) -> Matrix:
    """The map that turns points about the first one."""
    return np.array([[cosine, sine, 0.0], [-sine, cosine, 0.0], [0.0, 0.0, 1.0]])


def _sources_of(matrix: Matrix, side: int) -> Matrix:
    """Where each point of the crop comes from: (2, side, side), x and y."""
    y, x = np.mgrid[:side, :side]
    points: Matrix = np.linalg.inv(matrix) @ np.stack([x, y, np.ones_like(x)]).reshape(3, -1)
    return points[:2].reshape(2, side, side)


def warp(x: Tensor, matrix: Matrix, side: int) -> Tensor:
    """The picture (C, H, W) after an affine map of its points, sampled by a cubic kernel; black outside."""
    size = np.array([x.shape[-1], x.shape[-2]], dtype=np.float64)[:, None, None]
    grid = torch.from_numpy((2 * _sources_of(matrix, side) + 1) / size - 1).permute(1, 2, 0)
    out = F.grid_sample(x[None], grid[None].to(x), mode="bicubic", padding_mode="zeros", align_corners=False)
    return out[0]


def cut(x: Tensor, matrix: Matrix, side: int) -> Tensor:
    """The same where every point comes from a whole pixel: the pixels themselves."""
    columns, rows = torch.from_numpy(_sources_of(matrix, side).round().astype(np.int64))
    height, width = x.shape[-2:]
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    return torch.where(inside, x[:, rows.clamp(0, height - 1), columns.clamp(0, width - 1)], 0.0)
