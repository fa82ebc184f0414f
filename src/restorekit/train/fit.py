"""One training loop for every recipe: a recipe is the step that it passes in."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from restorekit._check import check_integer
from restorekit._random import seeded
from restorekit.train._forward import Forward
from restorekit.train.checkpoint import Checkpoints, State
from restorekit.train.ema import Ema
from restorekit.train.interrupt import Interrupt, ignore_interrupt
from restorekit.train.loop import Loop
from restorekit.train.order import Order
from restorekit.train.plan import Plan
from restorekit.train.schedule import Schedule, constant
from restorekit.train.supervised import Step, supervised

if TYPE_CHECKING:
    from accelerate import Accelerator

_WORKER_TAG = 3  # keeps these draws apart from the others that start from the same seed


class Pairs(Protocol):
    """A data set that is used like a list."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


@dataclass(frozen=True)
class FitResult:
    """What a run leaves besides the trained model.

    Args:
        losses: Loss of every step from the first one on, those before a resumption included.
        ema: The averaged model in evaluation mode, on the trained model's device; None without ``ema_decay``.

    Example:
        >>> FitResult(losses=(0.2, 0.1), ema=None).steps
        2
    """

    losses: tuple[float, ...]
    ema: nn.Module | None

    @property
    def steps(self) -> int:
        """Number of steps done."""
        return len(self.losses)


def fit(
    model: nn.Module,
    pairs: Pairs,
    *,
    steps: int,
    batch_size: int = 16,
    step: Step | None = None,
    learning_rate: float = 1e-4,
    schedule: Schedule = constant,
    clip_norm: float | None = None,
    ema_decay: float | None = None,
    mixed_precision: Literal["bf16"] | None = None,
    channels_last: bool = True,
    find_unused_parameters: bool = False,
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 1000,
    seed: int = 0,
    workers: int = 0,
    progress: bool = True,
) -> FitResult:
    """Train ``model`` in place with Adam (0.9, 0.999, 1e-8).

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
        pairs: Data set with a length, as a rule of ``(lq, hq)``; item ``i`` must depend on ``i`` alone.
        steps: Number of steps in all, at least 1; those in the checkpoint count.
        batch_size: Items per step over all processes together, a multiple of their number.
        step: ``(model, batch, generator) -> loss``; `supervised()` by default. Its ``model`` is a wrapper that is
            called like the model but does not have its attributes; its ``generator`` is the same in every process.
        learning_rate: Adam's learning rate, positive.
        schedule: Factor of the learning rate as a function of the step, from 0.
        clip_norm: Largest norm of the whole gradient; a longer one is shortened to it.
        ema_decay: Decay of the averaged model, in [0, 1]; None makes none.
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
        The losses, averaged over processes, and the averaged model.

    Raises:
        ImportError: If accelerate is not installed.
        ValueError: If a setting is out of range, or the checkpoint is damaged or belongs to another run.
        OSError: If the checkpoint's folder does not exist, or writing it fails; the file before stays.
        TypeError: If ``pairs`` has no length, or the step does not return a scalar tensor.
        RuntimeError: If processes were launched that know nothing of each other.
        FloatingPointError: If a loss is not finite (read every 10 steps on a GPU), or a weight when a checkpoint is
            due; the checkpoint stays as it was, the model does not.

    Example:
        >>> pairs = [(torch.zeros(3, 4, 4), torch.ones(3, 4, 4))] * 8
        >>> fit(torch.nn.Conv2d(3, 3, 1), pairs, steps=3, batch_size=4, progress=False).steps
        3

    Source: Adam's constants from Ahn et al., ECCV 2018, section 4.2; the average from Kingma and Ba, ICLR 2015, 7.2.
    """
    items, trainable = _length(pairs), _trainable(model)
    accelerator = _accelerator(batch_size, find_unused_parameters)
    bf16 = "bf16" if accelerator.mixed_precision == "bf16" else mixed_precision
    step = supervised() if step is None else step
    plan = Plan(steps, batch_size, step, learning_rate, schedule, clip_norm, ema_decay, bf16, seed)
    path = None if checkpoint is None else Path(checkpoint)
    checkpoints = Checkpoints(path, checkpoint_every, plan.settings(model, items))
    check_integer(workers, "workers", 0)
    with _lent(model), Interrupt() as interrupt:
        autocast = accelerator.device.type if bf16 else None
        forward = accelerator.prepare_model(Forward(model, autocast=autocast, channels_last=channels_last).train())
        fused = _fusible(trainable)
        adam = torch.optim.Adam(trainable, lr=learning_rate, betas=(0.9, 0.999), eps=1e-8, fused=fused)
        state = State(model, adam, None if ema_decay is None else Ema(model, ema_decay), [])
        _resume(checkpoints, state, steps, accelerator)
        batches = iter(_loader(pairs, plan, state.step, workers, accelerator))
        Loop(accelerator, forward, plan, checkpoints, interrupt, progress).run(state, batches)
        accelerator.wait_for_everyone()  # so that every process finds the checkpoint
    return FitResult(tuple(state.losses), None if state.ema is None else state.ema.model.to(_device(model)))


