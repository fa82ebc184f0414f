"""Reads the program of a picture as labels: a map of levels for each type, and boxes."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from restorekit.degrade._execute import Step, mask_weights
from restorekit.degrade._functions import STRUCTURES, check_cost

Painting = dict[str, Tensor]  # type -> levels (H, W), NaN where it was not applied
Box = list[int]

MAX_ELEMENTS = 1 << 29


class _Frame:
    """The clean size, in which labels are given, and the size that the picture has reached."""

    def __init__(self, clean: tuple[int, int], wanted: Collection[str] = ()) -> None:
        self.clean = clean
        self.size = clean
        self.wanted = wanted  # types to be painted; a recipe may hold any number of others

    def advance(self, step: Step, place: str) -> None:
        """Take note of a step that may resize."""
        try:
            self.size = check_cost(step["type"], step["level"], step.get("options", {}), self.size)
        except (ValueError, TypeError, ArithmeticError) as error:
            raise ValueError(f"{place}: {step['type']}: {error}") from error

    def box(self, box: Sequence[int], place: str) -> Box:
        """A box of the current size in pixels of the clean picture."""
        if box[2] > self.size[0] or box[3] > self.size[1]:
            raise ValueError(f"{place}: box {list(box)} lies outside the picture of size {self.size}")
        return [round(edge * self.clean[i % 2] / self.size[i % 2]) for i, edge in enumerate(box)]

    def weights(self, step: Step) -> Tensor:
        """Weights (K, H, W) of the layers of a mask at the clean size."""
        weights = mask_weights(step, *self.size)
        rows, columns = (
            torch.arange(clean, device="cpu") * now // clean for clean, now in zip(self.clean, self.size, strict=True)
        )
        return weights[:, rows][:, :, columns]


def names(steps: Sequence[Step]) -> set[str]:
    """Names of the functions in a program."""
    found: set[str] = set()
    for step in steps:
        parts = step["regions"] if step["type"] == "regions" else step["layers"] if step["type"] == "mask" else ()
        found |= {step["type"]} - {*STRUCTURES}
        found.update(*(names(part["steps"]) for part in parts))
    return found


def paint(picture: Mapping[str, Any], wanted: Collection[str]) -> Painting:
    """Levels of those of the types that occur in a picture's program, at the size of the clean picture."""
    height, width = picture["size"]
    return _paint(picture["steps"], _Frame((height, width), wanted), "recipe")


def _paint(steps: Sequence[Step], frame: _Frame, place: str) -> Painting:
    painting: Painting = {}
    for i, step in enumerate(steps):
        here = f"{place}, step {i}"
        for name, levels in _paint_step(step, frame, here).items():
            painting[name] = torch.where(levels.isnan(), painting.get(name, levels), levels)
    return painting


def _paint_step(step: Step, frame: _Frame, place: str) -> Painting:
    if step["type"] not in STRUCTURES:
        level = max(step["level"]) if isinstance(step["level"], (list, tuple)) else step["level"]
        frame.advance(step, place)
        wanted = step["type"] in frame.wanted
        return {step["type"]: torch.full(frame.clean, float(level), device="cpu")} if wanted else {}
    nothing = torch.full(frame.clean, torch.nan, device="cpu")
    painting: Painting = {}
    for part, weight in _parts(step, frame, place):
        one = _paint(part["steps"], frame, place)
        for name in {**painting, **one}:
            painting[name] = torch.where(weight > 0, one.get(name, nothing) * weight, painting.get(name, nothing))
    return painting


def _parts(step: Step, frame: _Frame, place: str) -> Iterator[tuple[Step, Tensor]]:
    """Parts of a structure and the weight of each, (H, W); 0 where it does not reach or is not the foremost."""
    if step["type"] == "mask":
        weights = frame.weights(step)
        owner = weights.argmax(0)
        for i, layer in enumerate(step["layers"]):
            yield layer, torch.where(owner == i, weights[i], 0)
        return
    for i, region in enumerate(step["regions"]):
        top, left, bottom, right = frame.box(region["box"], f"{place}, region {i}")
        weight = torch.zeros(frame.clean, device="cpu")
        weight[top:bottom, left:right] = 1
        yield region, weight


def check_maps(height: int, width: int, count: int) -> None:
    """Refuse maps that fill the memory, whatever size a recipe claims."""
    if height * width * count > MAX_ELEMENTS:
        raise ValueError(
            f"recipe: {count} maps of {height} x {width} have more than {MAX_ELEMENTS} elements; read fewer types or "
            "pictures at a time"
        )


def find_boxes(picture: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Boxes, types and levels of a picture's program."""
    height, width = picture["size"]
    check_maps(height, width, 1)
    return _find(picture["steps"], [0, 0, height, width], _Frame((height, width)), "recipe")


def _find(steps: Sequence[Step], limit: Box, frame: _Frame, place: str) -> list[dict[str, Any]]:
    plain: list[Step] = []
    inside: list[dict[str, Any]] = []
    for i, step in enumerate(steps):
        here = f"{place}, step {i}"
        if step["type"] not in STRUCTURES:
            plain.append(step)
            frame.advance(step, here)
            continue
        for part, weight in _parts(step, frame, here):
            box = _common(_around(weight), limit)
            if box is not None:
                inside += _find(part["steps"], box, frame, here)
    whole = {"box": limit, "types": [step["type"] for step in plain], "levels": [step["level"] for step in plain]}
    return [whole, *inside] if plain else inside


def _around(weight: Tensor) -> Box:
    """The smallest box that holds all of a part; without area if there is nothing."""
    rows, columns = ((weight > 0).any(axis).nonzero().flatten().tolist() for axis in (1, 0))
    return [rows[0], columns[0], rows[-1] + 1, columns[-1] + 1] if rows else [0, 0, 0, 0]


def _common(box: Box, limit: Box) -> Box | None:
    top, left = max(box[0], limit[0]), max(box[1], limit[1])
    bottom, right = min(box[2], limit[2]), min(box[3], limit[3])
    return [top, left, bottom, right] if top < bottom and left < right else None
