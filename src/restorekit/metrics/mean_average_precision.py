"""Average precision of detections."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, final, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from restorekit._check import check_integer, check_interval

Array = NDArray[Any]
Method = Literal["all-point", "11-point"]


@final
@dataclass(frozen=True, eq=False)
class AveragePrecision:
    """What ``mean_average_precision`` returns.

    Args:
        iou: The overlaps that a detection has to exceed.
        classes: The labels, rising.
        per_class: Average precision (overlaps, classes) in [0, 1], float64; NaN for a class without truths.

    Attributes:
        per_iou: Mean over the classes that have truths, (overlaps,): the mAP at each overlap.
        overall: Mean of ``per_iou``.

    Example:
        >>> result = AveragePrecision((0.5, 0.75), (1, 2), torch.tensor([[0.8, 0.4], [0.6, 0.2]]).double())
        >>> [round(value, 3) for value in (*result.per_iou.tolist(), result.overall)]
        [0.6, 0.4, 0.5]
    """

    iou: tuple[float, ...]
    classes: tuple[int, ...]
    per_class: Tensor

    @property
    def per_iou(self) -> Tensor:
        return self.per_class.nanmean(1)

    @property
    def overall(self) -> float:
        return self.per_iou.mean().item()


class _Found(NamedTuple):
    """The detections of one class in all pictures, in the order of their scores, and how many truths there are."""

    overlap: Array  # (D,) with the truth that it overlaps most
    truth: Array  # (D,) number of that truth
    truths: int


def mean_average_precision(
    predictions: Sequence[Mapping[str, Tensor]],
    targets: Sequence[Mapping[str, Tensor]],
    *,
    iou: Sequence[float] = (0.5, 0.75, 0.9),
    method: Method = "all-point",
    classes: Iterable[int] | None = None,
) -> AveragePrecision:
    """Mean average precision (mAP) of detections in a set of pictures, for one or more demanded overlaps.

    Per class, the detections of all pictures are taken in the order of falling score. Each belongs to the truth of its
    picture and class that it overlaps most. It is right if that intersection over union (IoU) is above ``iou`` and no
    detection before it was right about the same truth, otherwise wrong: a second box around one thing is wrong, even
    if another thing is near. The average precision is the area below the curve of precision over recall, made falling
    from its end.

    Args:
        predictions: One mapping per picture, in the form of torchvision's detectors: "boxes" (K, 4), "labels" (K,)
            integers and "scores" (K,) finite numbers. A picture without detections has boxes (0, 4).
        targets: One mapping per picture with "boxes" and "labels".
        iou: Overlaps in [0, 1) that have to be exceeded.
        method: "all-point" takes the whole area (VOC from 2010 on); "11-point" the mean of the largest precision at a
            recall of at least 0, 0.1, ..., 1 (VOC2007).
        classes: Labels to judge, others being left out; None: those that occur in ``targets``.

    Boxes hold two opposite corners in pixels, (left, top, right, bottom), the right and lower edges excluded, so that a
    box has the area ``(right - left) * (bottom - top)``; add 1 to the right and the bottom of VOC's own annotations.
    (top, left, bottom, right), as from ``degrade.boxes``, gives the same result if all boxes are so.

    Returns:
        Average precision per overlap and class, and means. A class without detections has 0; one without truths has
        NaN and is left out of the means, as in VOC; they are NaN where no class has truths. So detections of a class
        that no picture holds cost nothing.

    Raises:
        TypeError: A wrong type of container, tensor or label.
        ValueError: No pictures, or different numbers of them; a missing key; shapes that do not fit; a box whose right
            or lower edge comes before the other, or a target without area; a number that is not finite; no overlap or
            one out of range; an unknown ``method``; ``classes`` empty or with repetitions.

    Example:
        >>> truth = {"boxes": torch.tensor([[0.0, 0, 10, 10], [20, 0, 30, 10]]), "labels": torch.tensor([1, 1])}
        >>> found = {k: v[:1] for k, v in truth.items()} | {"scores": torch.tensor([0.8])}
        >>> mean_average_precision([found], [truth]).per_iou.tolist()
        [0.5, 0.5, 0.5]

    Source:
        Everingham et al., "The PASCAL visual object classes challenge", 2010. Ahn's thesis reports 0.5, 0.75 and 0.9
        over 8 classes and does not say which curve. Detections of equal score keep the order in which they were given;
        the recalls of "11-point" are compared as fractions, since 0.1 * 3 > 3 / 10 in floating point. COCO differs: it
        gives a detection the best truth that is left, takes an equal IoU for enough and 101 recalls.
    """
    overlaps = _check_options(iou, method)
    found, truths = _check_pictures(predictions, targets)
    labels = _labels(classes, truths)
    groups = [_match(found, truths, label) for label in labels]
    table = [[_average(group, overlap, method) for group in groups] for overlap in overlaps]
    per_class = torch.tensor(table, dtype=torch.float64).reshape(len(overlaps), len(labels))
    return AveragePrecision(overlaps, labels, per_class)


def _match(predictions: list[dict[str, Array]], targets: list[dict[str, Array]], label: int) -> _Found:
    """Give each detection of one class the truth that it overlaps most."""
    scores, overlaps, owners, total = [np.empty(0)], [np.empty(0)], [np.empty(0, np.int64)], 0
    for prediction, target in zip(predictions, targets, strict=True):
        chosen = prediction["labels"] == label
        boxes = target["boxes"][target["labels"] == label]
        table = _overlaps(prediction["boxes"][chosen], boxes)
        scores.append(prediction["scores"][chosen])
        overlaps.append(table.max(axis=1, initial=-1.0))
        owners.append(total + table.argmax(axis=1) if len(boxes) else np.zeros(len(table), np.int64))
        total += len(boxes)
    order = np.argsort(-np.concatenate(scores), kind="stable")
    return _Found(np.concatenate(overlaps)[order], np.concatenate(owners)[order], total)


def _overlaps(first: Array, second: Array) -> Array:
    """Intersection over union of boxes (K, 4) with boxes (L, 4), which have an area: (K, L)."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    common = (high - low).clip(min=0).prod(axis=-1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=-1) for boxes in (first, second)]
    ratio: Array = common / (areas[0][:, None] + areas[1] - common)
    return ratio


