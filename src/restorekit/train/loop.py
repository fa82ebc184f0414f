"""The loop itself: one update per step, losses read now and then, checkpoints, and a clean end on a signal."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from restorekit._random import seeded
from restorekit.train.checkpoint import Checkpoints, State
from restorekit.train.interrupt import Interrupt, leave
from restorekit.train.plan import Plan

if TYPE_CHECKING:
    from accelerate import Accelerator

_STEP_TAG, _MODEL_TAG = 1, 2  # keep these draws apart from the others that start from the same seed


@dataclass(frozen=True)
class Loop:
    """The parts of a run; ``forward`` is the model as the step sees it."""

    accelerator: "Accelerator"
    forward: nn.Module
    plan: Plan
    checkpoints: Checkpoints
    interrupt: Interrupt
    progress: bool

    def run(self, state: State, batches: Iterator[Any]) -> None:
        """Do the steps that are left, and note their losses in ``state``."""
        pending: list[Tensor] = []
        read_every = 1 if self.accelerator.device.type == "cpu" else 10  # reading a loss makes a GPU wait
        with self._bar(state) as bar:
            for number in range(state.step, self.plan.steps):
                pending.append(self._update(state, number, batches))
                bar.update()
                due = (number + 1) % self.checkpoints.every == 0 or number + 1 == self.plan.steps
                # a process among others must not stop before the next reading, where all of them agree on it
                stopped = self.interrupt.signal != 0 and self.accelerator.num_processes == 1
                if not (due or stopped or len(pending) == read_every):
                    continue
                signal = self._read(state, pending)
                pending.clear()
                bar.set_postfix(refresh=False, loss=f"{state.losses[-1]:.4f}", lr=f"{self.plan.rate(number):.1e}")
                if due or signal:
                    self._save(state)
                if signal:
                    leave(signal, f"stopped after {state.step} of {self.plan.steps} steps; {self.checkpoints.kept()}")

    def _bar(self, state: State) -> "tqdm[Any]":
        hidden = not (self.progress and self.accelerator.is_local_main_process)
        return tqdm(total=self.plan.steps, initial=state.step, desc="fit", unit="step", disable=hidden)

    def _update(self, state: State, number: int, batches: Iterator[Any]) -> Tensor:
        with self._own_randomness(number):
            loss = self._loss(number, batches)
            self.accelerator.backward(loss)
        for group in state.optimizer.param_groups:
            group["lr"] = self.plan.rate(number)
        if self.plan.clip_norm is not None:
            self.accelerator.clip_grad_norm_(state.model.parameters(), self.plan.clip_norm)
        state.optimizer.step()
        state.optimizer.zero_grad()
        if state.ema is not None:
            state.ema.update(state.model)
        return loss.detach().float()

    def _loss(self, number: int, batches: Iterator[Any]) -> Tensor:
        from accelerate.utils import send_to_device  # noqa: PLC0415

        batch = send_to_device(next(batches), self.accelerator.device, non_blocking=True)
        loss = self.plan.step(self.forward, batch, seeded(self.plan.seed, _STEP_TAG, number))
        if not isinstance(loss, Tensor) or loss.ndim != 0:
            got = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
            raise TypeError(f"step must return the loss as a tensor without dimensions, got {got}")
        return loss

    @contextmanager
    def _own_randomness(self, number: int) -> Iterator[None]:
        """Seed torch's own generators (dropout draws from them) by the step, and put them back."""
        device = self.accelerator.device
        cuda = [device] if device.type == "cuda" else []
        seed = seeded(self.plan.seed, _MODEL_TAG, number, self.accelerator.process_index).initial_seed()
        with torch.random.fork_rng(devices=cuda):
            torch.default_generator.manual_seed(seed)
            if cuda:
                torch.cuda.manual_seed(seed)
            yield

    def _read(self, state: State, pending: list[Tensor]) -> int:
        """Average the losses over the processes, and agree on a signal that any of them got."""
        row = torch.stack([*pending, pending[0].new_tensor(self.interrupt.signal)])
        rows = self.accelerator.gather(row[None])
        for loss in rows[:, :-1].mean(dim=0).tolist():
            if not math.isfinite(loss):
                raise FloatingPointError(
                    f"the loss of step {state.step} (from 0) is {loss}: lower learning_rate, set clip_norm, "
                    f"or look at the data; {self.checkpoints.kept()}"
                )
            state.losses.append(loss)
        return int(rows[:, -1].max())

    def _save(self, state: State) -> None:
        if not all(bool(value.isfinite().all()) for value in state.model.state_dict().values()):
            raise FloatingPointError(
                f"a weight is not finite after step {state.step - 1} (from 0) although its loss was: "
                f"lower learning_rate, set clip_norm, or look at the loss; {self.checkpoints.kept()}"
            )
        if self.accelerator.is_main_process:
            self.checkpoints.save(state)
