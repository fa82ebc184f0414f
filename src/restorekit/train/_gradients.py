"""The gradients of a step: each network's in its turn, over all parts of the batch."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from restorekit._random import seeded
from restorekit.train._learner import Learner
from restorekit.train.plan import Plan
from restorekit.train.turns import MODEL, Turns

if TYPE_CHECKING:
    from accelerate import Accelerator

_STEP_TAG = 1  # keeps these draws apart from the others that start from the same seed


@dataclass(frozen=True)
class Gradients:
    """What the steps of a run ask of its networks; the learners are the model and its partners by name."""

    accelerator: "Accelerator"
    learners: Mapping[str, Learner]
    plan: Plan

    def take(
        self, number: int, batches: Iterator[Any], losses: Mapping[str, list[Tensor]]
    ) -> Generator[str, None, None]:
        """Say whose gradient is ready, until the step is done, and note the losses.

        What is asked for next sees the update that was made in between. Closed early, it closes the turns too, so that
        what they hold ``frozen`` learns again.
        """
        with ExitStack() as stack:
            parts = [
                stack.enter_context(closing(self._turns(number, part, batches))) for part in range(self.plan.accumulate)
            ]
            while (name := self._turn(parts, losses)) is not None:
                yield name
        if idle := [name for name, values in losses.items() if not values]:
            raise ValueError(f"every network must have a turn in each step, {', '.join(idle)} had none")

    def _turns(self, number: int, part: int, batches: Iterator[Any]) -> Generator[Any, None, None]:
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

    def _turn(self, parts: Sequence[Iterator[Any]], losses: Mapping[str, list[Tensor]]) -> str | None:
        """Take the gradient of the next turn over all parts of the batch; say whose turn it is, None at the end."""
        names: set[str | None] = set()
        for part, turns in enumerate(parts):
            with ExitStack() as stack:
                if part + 1 < len(parts):
                    self._stay_alone(stack)
                turn = next(turns, None)
                if turn is None:
                    names.add(None)
                    continue
                name, loss = self._checked(turn)
                names.add(name)
                self.accelerator.backward(loss if len(parts) == 1 else loss / len(parts))
                losses[name].append(loss.detach().float())
        if len(names) > 1:
            raise ValueError(f"all parts of a batch must take the same turns, got {sorted(map(str, names))} at once")
        return names.pop()

    def _stay_alone(self, stack: ExitStack) -> None:
        """Let processes exchange gradients once, with the last part of the batch."""
        for learner in self.learners.values():
            if isinstance(learner.forward, DistributedDataParallel):
                stack.enter_context(learner.forward.no_sync())

    def _checked(self, turn: object) -> tuple[str, Tensor]:
        if not isinstance(turn, tuple) or len(turn) != 2:
            raise TypeError(f"turns must yield whose turn it is and the loss, got {type(turn).__name__}")
        name, loss = turn
        if name not in self.learners:
            raise ValueError(f"a turn must be that of {', '.join(self.learners)}, got {name!r}")
        if not isinstance(loss, Tensor) or loss.ndim != 0:
            got = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
            raise TypeError(f"step must return the loss as a tensor without dimensions, got {got}")
        if not loss.requires_grad:
            raise ValueError(
                f"the loss of the {name} depends on no weight that trains: step must call the networks it is "
                "given, and neither detach what they return nor switch gradients off"
            )
        return name, loss
