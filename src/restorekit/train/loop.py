"""The loop itself: the updates of a step, losses read now and then, checkpoints, and a clean end on a signal."""

import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from restorekit._random import seeded
from restorekit.train._learner import Learner
from restorekit.train._measuring import measured
from restorekit.train._peers import lost_peer
from restorekit.train.checkpoint import Checkpoints, State
from restorekit.train.interrupt import Interrupt, leave
from restorekit.train.plan import Plan
from restorekit.train.schedule import Adaptive
from restorekit.train.turns import MODEL, Turns

if TYPE_CHECKING:
    from accelerate import Accelerator

_STEP_TAG, _MODEL_TAG = 1, 2  # keep these draws apart from the others that start from the same seed


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
        self._statistics = any(learner.keeps_statistics for learner in self.learners.values())

    def run(self, state: State, batches: Iterator[Any]) -> None:
        """Do the steps that are left, and note their losses in ``state``."""
        try:
            self._run(state, batches)
        except RuntimeError as error:
            if self.accelerator.num_processes == 1 or not lost_peer(error):
                raise
            self._rescue(state, error)

    def _run(self, state: State, batches: Iterator[Any]) -> None:
        read_every = 1 if self.accelerator.device.type == "cpu" else 10  # reading a loss makes a GPU wait
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
                stopped = self.interrupt.signal != 0 and self.accelerator.num_processes == 1
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
        with self._own_randomness(number):
            rounds = [self._turns(number, part, batches) for part in range(self.plan.accumulate)]
            losses: dict[str, list[Tensor]] = {name: [] for name in self.learners}
            while (name := self._turn(rounds, losses)) is not None:
                self._whole = False
                self.learners[name].update(factor)
                for learner in self.learners.values():
                    learner.optimizer.zero_grad()
        if idle := [name for name, values in losses.items() if not values]:
            raise ValueError(f"every network must have a turn in each step, {', '.join(idle)} had none")
        if state.ema is not None:
            state.ema.update(state.model)
        self._pending.append(torch.stack([torch.stack(values).mean() for values in losses.values()]))
        if self.plan.measure is not None and number % self.plan.measure_every == 0:
            with self._own_randomness(number):
                state.measured.append(measured(self.plan.measure, state, number, self.accelerator))
        self._whole = True

    def _turns(self, number: int, part: int, batches: Iterator[Any]) -> Iterator[tuple[str, Tensor]]:
        """The turns of a step for one part of its batch, each up to the loss."""
        from accelerate.utils import send_to_device  # noqa: PLC0415

        batch = send_to_device(next(batches), self.accelerator.device, non_blocking=True)
        generator = seeded(self.plan.seed, _STEP_TAG, number, *([part] if self.plan.accumulate > 1 else []))
        networks = {name: learner.forward for name, learner in self.learners.items()}
        model, step = networks.pop(MODEL), self.plan.step
        if isinstance(step, Turns):
            yield from step.turns(model, networks, batch, generator)
        else:
            yield MODEL, step(model, batch, generator)

    def _turn(self, rounds: list[Iterator[tuple[str, Tensor]]], losses: dict[str, list[Tensor]]) -> str | None:
        """Take the gradient of the next turn over all parts of the batch; say whose turn it is, None at the end."""
        names: set[str | None] = set()
        for part, turns in enumerate(rounds):
            with ExitStack() as stack:
                if part + 1 < len(rounds):
                    self._stay_alone(stack)
                turn = next(turns, None)
                names.add(turn and turn[0])
                if turn is not None:
                    name, loss = self._checked(*turn)
                    self.accelerator.backward(loss if len(rounds) == 1 else loss / len(rounds))
                    losses[name].append(loss.detach().float())
        if len(names) > 1:
            raise ValueError(f"all parts of a batch must take the same turns, got {sorted(map(str, names))} at once")
        return names.pop()

    def _stay_alone(self, stack: ExitStack) -> None:
        """Let processes exchange gradients once, with the last part of the batch."""
        for learner in self.learners.values():
            if isinstance(learner.forward, DistributedDataParallel):
                stack.enter_context(learner.forward.no_sync())

    def _checked(self, name: str, loss: object) -> tuple[str, Tensor]:
        if name not in self.learners:
            raise ValueError(f"a turn must be that of {', '.join(self.learners)}, got {name!r}")
        if not isinstance(loss, Tensor) or loss.ndim != 0:
            got = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
            raise TypeError(f"step must return the loss as a tensor without dimensions, got {got}")
        return name, loss

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

    def _settle(self, state: State, *, due: bool) -> None:
        """Read the losses of the last steps, write a checkpoint if it is due, and leave if a signal came."""
        rows = [*self._pending, torch.full_like(self._blank(), self.interrupt.signal)]
        everywhere = self.accelerator.gather(torch.stack(rows)[None])  # (processes, steps + 1, learners)
        self._note(state, everywhere[:, :-1].mean(dim=0))
        signal = int(everywhere[:, -1].max())
        if due or signal:
            self._save(state)
        if signal:
            leave(signal, f"stopped after {state.step} of {self.plan.steps} steps; {self.checkpoints.kept()}")

    def _blank(self) -> Tensor:
        return torch.zeros(len(self.learners), device=self.accelerator.device)

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
        modules = [state.model, *(partner.module for partner in state.partners.values())]
        if not all(bool(value.isfinite().all()) for module in modules for value in module.state_dict().values()):
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
