"""IDR's training: a prior for each degradation first, then what all of them are made of."""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restorekit._check import check_integer, check_interval, check_pair
from restorekit.losses import SDAMLoss
from restorekit.models import IDR
from restorekit.models.idr import DEGRADATIONS, Analysis
from restorekit.train._pair import Augment, pair
from restorekit.train.checkpoint import stage_path
from restorekit.train.fit import FitOptions, FitResult, fit
from restorekit.train.keyed import Keyed, Pairs, lengths
from restorekit.train.schedule import Adaptive
from restorekit.train.supervised import Loss, Step

AttentionLoss = Callable[[Sequence[Tensor], Tensor, Tensor], Tensor]  # (images, lq, hq) -> scalar


def two_stage(
    model: IDR,
    pairs: Mapping[str, Pairs],
    *,
    steps: tuple[int, int],
    batch_size: int | None = None,
    loss: Loss = F.l1_loss,
    attention_loss: AttentionLoss | None = None,
    classification_weight: float = 0.01,
    label_smoothing: float = 0.1,
    augment: Augment | None = None,
    checkpoint: str | Path | None = None,
    **options: Unpack[FitOptions],
) -> tuple[FitResult, FitResult]:
    """Train IDR in place through both of its stages.

        stage 1   loss(restored, hq) + attention_loss(images, lq, hq) + classification_weight * cross-entropy
        stage 2   loss(restored, hq) + attention_loss(images, lq, hq)

    In stage 1 each batch holds one degradation, which the model is told and whose priors it learns. Then
    ``model.reformulate()`` takes the priors apart, and in stage 2 each batch holds one pair of each data set. The
    cross-entropy is summed over the modules for meta priors.

    Stopped at any point, the call goes on from the same ``checkpoint``, given a model built anew at stage 1, and ends
    with the same bits as a run that was not stopped. Each stage keeps a file: "run.pt" stands for "run.stage0.pt" and
    "run.stage1.pt". The second belongs to the priors that it was started with and to no others, as its directions
    depend on them to the sign.

    Args:
        model: Network at stage 1; it is at stage 2 afterwards.
        pairs: Data sets of pairs (lq, hq) of one size, by what damaged lq: "noise", "rain", "haze", "blur" or
            "low-light". What follows a slash tells several data sets of one degradation apart: "noise/15", "noise/50".
        steps: Steps of the first and of the second stage.
        batch_size: Pairs in a batch over all processes, a multiple of the number of data sets times processes times
            ``accumulate``; None takes one of each data set.
        loss: ``(prediction, target) -> scalar``, a mean over the batch.
        attention_loss: ``(images, lq, hq) -> scalar`` for what the degradation attention brings out; ``SDAMLoss()``,
            which compares with lq, if None. ``SDAMLoss("clean")`` is that of the authors' code.
        classification_weight: Weight of the cross-entropy, at least 0.
        label_smoothing: Share of a label that goes to the other degradations in equal parts, in [0, 1].
        augment: ``(lq, hq, *, generator) -> (lq, hq)`` for whole batches; sizes must stay.
        checkpoint: File to go on from, and to write; each stage puts its number into the name.
        **options: See `fit`. A schedule that is a function of the step counts through both stages, an adaptive one
            each stage by itself. ``measure`` gets the IDR, which must be told the degradation in stage 1.
            ``find_unused_parameters`` need not be given.

    Returns:
        The results of the stages.

    Raises:
        TypeError: ``model`` is no IDR, or ``pairs`` no data sets by name.
        ValueError: The model is at stage 2, a name is unknown, sizes differ, a setting is out of range, or the
            checkpoint belongs to another run.
        OSError: See `fit`; it raises FloatingPointError too.

    Example:
        >>> net = IDR(channels=8, blocks=(1, 1, 1, 1))
        >>> pairs = {name: [(torch.rand(3, 8, 8), torch.rand(3, 8, 8))] for name in ("noise/25", "blur")}
        >>> [run.steps for run in two_stage(net, pairs, steps=(2, 1), progress=False)], net.stage
        ([2, 1], 2)

    Source:
        Zhang et al., CVPR 2023 (IDR), its supplement and the authors' code: 220,000 and 260,000 steps of batches of 7
        from 7 data sets, Adam 1e-4 with ``cosine_restarts`` over both stages (preset "idr"). There, stage 1 goes
        through the data sets in equal numbers, here each step draws one; here, Adam's moments start anew with stage 2.
    """
    _check_model(model)
    size = _check_pairs(pairs, batch_size, options.get("accumulate", 1))
    _check_settings(steps, classification_weight, label_smoothing)
    attention_loss = SDAMLoss() if attention_loss is None else attention_loss
    compare = _Comparison(loss, attention_loss, classification_weight, label_smoothing)
    first = fit(
        analyst := _Analyst(model),
        cast("Mapping[int | str, Pairs]", pairs),
        steps=steps[0],
        batch_size=size,
        step=_of_one_kind(compare, augment),
        checkpoint=stage_path(checkpoint, 0),
        **_options(options, start=0, unused=True),  # the routes of other degradations
    )
    model.reformulate()
    analyst.config = {**model.config, "hub": _digest(model.hub)}
    second = fit(
        analyst,
        _OneOfEach(tuple(pairs.values())),
        steps=steps[1],
        batch_size=size // len(pairs),
        step=_of_all_kinds(compare, augment),
        checkpoint=stage_path(checkpoint, 1),
        **_options(options, start=steps[0], unused=False),
    )
    return _of_idr(first), _of_idr(second)


