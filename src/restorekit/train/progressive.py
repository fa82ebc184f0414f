"""Training by stages: a network that doubles the size learns first, then one of two such steps, and so on."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restorekit._check import check_integer, check_interval
from restorekit.image import resize
from restorekit.models import ProgressiveCARN
from restorekit.train._pair import Augment, pair
from restorekit.train.checkpoint import stage_path
from restorekit.train.fit import FitOptions, FitResult, fit
from restorekit.train.keyed import Pairs
from restorekit.train.schedule import Adaptive, Schedule
from restorekit.train.supervised import Loss, Step, supervised


@dataclass(frozen=True)
class ProgressiveStage:
    """How one stage is trained.

    Args:
        steps: Number of steps, at least 1.
        batch_size: Items per step over all processes together.
        schedule: Factor of all learning rates over the steps of the stage; that of the whole run if None.

    Raises:
        ValueError: If a number is below 1.

    Example:
        >>> ProgressiveStage(400_000, 2, schedule=lambda step: 0.1 ** (step // 100_000)).batch_size
        2
    """

    steps: int
    batch_size: int
    schedule: Schedule | Adaptive | None = None

    def __post_init__(self) -> None:
        check_integer(self.steps, "steps", 1)
        check_integer(self.batch_size, "batch_size", 1)


_PUBLISHED = (ProgressiveStage(150_000, 32), ProgressiveStage(200_000, 8), ProgressiveStage(300_000, 2))


def progressive(
    model: ProgressiveCARN,
    pairs: Pairs | Mapping[int, Pairs],
    *,
    stages: Sequence[ProgressiveStage] = _PUBLISHED,
    loss: Loss = F.l1_loss,
    augment: Augment | None = None,
    decay: float = 0.1,
    checkpoint: str | Path | None = None,
    **options: Unpack[FitOptions],
) -> tuple[FitResult, ...]:
    """Train a progressive CARN in place, stage after stage, by one `fit` for each.

    Stage k makes pictures 2^(k+1) times as large, and is compared with targets of that size. Its own part of the
    network and its output learn at the full rate, the part that came in j stages before and, from the second stage on,
    the entry (j = k) at ``decay^j`` times that. The outputs of other stages and the parts of later ones rest.

    The network is set back to its first stage, wherever it stands, with the weights that it has, and grows from there;
    at the end it works at its last one. With ``checkpoint`` each stage has a file of its own: "run.pt" stands for
    "run.stage0.pt", "run.stage1.pt" and so on. Called again with the same network or a fresh one, finished stages are
    read back, the stage that was stopped goes on, and the run ends with the same bits as one that was not stopped.
    Without ``checkpoint`` the run starts anew.

    Args:
        model: Network to train.
        pairs: A data set of pairs (lq, hq) at the scale of the finished network: for earlier stages hq is shrunk
            bicubically and clamped to [0, 1]. Or a mapping with a data set for each stage by its scale, such as
            ``{2: ..., 4: ..., 8: ...}``, each with targets of that size.
        stages: How each stage is trained, as many as the network has.
        loss: ``(prediction, target) -> scalar``, a mean over the batch.
        augment: ``(lq, hq, *, generator) -> (lq, hq)``, applied to the whole batch, with hq of the stage's size.
        decay: Factor of earlier parts' learning rates for each new stage, in [0, 1]; 0 freezes them.
        checkpoint: File name to make those of the stages from.
        **options: Options of `fit`, for all stages alike. The average of ``ema_decay`` starts anew with each stage.

    Returns:
        What `fit` returned for each stage. The last one's ``ema`` is the averaged finished network.

    Raises:
        TypeError: If ``model`` is no ``ProgressiveCARN``, ``stages`` hold something else, or an option is unknown.
        ValueError: If ``stages`` or the keys of ``pairs`` are not one for each stage, ``decay`` is out of range, or the
            checkpoints belong to other stages, and whatever `fit` raises.

    Example:
        >>> pairs = [(torch.zeros(3, 4, 4), torch.ones(3, 16, 16))] * 8
        >>> net, plan = ProgressiveCARN(4, channels=4, blocks=1, units=1), [ProgressiveStage(2, 4)] * 2
        >>> [result.steps for result in progressive(net, pairs, stages=plan, progress=False)]
        [2, 2]

    Source:
        Ahn's thesis, Algorithm 1 and section 3.4.1: stages, steps, batches of 32, 8 and 2, and the rates; pictures of
        48 x 48 px go in. The authors' code (NTIRE 2018, track 1) has 400,000 steps in the last stage, clips gradients
        to 10 and takes all rates times 0.1 after every 100,000 steps of a stage, from which earlier parts do not come
        back: ``clip_norm=10``, the schedule of the example of ``ProgressiveStage``, and ``decay=0.01``, as each earlier
        stage has one such fall. It keeps one Adam over all stages; here its moments start anew with each. It has
        targets of the data set's own smaller pictures, of 8 bits.
    """
    _check(model, stages)
    check_interval(decay, "decay", 0, 1)
    sets = _for_each_stage(pairs, len(stages))
    plain = supervised(loss=loss, augment=augment)
    model.restart()
    results = []
    for number, (stage, part) in enumerate(zip(stages, sets, strict=True)):
        if number > 0:
            model.grow()
        factor = 1 if isinstance(pairs, Mapping) else 2 ** (len(stages) - 1 - number)
        step = _first(_with_smaller_targets(plain, factor), stage_path(checkpoint, number + 1))
        with _only_in_use(model):
            result = fit(
                model,
                part,
                steps=stage.steps,
                batch_size=stage.batch_size,
                step=step,
                rate_factors=_rate_factors(model, decay),
                checkpoint=stage_path(checkpoint, number),
                **_with_schedule(options, stage),
            )
        results.append(result)
    return tuple(results)


def _check(model: ProgressiveCARN, stages: Sequence[ProgressiveStage]) -> None:
    if not isinstance(model, ProgressiveCARN):
        raise TypeError(f"model must be a models.ProgressiveCARN, got {type(model).__name__}")
    for stage in stages:
        if not isinstance(stage, ProgressiveStage):
            raise TypeError(f"stages must hold ProgressiveStage, got {type(stage).__name__}")
    if len(stages) != len(model.stages):
        raise ValueError(f"stages must be {len(model.stages)}, one for each of the network's, got {len(stages)}")


def _for_each_stage(pairs: Pairs | Mapping[int, Pairs], count: int) -> list[Pairs]:
    if not isinstance(pairs, Mapping):
        return [pairs] * count
    scales = [2 ** (number + 1) for number in range(count)]
    if set(pairs) != set(scales):
        raise ValueError(f"pairs must have a data set for each of the scales {scales}, got {list(pairs)}")
    return [pairs[scale] for scale in scales]


@contextmanager
def _only_in_use(model: ProgressiveCARN) -> Iterator[None]:
    """Neither let what the stage does not use learn, nor other processes wait for its gradients."""
    unused = set(model.unused_parameters())
    resting = [value for name, value in model.named_parameters() if name in unused and value.requires_grad]
    for parameter in resting:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in resting:
            parameter.requires_grad_()


def _rate_factors(model: ProgressiveCARN, decay: float) -> dict[str, float]:
    """Of the parts that came in before this stage, if any of their parameters train."""
    ages = {"entry.": model.stage} | {f"stages.{number}.": model.stage - number for number in range(model.stage)}
    names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    return {start: decay**age for start, age in ages.items() if age and any(name.startswith(start) for name in names)}


def _first(step: Step, later: Path | None) -> Step:
    """The step of a stage, which must not go on where the stage behind it has begun."""
    if later is None or not later.exists():
        return step

    def refuse(model: nn.Module, batch: Any, generator: torch.Generator) -> Tensor:
        raise ValueError(
            f"{later} goes on from a stage that ended earlier or whose file is gone: repeat the stages as they were, "
            "or give another checkpoint path"
        )

    return refuse


def _with_smaller_targets(plain: Step, factor: int) -> Step:
    if factor == 1:
        return plain

    def step(model: nn.Module, batch: Any, generator: torch.Generator) -> Tensor:
        lq, hq = pair(batch, None, generator)
        return plain(model, (lq, resize(hq, 1 / factor).clamp(0, 1)), generator)

    return step


def _with_schedule(options: FitOptions, stage: ProgressiveStage) -> FitOptions:
    return options if stage.schedule is None else {**options, "schedule": stage.schedule}
