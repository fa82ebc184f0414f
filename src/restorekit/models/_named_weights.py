"""Weights by name in the factories: those that come with the library, told by the network that they are for."""

from os import PathLike
from pathlib import Path
from typing import TypeVar

from restorekit.models._loading import difference, load_weights
from restorekit.models.network import Network
from restorekit.weights.shipped import Shipped, described, list_shipped, shipped

N = TypeVar("N", bound=Network)

_DEFAULT = "default"


def loaded(model: N, weights: str | PathLike[str] | None) -> N:
    """The network, with the weights of a file or those of a name if any are given."""
    if weights is not None:
        load_weights(model, _path(model, weights) if isinstance(weights, str) else weights)
    return model


def there_are() -> str:
    """What comes with the library and what to do about the rest, for a message."""
    return (
        f"there are {_listed(list_shipped())}; others are read from a checkpoint: published by the authors of a "
        "network, or trained with train.fit and written by models.save_weights"
    )


def _listed(rows: tuple[Shipped, ...]) -> str:
    return ", ".join(map(str, rows))


def _path(model: Network, weights: str) -> str | Path:
    """The file that "default", a task, or the name of shipped weights means; any other text is a path."""
    named = tuple(row for row in list_shipped() if weights in {_DEFAULT, row.task, row.name})
    if not named and (Path(weights).exists() or Path(weights).name != weights or Path(weights).suffix):
        return weights
    told = {row: described(row.name) or ("", {}) for row in named}
    own = type(model).__name__
    differences = {row: difference(model, config) for row, (name, config) in told.items() if name == own}
    fitting = tuple(row for row, unlike in differences.items() if not unlike)
    if len(fitting) > 1:
        raise ValueError(f"weights={weights!r} may be {_listed(fitting)}; give the task, weights={fitting[0].task!r}")
    if not fitting:
        for row in named:
            shipped(row.name)  # one that is damaged may be the one
        unlike = "".join(f"{row.name} is {reason}; " for row, reason in differences.items())
        raise ValueError(f"no weights={weights!r} for such a {own} come with the library: {unlike}{there_are()}")
    return shipped(fitting[0].name)
