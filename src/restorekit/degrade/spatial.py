"""Different damage in different parts of a picture: divided by cut lines, by boxes, or by a smooth mask."""

import math
from abc import ABC, abstractmethod
from itertools import pairwise
from statistics import NormalDist
from typing import Any, Literal, TypeVar, final, get_args

import numpy as np
from numpy.typing import NDArray

from restorekit._check import check_integer, check_interval
from restorekit.degrade._law import MAX_LAYERS, Draw
from restorekit.degrade.distortion import Composition, Program, check_parts

Orientation = Literal["random", "horizontal", "vertical", "blocks"]
Box = list[int]
_Number = TypeVar("_Number", int, float)

_TRIES = 200  # candidates for one box
_RESTARTS = 500  # attempts at a picture: four boxes of 0.3 to 0.7 succeed in about 1 of 25


class Division(ABC):
    """A law by which a picture is divided."""

    @abstractmethod
    def _divide(self, draw: Draw) -> dict[str, Any]:
        """A step whose "regions" or "layers" have no steps yet."""


@final
class Spatial(Composition):
    """Divide each picture and distort each region with its own draw of a part.

    Every distortion is computed on the whole picture and then copied into its region, so that nothing happens at the
    edges of the regions but the change of distortion.

    Args:
        part: What is drawn anew for each region; it must keep the size of the picture.
        division: ``Cuts``, ``Boxes`` or ``SmoothMask``.

    Raises:
        TypeError: ``part`` is no composition or ``division`` no division.

    Example:
        >>> import torch
        >>> from restorekit.degrade import Distortion
        >>> patchy = Spatial(Distortion("gaussian_noise", (0.0, 0.2)), Boxes((1, 3), (0.2, 0.4)))
        >>> patchy(torch.rand(1, 3, 32, 48)).shape
        torch.Size([1, 3, 32, 48])
    """

    def __init__(self, part: Composition, division: Division) -> None:
        check_parts((part,), "Spatial")
        if not isinstance(division, Division):
            raise TypeError(f"division must be Cuts, Boxes or SmoothMask, got {division!r}")
        self.part = part
        self.division = division

    def _parts(self) -> tuple[Composition, ...]:
        return (self.part,)

    def _draw(self, draw: Draw) -> Program:
        step = self.division._divide(draw)
        size = draw.size
        for region in step["regions"] if step["type"] == "regions" else step["layers"]:
            region["steps"] = self.part._draw(draw)
            if draw.size != size:
                raise ValueError(f"the part of Spatial must keep the size {size}, got {draw.size} from {self.part!r}")
        return [step]

    def __repr__(self) -> str:
        return f"Spatial({self.part!r}, {self.division!r})"


