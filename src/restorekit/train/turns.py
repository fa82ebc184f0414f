"""Steps in which other networks learn beside the model, each in its turn."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

MODEL = "model"
"""What the trained model is called among those whose turn it can be."""


@dataclass(frozen=True)
class Partner:
    """A network that learns beside the model, with an Adam of its own and without clipping.

    Args:
        module: The network.
        learning_rate: Its learning rate, which follows the same schedule; the model's if None.

    Example:
        >>> Partner(torch.nn.Conv2d(3, 1, 3), learning_rate=1e-4).learning_rate
        0.0001
    """

    module: nn.Module
    learning_rate: float | None = None


class Turns(ABC):
    """A step of several updates, for `fit` in the place of a step function.

    Attributes:
        partners: The networks that learn beside the model, by name.

    Example:
        >>> class Alone(Turns):
        ...     partners = {}
        ...     def turns(self, model, partners, batch, generator): yield "model", model(batch).square().mean()
        >>> next(Alone().turns(torch.nn.Identity(), {}, torch.ones(2), torch.Generator()))
        ('model', tensor(1.))
    """

    partners: Mapping[str, Partner]

    @abstractmethod
    def turns(
        self, model: nn.Module, partners: Mapping[str, nn.Module], batch: Any, generator: torch.Generator
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield whose turn it is, and its loss; before this goes on, that network has made its update.

        Args:
            model: The model, wrapped as for a step function; its turn is called "model".
            partners: The partners, wrapped in the same way. With several processes each may be called once before its
                own turn; see ``frozen`` for the turns of others.
            batch: What the data set gave.
            generator: The same in every process.

        Yields:
            A name, and a scalar. Every network has at least one turn in a step.
        """


@contextmanager
def frozen(module: nn.Module) -> Iterator[nn.Module]:
    """Use a network without training it: gradients pass through it, and its parameters get none.

    Held around a ``yield`` in `Turns.turns`, it lasts until the gradient has been taken.

    Args:
        module: A network as `Turns.turns` gets it.

    Yields:
        The network, without the wrapper that waits for the gradients of all processes.

    Example:
        >>> net = torch.nn.Linear(2, 1)
        >>> with frozen(net) as fixed:
        ...     fixed(torch.ones(2, requires_grad=True)).sum().backward()
        >>> net.weight.grad is None
        True
    """
    learning = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield module.module if isinstance(module, DistributedDataParallel) else module
    finally:
        for parameter in learning:
            parameter.requires_grad_()
