"""One training loop for every recipe: a recipe is the step that it passes in."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, cast

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from restorekit._check import check_integer
from restorekit._random import seeded
from restorekit.train._launch import launched
from restorekit.train._learner import check_factors, initial_state, lay_out_moments, learners
from restorekit.train.checkpoint import Checkpoints, State
from restorekit.train.interrupt import Interrupt, ignore_interrupt
from restorekit.train.keyed import Joined, Key, Pairs, collate, lengths
from restorekit.train.loop import Loop
from restorekit.train.order import Order
from restorekit.train.plan import Measure, Plan
from restorekit.train.schedule import Adaptive, Schedule, constant
from restorekit.train.supervised import Step, supervised
from restorekit.train.turns import Turns

if TYPE_CHECKING:
    from accelerate import Accelerator

_WORKER_TAG = 3  # keeps these draws apart from the others that start from the same seed


class FitOptions(TypedDict, total=False):
    """The options of `fit` that recipes hand on to it."""

    learning_rate: float
    schedule: Schedule | Adaptive
    betas: tuple[float, float]
    weight_decay: float
    clip_norm: float | None
    accumulate: int
    ema_decay: float | None
    measure: Measure | None
    measure_every: int
    mixed_precision: Literal["bf16"] | None
    channels_last: bool
    find_unused_parameters: bool
    checkpoint_every: int
    seed: int
    workers: int
    progress: bool


@dataclass(frozen=True)
class FitResult:
    """What a run leaves besides the trained model.

    Args:
        losses: Loss of every step from the first one on, those before a resumption included.
        ema: The averaged model in evaluation mode, on the trained model's device; None without ``ema_decay``.
        measured: What ``measure`` returned, after the steps 0, ``measure_every``, 2 ``measure_every``, ...
        partner_losses: The losses of the networks that learned beside the model, by name.

    Example:
        >>> FitResult(losses=(0.2, 0.1), ema=None).steps
        2
    """

    losses: tuple[float, ...]
    ema: nn.Module | None
    measured: tuple[float, ...] = ()
    partner_losses: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """Number of steps done."""
        return len(self.losses)


def fit(
    model: nn.Module,
    pairs: Pairs | Mapping[Key, Pairs],
    *,
    steps: int,
    batch_size: int = 16,
    step: Step | Turns | None = None,
    learning_rate: float = 1e-4,
    schedule: Schedule | Adaptive = constant,
    rate_factors: Mapping[str, float] | None = None,
    betas: tuple[float, float] = (0.9, 0.999),
    weight_decay: float = 0.0,
    clip_norm: float | None = None,
    accumulate: int = 1,
    ema_decay: float | None = None,
    measure: Measure | None = None,
    measure_every: int = 1000,
    mixed_precision: Literal["bf16"] | None = None,
    channels_last: bool = True,
    find_unused_parameters: bool = False,
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 1000,
    seed: int = 0,
    workers: int = 0,
    progress: bool = True,
) -> FitResult:
    """Train ``model`` in place with Adam.

    Everything random is a function of ``seed`` and the number of the step: the order of the items, the generator that
    the step gets, and torch's own generators while the step runs, which are put back afterwards. So two runs agree, and
    a run that was stopped and called again with the same ``checkpoint`` ends with the same bits as one that was not.

    The same script runs under ``accelerate launch --multi_gpu`` (with ``ACCELERATE_USE_CPU=1`` in the environment where
    there are no GPUs): each process takes its part of every batch, and the first one writes the checkpoint. The model
    trains where accelerate says (the first GPU, else the CPU) and comes back to its own device and mode, without
    gradients, after an error too.

    Ctrl-C and SIGTERM let the step end, write the checkpoint and raise ``KeyboardInterrupt`` or ``SystemExit(143)``; a
    second one acts at once.

    Args:
        model: Network to train; parameters without ``requires_grad`` stay as they are.
        pairs: Data set with a length, as a rule of ``(lq, hq)``; item ``i`` must depend on ``i`` alone. Or several of
            them by key, a scale or a name: each step draws one, and gets its batch as ``Keyed``.
        steps: Number of steps in all, at least 1; those in the checkpoint count.
        batch_size: Items per step over all processes together, a multiple of their number times ``accumulate``.
        step: ``(model, batch, generator) -> loss``; `supervised()` by default. Its ``model`` is a wrapper that is
            called like the model but does not have its attributes; its ``generator`` is the same in every process.
            Or ``Turns``, where other networks learn beside the model.
        learning_rate: Adam's learning rate, positive.
        schedule: Factor of the learning rate as a function of the step, from 0; or ``Adaptive``, which looks at what
            was measured, and may end the run early.
        rate_factors: Factor of the learning rate for the parameters whose name starts with a text, such as
            ``{"entry.": 0.1}``; of several, the longest start counts.
        betas: Adam's decays.
        weight_decay: Share of the weights that is added to their gradients, at least 0.
        clip_norm: Largest norm of the model's whole gradient; a longer one is shortened to it.
        accumulate: Parts in which each batch is taken, one after the other: the gradient is the mean over them, and
            only one part's features are held. Pictures are augmented and mixed inside a part.
        ema_decay: Decay of the averaged model, in [0, 1]; None makes none.
        measure: ``(model) -> number``, asked now and then about the averaged model if there is one, else the model, in
            evaluation mode: PSNR on pictures that are kept out, say.
        measure_every: Steps between two measurements; the first one follows the first step.
        mixed_precision: ``"bf16"`` runs the model under bfloat16 autocast, with float32 weights and results.
        channels_last: Hand pictures to the model in the layout that convolutions run faster in. The weights keep
            theirs, and predictions come back contiguous. A model that uses ``view`` on its pictures needs False.
        find_unused_parameters: Needed with several processes if steps leave out parameters, such as other heads.
        checkpoint: File to go on from if it exists, and to write; several machines must share it.
        checkpoint_every: Steps between two checkpoints; the last step always writes one.
        seed: Seed of the run, at least 0.
        workers: Processes that read the items.
        progress: Whether to show a bar with loss and learning rate.

    Returns:
        The losses, averaged over processes, what was measured, and the averaged model.

    Raises:
        ImportError: If accelerate is not installed.
        ValueError: If a setting is out of range, or the checkpoint is damaged or belongs to another run.
        OSError: If the checkpoint's folder does not exist, or writing it fails; the file before stays.
        TypeError: If ``pairs`` has no length, or the step does not return a scalar tensor.
        RuntimeError: If processes were launched that know nothing of each other, or one of them died; then the first
            writes a checkpoint, unless it was within an update.
        FloatingPointError: If a loss is not finite (read every 10 steps on a GPU), or a weight when a checkpoint is
            due, or a measurement; the checkpoint stays as it was, the model does not.

    Example:
        >>> pairs = [(torch.zeros(3, 4, 4), torch.ones(3, 4, 4))] * 8
        >>> fit(torch.nn.Conv2d(3, 3, 1), pairs, steps=3, batch_size=4, progress=False).steps
        3

    Source: Adam's constants from Ahn et al., ECCV 2018, section 4.2; the average from Kingma and Ba, ICLR 2015, 7.2.
    """
    _check_trainable(model)
    accelerator = launched(batch_size, accumulate, find_unused_parameters)
    bf16 = "bf16" if accelerator.mixed_precision == "bf16" else mixed_precision
    plan = Plan(
        steps, batch_size, supervised() if step is None else step, learning_rate, schedule, clip_norm, ema_decay, bf16,
        seed, rate_factors or {}, betas, weight_decay, accumulate, measure, measure_every,
    )  # fmt: skip
    check_factors(model, plan.rate_factors)
    _check_turns(plan, accelerator)
    path = None if checkpoint is None else Path(checkpoint)
    checkpoints = Checkpoints(path, checkpoint_every, plan.settings(model, lengths(pairs)))
    check_integer(workers, "workers", 0)
    return _run(model, pairs, plan, accelerator, checkpoints, channels_last, workers, progress)


def _run(
    model: nn.Module,
    pairs: Pairs | Mapping[Key, Pairs],
    plan: Plan,
    accelerator: "Accelerator",
    checkpoints: Checkpoints,
    channels_last: bool,
    workers: int,
    progress: bool,
) -> FitResult:
    """Train the model, and its partners, by a plan."""
    with _lent(model, *(partner.module for partner in plan.partners.values())), Interrupt() as interrupt:
        networks = learners(model, plan, accelerator, channels_last)
        state = initial_state(networks, plan.ema_decay)
        _resume(checkpoints, state, plan.steps, accelerator)
        batches = iter(_loader(pairs, plan, state.step, workers, accelerator))
        Loop(accelerator, networks, plan, checkpoints, interrupt, progress).run(state, batches)
        accelerator.wait_for_everyone()  # so that every process finds the checkpoint
    return FitResult(
        losses=tuple(state.losses),
        ema=None if state.ema is None else state.ema.model.to(_device(model)),
        measured=tuple(state.measured),
        partner_losses={name: tuple(partner.losses) for name, partner in state.partners.items()},
    )


def _check_trainable(model: nn.Module) -> None:
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError(f"{type(model).__name__} has no parameter with requires_grad, there is nothing to train")


def _check_turns(plan: Plan, accelerator: "Accelerator") -> None:
    for partner in plan.partners.values():
        _check_trainable(partner.module)
    if plan.partners and plan.accumulate > 1 and accelerator.num_processes > 1:
        raise ValueError(
            f"accumulate must be 1 where networks take turns in several processes, got {plan.accumulate}; "
            "launch more processes or make the batch smaller"
        )


def _resume(checkpoints: Checkpoints, state: State, steps: int, accelerator: "Accelerator") -> None:
    checkpoints.resume(state, steps=steps)
    for optimizer in (state.optimizer, *(partner.optimizer for partner in state.partners.values())):
        lay_out_moments(optimizer)
    starts = accelerator.gather(torch.tensor([state.step], device=accelerator.device)).tolist()
    if len(set(starts)) > 1:
        raise ValueError(f"the processes would start at steps {starts}: they must share {checkpoints.path}")


def _loader(
    pairs: Pairs | Mapping[Key, Pairs], plan: Plan, start: int, workers: int, accelerator: "Accelerator"
) -> DataLoader[Any]:
    order = Order(
        lengths(pairs),
        batch_size=plan.batch_size,
        start=start,
        stop=plan.steps,
        seed=plan.seed,
        rank=accelerator.process_index,
        ranks=accelerator.num_processes,
        parts=plan.accumulate,
    )
    return DataLoader(
        Joined(pairs) if isinstance(pairs, Mapping) else cast("Dataset[Any]", pairs),
        batch_sampler=order,
        collate_fn=collate if isinstance(pairs, Mapping) else None,
        num_workers=workers,
        pin_memory=accelerator.device.type == "cuda",
        worker_init_fn=ignore_interrupt,
        generator=seeded(plan.seed, _WORKER_TAG),  # without one the loader draws from the global generator
    )


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


@contextmanager
def _lent(*networks: nn.Module) -> Iterator[None]:
    """Start without gradients, and bring networks back to their devices and each of their modules to its mode."""
    devices = [_device(network) for network in networks]
    modes = [(module, module.training) for network in networks for module in network.modules()]
    for network in networks:
        network.zero_grad()
    try:
        yield
    finally:
        for network, device in zip(networks, devices, strict=True):
            network.zero_grad()
            network.to(device)
        for module, mode in modes:
            module.training = mode