def _average(found: _Found, overlap: float, method: Method) -> float:
    if not found.truths:
        return math.nan
    hits = np.flatnonzero(found.overlap > overlap)
    right = np.zeros(len(found.overlap), np.int64)
    right[hits[np.unique(found.truth[hits], return_index=True)[1]]] = 1
    correct = right.cumsum()
    precision = correct / np.arange(1, len(right) + 1)
    falling = np.maximum.accumulate(precision[::-1])[::-1]
    if method == "all-point":
        return float(falling[right == 1].sum() / found.truths)
    places = [np.searchsorted(10 * correct, tenths * found.truths) for tenths in range(11)]
    return float(sum(falling[place] for place in places if place < len(falling)) / 11)


def _check_options(iou: Sequence[float], method: str) -> tuple[float, ...]:
    if not isinstance(iou, Sequence):
        raise TypeError(f"iou must be a sequence of numbers, such as (0.5,), got {iou!r}")
    if not iou:
        raise ValueError("iou must hold at least one number")
    for value in iou:
        check_interval(value, "iou", 0.0, 1.0)
        if value == 1:
            raise ValueError("iou must be below 1, which no box exceeds")
    if method not in get_args(Method):
        raise ValueError(f"method must be one of {', '.join(get_args(Method))}, got {method!r}")
    return tuple(float(value) for value in iou)


def _labels(classes: Iterable[int] | None, targets: list[dict[str, Array]]) -> tuple[int, ...]:
    if classes is None:
        return tuple(np.unique(np.concatenate([target["labels"] for target in targets])).tolist())
    labels = list(classes)
    for label in labels:
        check_integer(label, "classes", 0)
    if not labels or len(set(labels)) < len(labels):
        raise ValueError(f"classes must hold at least one label and each once, got {labels}")
    return tuple(sorted(labels))


def _check_pictures(
    predictions: Sequence[Mapping[str, Tensor]], targets: Sequence[Mapping[str, Tensor]]
) -> tuple[list[dict[str, Array]], list[dict[str, Array]]]:
    for name, value in {"predictions": predictions, "targets": targets}.items():
        if not isinstance(value, Sequence):
            raise TypeError(f"{name} must be a sequence with one mapping per picture, got {type(value).__name__}")
    if len(predictions) != len(targets) or not targets:
        raise ValueError(
            f"predictions and targets must be of the same pictures, at least one, got {len(predictions)} and "
            f"{len(targets)}"
        )
    found = [_arrays(one, f"predictions[{i}]", ("boxes", "labels", "scores")) for i, one in enumerate(predictions)]
    truths = [_arrays(one, f"targets[{i}]", ("boxes", "labels")) for i, one in enumerate(targets)]
    for i, one in enumerate(truths):
        if (one["boxes"][:, :2] == one["boxes"][:, 2:]).any():
            raise ValueError(
                f"targets[{i}] has a box without area; if its edges are included, add 1 to the right and lower ones"
            )
    return found, truths


def _arrays(picture: Mapping[str, Tensor], name: str, keys: tuple[str, ...]) -> dict[str, Array]:
    """The tensors of one picture as arrays, checked against each other."""
    if not isinstance(picture, Mapping):
        raise TypeError(f"{name} must be a mapping with {', '.join(keys)}, got {type(picture).__name__}")
    if missing := [key for key in keys if key not in picture]:
        raise ValueError(f"{name} must hold {', '.join(keys)}; {missing[0]!r} is missing")
    arrays = {key: _array(picture[key], f"{name}[{key!r}]", whole=key == "labels") for key in keys}
    boxes = arrays["boxes"]
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"{name}['boxes'] must have shape (K, 4), got {boxes.shape}")
    for key in keys[1:]:
        if arrays[key].shape != boxes.shape[:1]:
            raise ValueError(f"{name}[{key!r}] must have shape {boxes.shape[:1]}, one per box, got {arrays[key].shape}")
    if (boxes[:, 2:] < boxes[:, :2]).any():
        raise ValueError(f"{name} has a box whose right or lower edge comes before its left or upper one")
    return arrays


def _array(value: Tensor, name: str, *, whole: bool) -> Array:
    if not isinstance(value, Tensor) or value.dtype == torch.bool or value.is_complex():
        got = value.dtype if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(f"{name} must be a tensor of real numbers, got {got}")
    if whole and value.is_floating_point():
        raise TypeError(f"{name} must hold integers, got {value.dtype}")
    array: Array = value.detach().cpu().to(torch.int64 if whole else torch.float64).numpy()
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must hold finite numbers")
    return array