class _Analyst(nn.Module):
    """IDR as `fit` needs it: called for all that training supervises."""

    def __init__(self, model: IDR) -> None:
        super().__init__()
        self.model = model
        self.config = dict(model.config)  # what a checkpoint knows its run by

    def forward(self, x: Tensor, degradation: str | None = None) -> Analysis:
        return self.model.analyse(x, degradation=degradation)


class _OneOfEach:
    """Several data sets as one, whose items hold a pair from each; shorter ones begin again."""

    def __init__(self, parts: Sequence[Pairs]) -> None:
        self.parts = parts

    def __len__(self) -> int:
        return max(map(len, self.parts))

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        return tuple(part[index % len(part)] for part in self.parts)


class _Comparison:
    """The losses of a batch."""

    def __init__(self, loss: Loss, attention_loss: AttentionLoss, weight: float, smoothing: float) -> None:
        self.loss, self.attention_loss = loss, attention_loss
        self.weight, self.smoothing = weight, smoothing

    def restoration(self, found: Analysis, lq: Tensor, hq: Tensor) -> Tensor:
        check_pair(found.restored, hq)
        return self.loss(found.restored, hq) + self.attention_loss(found.images, lq, hq)

    def classification(self, found: Analysis, kind: str) -> Tensor:
        count = len(DEGRADATIONS)
        label = torch.full((count,), self.smoothing / (count - 1))
        label[list(DEGRADATIONS).index(kind)] = 1 - self.smoothing
        chances = torch.stack(found.probabilities)  # (modules, N, degradations)
        logs = chances.clamp_min(torch.finfo(chances.dtype).tiny).log()  # a chance may have been rounded to zero
        return -self.weight * (logs * label.to(chances)).sum(dim=2).mean(dim=1).sum()


def _of_one_kind(compare: _Comparison, augment: Augment | None) -> Step:
    def step(model: nn.Module, batch: Keyed, generator: torch.Generator) -> Tensor:
        kind = _kind(batch.key)
        lq, hq = pair(batch.batch, augment, generator)
        found = model(lq, degradation=kind)
        return compare.restoration(found, lq, hq) + compare.classification(found, kind)

    return step


