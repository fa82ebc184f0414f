"""What tells a run how far it is: the picture restored from its own shrunk version."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from restorekit._random import seeded
from restorekit.train._zero_shot.stage import Stage

_NOISE_TAG = 12  # keeps these draws apart from the others that start from the same seed

Run = Callable[[Any, Tensor], Tensor]  # what a network makes of an enlarged picture


@dataclass(frozen=True)
class Reconstruction:
    """The mean squared error of restoring a picture from its own son, which a network is measured by.

    Args:
        run: Calls the network.
        son: The shrunk version, enlarged.
        lq: The picture.
    """

    run: Run
    son: Tensor
    lq: Tensor

    @classmethod
    def of(cls, run: Run, lq: Tensor, stage: Stage, noise: float, seed: int) -> "Reconstruction":
        """With a son that is drawn once."""
        son = stage.rescaling.son(lq, noise, seeded(seed, _NOISE_TAG, stage.number))
        return cls(run, stage.rescaling.up(son, (lq.shape[-2], lq.shape[-1])), lq)

    def __call__(self, model: nn.Module) -> float:
        """The error."""
        return F.mse_loss(self.run(model, self.son).clamp(0, 1), self.lq).item()
