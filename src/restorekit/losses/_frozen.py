"""Networks that losses look through."""

from collections.abc import Callable
from typing import Generic, Self, TypeVar

from torch import Tensor, nn

N = TypeVar("N", bound=nn.Module)


class Frozen(nn.Module, Generic[N]):
    """Carry a network that moves along with the loss, but is none of its parameters and not in its state dict.

    Checkpoints of a training run stay small that way, and neither optimizers nor ``DistributedDataParallel`` see it.
    """

    def __init__(self, network: N) -> None:
        super().__init__()
        self._hidden = (network,)  # in a tuple, where torch does not look for modules

    @property
    def network(self) -> N:
        return self._hidden[0]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        # What .to(), .cuda(), .double() and their like go through.
        self.network._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return super()._apply(fn, recurse)  # type: ignore[no-any-return, no-untyped-call]