def _of_all_kinds(compare: _Comparison, augment: Augment | None) -> Step:
    def step(model: nn.Module, batch: Sequence[Sequence[Tensor]], generator: torch.Generator) -> Tensor:
        # the pairs of an item stay together, so that the order does not depend on the number of processes
        mixed = [torch.stack(tuple(pictures), dim=1).flatten(0, 1) for pictures in zip(*batch, strict=True)]
        lq, hq = pair(mixed, augment, generator)
        return compare.restoration(model(lq), lq, hq)

    return step


def _kind(key: object) -> str:
    return str(key).partition("/")[0]


def _options(options: FitOptions, *, start: int, unused: bool) -> FitOptions:
    """The options of one stage, which begins at step ``start`` of the whole run."""
    own: FitOptions = {"find_unused_parameters": unused, **options}
    schedule, measure = options.get("schedule"), options.get("measure")
    if schedule is not None and not isinstance(schedule, Adaptive):
        own["schedule"] = lambda step: schedule(start + step)
    if measure is not None:
        own["measure"] = lambda analyst: measure(cast(_Analyst, analyst).model)
    return own


def _of_idr(result: FitResult) -> FitResult:
    return result if result.ema is None else replace(result, ema=cast(_Analyst, result.ema).model)


def _digest(hub: Tensor) -> str:
    return hashlib.sha256(hub.detach().cpu().double().numpy().tobytes()).hexdigest()[:16]


def _check_model(model: object) -> None:
    if not isinstance(model, IDR):
        raise TypeError(f"model must be an IDR, got {type(model).__name__}")
    if model.stage != 1:
        raise ValueError(
            "model must be at stage 1, got one at stage 2; build it anew: with the checkpoint of a run that was "
            "stopped, it goes on where that was"
        )


def _check_pairs(pairs: Mapping[str, Pairs], batch_size: int | None, accumulate: int) -> int:
    """Require data sets that suit each other, and return the batch size."""
    if not isinstance(pairs, Mapping):
        raise TypeError(f"pairs must be data sets by the name of a degradation, got {type(pairs).__name__}")
    lengths(cast("Mapping[int | str, Pairs]", pairs))
    for key in pairs:
        if _kind(key) not in DEGRADATIONS:
            known = ", ".join(DEGRADATIONS)
            raise ValueError(f"pairs must go by one of {known}, with a slash and more behind it or not, got {key!r}")
    _check_sizes(pairs)
    check_integer(accumulate, "accumulate", 1)
    unit = len(pairs) * int(os.environ.get("WORLD_SIZE", "1")) * accumulate
    size = unit if batch_size is None else batch_size
    check_integer(size, "batch_size", 1)
    if size % unit:
        raise ValueError(
            f"batch_size must be a multiple of {unit}, the number of data sets times processes times accumulate, "
            f"as batches of stage 2 hold as many of each, got {size}"
        )
    return size


def _check_sizes(pairs: Mapping[str, Pairs]) -> None:
    """Look at the first items now: batches that cannot be put together must not show after stage 1."""
    sizes = {key: [tuple(picture.shape) for picture in part[0]] for key, part in pairs.items()}
    key, expected = next(iter(sizes.items()))
    for other, found in sizes.items():
        if len(found) != 2 or found[0] != found[1] or found != expected:
            raise ValueError(
                f"pairs must hold (lq, hq) of one size in all data sets, got {expected} in {key!r} and {found} in "
                f"{other!r}; cut patches, as RandomCropPairs does"
            )


def _check_settings(steps: Sequence[int], classification_weight: float, label_smoothing: float) -> None:
    if not isinstance(steps, Sequence) or len(steps) != 2:
        raise ValueError(f"steps must be two numbers, of the first and of the second stage, got {steps!r}")
    for count in steps:
        check_integer(count, "steps", 1)
    check_interval(classification_weight, "classification_weight", 0.0, float("inf"))
    check_interval(label_smoothing, "label_smoothing", 0.0, 1.0)
