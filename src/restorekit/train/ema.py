"""An average of the weights that follows the training."""

import copy

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from restorekit._check import check_interval


class Ema:
    """A second model whose weights are the exponential moving average of the trained one's.

        average_0 = weights_0,   average_i = decay average_{i-1} + (1 - decay) weights_i

    Buffers (running statistics) are copied, not averaged. ``Ema.model`` is the averaged model, in evaluation mode and
    without gradients.

    Args:
        model: The trained model; it is copied, with the weights that it has now.
        decay: Share of the old average that each update keeps, in [0, 1].

    Raises:
        ValueError: If ``decay`` is outside [0, 1].

    Example:
        >>> ema = Ema(torch.nn.Conv2d(3, 3, 1), decay=0.999)
        >>> ema.model.training
        False
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        check_interval(decay, "decay", 0.0, 1.0)
        self.decay = decay
        self.model = copy.deepcopy(model).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take the present weights of ``model`` into the average."""
        average = get_ema_multi_avg_fn(self.decay)  # type: ignore[no-untyped-call]
        average(list(self.model.parameters()), list(model.parameters()), 1)
        for mine, theirs in zip(self.model.buffers(), model.buffers(), strict=True):
            mine.copy_(theirs)
