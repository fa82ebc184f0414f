"""Several losses as one."""

import math
from collections.abc import Callable, Mapping
from typing import Literal, final, overload

from torch import Tensor, nn

Loss = Callable[[Tensor, Tensor], Tensor]


@final
class WeightedSum(nn.Module):
    """A sum of losses of the same two pictures, each times its weight.

        sum over names of weight * loss(prediction, target)

    Args:
        terms: Name, loss and weight of each. A loss is a module or a function, ``(prediction, target)`` to scalar.

    Attributes:
        weights: Weights by name; they may be set in the course of a training.

    Raises:
        TypeError: ``terms`` is not made as above.
        ValueError: No term, a name that a module cannot have, or a weight that is not finite.

    Example:
        >>> import torch
        >>> loss = WeightedSum({"pixel": (nn.L1Loss(), 1.0), "power": (nn.MSELoss(), 0.5)})
        >>> total, terms = loss(torch.full((1, 3, 4, 4), 2.0), torch.zeros(1, 3, 4, 4), return_terms=True)
        >>> total.item(), {name: term.item() for name, term in terms.items()}
        (4.0, {'pixel': 2.0, 'power': 4.0})
    """

    def __init__(self, terms: Mapping[str, tuple[Loss, float]]) -> None:
        super().__init__()
        _check(terms)
        self.weights = {name: weight for name, (_, weight) in terms.items()}
        self.losses = nn.ModuleDict({name: _as_module(loss) for name, (loss, _) in terms.items()})

    @overload
    def forward(self, prediction: Tensor, target: Tensor, *, return_terms: Literal[False] = False) -> Tensor: ...

    @overload
    def forward(
        self, prediction: Tensor, target: Tensor, *, return_terms: Literal[True]
    ) -> tuple[Tensor, dict[str, Tensor]]: ...

    def forward(
        self, prediction: Tensor, target: Tensor, *, return_terms: bool = False
    ) -> Tensor | tuple[Tensor, dict[str, Tensor]]:
        """Compare two batches.

        Args:
            prediction: What the losses take, as a rule restored pictures (N, C, H, W).
            target: The true pictures.
            return_terms: Return each loss as well, for a log.

        Returns:
            Scalar; then the losses by name, each on its own, without its weight and detached, if asked for.

        Raises:
            TypeError: A loss gives something else than a tensor.
            ValueError: A loss is no scalar. What the losses raise passes through.
        """
        terms = {name: _scalar(name, loss(prediction, target)) for name, loss in self.losses.items()}
        first, *others = (self.weights[name] * term for name, term in terms.items())
        total = sum(others, start=first)
        return (total, {name: term.detach() for name, term in terms.items()}) if return_terms else total

    def extra_repr(self) -> str:
        return ", ".join(f"{name}: {weight}" for name, weight in self.weights.items())


@final
class _Function(nn.Module):
    """A function where a module is needed."""

    def __init__(self, function: Loss) -> None:
        super().__init__()
        self.function = function

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        return self.function(prediction, target)

    def extra_repr(self) -> str:
        return getattr(self.function, "__name__", repr(self.function))


def _as_module(loss: Loss) -> nn.Module:
    return loss if isinstance(loss, nn.Module) else _Function(loss)


def _scalar(name: str, value: Tensor) -> Tensor:
    if not isinstance(value, Tensor):
        raise TypeError(f'terms["{name}"] must give a tensor, got {type(value).__name__}')
    if value.ndim != 0:
        raise ValueError(f'terms["{name}"] must give a scalar, got shape {tuple(value.shape)}; reduce it to a mean')
    return value


def _check(terms: Mapping[str, tuple[Loss, float]]) -> None:
    if not isinstance(terms, Mapping):
        raise TypeError(f"terms must map names to (loss, weight), got {type(terms).__name__}")
    if not terms:
        raise ValueError("terms must hold at least one loss, got none")
    for name, term in terms.items():
        if not isinstance(name, str) or not isinstance(term, tuple) or len(term) != 2 or not _is_loss(term[0]):
            raise TypeError(f"terms must map names to (loss, weight), got {name!r}: {term!r}")
        if not name or "." in name or hasattr(nn.ModuleDict(), name):
            raise ValueError(f"terms must have names that a module can have, got {name!r}")
        _check_weight(name, term[1])


def _is_loss(loss: object) -> bool:
    return callable(loss) and not isinstance(loss, type)  # nn.L1Loss without () takes two arguments, too


def _check_weight(name: str, weight: float) -> None:
    if isinstance(weight, bool) or not isinstance(weight, int | float):
        raise TypeError(f'the weight of terms["{name}"] must be a number, got {weight!r}')
    if not math.isfinite(weight):
        raise ValueError(f'the weight of terms["{name}"] must be finite, got {weight}')
