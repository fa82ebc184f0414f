"""The game of one scale: a discriminator that tells restored pictures from real ones, a generator that restores."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restorekit.train._mdf.written_out import written_out_norms

FIDELITY_WEIGHT = 10.0


def see(network: nn.Module, x: Tensor, bf16: bool) -> Tensor:
    """What a network makes of pictures, in float32, computed under bfloat16 autocast if asked."""
    with torch.autocast(x.device.type, torch.bfloat16, enabled=bf16):
        out: Tensor = network(x)
    return out.float()


@dataclass(frozen=True)
class Game:
    """Two players and their optimiser, which passes over the parameters that a step gives no gradient."""

    discriminator: nn.Module
    generator: nn.Module
    optimizer: torch.optim.Optimizer
    penalty_weight: float
    bf16: bool

    def fake(self, x: Tensor) -> Tensor:
        """The generator's restoration of ``x``, without a graph."""
        with torch.no_grad():
            return see(self.generator, x, self.bf16)

    def judge(self, real: Tensor, fake: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        """One step of the discriminator; the distance of its mean scores, and the penalty on its slope."""
        distance = self._score(real) - self._score(fake)
        penalty = self._penalty(torch.lerp(fake, real, share))
        self._step(self.penalty_weight * penalty - distance)
        return distance.detach(), penalty.detach()

    def restore(self, x: Tensor, real: Tensor) -> Tensor:
        """One step of the generator; the mean squared error of its restoration."""
        with _held(self.discriminator):
            fake = see(self.generator, x, self.bf16)
            error = F.mse_loss(fake, real)
            self._step(FIDELITY_WEIGHT * error - self._score(fake))
        return error.detach()

    def _score(self, x: Tensor) -> Tensor:
        return see(self.discriminator, x, self.bf16).mean()

    def _penalty(self, x: Tensor) -> Tensor:
        """How far the slope of the summed scores is from 1 at each pixel, its norm taken over the channels."""
        x.requires_grad_()
        with written_out_norms(self.discriminator):
            total = see(self.discriminator, x, self.bf16).sum()
        (slope,) = torch.autograd.grad(total, x, create_graph=True)
        penalty: Tensor = (torch.linalg.vector_norm(slope, dim=1) - 1).square().mean()
        return penalty

    def _step(self, loss: Tensor) -> None:
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()


@contextmanager
def _held(network: nn.Module) -> Iterator[None]:
    """Ask for no gradients of a network's parameters for a while."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)
