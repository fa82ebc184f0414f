"""A run over all scales: what each generator is given, the steps, the bar, checkpoints, and a clean end on a signal."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from restorekit._random import seeded, uniform
from restorekit.image import resize
from restorekit.train._mdf.game import Game, see
from restorekit.train._mdf.networks import Networks
from restorekit.train._mdf.pyramid import Pyramid
from restorekit.train._mdf.task import Task
from restorekit.train.checkpoint import Checkpoints, State
from restorekit.train.interrupt import Interrupt, leave

LEARNING_RATE, BETAS = 5e-4, (0.5, 0.999)
DECAY, DECAY_AFTER = 0.1, 0.8  # factor of the learning rate, and the share of a scale's iterations before it
STEPS = 3  # of the discriminator, and of the generator, in each iteration

_STEP_TAG, _INPUT_TAG = 2, 3  # keep these draws apart from the others that start from the same seed


def psnr(error: float) -> float:
    """PSNR in dB for a mean squared error of pictures in [-1, 1]."""
    return 10 * math.log10(4 / error) if error else math.inf


@dataclass(frozen=True)
class Run:
    """The settings and the parts of a run."""

    networks: Networks
    pyramids: Sequence[Pyramid]  # one for each seed picture
    task: Task
    iterations: int
    penalty_weight: float
    seed: int
    bf16: bool
    checkpoints: Checkpoints
    interrupt: Interrupt
    progress: bool

    @property
    def steps(self) -> int:
        """Iterations over all scales."""
        return len(self.networks.discriminators) * self.iterations

    def go(self, state: State) -> None:
        """Do the iterations that are left, and note of each the distance, the penalty and the error in ``state``."""
        with tqdm(
            total=self.steps, initial=state.step, desc="fit_mdf", unit="iteration", disable=not self.progress
        ) as bar:
            for scale in range(state.step // self.iterations, len(self.networks.discriminators)):
                self._scale(scale, state, bar)

    def _scale(self, scale: int, state: State, bar: "tqdm[Any]") -> None:
        if state.step == scale * self.iterations:
            self.networks.open(scale)
            state.optimizer.state.clear()  # nobody needs the moments of the scale before
        self.networks.train_only(scale)
        pair = self.networks.discriminators[scale], self.networks.generators[scale]
        game = Game(*pair, state.optimizer, self.penalty_weight, bf16=self.bf16)
        fixed = None if self.task.draws else [self._input(scale, pyramid, _INPUT_TAG) for pyramid in self.pyramids]
        for number in range(state.step, (scale + 1) * self.iterations):
            self._set_rate(state.optimizer, number - scale * self.iterations)
            notes = self._iteration(game, scale, number, fixed)
            self._check(notes, number)
            state.losses.append(notes)
            bar.update()
            bar.set_postfix(
                refresh=False,
                scale=f"{scale + 1}/{len(self.networks.discriminators)}",
                distance=f"{notes[0]:.3f}",
                penalty=f"{notes[1]:.3f}",
                psnr=f"{psnr(notes[2]):.2f}",
            )
            self._keep(state)

    def _set_rate(self, optimizer: torch.optim.Optimizer, iteration: int) -> None:
        late = iteration >= DECAY_AFTER * self.iterations
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * (DECAY if late else 1)

    def _iteration(self, game: Game, scale: int, number: int, fixed: Sequence[Tensor] | None) -> list[float]:
        """Distance and penalty in the last step of the discriminator, and error in the last one of the generator."""
        which = number % len(self.pyramids)
        pyramid = self.pyramids[which]
        real = pyramid.levels[scale]
        for step in range(STEPS):
            if fixed is None:
                x = self._input(scale, pyramid, _INPUT_TAG, number, step)
                fake = game.fake(x)
            elif step == 0:  # neither the input nor the generator changes in the steps that follow
                x = fixed[which]
                fake = game.fake(x)
            share = uniform((), device=real.device, generator=seeded(self.seed, _STEP_TAG, number, step))
            distance, penalty = game.judge(real, fake, share)
        for _ in range(STEPS):
            error = game.restore(x, real)
        notes: list[float] = torch.stack([distance, penalty, error]).tolist()
        return notes

    def _input(self, scale: int, pyramid: Pyramid, *numbers: int) -> Tensor:
        """What the generator of a scale restores: the result of the scale before, enlarged and distorted."""
        generator = seeded(self.seed, *numbers)
        x = pyramid.start
        with torch.no_grad():
            for level, network in zip(pyramid.levels[:scale], self.networks.generators, strict=False):
                x = see(network, self._distorted(x, level, generator), self.bf16)
            return self._distorted(x, pyramid.levels[scale], generator)

    def _distorted(self, x: Tensor, level: Tensor, generator: torch.Generator) -> Tensor:
        return self.task(resize(x, size=(level.shape[-2], level.shape[-1])), generator)

    def _check(self, notes: Sequence[float], number: int) -> None:
        for name, value in zip(("distance", "penalty", "error"), notes, strict=True):
            if not math.isfinite(value):
                raise FloatingPointError(
                    f"the {name} in {self._place(number)} is {value}: look at what the task makes of the "
                    f"picture; {self.checkpoints.kept()}"
                )

    def _keep(self, state: State) -> None:
        """Write a checkpoint if one is due, and leave if a signal came."""
        signal = self.interrupt.signal
        if state.step % self.checkpoints.every == 0 or state.step == self.steps or signal:
            if not all(bool(value.isfinite().all()) for value in state.model.state_dict().values()):
                raise FloatingPointError(
                    f"a weight is not finite after {self._place(state.step - 1)} although its losses were: look at "
                    f"what the task makes of the picture; {self.checkpoints.kept()}"
                )
            self.checkpoints.save(state)
        if signal:
            leave(signal, f"stopped after {state.step} of {self.steps} iterations; {self.checkpoints.kept()}")

    def _place(self, number: int) -> str:
        scale, iteration = divmod(number, self.iterations)
        return f"iteration {iteration} of scale {scale} (both from 0)"