def _length(pairs: Pairs) -> int:
    if not (hasattr(pairs, "__len__") and hasattr(pairs, "__getitem__")):
        raise TypeError(f"pairs must be a data set with a length and items, got {type(pairs).__name__}")
    if len(pairs) == 0:
        raise ValueError("pairs must hold at least one item, got an empty data set")
    return len(pairs)


def _accelerator(batch_size: int, find_unused_parameters: bool) -> "Accelerator":
    try:
        from accelerate import Accelerator, DistributedDataParallelKwargs  # noqa: PLC0415
    except ImportError as error:
        raise ImportError("training needs accelerate: pip install 'restorekit[train]'") from error
    check_integer(batch_size, "batch_size", 1)
    handler = DistributedDataParallelKwargs(find_unused_parameters=find_unused_parameters)
    accelerator = Accelerator(kwargs_handlers=[handler])
    if accelerator.mixed_precision not in ("no", "bf16"):
        raise ValueError(f"fit knows mixed precision 'bf16' alone, accelerate was told {accelerator.mixed_precision!r}")
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    if launched != accelerator.num_processes:
        raise RuntimeError(
            f"{launched} processes were launched, but accelerate takes each for the only one; "
            "set ACCELERATE_USE_CPU=1 for several processes without GPUs"
        )
    if batch_size % accelerator.num_processes:
        raise ValueError(
            f"batch_size counts all processes together and must be a multiple of their number "
            f"{accelerator.num_processes}, got {batch_size}"
        )
    return accelerator


def _trainable(model: nn.Module) -> list[nn.Parameter]:
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not trainable:
        raise ValueError(f"{type(model).__name__} has no parameter with requires_grad, there is nothing to train")
    return trainable


def _fusible(parameters: Iterable[nn.Parameter]) -> bool:
    """Whether Adam's one pass over all weights may run: it takes each of them for one piece of memory."""
    layouts = (torch.contiguous_format, torch.channels_last)
    return all(
        parameter.device.type in ("cpu", "cuda")
        and parameter.is_floating_point()
        and any(parameter.is_contiguous(memory_format=layout) for layout in layouts)
        for parameter in parameters
    )


def _resume(checkpoints: Checkpoints, state: State, steps: int, accelerator: "Accelerator") -> None:
    checkpoints.resume(state, steps=steps)
    _lay_out_moments(state.optimizer)
    starts = accelerator.gather(torch.tensor([state.step], device=accelerator.device)).tolist()
    if len(set(starts)) > 1:
        raise ValueError(f"the processes would start at steps {starts}: they must share {checkpoints.path}")


def _lay_out_moments(adam: torch.optim.Optimizer) -> None:
    """Like their weights, whatever layout they were saved in: Adam's one pass takes them value by value from memory."""
    for weight, moments in adam.state.items():
        for name, moment in moments.items():
            if moment.shape == weight.shape and moment.stride() != weight.stride():
                moments[name] = torch.empty_like(weight, dtype=moment.dtype).copy_(moment)


def _loader(pairs: Pairs, plan: Plan, start: int, workers: int, accelerator: "Accelerator") -> DataLoader[Any]:
    order = Order(
        len(pairs),
        batch_size=plan.batch_size,
        start=start,
        stop=plan.steps,
        seed=plan.seed,
        rank=accelerator.process_index,
        ranks=accelerator.num_processes,
    )
    return DataLoader(
        cast("Dataset[Any]", pairs),
        batch_sampler=order,
        num_workers=workers,
        pin_memory=accelerator.device.type == "cuda",
        worker_init_fn=ignore_interrupt,
        generator=seeded(plan.seed, _WORKER_TAG),  # without one the loader draws from the global generator
    )


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


@contextmanager
def _lent(model: nn.Module) -> Iterator[None]:
    """Start without gradients, and bring the model back to its device and each of its modules to its mode."""
    device = _device(model)
    modes = [(module, module.training) for module in model.modules()]
    model.zero_grad()
    try:
        yield
    finally:
        model.zero_grad()
        model.to(device)
        for module, mode in modes:
            module.training = mode
