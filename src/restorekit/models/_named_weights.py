"""Weights by name in the factories: those that come with the library, told by the network that they are for."""

import json
from os import PathLike
from pathlib import Path
from typing import TypeVar

from safetensors import safe_open

from restorekit.models._loading import difference, load_weights
from restorekit.models.network import Network
from restorekit.weights import Shipped, list_shipped, shipped

N = TypeVar("N", bound=Network)

_DEFAULT = "default"
HOW_TO_GET_OTHERS = (
    "others are read from a checkpoint: published by the authors of a network, or trained with train.fit and written "
    "by models.save_weights"
)


def loaded(model: N, weights: str | PathLike[str] | None) -> N:
    """The network, with the weights of a file or those of a name if any are given."""
    if weights is not None:
        load_weights(model, _path(model, weights))
    return model


def named(weights: tuple[Shipped, ...]) -> str:
    """Those that there are, for a message."""
    return "; ".join(map(str, weights))


def _path(model: Network, weights: str | PathLike[str]) -> str | PathLike[str]:
    """The file of "default" or of a task; anything else is a path."""
    offered = list_shipped() if weights == _DEFAULT else list_shipped(weights) if isinstance(weights, str) else ()
    if not offered:
        return weights
    differences = {one: _difference(model, shipped(one.name)) for one in offered}
    fitting = tuple(one for one, unlike in differences.items() if unlike == "")
    if len(fitting) > 1:
        raise ValueError(f"weights={weights!r} may be {named(fitting)}; give the task, weights={fitting[0].task!r}")
    if not fitting:
        unlike = "".join(f"{one.name} is {unlike}; " for one, unlike in differences.items() if unlike)
        raise ValueError(
            f"no weights={weights!r} for such a {type(model).__name__} come with the library: {unlike}models."
            f"load_default(task) builds what there is weights for, {named(list_shipped())}; {HOW_TO_GET_OTHERS}"
        )
    return shipped(fitting[0].name)


def _difference(model: Network, path: Path) -> str | None:
    """What keeps a network from taking the weights; None if it is of another class."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    if metadata["model"] != type(model).__name__:
        return None
    return difference(model, json.loads(metadata["config"]))
