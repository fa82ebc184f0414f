"""The loop itself: the updates of a step, losses read now and then, checkpoints, and a clean end on a signal."""

import math
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from tqdm import tqdm

from restorekit._random import seeded
from restorekit.train._gradients import Gradients
from restorekit.train._learner import Learner
from restorekit.train._measuring import measured
from restorekit.train._peers import lost_peer
from restorekit.train.checkpoint import Checkpoints, State
from restorekit.train.interrupt import Interrupt, leave
from restorekit.train.plan import Plan
from restorekit.train.schedule import Adaptive
from restorekit.train.turns import MODEL

if TYPE_CHECKING:
    from accelerate import Accelerator

_MODEL_TAG = 2  # keeps these draws apart from the others that start from the same seed


@dataclass
class Loop:
    """The parts of a run; the learners are the model and its partners by name, the model first."""

    accelerator: "Accelerator"
    learners: Mapping[str, Learner]
    plan: Plan
    checkpoints: Checkpoints
    interrupt: Interrupt
    progress: bool
    _pending: list[Tensor] = field(default_factory=list)  # losses of steps that are done, not yet read: (learners,)
    _whole: bool = True  # between two steps; inside one, some weights have moved and others have not
    _statistics: bool = field(init=False)  # a pass through a network moves what is saved of it, as in BatchNorm

    def __post_init__(self) -> None:
        self._device = self.accelerator.device
        self._alone = self.accelerator.num_processes == 1
        self._gradients = Gradients(self.accelerator, self.learners, self.plan)
        self._statistics = any(learner.keeps_statistics for learner in self.learners.values())

    def run(self, state: State, batches: Iterator[Any]) -> None:
        """Do the steps that are left, and note their losses in ``state``."""
        try:
            self._run(state, batches)
        except RuntimeError as error:
            if self._alone or not lost_peer(error):
                raise
            self._rescue(state, error)

    def _run(self, state: State, batches: Iterator[Any]) -> None:
        read_every = 1 if self._device.type == "cpu" else 10  # reading a loss makes a GPU wait
        with self._bar(state) as bar:
            for number in range(state.step, self.plan.steps):
                factor = self.plan.factor(number, state.measured)
                if factor == 0 and isinstance(self.plan.schedule, Adaptive):
                    self._settle(state, due=True)
                    return
                self._step(state, number, factor, batches)
                bar.update()
                due = (number + 1) % self.checkpoints.every == 0 or number + 1 == self.plan.steps
                # a process among others must not stop before the next reading, where all of them agree on it
                stopped = self.interrupt.signal != 0 and self._alone
                if due or stopped or len(self._pending) == read_every:
                    self._settle(state, due=due)
                    rate = self.plan.learning_rate * factor
                    bar.set_postfix(refresh=False, loss=f"{state.losses[-1]:.4f}", lr=f"{rate:.1e}")

    def _bar(self, state: State) -> "tqdm[Any]":
        hidden = not (self.progress and self.accelerator.is_local_main_process)
        return tqdm(total=self.plan.steps, initial=state.step, desc="fit", unit="step", disable=hidden)

    def _step(self, state: State, number: int, factor: float, batches: Iterator[Any]) -> None:
        """Let each network have its turns, and measure the model if that is due."""
        self._whole = not self._statistics
        losses: dict[str, list[Tensor]] = {name: [] for name in self.learners}
        with self._own_randomness(number), closing(self._gradients.take(number, batches, losses)) as ready:
            for name in ready:
                self._whole = False
                self.learners[name].update(factor)
                for learner in self.learners.values():
                    learner.optimizer.zero_grad()
        if state.ema is not None:
            state.ema.update(state.model)
        self._pending.append(torch.stack([torch.stack(values).mean() for values in losses.values()]))
        if self.plan.measure is not None and number % self.plan.measure_every == 0:
            with self._own_randomness(number):
                state.measured.append(measured(self.plan.measure, state, number, self.accelerator))
        self._whole = True

    @contextmanager
    def _own_randomness(self, number: int) -> Iterator[None]:
        """Seed torch's own generators (dropout draws from them) by the step, and put them back."""
        cuda = [self._device] if self._device.type == "cuda" else []
        seed = seeded(self.plan.seed, _MODEL_TAG, number, self.accelerator.process_index).initial_seed()
        with torch.random.fork_rng(devices=cuda):
            torch.default_generator.manual_seed(seed)
            if cuda:
                torch.cuda.manual_seed(seed)
            yield

    def _settle(self, state: State, *, due: bool) -> None:
        """Read the losses of the last steps, write a checkpoint if it is due, and leave if a signal came."""
        signal = torch.full((len(self.learners),), float(self.interrupt.signal), device=self._device)
        here = torch.stack([*self._pending, signal])[None]
        everywhere = here if self._alone else self.accelerator.gather(here)  # (processes, steps + 1, learners)
        self._note(state, everywhere[:, :-1].mean(dim=0))
        number = int(everywhere[:, -1].max())
        if due or number:
            self._save(state)
        if number:
            leave(number, f"stopped after {state.step} of {self.plan.steps} steps; {self.checkpoints.kept()}")

    def _note(self, state: State, losses: Tensor) -> None:
        """Add losses (steps, learners) to the state."""
        self._pending.clear()
        for row in losses.tolist():
            for name, loss in zip(self.learners, row, strict=True):
                if not math.isfinite(loss):
                    whose = "loss" if name == MODEL else f"loss of the {name}"
                    raise FloatingPointError(
                        f"the {whose} of step {state.step} (from 0) is {loss}: lower learning_rate, set clip_norm, "
                        f"or look at the data; {self.checkpoints.kept()}"
                    )
            state.losses.append(row[0])
            for partner, loss in zip(state.partners.values(), row[1:], strict=True):
                partner.losses.append(loss)

    def _save(self, state: State) -> None:
        modules = [learner.module for learner in self.learners.values()]
        weights = [bool(value.isfinite().all()) for module in modules for value in module.parameters()]
        others = [not bool(value.isnan().any()) for module in modules for value in module.buffers()]  # masks hold inf
        if not all(weights + others):
            raise FloatingPointError(
                f"a weight is not finite after step {state.step - 1} (from 0) although its loss was: "
                f"lower learning_rate, set clip_norm, or look at the loss; {self.checkpoints.kept()}"
            )
        if self.accelerator.is_main_process:
            self.checkpoints.save(state)

    def _rescue(self, state: State, error: RuntimeError) -> None:
        """Write what is whole when another process is gone; the last losses are then those of this process alone."""
        if self._whole:
            if self._pending:
                self._note(state, torch.stack(self._pending))
            self._save(state)
        raise RuntimeError(
            f"another process of this run is gone, so it stopped after {state.step} of {self.plan.steps} steps; "
            f"{self.checkpoints.kept()}"
        ) from error