@final
class Cuts(Division):
    """Strips across the picture, or a grid of blocks; together they cover it.

    For n strips of a side L, the lengths of n - 1 are drawn from a normal law of mean L / n and standard deviation
    3 n px, cut off at 30 % of the mean either way, rounded down and sorted; the last strip takes the rest.

    Args:
        blocks: Number of strips, or of blocks along each side.
        orientation: "horizontal" (strips lie on top of each other), "vertical", "random" (one of these two for each
            picture), or "blocks" (both at once: ``blocks`` squared regions).

    Raises:
        TypeError: ``blocks`` is not an integer.
        ValueError: ``blocks`` is below 1 or ``orientation`` unknown; on use, the picture has fewer pixels than blocks.

    Example:
        >>> Cuts(3, orientation="vertical")
        Cuts(3, orientation='vertical')

    Source: the generator of distorted pictures published by the author of the thesis (2017). A draw whose last strip
        would be empty, possible from 5 strips or on a side of a few pixels, is drawn again; that is ours.
    """

    def __init__(self, blocks: int, *, orientation: Orientation = "random") -> None:
        check_integer(blocks, "blocks", 1)
        if orientation not in get_args(Orientation):
            raise ValueError(f"orientation must be one of {', '.join(get_args(Orientation))}, got {orientation!r}")
        self.blocks = blocks
        self.orientation = orientation

    def _divide(self, draw: Draw) -> dict[str, Any]:
        height, width = draw.size
        orientation = self.orientation
        if orientation == "random":
            orientation = ("horizontal", "vertical")[draw.integer(0, 1)]
        rows = [0, height] if orientation == "vertical" else self._edges(height, draw)
        columns = [0, width] if orientation == "horizontal" else self._edges(width, draw)
        boxes = [[top, left, bottom, right] for top, bottom in pairwise(rows) for left, right in pairwise(columns)]
        return {"type": "regions", "regions": [{"box": box} for box in boxes]}

    def _edges(self, length: int, draw: Draw) -> list[int]:
        """Where the strips of a side begin, and its end."""
        count = self.blocks
        if length < count:
            raise ValueError(f"{count} blocks do not fit a side of {length} px; use fewer blocks or a larger picture")
        for _ in range(_RESTARTS):
            lengths = sorted(math.floor(_strip(length / count, 3 * count, draw)) for _ in range(count - 1))
            if all(lengths) and sum(lengths) < length:
                break
        else:
            lengths = [length // count] * (count - 1)
        edges = [0]
        for strip in lengths:
            edges.append(edges[-1] + strip)
        return [*edges, length]

    def __repr__(self) -> str:
        return f"Cuts({self.blocks}, orientation={self.orientation!r})"


def _strip(mean: float, deviation: float, draw: Draw) -> float:
    """A normal law cut off at 30 % of its mean, by its inverse distribution."""
    law = NormalDist(mean, deviation)
    level = draw.uniform(law.cdf(0.7 * mean), law.cdf(1.3 * mean))
    return min(max(law.inv_cdf(level), 0.7 * mean), 1.3 * mean)


@final
class Boxes(Division):
    """Boxes anywhere in the picture; what lies outside stays clean.

    Args:
        count: Number of boxes, or a pair: a whole number between them, both included.
        side: Share of the picture that a box takes along each axis, or a pair: drawn uniformly for each axis.
        overlap: Whether boxes may overlap, later ones on top. If not, a box that would overlap is drawn again, its size
            as well, so that crowded pictures have smaller boxes on average.
        measure: What ``side`` is a share of: the "side" of the picture, or its "area", which gives boxes of the shape
            of the picture.

    Raises:
        TypeError: An argument is not what its name says.
        ValueError: A number is outside its range; on use, the boxes do not fit the picture without overlap.

    Example:
        >>> Boxes((1, 4), (0.3, 0.7))
        Boxes((1, 4), (0.3, 0.7), overlap=False, measure='side')

    Source: Ahn's thesis, section 6.3, which leaves the law open. It reports mean sizes of 0.43 for (1, 4) boxes of
        (0.3, 0.7) and 0.18 for (5, 9) of (0.1, 0.3); sides drawn for each axis and again on overlap give 0.42 and 0.19.
    """

    def __init__(
        self,
        count: int | tuple[int, int] = (1, 4),
        side: float | tuple[float, float] = (0.3, 0.7),
        *,
        overlap: bool = False,
        measure: Literal["side", "area"] = "side",
    ) -> None:
        low, high = _pair(count, "count")
        check_integer(low, "count", 1)
        check_integer(high, "high end of count", low)
        small, large = _pair(side, "side")
        check_interval(large, "side", 0, 1)
        check_interval(small, "low end of side", 0, large)
        if measure not in {"side", "area"}:
            raise ValueError(f'measure must be "side" or "area", got {measure!r}')
        self.count = count
        self.side = side
        self.overlap = overlap
        self.measure = measure

    def _divide(self, draw: Draw) -> dict[str, Any]:
        low, high = _pair(self.count, "count")
        count = low if low == high else draw.integer(low, high)
        for _ in range(_RESTARTS):
            boxes = self._place(count, draw)
            if len(boxes) == count:
                return {"type": "regions", "regions": [{"box": box} for box in boxes]}
        raise ValueError(
            f"{count} boxes of {self.side} of the {self.measure} do not fit a picture of size {draw.size} without "
            "overlap; use fewer or smaller boxes, or overlap=True"
        )

    def _place(self, count: int, draw: Draw) -> list[Box]:
        """Boxes one by one, each the first of its candidates that is free; fewer than ``count`` if none is."""
        boxes: list[Box] = []
        for _ in range(count):
            candidates = self._candidates(draw)
            free = np.ones(len(candidates), dtype=bool)
            if not self.overlap:
                for box in boxes:
                    free &= ~_overlap(candidates, box)
            if not free.any():
                break
            boxes.append(candidates[int(free.argmax())].tolist())
        return boxes

    def _candidates(self, draw: Draw) -> NDArray[np.int64]:
        """Boxes drawn without a look at others, (tries, 4)."""
        small, large = _pair(self.side, "side")
        table = draw.uniforms(1 if self.overlap else _TRIES, 4)
        share = small + (large - small) * table[:, :2]
        if self.measure == "area":
            share = np.sqrt(share[:, :1].repeat(2, 1))
        sides = np.array(draw.size)
        lengths = np.maximum(1, np.rint(share * sides)).astype(np.int64)
        starts = np.floor(table[:, 2:] * (sides - lengths + 1)).astype(np.int64)
        return np.concatenate([starts, starts + lengths], 1)

    def __repr__(self) -> str:
        return f"Boxes({self.count}, {self.side}, overlap={self.overlap}, measure={self.measure!r})"


def _pair(value: _Number | tuple[_Number, _Number], name: str) -> tuple[_Number, _Number]:
    """Both ends of a number or a pair (low, high)."""
    if not isinstance(value, tuple):
        return value, value
    if len(value) != 2:
        raise ValueError(f"{name} must be a number or a pair (low, high), got {value!r}")
    return value


def _overlap(boxes: NDArray[np.int64], other: Box) -> NDArray[np.bool_]:
    """Which of the boxes (B, 4) share a pixel with another."""
    top, left, bottom, right = other
    rows = (boxes[:, 0] < bottom) & (top < boxes[:, 2])
    columns = (boxes[:, 1] < right) & (left < boxes[:, 3])
    return rows & columns


@final
class SmoothMask(Division):
    """Layers over the whole picture that blend into each other: no edges between the distortions.

    Each pixel is a mean of the layers, whose weights change smoothly from place to place.

    Args:
        layers: Number of differently distorted pictures, in [2, 64].
        smoothness: Distance over which the weights change, as a share of the shorter side, in [0.01, 10].

    Raises:
        TypeError: An argument is not a number.
        ValueError: A number is outside its range.

    Example:
        >>> SmoothMask(3, smoothness=0.25)
        SmoothMask(3, smoothness=0.25)

    Source: no paper; the counterpart without edges of the divisions of Ahn's thesis, sections 6.3 and 7.3.
    """

    def __init__(self, layers: int = 2, *, smoothness: float = 0.5) -> None:
        check_integer(layers, "layers", 2)
        check_interval(layers, "layers", 2, MAX_LAYERS)
        check_interval(smoothness, "smoothness", 0.01, 10)
        self.layers = layers
        self.smoothness = smoothness

    def _divide(self, draw: Draw) -> dict[str, Any]:
        layers: list[dict[str, Any]] = [{} for _ in range(self.layers)]
        return {"type": "mask", "seed": draw.seed(), "smoothness": self.smoothness, "layers": layers}

    def __repr__(self) -> str:
        return f"SmoothMask({self.layers}, smoothness={self.smoothness})"
